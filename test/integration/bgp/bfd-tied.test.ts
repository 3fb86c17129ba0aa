/** BGP sessions that heed BFD (RFC 5882), with routers that do the same, and with routers whose BGP knows nothing of it. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '../../eventually.ts';
import { BgpBed, bedUnavailable, type Cable, type Lane, sessionOver4 } from './bed.ts';
import { ask } from './daemon.ts';
import { type BgpPeer, established } from './peers.ts';
import { SpeakerHost } from './speaker-host.ts';

/** GoBGP, ExaBGP and OpenBGPD have no BFD. */
const kinds = ['bird', 'frr'] as const;
type Kind = (typeof kinds)[number];
const unavailable = bedUnavailable(...kinds);
const suite = unavailable === undefined ? describe : describe.skip;
if (unavailable !== undefined) console.warn(`BGP with BFD is not tested: ${unavailable}`);

const route = '192.0.2.1/32';
/** Long, so that only BFD can be what ends a session. */
const holdTimeSeconds = 90;
const bfdDown = { kind: 'notification-sent', notification: { code: 6, subcode: 10 } };

suite('BGP and BFD', () => {
  let bed: BgpBed;
  let us: SpeakerHost;
  const peers = new Map<Kind, { peer: BgpPeer; cable: Cable }>();

  beforeAll(async () => {
    bed = new BgpBed('bfd');
    us = await SpeakerHost.start(bed);
    await us.announce(route);
    await Promise.all(
      kinds.map(async (kind) => {
        const cable = bed.connect(kind);
        const [tied, beside] = cable.lanes;
        const peer = bed.peer(kind, cable, {
          sessions: [
            sessionOver4(tied, { bfd: 'tied', holdTimeSeconds }),
            sessionOver4(beside, { bfd: 'beside', holdTimeSeconds }),
          ],
        });
        peers.set(kind, { peer, cable });
        for (const lane of [tied, beside]) {
          await us.addPeer4(lane, { holdTimeSeconds });
          const timing = { desiredMinTxMs: 100, requiredMinRxMs: 100 };
          const path = { peer: lane.theirs4, localAddress: lane.ours4, interface: cable.interface };
          await us.ask({ do: 'tie-bfd', name: lane.theirs4, options: { ...path, ...timing } });
        }
        await peer.start();
      }),
    );
  }, 60_000);

  afterAll(async () => {
    await bed?.close();
  }, 60_000);

  const of = (kind: Kind) => {
    const found = peers.get(kind);
    if (!found) throw new RangeError(kind);
    return found;
  };

  const bfdIs = (lane: Lane, state: string, from = 0) =>
    us.event('bfd', (event) => event.peer === lane.theirs4 && event.state === state, { from });

  const downs = (lane: Lane, from: number) =>
    us.events.slice(from).filter((event) => event.type === 'down' && event.peer === lane.theirs4);

  /** Whether the router has the route over a lane. */
  const has = (kind: Kind, lane: Lane, wanted: boolean) =>
    eventually(
      `${kind} has ${wanted ? 'the' : 'no'} route by ${lane.ours4}`,
      async () => (await of(kind).peer.routes('ipv4-unicast')).some(({ nextHops }) => nextHops[0] === lane.ours4),
      (found) => found === wanted,
      { timeoutMs: 15_000 },
    );

  describe.each(kinds)('with %s', (kind) => {
    test('both come up', async () => {
      const { peer, cable } = of(kind);
      for (const lane of cable.lanes.slice(0, 2)) {
        await established(peer, lane.ours4);
        await bfdIs(lane, 'up');
        await has(kind, lane, true);
      }
    }, 30_000);

    test('BFD that is down ends the session with Cease/10, which the router reads', async () => {
      const { peer, cable } = of(kind);
      const [, lane] = cable.lanes;
      const from = us.events.length;
      // BFD does not reach us any more, and no new connection comes up; the old one is well.
      bed.drop('bfd', `ip daddr ${lane.ours4} udp dport 3784`);
      bed.drop('connections', `tcp dport 179 tcp flags & (syn | ack) == syn`);
      await bfdIs(lane, 'down', from);
      const down = await us.event('down', (event) => event.peer === lane.theirs4, { from });
      expect(down.reason).toMatchObject(bfdDown);
      await has(kind, lane, false);
      // BIRD 2.0.12 and FRR 8.4 name it.
      const words = { bird: /Received: .*(BFD|6\.10)/, frr: /BFD Down/ };
      await eventually(
        `${kind} tells the reason`,
        () => peer.lastWords(lane.ours4),
        (text) => words[kind].test(text),
        { timeoutMs: 3000 },
      );
      bed.pass('bfd');
      bed.pass('connections');
      await bfdIs(lane, 'up', from);
      await established(peer, lane.ours4);
      await has(kind, lane, true);
      // The other session had nothing to do with it.
      expect(downs(cable.lanes[0], from)).toEqual([]);
    }, 60_000);

    test('a cut cable: both ends know long before the hold time', async () => {
      const { peer, cable } = of(kind);
      const [tied, beside] = cable.lanes;
      const from = us.events.length;
      bed.cut(cable, true);
      for (const lane of [tied, beside]) {
        const down = await us.event('down', (event) => event.peer === lane.theirs4, { from });
        expect(down.reason).toMatchObject(bfdDown);
      }
      await has(kind, tied, false);
      // Its BGP was not told.
      await has(kind, beside, true);
      bed.cut(cable, false);
      for (const lane of [tied, beside]) {
        await established(peer, lane.ours4, 30_000);
        await has(kind, lane, true);
        await bfdIs(lane, 'up', from);
      }
    }, 60_000);

    // BIRD has no word for it: its "disable bfd1" just falls silent.
    (kind === 'frr' ? test : test.skip)(
      "the peer's operator takes BFD down: nothing ends",
      async () => {
        const { cable } = of(kind);
        const [, lane] = cable.lanes;
        const { established: before } = (await us.session(lane.theirs4)).counters;
        const from = us.events.length;
        await setAdminDown(lane, true);
        await bfdIs(lane, 'admin-down', from);
        await bears(kind, lane, '192.0.2.2/32');
        await setAdminDown(lane, false);
        await bfdIs(lane, 'up', from);
        expect(downs(lane, from)).toEqual([]);
        expect((await us.session(lane.theirs4)).counters.established).toBe(before);
      },
      60_000,
    );

    test('our operator takes BFD down: nothing ends', async () => {
      const { peer, cable } = of(kind);
      // Where their BGP is tied to BFD, BIRD 2.0.12 (Cease/0) and FRR 8.4 (Cease/10) still take it for a failure.
      const [, lane] = cable.lanes;
      const from = us.events.length;
      await us.ask({ do: 'bfd-admin-down', name: lane.theirs4, adminDown: true });
      await bfdIs(lane, 'admin-down', from);
      await bears(kind, lane, '192.0.2.3/32');
      await us.ask({ do: 'bfd-admin-down', name: lane.theirs4, adminDown: false });
      await bfdIs(lane, 'up', from);
      expect(downs(lane, from)).toEqual([]);
      await established(peer, lane.ours4);
    }, 60_000);
  });

  /** The session carries routes: one more comes and goes. */
  async function bears(kind: Kind, lane: Lane, prefix: string): Promise<void> {
    const { peer } = of(kind);
    await us.announce(prefix);
    await eventually(`${kind} has ${prefix} by ${lane.ours4}`, async () => {
      const routes = await peer.routes('ipv4-unicast');
      return routes.some((one) => one.prefix === prefix && one.nextHops[0] === lane.ours4);
    });
    await us.withdraw(prefix);
  }

  async function setAdminDown(lane: Lane, adminDown: boolean): Promise<void> {
    const directory = join(bed.directory, 'frr');
    const namespace = bed.namespaces.name('frr');
    const path = `peer ${lane.ours4} local-address ${lane.theirs4} interface eth0`;
    const words = ['configure terminal', 'bfd', path, adminDown ? 'shutdown' : 'no shutdown'];
    const commands = words.flatMap((word) => ['-c', word]);
    await ask(namespace, ['vtysh', '--vty_socket', directory, '-d', 'bfdd', ...commands]);
  }
});
