import { randomBytes } from 'node:crypto';
import { type Clock, type Logger, type Random, silentLogger, systemClock } from '../base/index.ts';
import type { KubeClient } from './client.ts';
import { kubeMicroTime } from './conditions.ts';
import { cutText } from './cut-text.ts';
import { isKubeError } from './kube-error.ts';
import { type EventObject, type ObjectReference, resources } from './resources.ts';
import { WorkQueue } from './work-queue.ts';

export interface EventRecorderOptions {
  client: Pick<KubeClient, 'create' | 'patch'>;
  /** Who reports, e.g. `ovenbird.dev/controller`, and which of its instances: the pod's or node's name. */
  component: string;
  instance: string;
  clock?: Clock;
  logger?: Logger;
  random?: Random;
  /** Makes names unique; default random. */
  suffix?: () => string;
  /** The same thing within this time of its last occurrence is counted, not written anew, ms. Default 10 minutes. */
  windowMs?: number;
  /** A growing count is written at most this often, ms. Default 30 s. */
  updateMs?: number;
  /** Different events an object may cause at once, and the time after which one more is allowed, ms. Defaults 25, 5 minutes. */
  burst?: number;
  refillMs?: number;
  /** Events kept in memory at most; what does not fit is dropped. Default 1000. */
  capacity?: number;
}

/** What happened. Upper-camel reason and action, as kubectl shows them. */
export interface EventText {
  type: 'Normal' | 'Warning';
  /** Why, e.g. `AddressAssigned`. */
  reason: string;
  /** What was being done, e.g. `Allocate`. */
  action: string;
  /** A sentence for people; cut after 1024 bytes. */
  note: string;
}

export interface EventCounts {
  recorded: number;
  /** Counted into an event that exists. */
  aggregated: number;
  /** Written to the API server, creations and updates. */
  written: number;
  /** Not written, because the object caused too many. */
  limited: number;
  /** Not written, because the API server was away or refused, or because there were too many in all. */
  dropped: number;
}

interface Series {
  regarding: ObjectReference;
  text: EventText;
  /** Name of the Event, once a creation was tried. */
  name: string | undefined;
  created: boolean;
  firstMs: number;
  lastMs: number;
  count: number;
  writtenCount: number;
}

const attempts = 4;

/**
 * Tells people what happened to their objects, as events.k8s.io/v1 Events (`kubectl get events` and `describe` show
 * them; the older core/v1 form is the same stored object, without a count that can be raised by a small patch).
 *
 * `record` returns at once and never throws. The same event again within the window raises the count of the first. Events
 * are news, not state: when the API server is away they are tried a few times and then dropped and counted.
 */
export class EventRecorder {
  readonly #options: Required<Omit<EventRecorderOptions, 'random'>>;
  readonly #queue: WorkQueue;
  /** Oldest occurrence first. */
  readonly #series = new Map<string, Series>();
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();
  readonly #counts: EventCounts = { recorded: 0, aggregated: 0, written: 0, limited: 0, dropped: 0 };

  constructor(options: EventRecorderOptions) {
    this.#options = {
      clock: systemClock,
      logger: silentLogger,
      suffix: () => randomBytes(8).toString('hex'),
      windowMs: 600_000,
      updateMs: 30_000,
      burst: 25,
      refillMs: 300_000,
      capacity: 1000,
      ...options,
    };
    const { clock } = this.#options;
    this.#queue = new WorkQueue({
      name: 'events',
      clock,
      backoffInitialMs: 500,
      backoffMaximumMs: 10_000,
      ...(options.random ? { random: options.random } : {}),
    });
  }

  get counts(): Readonly<EventCounts> {
    return this.#counts;
  }

  /** Writes what is recorded until `signal` aborts. */
  run(signal: AbortSignal): Promise<void> {
    return this.#queue.run(1, (key, stop) => this.#write(key, stop), signal);
  }

  /** `regarding`: the object it happened to, see `referenceTo`. */
  record(regarding: ObjectReference, text: EventText): void {
    const { clock, windowMs, updateMs, capacity } = this.#options;
    const now = clock.monotonicMs();
    this.#counts.recorded += 1;
    this.#prune(now - windowMs);
    const object = `${regarding.kind}/${regarding.namespace ?? ''}/${regarding.name}/${regarding.uid ?? ''}`;
    const key = [object, text.type, text.reason, text.action, text.note].join('\n');
    const known = this.#series.get(key);
    if (known) {
      known.count += 1;
      known.lastMs = now;
      this.#series.delete(key);
      this.#series.set(key, known);
      this.#counts.aggregated += 1;
      this.#queue.add(key, { delayMs: updateMs });
      return;
    }
    if (!this.#allowed(object, now)) {
      this.#counts.limited += 1;
      return;
    }
    if (this.#series.size >= capacity) {
      this.#counts.dropped += 1;
      return;
    }
    const times = { firstMs: now, lastMs: now, count: 1, writtenCount: 0 };
    this.#series.set(key, { regarding, text, name: undefined, created: false, ...times });
    this.#queue.add(key);
  }

  /** Token bucket of one object. */
  #allowed(object: string, now: number): boolean {
    const { burst, refillMs, capacity } = this.#options;
    const bucket = this.#buckets.get(object) ?? { tokens: burst, atMs: now };
    const refilled = Math.floor((now - bucket.atMs) / refillMs);
    const tokens = Math.min(burst, bucket.tokens + refilled);
    this.#buckets.delete(object);
    this.#buckets.set(object, { tokens: Math.max(0, tokens - 1), atMs: bucket.atMs + refilled * refillMs });
    // Buckets of objects that were quiet for longest go first; at worst such an object gets a full one again.
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= capacity) break;
      this.#buckets.delete(oldest);
    }
    return tokens > 0;
  }

  #prune(beforeMs: number): void {
    for (const [key, series] of this.#series) {
      if (series.lastMs > beforeMs) return;
      if (series.count > series.writtenCount) this.#counts.dropped += 1;
      this.#series.delete(key);
    }
  }

  async #write(key: string, signal: AbortSignal): Promise<void> {
    const series = this.#series.get(key);
    if (!series || series.count === series.writtenCount) return;
    try {
      const { count } = series;
      if (!series.created) await this.#create(series, signal);
      if (series.created && count > 1) await this.#raise(series, count, signal);
      series.writtenCount = count;
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      const retryable = isKubeError(thrown) && thrown.retryable;
      if (retryable && this.#queue.failures(key) + 1 < attempts) throw thrown;
      this.#counts.dropped += 1;
      this.#series.delete(key);
      this.#options.logger.debug({ err: thrown, reason: series.text.reason }, 'an event was dropped');
    }
  }

  async #create(series: Series, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const event = this.#event(series);
    series.name = event.metadata.name;
    try {
      await client.create(resources.events, event, { signal });
      this.#counts.written += 1;
    } catch (thrown) {
      // The answer of an earlier try was lost.
      if (!isKubeError(thrown, 'AlreadyExists')) throw thrown;
    }
    series.created = true;
  }

  async #raise(series: Series, count: number, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const name = { namespace: namespaceOf(series.regarding), name: series.name ?? '' };
    const body = { series: { count, lastObservedTime: this.#time(series.lastMs) } };
    try {
      await client.patch(resources.events, name, { type: 'merge', body, signal });
      this.#counts.written += 1;
    } catch (thrown) {
      if (!isKubeError(thrown, 'NotFound')) throw thrown;
      // Events live an hour; this one outlived it.
      series.created = false;
      series.name = undefined;
      await this.#create(series, signal);
    }
  }

  #event(series: Series): EventObject {
    const { component, instance, suffix } = this.#options;
    const { regarding, text } = series;
    const base = regarding.name
      .toLowerCase()
      .replace(/[^a-z0-9.-]/g, '-')
      .slice(0, 200)
      .replace(/[.-]+$/, '');
    return {
      metadata: { namespace: namespaceOf(regarding), name: series.name ?? `${base}.${suffix()}` },
      eventTime: this.#time(series.firstMs),
      reportingController: component,
      reportingInstance: instance.slice(0, 128),
      action: text.action.slice(0, 128),
      reason: text.reason.slice(0, 128),
      type: text.type,
      note: cutText(text.note, 1024),
      regarding,
    };
  }

  /** A past monotonic time as the wall clock tells it now. */
  #time(monotonicMs: number): string {
    const { clock } = this.#options;
    return kubeMicroTime(clock.nowMs() - (clock.monotonicMs() - monotonicMs));
  }
}

/** Events of cluster-scoped objects live in `default`, as the API server demands. */
function namespaceOf(regarding: ObjectReference): string {
  return regarding.namespace ?? 'default';
}
