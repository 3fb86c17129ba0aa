import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ManualClock } from '../../src/base/index.ts';
import { LeaderElection, type Lease } from '../../src/kube/index.ts';
import { bid, leaseSpec, observe } from '../../src/kube/lease-record.ts';
import { Contender } from './contender.ts';
import { FakeCollection } from './fake-collection.ts';

function world(...identities: string[]) {
  const clock = new ManualClock();
  const leases = new FakeCollection<Lease>();
  const contenders = identities.map((identity) => new Contender(clock, leases, identity));
  const run = async (ms: number, stepMs = 250) => {
    for (let left = ms; left > 0; left -= stepMs) {
      await clock.advance(Math.min(stepMs, left));
      const writing = contenders.filter((contender) => contender.mayWrite);
      expect(writing.length).toBeLessThanOrEqual(1);
    }
  };
  const stop = async () => {
    for (const { clock: own, network, abort } of contenders) {
      Object.assign(network, { cut: false, loseAnswers: 0 });
      own.resume();
      abort.abort(new Error('stop'));
    }
    await run(30_000, 1_000);
    await Promise.all(contenders.map(({ done }) => done));
  };
  const [a, b] = contenders as [Contender, Contender];
  return { clock, leases, contenders, a, b, run, stop, lease: () => leases.get('default/election')?.spec };
}

const writing = (contenders: Contender[]) => contenders.map((contender) => contender.mayWrite);

test('the first one leads and keeps leading; the other waits', async () => {
  const { a, b, run, stop, lease } = world('a', 'b');
  await run(120_000);
  expect([a.mayWrite, b.mayWrite]).toEqual([true, false]);
  expect([a.terms, b.terms]).toEqual([1, 0]);
  expect(lease()).toMatchObject({ holderIdentity: 'a', leaseDurationSeconds: 15, leaseTransitions: 0 });
  expect(lease()?.renewTime).toMatch(/^2026-01-01T00:01:5\d\.\d{6}Z$/);
  expect(b.election.status.holder).toBe('a');
  await stop();
});

test('a leader that stops releases the lease, and the next one need not wait for it to expire', async () => {
  const { a, b, run, stop, lease } = world('a', 'b');
  await run(5_000);
  a.abort.abort(new Error('stop'));
  await run(3_000);
  expect(b.mayWrite).toBe(true);
  expect(lease()).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
  await stop();
});

test('a leader that is cut off stops before the other begins', async () => {
  const { a, b, run, stop } = world('a', 'b');
  await run(5_000);
  a.network.cut = true;
  await run(10_000);
  expect(a.mayWrite).toBe(false);
  await run(8_000);
  expect(b.mayWrite).toBe(true);
  a.network.cut = false;
  await run(20_000);
  expect([a.mayWrite, b.mayWrite]).toEqual([false, true]);
  await stop();
});

test('a paused leader finds out before it writes, by its clock and by the fence', async () => {
  const { a, b, run, stop } = world('a', 'b');
  await run(5_000);
  const { leadership } = a;
  a.clock.pause();
  await run(20_000);
  expect(b.mayWrite).toBe(true);
  // The first thing that happens in the process when it goes on is the write.
  expect(() => leadership?.check()).toThrow('could not be renewed for 10000 ms');
  await expect(leadership?.fence()).rejects.toMatchObject({ code: 'LeadershipLost' });
  a.clock.resume();
  await run(20_000);
  expect(leadership?.signal.aborted).toBe(true);
  expect([a.mayWrite, b.mayWrite]).toEqual([false, true]);
  await stop();
});

test('the fence reads the lease and sees a usurper that the clock does not show', async () => {
  const { leases, a, run, stop, clock } = world('a', 'b');
  await run(5_000);
  const { leadership } = a;
  const token = leadership?.fence();
  await run(500);
  expect(await token).toEqual({ resourceVersion: leases.get('default/election')?.metadata.resourceVersion, term: 0 });
  const lease = leases.get('default/election') as Lease;
  leases.put({ ...lease, spec: { ...lease.spec, holderIdentity: 'someone', leaseTransitions: 9 } });
  const refused = expect(leadership?.fence()).rejects.toThrow('the lease is held by someone');
  await clock.advance(10);
  await refused;
  expect(leadership?.signal.aborted).toBe(true);
  await stop();
});

test('clocks of hosts may differ and jump', async () => {
  const { a, b, run, stop, clock } = world('a', 'b');
  b.clock.skewMs = 3_600_000;
  await run(30_000);
  clock.jumpWallMs(-86_400_000);
  await run(30_000);
  expect([a.terms, b.terms]).toEqual([1, 0]);
  await stop();
});

test('a renewal whose answer is lost is not a loss', async () => {
  const { a, b, run, stop } = world('a', 'b');
  await run(5_000);
  a.network.loseAnswers = 1;
  await run(30_000);
  expect([a.terms, b.terms]).toEqual([1, 0]);
  await stop();
});

test('an acquisition whose answer is lost is found out by reading', async () => {
  const { a, run, stop } = world('a');
  a.network.loseAnswers = 2;
  await run(20_000);
  expect(a.mayWrite).toBe(true);
  await stop();
});

test('stopping while it is not known whether the lease is ours frees it', async () => {
  const { a, clock, stop, lease, run } = world('a', 'b');
  await clock.advance(3);
  expect(lease()?.holderIdentity).toBe('a');
  a.network.backMs = 5_000;
  a.abort.abort(new Error('stop'));
  a.network.backMs = 1;
  await run(4_000);
  expect(lease()?.holderIdentity).toBe('b');
  await stop();
});

test('a deleted lease is made anew by its holder, in the same term', async () => {
  const { leases, a, b, run, stop, lease } = world('a', 'b');
  await run(5_000);
  b.network.cut = true;
  leases.delete('default/election');
  await run(5_000);
  expect(lease()?.holderIdentity).toBe('a');
  const fence = a.leadership?.fence();
  await run(250);
  expect((await fence)?.term).toBe(0);
  await stop();
});

/** Moves on in steps, as one process's answer is another's question. */
async function advance(clock: ManualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 250) await clock.advance(Math.min(250, left));
}

test('work that fails ends the run, after the release', async () => {
  const clock = new ManualClock();
  const leases = new FakeCollection<Lease>();
  const contender = new Contender(clock, leases, 'a', async () => {
    await contender.clock.sleep(1_000);
    throw new Error('broken');
  });
  const ended = expect(contender.done).rejects.toThrow('broken');
  await advance(clock, 5_000);
  await ended;
  expect(leases.get('default/election')?.spec?.holderIdentity).toBe('');
  expect(clock.pendingTimers).toBe(0);
});

test('the lease is renewed until the work has wound down, and released only then', async () => {
  const clock = new ManualClock();
  const leases = new FakeCollection<Lease>();
  const contender = new Contender(clock, leases, 'a', async ({ signal }) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    await contender.clock.sleep(30_000);
  });
  const other = new Contender(clock, leases, 'b');
  await advance(clock, 3_000);
  contender.abort.abort(new Error('stop'));
  await advance(clock, 29_000);
  expect(leases.get('default/election')?.spec?.holderIdentity).toBe('a');
  await advance(clock, 4_000);
  expect(other.mayWrite).toBe(true);
  await contender.done;
  other.abort.abort();
  await advance(clock, 30_000);
  await other.done;
});

test('the deadline counts from the sending of a renewal, not from its answer', async () => {
  const { a, clock, run, stop } = world('a');
  await run(1_000);
  a.network.backMs = 4_000;
  const { renewedAtMs: before = 0 } = a.election.status;
  while (a.election.status.renewedAtMs === before) await clock.advance(50);
  a.network.cut = true;
  const sentAtMs = a.election.status.renewedAtMs ?? 0;
  expect(clock.monotonicMs() - sentAtMs).toBeGreaterThanOrEqual(4_000);
  await run(sentAtMs + 9_950 - clock.monotonicMs(), 50);
  expect(a.mayWrite).toBe(true);
  await run(50, 50);
  expect(a.mayWrite).toBe(false);
  await stop();
});

test('nonsensical times are refused', () => {
  const options = { client: {} as never, namespace: 'n', name: 'l', identity: 'i' };
  expect(() => new LeaderElection({ ...options, leaseMs: 5_000 })).toThrow('retry < renew deadline < lease duration');
});

test('expiry is judged by the time since a change was seen here', () => {
  const lease = (version: string, renewTime: string): Lease => ({
    metadata: { name: 'l', uid: 'u', resourceVersion: version },
    spec: { ...leaseSpec(undefined, 'other', 15_000, 0), renewTime },
  });
  const ancient = lease('1', '1970-01-01T00:00:00.000000Z');
  const first = observe(undefined, ancient, 1_000);
  expect(bid(first, 'me', 15_999)).toEqual({ action: 'wait', holder: 'other', forMs: 1 });
  const same = observe(first, ancient, 9_000);
  expect(bid(same, 'me', 16_000)).toEqual({ action: 'write', takeover: true });
  const renewed = observe(first, lease('2', '1970-01-01T00:00:00.000000Z'), 9_000);
  expect(bid(renewed, 'me', 16_000)).toMatchObject({ action: 'wait' });
  expect(bid(first, 'other', 1_000)).toEqual({ action: 'write', takeover: false });
  expect(bid(undefined, 'me', 0)).toEqual({ action: 'create' });
});

test('whatever pauses, cuts, delays and lost answers there are, at most one may write, and in the end one does', async () => {
  const who = fc.nat(2);
  const event = fc.oneof(
    fc.record({ do: fc.constant('pause' as const), who }),
    fc.record({ do: fc.constant('resume' as const), who }),
    fc.record({ do: fc.constant('cut' as const), who, cut: fc.boolean() }),
    fc.record({ do: fc.constant('lose' as const), who, answers: fc.nat(3) }),
    fc.record({ do: fc.constant('slow' as const), who, ms: fc.constantFrom(1, 1_500, 4_900, 12_000) }),
    fc.record({ do: fc.constant('delete' as const) }),
    fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(500, 3_000, 9_000, 16_000) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 20 }), async (events) => {
      const { contenders, leases, run, stop } = world('a', 'b', 'c');
      for (const now of events) {
        if (now.do === 'wait') await run(now.ms);
        else if (now.do === 'delete') {
          // Deleting the Lease under a leader is sabotage that no protocol survives; a free one may go.
          if (leases.get('default/election')?.spec?.holderIdentity === '') leases.delete('default/election');
        } else {
          const contender = contenders[now.who] as Contender;
          if (now.do === 'pause') contender.clock.pause();
          else if (now.do === 'resume') contender.clock.resume();
          else if (now.do === 'cut') contender.network.cut = now.cut;
          else if (now.do === 'lose') contender.network.loseAnswers = now.answers;
          else Object.assign(contender.network, { thereMs: now.ms, backMs: now.ms });
        }
        await run(250);
      }
      for (const contender of contenders) {
        Object.assign(contender.network, { cut: false, loseAnswers: 0, thereMs: 1, backMs: 1 });
        contender.clock.resume();
      }
      await run(40_000, 1_000);
      expect(writing(contenders).filter(Boolean)).toHaveLength(1);
      await stop();
    }),
    { numRuns: 40 },
  );
});
