/** BFD against the daemons that routers run: BIRD and FRR. */
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import type { BfdSessionEvent } from '../../src/bgp-speaker/bfd/index.ts';
import { eventually } from '../eventually.ts';
import { cable, far, Lan } from './bfd/lan.ts';
import type { OurSpeaker } from './bfd/our-speaker.ts';
import { Bird, Frr, type PeerTiming, type RoutingDaemon, whyNo } from './bfd/routing-daemons.ts';

jest.setTimeout(120_000);
const intervals = [50, 100, 300];
const multipliers = [2, 3, 5];
const timing: PeerTiming = { txMs: 100, rxMs: 100, multiplier: 3 };
/** Both run as on a machine of their own: 100 ms without the processor would be a failure rightly found. */
const realtimePriority = 10;

const daemons: Record<'bird' | 'frr', new (prefix: readonly string[], realtimePriority?: number) => RoutingDaemon> = {
  bird: Bird,
  frr: Frr,
};

for (const [program, Daemon] of Object.entries(daemons) as ['bird' | 'frr', typeof Bird][]) {
  const reason = whyNo(program);
  const suite = reason === undefined ? describe : describe.skip;

  suite(`BFD with ${program}${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
    const closing: (() => Promise<void>)[] = [];
    afterEach(async () => {
      for (const close of closing.splice(0).reverse()) await close();
    });

    async function meet(withRouter = false): Promise<{ lan: Lan; us: OurSpeaker; peer: RoutingDaemon }> {
      const lan = new Lan(`${program}${closing.length}`, withRouter);
      closing.push(() => lan.close());
      const peer = new Daemon(lan.namespaces.prefix('peer'), realtimePriority);
      closing.push(() => peer.kill());
      return { lan, us: await lan.speaker('us', { realtimePriority }), peer };
    }
    const direct = { address: cable.us, localAddress: cable.peer, interface: 'ep' };

    test('comes up, finds a cut, comes back', async () => {
      const { lan, us, peer } = await meet();
      await peer.configure([direct], timing);
      await us.add('s', { peer: cable.peer, interface: 'eu', desiredMinTxMs: 100, requiredMinRxMs: 100 });
      await us.untilState('s', 'up');
      await us.until('s', (event) => event.type === 'timing' && event.detectionTimeMs === 300);
      const before = us.events.length;
      const cutAtMs = performance.now();
      lan.cut();
      const down = await us.untilState('s', 'down', before);
      console.log(`${program}: ${(down.atMs - cutAtMs).toFixed(0)} ms after the cut, of 300`);
      expect(us.states('s', before)).toEqual(['down peer-silent !']);
      expect(down.event).toMatchObject({ diagnostic: 1 });
      await eventually(
        `${program} sees it go down`,
        () => peer.view(cable.us)?.state,
        (state) => state === 'down',
      );
      lan.mend();
      await us.untilState('s', 'up', before);
      await eventually(
        `${program} sees it come up`,
        () => peer.view(cable.us)?.state,
        (state) => state === 'up',
      );
      expect(await us.status('s')).toMatchObject({ ups: 2, downs: 1, state: 'up', unsent: 0 });
      expect((await us.engineStatus()).discarded).toMatchObject({ 'wrong-path': 0, ttl: 0, length: 0, version: 0 });
    });

    test('every pair of intervals and multipliers is negotiated while the session stays up', async () => {
      const { us, peer } = await meet();
      await peer.configure([direct], timing);
      await us.add('s', { peer: cable.peer, interface: 'eu' });
      await us.untilState('s', 'up');
      const from = us.events.length;
      for (const [i, intervalMs] of intervals.entries()) {
        for (const [m, detectMultiplier] of multipliers.entries()) {
          const theirs: PeerTiming = {
            txMs: intervals[(i + m) % 3] ?? 0,
            rxMs: intervals[(i + 2 * m + 1) % 3] ?? 0,
            multiplier: multipliers[(m + i) % 3] ?? 0,
          };
          await us.ask({
            do: 'configure',
            session: 's',
            change: { desiredMinTxMs: intervalMs, requiredMinRxMs: intervalMs, detectMultiplier },
          });
          await peer.configure([direct], theirs);
          const negotiated = {
            transmitIntervalMs: Math.max(intervalMs, theirs.rxMs),
            detectionTimeMs: theirs.multiplier * Math.max(intervalMs, theirs.txMs),
          };
          await eventually(
            'the negotiated times',
            () => us.status('s'),
            (now) =>
              now.transmitIntervalMs === negotiated.transmitIntervalMs &&
              now.detectionTimeMs === negotiated.detectionTimeMs,
          );
          // The peer has come to the same: BIRD shows what was negotiated, FRR what we asked for.
          const expected =
            program === 'bird'
              ? [Math.max(theirs.txMs, intervalMs), detectMultiplier * Math.max(theirs.rxMs, intervalMs), 0]
              : [intervalMs, intervalMs, detectMultiplier];
          await eventually(
            `${program} has the negotiated times`,
            () => peer.view(cable.us),
            (view) =>
              view !== undefined &&
              [view.remoteTxMs, view.remoteRxMs, view.remoteMultiplier].every((value, at) => value === expected[at]),
          );
        }
      }
      expect(us.states('s', from)).toEqual([]);
      expect(await us.status('s')).toMatchObject({ ups: 1, downs: 0 });
    });

    test('a cut is found after multiplier times interval, whatever they are', async () => {
      const { lan, us, peer } = await meet();
      const sessions = intervals.flatMap((intervalMs, i) =>
        multipliers.map((multiplier, m) => ({ intervalMs, multiplier, ...lan.another(i * 3 + m) })),
      );
      await peer.configure(
        sessions.map(({ us: address, peer: localAddress, peerInterface, intervalMs, multiplier }) => {
          const own = { txMs: intervalMs, rxMs: intervalMs, multiplier };
          return { address, localAddress, interface: peerInterface, timing: own };
        }),
        timing,
      );
      for (const { us: name, peer: address, ourInterface, intervalMs, multiplier: detectMultiplier } of sessions) {
        const own = { desiredMinTxMs: intervalMs, requiredMinRxMs: intervalMs, detectMultiplier };
        await us.add(name, { peer: address, interface: ourInterface, ...own });
      }
      for (const { us: name, intervalMs, multiplier } of sessions) {
        const isSo = (event: BfdSessionEvent) =>
          event.type === 'timing' && event.detectionTimeMs === multiplier * intervalMs;
        await us.until(name, isSo);
        await eventually(
          `its session with ${name}`,
          () => peer.view(name)?.state,
          (state) => state === 'up',
        );
      }
      const from = us.events.length;
      const beforeMs = Date.now();
      lan.cut();
      const afterMs = Date.now();
      const found: string[] = [];
      for (const { us: name, intervalMs, multiplier } of sessions) {
        const { event } = await us.untilState(name, 'down', from);
        const atMs = event.type === 'state' ? event.atMs : 0;
        expect(us.states(name, from)).toEqual(['down peer-silent !']);
        const expectedMs = multiplier * intervalMs;
        // The last packet may be as old as an interval. What is added to the end is for a busy machine.
        expect([name, atMs - beforeMs >= expectedMs - intervalMs - 1]).toEqual([name, true]);
        expect([name, atMs - afterMs <= expectedMs + 500]).toEqual([name, true]);
        found.push(`${atMs - beforeMs} of ${expectedMs}`);
        await eventually(
          `its session with ${name}`,
          () => peer.view(name)?.state,
          (state) => state === 'down',
        );
      }
      console.log(`${program}: found after ${found.join(', ')} ms`);
    });

    test('is taken down by our operator: the peer hears why, and the session comes back', async () => {
      const { us, peer } = await meet();
      await peer.configure([direct], timing);
      await us.add('s', { peer: cable.peer, interface: 'eu' });
      await us.untilState('s', 'up');
      const from = us.events.length;
      await us.ask({ do: 'admin-down', session: 's', adminDown: true });
      const view = await eventually(
        `${program} is told`,
        () => peer.view(cable.us),
        (now) => now?.state === 'down',
      );
      if (program === 'frr') expect(view?.remoteDiagnostic).toBe('administratively down');
      await us.ask({ do: 'admin-down', session: 's', adminDown: false });
      await us.untilState('s', 'up', from);
      expect(us.states('s', from).join()).not.toContain('!');
    });

    test('is removed without being called a failure, though the first word is lost', async () => {
      const { lan, us, peer } = await meet();
      await peer.configure([direct], timing);
      await us.add('s', { peer: cable.peer, interface: 'eu' });
      await us.untilState('s', 'up');
      // The state is in the first two bits of the second byte: AdminDown is 0.
      const first = 'udp dport 3784 @th,72,2 0 limit rate 1/hour burst 1 packets counter drop';
      const table = `table inet lossy { chain in { type filter hook input priority 0; ${first}; }; }`;
      lan.namespaces.run('peer', ['nft', '-f', '-'], table);
      await us.ask({ do: 'remove', session: 's' });
      const view = await eventually(
        `${program} is told`,
        () => peer.view(cable.us),
        (now) => now?.state === 'down',
      );
      expect(lan.namespaces.run('peer', ['nft', 'list', 'table', 'inet', 'lossy'])).toMatch(/packets 1 /);
      if (program === 'frr') expect(view?.remoteDiagnostic).toBe('administratively down');
      expect(us.states('s').at(-1)).toBe('admin-down admin-down');
    });

    test('passive: waits for the peer; and a peer that waits is spoken to', async () => {
      const { lan, us, peer } = await meet();
      await us.add('s', { peer: cable.peer, interface: 'eu', passive: true });
      // One that is not passive has begun when this one would have.
      await us.add('active', { peer: lan.linkLocal('peer'), interface: 'eu' });
      await eventually(
        'two packets of the active session',
        () => us.status('active'),
        ({ sent }) => sent >= 2,
      );
      expect(await us.status('s')).toMatchObject({ sent: 0, state: 'down' });
      await us.ask({ do: 'remove', session: 'active' });
      await peer.configure([direct], timing);
      await us.untilState('s', 'up');
      await us.ask({ do: 'remove', session: 's' });
      await peer.kill();
      const waiting = new Daemon(lan.namespaces.prefix('peer'));
      closing.push(() => waiting.kill());
      await waiting.configure([{ ...direct, passive: true }], timing);
      await us.add('t', { peer: cable.peer, interface: 'eu' });
      await us.untilState('t', 'up');
    });

    test('IPv6, with addresses and link-local, beside IPv4', async () => {
      const { lan, us, peer } = await meet();
      const local = { us: lan.linkLocal('us'), peer: lan.linkLocal('peer') };
      expect(local.us).toMatch(/^fe80::/);
      await peer.configure(
        [
          direct,
          { address: cable.us6, localAddress: cable.peer6, interface: 'ep' },
          { address: local.us, localAddress: local.peer, interface: 'ep' },
        ],
        timing,
      );
      await us.add('v4', { peer: cable.peer });
      await us.add('v6', { peer: cable.peer6, localAddress: cable.us6 });
      await us.add('link-local', { peer: local.peer, interface: 'eu' });
      for (const session of ['v4', 'v6', 'link-local']) await us.untilState(session, 'up');
      for (const address of [cable.us, cable.us6, local.us]) expect(peer.view(address)?.state).toBe('up');
    });

    test('several hops: through a router, and not with less than the minimum TTL', async () => {
      const { us, peer } = await meet(true);
      const path = { address: cable.us, localAddress: far, multihop: true, minimumTtl: 250 };
      await peer.configure([path], timing);
      await us.add('s', { peer: far, localAddress: cable.us, multihop: true });
      await us.untilState('s', 'up');
      await eventually(
        `${program} sees it come up`,
        () => peer.view(cable.us)?.state,
        (state) => state === 'up',
      );
      await us.ask({ do: 'remove', session: 's' });
      await us.add('strict', { peer: far, localAddress: cable.us, multihop: true, minimumTtl: 255 });
      // A second session lets the kernel pass what this one must refuse by itself.
      await us.add('lax', { peer: '10.0.1.77', multihop: true, minimumTtl: 10 });
      await eventually(
        'packets with another TTL are discarded',
        () => us.status('strict'),
        (now) => now.discarded.ttl > 1,
      );
      expect(await us.status('strict')).toMatchObject({ state: 'down', received: 0 });
    });

    // BIRD 2.0.12 has no word for it: when its protocol is disabled, it falls silent.
    if (program === 'frr') {
      test('is taken down by the operator of the peer, which is no failure', async () => {
        const { us, peer } = await meet();
        await peer.configure([direct], timing);
        await us.add('s', { peer: cable.peer, interface: 'eu' });
        await us.untilState('s', 'up');
        const from = us.events.length;
        await peer.setAdminDown(direct, true);
        const down = await us.untilState('s', 'down', from);
        expect(down.event).toMatchObject({ reason: 'peer-admin-down', isFailure: false });
        await peer.setAdminDown(direct, false);
        await us.untilState('s', 'up', from);
      });
    }

    test('the peer dies and starts again: silence, then up', async () => {
      const { lan, us, peer } = await meet();
      await peer.configure([direct], timing);
      await us.add('s', { peer: cable.peer, interface: 'eu' });
      await us.untilState('s', 'up');
      const from = us.events.length;
      await peer.kill();
      await us.untilState('s', 'down', from);
      expect(us.states('s', from)).toEqual(['down peer-silent !']);
      const again = new Daemon(lan.namespaces.prefix('peer'));
      closing.push(() => again.kill());
      await again.configure([direct], timing);
      await us.untilState('s', 'up', from);
    });
  });
}
