import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ManualClock } from '../../src/base/index.ts';
import { KubeError, priorities, type Reconcile, WorkQueue, type WorkQueueOptions } from '../../src/kube/index.ts';

interface Bench {
  clock: ManualClock;
  queue: WorkQueue;
  /** "time key" of each reconcile's start. */
  log: string[];
  start(workers?: number): void;
  stop(): Promise<void>;
}

function bench(reconcile: Reconcile, options: Partial<WorkQueueOptions> = {}): Bench {
  const clock = new ManualClock();
  const queue = new WorkQueue({ name: 'test', clock, random: () => 0, ...options });
  const abort = new AbortController();
  const log: string[] = [];
  let running: Promise<void> = Promise.resolve();
  return {
    clock,
    queue,
    log,
    start(workers = 1) {
      running = queue.run(
        workers,
        (key, signal) => {
          log.push(`${clock.monotonicMs()} ${key}`);
          return reconcile(key, signal);
        },
        abort.signal,
      );
    },
    async stop() {
      abort.abort(new Error('stop'));
      await clock.advance(0);
      await running;
      expect(clock.pendingTimers).toBe(0);
    },
  };
}

const done: Reconcile = async () => {};

/** Reconciles that end when told to. */
function gates() {
  const open = new Map<string, PromiseWithResolvers<void>>();
  const reconcile: Reconcile = (key) => {
    const gate = Promise.withResolvers<void>();
    open.set(key, gate);
    return gate.promise;
  };
  return { open, reconcile };
}

test('a key is in line once, however often it is added', async () => {
  const { clock, queue, log, start, stop } = bench(done);
  for (let i = 0; i < 5; i++) queue.add('a');
  queue.add('b');
  expect(queue.metrics).toMatchObject({ depth: 2, adds: 2 });
  start();
  await clock.advance(0);
  expect(log).toEqual(['0 a', '0 b']);
  await stop();
});

test('a key added while it is worked on is worked on again afterwards, and never by two', async () => {
  const { open, reconcile } = gates();
  const { clock, queue, log, start, stop } = bench(reconcile);
  start(3);
  queue.add('a');
  await clock.advance(0);
  queue.add('a');
  queue.add('a');
  await clock.advance(1_000);
  expect(log).toEqual(['0 a']);
  expect(queue.metrics).toMatchObject({ processing: 1, depth: 0, longestRunningMs: 1_000 });
  open.get('a')?.resolve();
  await clock.advance(0);
  expect(log).toEqual(['0 a', '1000 a']);
  open.get('a')?.resolve();
  await clock.advance(60_000);
  expect(log).toHaveLength(2);
  await stop();
});

test('a failure is retried after 5 ms, doubling to the bound; a success forgets it', async () => {
  let failing = true;
  const { clock, queue, log, start, stop } = bench(
    async () => {
      if (failing) throw new Error('no');
    },
    { backoffMaximumMs: 40 },
  );
  start();
  queue.add('a');
  await clock.advance(155);
  expect(log).toEqual(['0 a', '5 a', '15 a', '35 a', '75 a', '115 a', '155 a']);
  failing = false;
  await clock.advance(40);
  expect(queue.failures('a')).toBe(0);
  failing = true;
  queue.add('a');
  await clock.advance(5);
  expect(log.slice(-2)).toEqual(['195 a', '200 a']);
  expect(queue.metrics).toMatchObject({ succeeded: 1, failed: 9, retries: 9 });
  await stop();
});

test('a synchronous throw and a thrown nothing are failures like others', async () => {
  const { clock, queue, log, start, stop } = bench(((key: string) => {
    if (key === 'throws') throw new Error('at once');
    return Promise.reject(undefined);
  }) as Reconcile);
  start();
  queue.add('throws');
  queue.add('rejects');
  await clock.advance(5);
  expect(log).toEqual(['0 throws', '0 rejects', '5 throws', '5 rejects']);
  await stop();
});

test('a Retry-After is obeyed', async () => {
  const { clock, queue, log, start, stop } = bench(async () => {
    throw new KubeError('TooManyRequests', 'later', { retryAfterMs: 3_000 });
  });
  start();
  queue.add('a');
  await clock.advance(3_000);
  expect(log).toEqual(['0 a', '3000 a']);
  await stop();
});

test('a new event does not wait for the back-off of an old failure', async () => {
  const { clock, queue, log, start, stop } = bench(async () => {
    throw new KubeError('TooManyRequests', 'later', { retryAfterMs: 3_000 });
  });
  start();
  queue.add('a');
  await clock.advance(100);
  queue.add('a');
  await clock.advance(0);
  expect(log).toEqual(['0 a', '100 a']);
  await stop();
});

test('a reconcile can ask to be called again, which an earlier event brings forward', async () => {
  const { clock, queue, log, start, stop } = bench(async () => ({ requeueAfterMs: 1_000 }));
  start();
  queue.add('a');
  await clock.advance(1_500);
  queue.add('a');
  await clock.advance(1_000);
  expect(log).toEqual(['0 a', '1000 a', '1500 a', '2500 a']);
  await stop();
});

describe('order', () => {
  test("urgent keys first, the list's masses last, in order of arrival, and an event lifts a key out of the masses", async () => {
    const { clock, queue, log, start, stop } = bench(done);
    for (const key of ['l1', 'l2', 'l3']) queue.add(key, { priority: priorities.low });
    queue.add('n1');
    queue.add('h1', { priority: priorities.high });
    queue.add('l3');
    queue.add('l2', { priority: priorities.low });
    start();
    await clock.advance(0);
    expect(log.map((line) => line.split(' ')[1])).toEqual(['h1', 'n1', 'l3', 'l1', 'l2']);
    await stop();
  });

  test('nothing waits for ever behind more urgent keys', async () => {
    let turn = 0;
    const { clock, queue, log, start, stop } = bench(async () => {
      if (turn < 40) queue.add(`n${turn++}`);
    });
    queue.add('low', { priority: priorities.low });
    queue.add('first');
    start();
    await clock.advance(0);
    expect(log.indexOf('0 low')).toBeLessThan(20);
    await stop();
  });
});

test('a delayed key that becomes due earlier, later or now runs once', async () => {
  const { clock, queue, log, start, stop } = bench(done);
  start();
  queue.add('a', { delayMs: 500 });
  queue.add('a', { delayMs: 100 });
  queue.add('a', { delayMs: 900 });
  queue.add('b', { delayMs: 200 });
  queue.add('b');
  queue.add('c', { delayMs: 50 });
  await clock.advance(2_000);
  expect(log).toEqual(['0 b', '50 c', '100 a']);
  await stop();
});

test('the signal of a reconcile ends it after the timeout, and when the queue stops', async () => {
  const reasons: unknown[] = [];
  const { clock, queue, start, stop } = bench(
    (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reasons.push((signal.reason as Error).message);
          reject(signal.reason);
        });
      }),
    { timeoutMs: 1_000 },
  );
  start();
  queue.add('a');
  await clock.advance(1_000);
  await clock.advance(100);
  expect(reasons).toEqual(['test: reconcile of a took longer than 1000 ms']);
  await stop();
  expect(reasons).toEqual(['test: reconcile of a took longer than 1000 ms', 'stop']);
});

test('stopping waits for what is under way and takes nothing new; what was not finished stays in line', async () => {
  const { open, reconcile } = gates();
  const clock = new ManualClock();
  const queue = new WorkQueue({ name: 'test', clock });
  const abort = new AbortController();
  const running = queue.run(1, reconcile, abort.signal);
  queue.add('a');
  queue.add('b');
  await clock.advance(0);
  abort.abort();
  let over = false;
  const ended = running.then(() => {
    over = true;
  });
  await clock.advance(1_000);
  expect(over).toBe(false);
  open.get('a')?.reject(new Error('stopped half-way'));
  await ended;
  expect([...open.keys()]).toEqual(['a']);
  expect(queue.metrics.depth).toBe(2);
  expect(queue.failures('a')).toBe(0);
});

test('lets timers and sockets have their turn during a long run of short reconciles', async () => {
  const queue = new WorkQueue({ name: 'test' });
  for (let i = 0; i < 100; i++) queue.add(`k${i}`);
  const abort = new AbortController();
  let busyMs = 0;
  let turns = 0;
  const tick = () => {
    turns += 1;
    if (queue.metrics.depth > 0) setImmediate(tick);
    else abort.abort();
  };
  setImmediate(tick);
  const spin: Reconcile = async () => {
    const end = performance.now() + 1;
    while (performance.now() < end);
    busyMs += 1;
  };
  await queue.run(2, spin, abort.signal);
  expect(busyMs).toBe(100);
  expect(turns).toBeGreaterThan(5);
});

test('whatever is added when, nothing is lost, nothing runs twice at a time, nothing runs too early', async () => {
  const key = fc.constantFrom('a', 'b', 'c');
  const action = fc.oneof(
    fc.record({
      add: key,
      delayMs: fc.constantFrom(0, 0, 10, 100),
      priority: fc.constantFrom(priorities.low, priorities.normal, priorities.high),
    }),
    fc.record({ waitMs: fc.constantFrom(0, 1, 20, 200) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 40 }), fc.integer({ min: 1, max: 3 }), async (actions, workers) => {
      const clock = new ManualClock();
      const queue = new WorkQueue({ name: 'test', clock, random: () => 0 });
      const running = new Set<string>();
      const startedAt = new Map<string, number>();
      /** Earliest and latest permitted start of the work owed for a key. */
      const owed = new Map<string, number>();
      const abort = new AbortController();
      const ended = queue.run(
        workers,
        async (of) => {
          expect(running.has(of)).toBe(false);
          expect(owed.get(of) ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(clock.monotonicMs());
          owed.delete(of);
          running.add(of);
          startedAt.set(of, clock.monotonicMs());
          await clock.sleep(of === 'a' ? 0 : 15);
          running.delete(of);
        },
        abort.signal,
      );
      for (const now of actions) {
        if ('waitMs' in now) await clock.advance(now.waitMs);
        else {
          const { add, delayMs } = now;
          owed.set(add, Math.min(owed.get(add) ?? Number.POSITIVE_INFINITY, clock.monotonicMs() + delayMs));
          queue.add(add, now);
        }
      }
      await clock.advance(1_000);
      expect([...owed.keys()]).toEqual([]);
      expect(queue.metrics).toMatchObject({ depth: 0, delayed: 0, processing: 0, failed: 0 });
      abort.abort();
      await ended;
      expect(clock.pendingTimers).toBe(0);
    }),
    { numRuns: 150 },
  );
});
