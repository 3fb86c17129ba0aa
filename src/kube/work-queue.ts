import { type Clock, type Logger, type Random, silentLogger, systemClock, type Timer } from '../base/index.ts';
import { deadline } from './deadline.ts';
import { DelayHeap } from './delay-heap.ts';
import { isKubeError, KubeError } from './kube-error.ts';

/** Higher is sooner. `low` is for the masses that a list or a resync brings. */
export const priorities = { low: -100, normal: 0, high: 100 } as const;

export interface AddOptions {
  /** Default `priorities.normal`. A key that is already queued keeps the higher of both. */
  priority?: number;
  /** Not before this, ms. A key that is already queued keeps the earlier of both. */
  delayMs?: number;
}

/** What a reconcile wants next; nothing means: only when something changes. */
export interface ReconcileResult {
  requeueAfterMs?: number;
}

/** Brings the world in line with the object called `key`. A rejection makes the queue try again after a back-off. */
// biome-ignore lint/suspicious/noConfusingVoidType: a reconcile that wants nothing more returns nothing
export type Reconcile = (key: string, signal: AbortSignal) => Promise<ReconcileResult | void>;

export interface WorkQueueOptions {
  /** For logs and metrics. */
  name: string;
  clock?: Clock;
  logger?: Logger;
  random?: Random;
  /** First pause after a failure, ms. Default 5; doubles. */
  backoffInitialMs?: number;
  /** Longest pause, ms. Default 60 000. */
  backoffMaximumMs?: number;
  /** A reconcile's signal is aborted after this, ms. Default 5 minutes. */
  timeoutMs?: number;
  /** Called after each reconcile, for metrics. */
  onDone?: (done: { key: string; durationMs: number; error?: unknown }) => void;
}

export interface WorkQueueMetrics {
  /** Keys that could be worked on now, that wait for their time, and that are being worked on. */
  depth: number;
  delayed: number;
  processing: number;
  /** Since the beginning: keys put in line, reconciles that succeeded, that failed, failures put in line again. */
  adds: number;
  succeeded: number;
  failed: number;
  retries: number;
  /** How long the oldest reconcile under way has been running, ms. */
  longestRunningMs: number;
  /** Sums over all reconciles so far, ms; divide by `succeeded + failed`. */
  waitedMsTotal: number;
  workedMsTotal: number;
}

interface Waiting {
  readyAtMs: number;
  addedAtMs: number;
  priority: number;
}

interface Processing {
  startedMs: number;
  /** Set when the key was added meanwhile: what it was added with. */
  again?: { priority: number; readyAtMs: number };
}

/** Longest run of reconciles without letting timers and sockets have their turn, ms. */
const sliceMs = 8;
/** One pick in so many goes to the lowest priority, so that nothing waits for ever. */
const fairnessInterval = 16;

/**
 * Keys to reconcile: each at most once in line, and never by two workers at a time.
 *
 * A key added while it is being worked on is worked on again afterwards. A failure is retried after 5 ms, doubling up to
 * `backoffMaximumMs`, per key; a success forgets the failures. A Retry-After of the server is obeyed.
 */
export class WorkQueue {
  readonly name: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #random: Random;
  readonly #options: Required<Pick<WorkQueueOptions, 'backoffInitialMs' | 'backoffMaximumMs' | 'timeoutMs'>>;
  readonly #onDone: WorkQueueOptions['onDone'];
  readonly #waiting = new Map<string, Waiting>();
  readonly #processing = new Map<string, Processing>();
  readonly #failures = new Map<string, number>();
  /** Keys that are ready, by priority (highest first), in order of arrival. */
  #ready: { priority: number; keys: Set<string> }[] = [];
  readonly #delayed = new DelayHeap();
  #timer: { atMs: number; timer: Timer } | undefined;
  readonly #idle: (() => void)[] = [];
  #picks = 0;
  #sliceStartedMs = 0;
  readonly #totals = { adds: 0, succeeded: 0, failed: 0, retries: 0, waitedMsTotal: 0, workedMsTotal: 0 };

  constructor(options: WorkQueueOptions) {
    this.name = options.name;
    this.#clock = options.clock ?? systemClock;
    this.#logger = (options.logger ?? silentLogger).child({ queue: options.name });
    this.#random = options.random ?? Math.random;
    this.#onDone = options.onDone;
    const { backoffInitialMs = 5, backoffMaximumMs = 60_000, timeoutMs = 300_000 } = options;
    this.#options = { backoffInitialMs, backoffMaximumMs, timeoutMs };
  }

  /** Puts a key in line. Cheap, never throws, may be called from anywhere. */
  add(key: string, options: AddOptions = {}): void {
    const { priority = priorities.normal, delayMs = 0 } = options;
    const readyAtMs = this.#clock.monotonicMs() + Math.max(0, delayMs);
    const processing = this.#processing.get(key);
    if (processing) {
      const { again } = processing;
      processing.again = {
        priority: Math.max(priority, again?.priority ?? Number.NEGATIVE_INFINITY),
        readyAtMs: Math.min(readyAtMs, again?.readyAtMs ?? Number.POSITIVE_INFINITY),
      };
      return;
    }
    this.#enqueue(key, priority, readyAtMs);
  }

  /** Forgets that the key failed before, so that its next failure is retried soon. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Failures in a row of a key. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  get metrics(): WorkQueueMetrics {
    const now = this.#clock.monotonicMs();
    const depth = this.#ready.reduce((sum, { keys }) => sum + keys.size, 0);
    let longestRunningMs = 0;
    for (const { startedMs } of this.#processing.values())
      longestRunningMs = Math.max(longestRunningMs, now - startedMs);
    return {
      depth,
      delayed: this.#waiting.size - depth,
      processing: this.#processing.size,
      longestRunningMs,
      ...this.#totals,
    };
  }

  /** Works with so many workers until `signal` aborts; resolves when the reconciles under way are over. */
  async run(workers: number, reconcile: Reconcile, signal: AbortSignal): Promise<void> {
    const wake = () => {
      for (const resume of this.#idle.splice(0)) resume();
    };
    signal.addEventListener('abort', wake, { once: true });
    this.#sliceStartedMs = this.#clock.monotonicMs();
    try {
      await Promise.all(Array.from({ length: workers }, () => this.#work(reconcile, signal)));
    } finally {
      signal.removeEventListener('abort', wake);
      this.#timer?.timer.cancel();
      this.#timer = undefined;
    }
  }

  async #work(reconcile: Reconcile, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const key = this.#take();
      if (key === undefined) {
        this.#arm();
        await new Promise<void>((resolve) => this.#idle.push(resolve));
        this.#sliceStartedMs = this.#clock.monotonicMs();
        continue;
      }
      await this.#process(key, reconcile, signal);
      if (!signal.aborted && this.#clock.monotonicMs() - this.#sliceStartedMs >= sliceMs) {
        await this.#clock.sleep(0, signal).catch(() => {});
        this.#sliceStartedMs = this.#clock.monotonicMs();
      }
    }
  }

  async #process(key: string, reconcile: Reconcile, signal: AbortSignal): Promise<void> {
    const { timeoutMs } = this.#options;
    const startedMs = this.#clock.monotonicMs();
    const processing: Processing = { startedMs };
    this.#processing.set(key, processing);
    const text = `${this.name}: reconcile of ${key} took longer than ${timeoutMs} ms`;
    const limit = deadline(this.#clock, timeoutMs, signal, () => new KubeError('Timeout', text));
    let error: unknown;
    let result: ReconcileResult | undefined;
    let failed = false;
    try {
      result = (await reconcile(key, limit.signal)) ?? undefined;
    } catch (thrown) {
      failed = true;
      error = thrown;
    } finally {
      limit.dispose();
    }
    const durationMs = this.#clock.monotonicMs() - startedMs;
    this.#totals.workedMsTotal += durationMs;
    this.#processing.delete(key);
    if (failed && signal.aborted) {
      // Stopping: the key is still to be done, by whoever runs next.
      this.#enqueue(key, priorities.normal, startedMs);
      return;
    }
    const { again } = processing;
    if (again) this.#enqueue(key, again.priority, again.readyAtMs);
    if (failed) this.#retry(key, error);
    else {
      this.#totals.succeeded += 1;
      this.#failures.delete(key);
      if (result?.requeueAfterMs !== undefined) {
        this.#enqueue(key, priorities.normal, this.#clock.monotonicMs() + Math.max(0, result.requeueAfterMs));
      }
    }
    this.#onDone?.({ key, durationMs, ...(failed ? { error } : {}) });
  }

  #retry(key: string, error: unknown): void {
    const { backoffInitialMs, backoffMaximumMs } = this.#options;
    const failures = this.failures(key) + 1;
    this.#failures.set(key, failures);
    this.#totals.failed += 1;
    this.#totals.retries += 1;
    const backoffMs = Math.min(backoffMaximumMs, backoffInitialMs * 2 ** (failures - 1));
    const askedMs = isKubeError(error) ? (error.retryAfterMs ?? 0) : 0;
    const delayMs = Math.max(askedMs, backoffMs * (1 + 0.2 * this.#random()));
    const fields = { key, failures, retryInMs: Math.round(delayMs), err: error };
    // A conflict is the daily bread of optimistic concurrency.
    if (failures >= 5 || !isKubeError(error, 'Conflict')) this.#logger.warn(fields, 'reconcile failed');
    else this.#logger.debug(fields, 'reconcile failed');
    this.#enqueue(key, priorities.normal, this.#clock.monotonicMs() + delayMs);
  }

  #enqueue(key: string, priority: number, readyAtMs: number): void {
    const now = this.#clock.monotonicMs();
    const before = this.#waiting.get(key);
    if (!before) this.#totals.adds += 1;
    const next: Waiting = {
      readyAtMs: Math.min(readyAtMs, before?.readyAtMs ?? Number.POSITIVE_INFINITY),
      addedAtMs: before?.addedAtMs ?? now,
      priority: Math.max(priority, before?.priority ?? Number.NEGATIVE_INFINITY),
    };
    this.#waiting.set(key, next);
    if (next.readyAtMs > now) {
      if (next.readyAtMs !== before?.readyAtMs) this.#delayed.push(key, next.readyAtMs);
      if (this.#idle.length > 0) this.#arm();
      return;
    }
    if (before && before.priority !== next.priority) this.#bucket(before.priority)?.keys.delete(key);
    this.#makeReady(key, next.priority);
  }

  #makeReady(key: string, priority: number): void {
    let bucket = this.#bucket(priority);
    if (!bucket) {
      bucket = { priority, keys: new Set() };
      this.#ready = [...this.#ready, bucket].sort((a, b) => b.priority - a.priority);
    }
    bucket.keys.add(key);
    this.#idle.shift()?.();
  }

  #bucket(priority: number): { priority: number; keys: Set<string> } | undefined {
    return this.#ready.find((bucket) => bucket.priority === priority);
  }

  /** Moves the keys whose time has come into their bucket. */
  #promote(): void {
    const now = this.#clock.monotonicMs();
    while ((this.#delayed.firstMs ?? Number.POSITIVE_INFINITY) <= now) {
      const due = this.#delayed.pop();
      const waiting = due && this.#waiting.get(due.key);
      if (!waiting || waiting.readyAtMs > now || this.#bucket(waiting.priority)?.keys.has(due.key)) continue;
      waiting.addedAtMs = Math.max(waiting.addedAtMs, waiting.readyAtMs);
      this.#makeReady(due.key, waiting.priority);
    }
  }

  #take(): string | undefined {
    this.#promote();
    this.#picks += 1;
    const fair = this.#picks % fairnessInterval === 0;
    const bucket = (fair ? this.#ready.toReversed() : this.#ready).find(({ keys }) => keys.size > 0);
    const [key] = bucket?.keys ?? [];
    if (!bucket || key === undefined) return undefined;
    bucket.keys.delete(key);
    const addedAtMs = this.#waiting.get(key)?.addedAtMs ?? this.#clock.monotonicMs();
    this.#totals.waitedMsTotal += this.#clock.monotonicMs() - addedAtMs;
    this.#waiting.delete(key);
    return key;
  }

  /** One timer for the earliest delayed key, while somebody waits for work. */
  #arm(): void {
    const atMs = this.#delayed.firstMs;
    if (atMs === undefined || (this.#timer && this.#timer.atMs <= atMs)) return;
    this.#timer?.timer.cancel();
    const timer = this.#clock.setTimer(Math.max(0, atMs - this.#clock.monotonicMs()), () => {
      this.#timer = undefined;
      this.#promote();
      if (this.#idle.length > 0) this.#arm();
    });
    this.#timer = { atMs, timer };
  }
}
