/** OPENs with the long form of the optional parameters (RFC 9072), both ways. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from '@jest/globals';
import { eventually } from '../../eventually.ts';
import { ourAs, peerAs, sessionOver4 } from './bed.ts';
import { Daemon } from './daemon.ts';
import { describeEveryRouter } from './every-router.ts';
import { JsonProcess } from './json-process.ts';
import type { LongOpenRequest } from './long-open-process.ts';
import { established, type PeerKind, peerKinds } from './peers.ts';
import type { OurSession } from './speaker-host.ts';

/** Why a router takes none. What they answer was seen with these versions. */
const cannot: Partial<Record<PeerKind, string>> = {
  gobgp: 'GoBGP has no RFC 9072: 3.10 and 4.8.0 answer 1/2',
  exabgp: 'ExaBGP 4.2 has no RFC 9072: it answers 2/0, for parameter 255',
};
/**
 * BIRD and OpenBGPD send one only when they have more than 255 bytes to say, GoBGP and ExaBGP never. FRR does when told to;
 * then it reads a short one of its peer with an octet too few (8.4 answers 2/0), so ours is long there, too.
 */
const sender = 'frr';

const identifier = '10.64.0.9';
const route = '192.0.2.9/32';
const families = ['ipv4-unicast'] as const;

describeEveryRouter('long OPENs', { word: 'lop', subject: 'long OPENs of BGP' }, (every) => {
  const { of } = every;
  let us: JsonProcess<LongOpenRequest, never>;
  let packets: string;

  beforeAll(async () => {
    const { bed } = every;
    packets = join(bed.directory, 'opens.pcap');
    const argv = ['tcpdump', '-U', '-i', 'any', '-w', packets, 'tcp port 179'];
    const capture = new Daemon(bed.us, argv, join(bed.directory, 'tcpdump'));
    bed.onClose(() => capture.stop());
    await eventually(
      'tcpdump listens',
      () => capture.log(),
      (text) => text.includes('listening on'),
    );
    us = new JsonProcess(bed.us, new URL('./long-open-process.ts', import.meta.url));
    bed.onClose(() => us.kill());
    await Promise.all(peerKinds.filter((kind) => cannot[kind] === undefined).map(start));
  }, 60_000);

  async function start(kind: PeerKind): Promise<void> {
    const cable = every.bed.connect(kind);
    const [first, second] = cable.lanes;
    const lanes = kind === sender ? [first, second] : [first];
    const peer = every.place(kind, cable, {
      sessions: lanes.map((lane) => sessionOver4(lane, { families, passive: true, longOpen: lane === second })),
    });
    await peer.start();
    const times = { holdTimeSeconds: 9, connectRetrySeconds: 1, maximumIdleHoldSeconds: 2 };
    for (const { theirs4: address, ours4: localAddress } of lanes) {
      const options = { address, localAddress, peerAs, families, ...times };
      await us.ask({ do: 'open', localAs: ourAs, identifier, route, peer: options });
    }
  }

  const ours = (name: string) => us.ask<OurSession>({ do: 'session', name });

  /** The forms of the OPENs that somebody has sent. */
  const opensOf = (who: string) =>
    eventually(
      `an OPEN of ${who} on the wire`,
      () => [...new Set(formsOfOpens(existsSync(packets) ? readFileSync(packets) : Buffer.alloc(0), who))].sort(),
      (forms) => forms.length > 0,
    );

  for (const kind of peerKinds) {
    const why = cannot[kind];
    (why === undefined ? test : test.skip)(
      why ?? `${kind} takes one: the session is established, and has our route`,
      async () => {
        const { peer, cable } = of(kind);
        await established(peer, cable.ours4);
        await eventually(
          'our route',
          () => peer.routes('ipv4-unicast'),
          (routes) => routes.some(({ prefix, nextHops }) => prefix === route && nextHops[0] === cable.ours4),
        );
        expect(await ours(cable.theirs4)).toMatchObject({ state: 'Established', counters: { failures: 0 } });
        expect(await opensOf(identifier)).toEqual(['long']);
      },
      60_000,
    );
  }

  test(`${sender} sends one, short as it is: we take it`, async () => {
    const { peer, cable } = of(sender);
    const [first, second] = cable.lanes;
    await established(peer, second.ours4);
    expect(await ours(second.theirs4)).toMatchObject({ state: 'Established', counters: { failures: 0 } });
    // The other session has the short form.
    await established(peer, first.ours4);
    expect(await opensOf(cable.theirs4)).toEqual(['long', 'short']);
  }, 60_000);
});

/** Of each OPEN with this identifier among captured packets. */
function formsOfOpens(bytes: Buffer, from: string): ('long' | 'short')[] {
  const marker = Buffer.alloc(16, 255);
  const wanted = from.split('.').join(' ');
  const forms: ('long' | 'short')[] = [];
  for (let at = bytes.indexOf(marker); at >= 0; at = bytes.indexOf(marker, at + 16)) {
    const open = bytes.subarray(at, at + bytes.readUInt16BE(at + 16));
    if (open[18] !== 1 || [...open.subarray(24, 28)].join(' ') !== wanted) continue;
    const isLong = open[28] === 255 && open[29] === 255 && open.readUInt16BE(30) === open.length - 32;
    forms.push(isLong ? 'long' : 'short');
  }
  return forms;
}
