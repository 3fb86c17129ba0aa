/** Two connections between the same speakers: made at once (RFC 4271 section 6.8), or one of them dead on one side only. */
import { beforeAll, expect, test } from '@jest/globals';
import { eventually } from '../../eventually.ts';
import { type Lane, sessionOver4 } from './bed.ts';
import { describeEveryRouter } from './every-router.ts';
import { established, type PeerKind, peerKinds } from './peers.ts';
import { SpeakerHost } from './speaker-host.ts';

/** So short that the connection proves itself soon, and so long that a restart takes less. */
const shortHoldSeconds = 15;
/** OpenBGPD waits for half a minute when its first connection fails. */
const comesSoon = (kind: PeerKind) => kind !== 'openbgpd';
/** So long that only the peer's new connection can tell of its restart. */
const longHoldSeconds = 90;
/**
 * Who says so: not FRR that only helps restarting neighbours, for it names no family of its own (RFC 4724 section 4.2), and
 * not OpenBGPD, which waits half a minute when its first connection fails.
 */
const saysRestarted = (kind: PeerKind) => kind !== 'frr' && kind !== 'openbgpd';
const secondHold = (kind: PeerKind) => (comesSoon(kind) ? longHoldSeconds : shortHoldSeconds);

describeEveryRouter('two connections with one peer', { word: 'col', subject: 'BGP collisions' }, (every) => {
  const { of, routers } = every;
  /** Its identifier is lower than those of the routers, and the other's is higher. */
  let low: SpeakerHost;
  let high: SpeakerHost;

  beforeAll(async () => {
    const { bed } = every;
    for (const kind of peerKinds) {
      const cable = bed.connect(kind);
      const [first, second] = cable.lanes;
      const gracefulRestart = { restartTimeSeconds: 60 };
      every.place(kind, cable, {
        sessions: [
          sessionOver4(first, { holdTimeSeconds: shortHoldSeconds }),
          sessionOver4(second, { holdTimeSeconds: secondHold(kind), gracefulRestart }),
        ],
      });
    }
    const listen = (lane: 0 | 1) => [...routers.values()].map(({ cable }) => ({ address: cable.lanes[lane].ours4 }));
    low = await SpeakerHost.start(bed, { identifier: '10.0.0.1', listen: listen(0) });
    high = await SpeakerHost.start(bed, { identifier: '172.31.0.1', listen: listen(1) });
    await Promise.all([low, high].map((host) => host.announce('192.0.2.1/32')));
    bed.drop('connections', 'tcp flags & (syn | ack) == syn');
    bed.drop('words', 'tcp flags psh');
    const gracefulRestart = { restartTimeSeconds: 60, restarted: false, forwarding: true };
    for (const [kind, { cable }] of routers) {
      const patient = { connectRetrySeconds: 30 };
      await low.addPeer4(cable.lanes[0], { ...patient, holdTimeSeconds: shortHoldSeconds });
      await high.addPeer4(cable.lanes[1], { ...patient, holdTimeSeconds: secondHold(kind), gracefulRestart });
    }
    await Promise.all([...routers.values()].map(({ peer }) => peer.start()));
  }, 60_000);

  /** The connections of a lane in the eyes of a host's kernel: by whom they were made. */
  function connections(host: string, state: string, { ours4, theirs4 }: Lane): ('us' | 'peer')[] {
    const [own, other] = host === 'us' ? [ours4, theirs4] : [theirs4, ours4];
    const text = every.bed.namespaces.run(host, ['ss', '-Htn', 'state', state, 'src', own, 'dst', other]);
    const lines = text.split('\n').filter((line) => line !== '');
    return lines.map((line) => (line.includes(`${ours4}:179 `) ? 'peer' : 'us'));
  }

  /** BIRD and FRR hold two connections, and choose; GoBGP, ExaBGP and OpenBGPD let their own attempt go when one comes in. */
  const colliders = ['bird', 'frr'] as const;

  // Which one stays is by identifier, unless one is established before the other has heard anything, as it may be here.
  test('both dial at once: one connection stays, the other ends with Cease/7', async () => {
    const lanesOf = (kind: PeerKind) => of(kind).cable.lanes.slice(0, 2);
    for (const kind of colliders) {
      for (const lane of lanesOf(kind)) {
        for (const host of ['us', kind]) {
          await eventually(`${host} dials`, () => connections(host, 'syn-sent', lane).length > 0);
        }
      }
    }
    every.bed.pass('connections');
    for (const kind of colliders) {
      for (const lane of lanesOf(kind)) {
        await eventually(`two connections with ${kind}`, () => connections('us', 'established', lane).length === 2);
      }
    }
    every.bed.pass('words');
    const told: { code: number; subcode: number }[] = [];
    for (const [kind, { peer, cable }] of routers) {
      for (const [host, lane] of [
        [low, cable.lanes[0]],
        [high, cable.lanes[1]],
      ] as const) {
        const name = lane.theirs4;
        await established(peer, lane.ours4);
        await host.established(name);
        const ends = host.events.flatMap((event) =>
          event.type === 'failed' && event.peer === name && event.reason.kind !== 'connect' ? [event.reason] : [],
        );
        if (kind === 'bird' || kind === 'frr') expect([kind, ends]).not.toEqual([kind, []]);
        told.push(...ends.flatMap((end) => ('notification' in end ? [end.notification] : [])));
        await eventually(`one connection with ${kind}`, () => connections('us', 'established', lane).length === 1);
      }
    }
    // A reset may overtake the word, but not everywhere.
    expect(told).toContainEqual(expect.objectContaining({ code: 6, subcode: 7 }));
  }, 60_000);

  test('routers that restart behind a cut cable: the old connection is found dead, a new one comes', async () => {
    const from = [low.events.length, high.events.length] as const;
    for (const { cable } of routers.values()) every.bed.cut(cable, true);
    await Promise.all(
      [...routers.values()].map(async ({ peer, cable }) => {
        await peer.stop('SIGKILL');
        // Its kernel forgets too, as that of a router that was switched off.
        every.bed.namespaces.run(cable.host, ['ss', '-HtnK', 'state', 'connected']);
        await peer.start();
      }),
    );
    for (const { cable } of routers.values()) every.bed.cut(cable, false);
    for (const [kind, { peer, cable }] of routers) {
      const [first, second] = cable.lanes;
      // Our next keepalive is answered with a reset.
      const found = await low.event('down', (event) => event.peer === first.theirs4, { from: from[0] });
      expect([kind, found.reason.kind]).toEqual([kind, 'closed']);
      // Graceful restart takes the peer's new connection for what it is (RFC 4724 section 4.2), at once. Without it that
      // connection is refused, but has us ask over the old one, long before its next keepalive is due.
      const replaced = await high.event('down', (event) => event.peer === second.theirs4, { from: from[1] });
      expect([kind, replaced.reason.kind]).toEqual([kind, saysRestarted(kind) ? 'peer-restarted' : 'closed']);
      for (const lane of [first, second]) {
        await established(peer, lane.ours4, 30_000);
        await eventually(`${kind} has the route again by ${lane.ours4}`, async () => {
          const routes = await peer.routes('ipv4-unicast');
          return routes.some(({ nextHops }) => nextHops[0] === lane.ours4);
        });
      }
    }
  }, 90_000);
});
