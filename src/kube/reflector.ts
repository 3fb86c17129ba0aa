import { Backoff, type Clock, describeError, type Logger, type Random } from '../base/index.ts';
import type { KubeClient } from './client.ts';
import { isKubeError, KubeError } from './kube-error.ts';
import type { KubeObject } from './objects.ts';
import { initialStatus, type ReflectorStatus } from './reflector-status.ts';
import { type Resource, resourceName } from './resources.ts';
import { afterEnding, type Ending, type NextStep, type ReflectorReason } from './watch-ending.ts';
import { WatchGuard } from './watch-guard.ts';

/** Where a reflector puts what it learns. */
export interface ReflectorSink<T> {
  /** Begins a full list that becomes visible at `commit`, all at once; without it, it is forgotten. */
  begin(): ListInProgress<T>;
  set(object: T): void;
  remove(object: T): void;
}

export interface ListInProgress<T> {
  set(object: T): void;
  remove(object: T): void;
  commit(): void;
}

/** Which objects of a collection; all when empty. */
export interface Selection {
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
}

export interface ReflectorOptions<T extends KubeObject> {
  client: Pick<KubeClient, 'pages' | 'watch'> & Partial<Pick<KubeClient, 'onConnect'>>;
  resource: Resource<T>;
  selection?: Selection;
  clock: Clock;
  logger: Logger;
  random?: Random;
  timing?: Partial<ReflectorTiming>;
}

/** All in ms. */
export interface ReflectorTiming {
  /** A watch is asked to last between this and twice this. Default 5 minutes. */
  watchMs: number;
  /** Silence (no events, no bookmarks) after which a watch is dead. Default 150 s: bookmarks come each minute. */
  idleMs: number;
  /** The same while an answer, or the end of the initial objects, is awaited. Default 15 s. */
  openIdleMs: number;
  /** A server that did not know watch-list is asked again after this. Default 10 minutes. */
  watchListRetryMs: number;
  /** First pause after a failure, before jitter of up to the same again. Default 250. */
  backoffInitialMs: number;
  /** Longest pause, before jitter. Default 15 000. */
  backoffMaximumMs: number;
  /** Longest time for one page of a list. Default 60 s. */
  pageTimeoutMs: number;
}

const defaultTiming: ReflectorTiming = {
  watchMs: 300_000,
  idleMs: 150_000,
  openIdleMs: 15_000,
  watchListRetryMs: 600_000,
  backoffInitialMs: 250,
  backoffMaximumMs: 15_000,
  pageTimeoutMs: 60_000,
};

/** Annotation of the bookmark that ends the initial events (KEP-3157). */
const initialEventsEnd = 'k8s.io/initial-events-end';
const endGraceMs = 15_000;
const pageSize = 500;

/** The server answered a watch-list request as if it were an ordinary one. */
class WatchListUnsupportedError extends KubeError {
  constructor(cause: unknown) {
    super('Rejected', 'the server gives no watch-list', { cause });
  }
}

/**
 * Keeps a sink equal to a collection of the API server, through every kind of failure.
 *
 * One full list (watch-list, KEP-3157, or paged lists where the server has none), then watches that resume where the
 * last one ended. The list becomes visible in one step, so nobody sees half of it; a new one is made only when the
 * server has forgotten the history (410). It never gives up by itself.
 */
export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #timing: ReflectorTiming;
  readonly #sink: ReflectorSink<T>;
  readonly #random: Random;
  readonly #logger: Logger;
  readonly #backoff: Backoff;
  readonly #name: string;
  #watchListRefusedMs: number | undefined;
  /** The last attempt found no server. */
  #unreachable = false;
  #suspects = 0;
  #expiries = 0;
  readonly #status: ReflectorStatus = { ...initialStatus };

  constructor(sink: ReflectorSink<T>, options: ReflectorOptions<T>) {
    this.#sink = sink;
    this.#options = options;
    this.#name = resourceName(options.resource);
    this.#timing = { ...defaultTiming, ...options.timing };
    this.#random = options.random ?? Math.random;
    this.#logger = options.logger.child({ resource: this.#name });
    const { backoffInitialMs: initialMs, backoffMaximumMs: maximumMs } = this.#timing;
    this.#backoff = new Backoff({ initialMs, maximumMs, jitter: 1 }, this.#random);
  }

  get status(): Readonly<ReflectorStatus> {
    return this.#status;
  }

  /** Runs until `signal` aborts, then resolves. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const status = this.#status;
    status.disconnectedSinceMs = this.#options.clock.monotonicMs();
    while (!signal.aborted) {
      const ending = await this.#attempt(signal);
      if (signal.aborted) break;
      const step = afterEnding(ending, {
        failures: status.failures,
        suspects: this.#suspects,
        expiries: this.#expiries,
      });
      this.#account(ending, step);
      await this.#pause(step, signal);
    }
    status.phase = 'stopped';
    status.reason = 'Stopped';
    status.message = '';
  }

  #account(ending: Ending, step: NextStep): void {
    const status = this.#status;
    // A server that answers again, if only with a refusal (it is just starting), is not the one that was away.
    const isBack = this.#unreachable && !isUnreachable(step.reason);
    this.#unreachable = isUnreachable(step.reason);
    if (step.healthy || isBack) this.#backoff.reset();
    if (step.next === 'list') status.resourceVersion = undefined;
    const failures = step.healthy ? 0 : status.failures;
    status.failures = ending.kind === 'failed' ? failures + 1 : 0;
    this.#suspects = step.suspect ? this.#suspects + 1 : 0;
    this.#expiries = step.reason === 'Expired' ? this.#expiries + 1 : 0;
    status.reason = step.reason;
    if (ending.kind !== 'failed') return;
    status.message = describeError(ending.error);
    const fields = { reason: step.reason, next: step.next, failures: status.failures, error: status.message };
    if (status.failures === 2) this.#logger.warn(fields, 'cannot follow the API server, trying on');
    else this.#logger.debug(fields, 'watch ended');
  }

  async #pause(step: NextStep, signal: AbortSignal): Promise<void> {
    const pauseMs = Math.max(step.backoff ? this.#backoff.next() : 0, step.atLeastMs);
    if (pauseMs === 0) return;
    const { clock, client } = this.#options;
    // Whoever shares the connection and gets through first tells the others.
    const connected = new AbortController();
    const unsubscribe = isUnreachable(step.reason) ? client.onConnect?.(() => connected.abort()) : undefined;
    try {
      await clock.sleep(pauseMs, AbortSignal.any([signal, connected.signal]));
    } catch {
      // Stopped, or connected.
    } finally {
      unsubscribe?.();
    }
  }

  /** One list or one watch, from its beginning to its end. */
  async #attempt(signal: AbortSignal): Promise<Ending> {
    const { clock } = this.#options;
    const status = this.#status;
    const startedMs = clock.monotonicMs();
    try {
      if (status.resourceVersion !== undefined) return await this.#watch(signal, status.resourceVersion);
      status.phase = 'listing';
      status.reason = 'Listing';
      if (this.#mayWatchList()) {
        try {
          return await this.#watch(signal, undefined);
        } catch (thrown) {
          if (!(thrown instanceof WatchListUnsupportedError)) throw thrown;
          this.#watchListRefusedMs = clock.monotonicMs();
          this.#logger.debug({ error: describeError(thrown) }, 'no watch-list here, reading pages instead');
        }
      }
      return await this.#watch(signal, await this.#list(signal));
    } catch (error) {
      return { kind: 'failed', durationMs: clock.monotonicMs() - startedMs, error };
    } finally {
      status.phase = 'waiting';
      status.disconnectedSinceMs ??= clock.monotonicMs();
    }
  }

  #mayWatchList(): boolean {
    const refused = this.#watchListRefusedMs;
    return refused === undefined || this.#options.clock.monotonicMs() - refused >= this.#timing.watchListRetryMs;
  }

  /** Reads all pages and commits them; gives the resourceVersion to watch from. */
  async #list(signal: AbortSignal): Promise<string> {
    try {
      return await this.#listPages(signal, pageSize);
    } catch (thrown) {
      // The page token expired on the way: one more try in a single piece.
      if (isKubeError(thrown, 'Gone')) return await this.#listPages(signal, 0);
      throw thrown;
    }
  }

  async #listPages(signal: AbortSignal, size: number): Promise<string> {
    const { client, resource, selection } = this.#options;
    const list = this.#sink.begin();
    let resourceVersion = '';
    const options = { ...selection, signal, timeoutMs: this.#timing.pageTimeoutMs, pageSize: size, retry: false };
    for await (const page of client.pages(resource, options)) {
      this.#heard();
      for (const item of page.items) list.set(item);
      resourceVersion = page.metadata.resourceVersion;
    }
    signal.throwIfAborted();
    this.#commit(list, resourceVersion);
    return resourceVersion;
  }

  /** Opens a watch at `resourceVersion`, or one that begins with all objects when there is none. */
  async #watch(signal: AbortSignal, resourceVersion: string | undefined): Promise<Ending> {
    const { client, resource, clock, selection } = this.#options;
    const { idleMs, openIdleMs, watchMs } = this.#timing;
    const startedMs = clock.monotonicMs();
    const seconds = Math.max(1, Math.round((watchMs * (1 + this.#random())) / 1000));
    let list = resourceVersion === undefined ? this.#sink.begin() : undefined;
    const guard = new WatchGuard(clock, signal, openIdleMs, seconds * 1000 + endGraceMs);
    let opened = false;
    try {
      const events = client.watch<T>(resource, {
        ...selection,
        ...(resourceVersion === undefined ? { sendInitialEvents: true } : { resourceVersion }),
        bookmarks: true,
        timeoutSeconds: seconds,
        signal: guard.signal,
        onOpen: () => {
          opened = true;
          this.#heard();
          if (list) guard.heard();
          else {
            guard.allow(idleMs);
            this.#watching();
          }
        },
        onData: () => {
          guard.heard();
          this.#heard();
        },
      });
      for await (const event of events) {
        if (event.type !== 'BOOKMARK') {
          if (event.type === 'DELETED') (list ?? this.#sink).remove(event.object);
          else (list ?? this.#sink).set(event.object);
          this.#status.events += 1;
        } else if (list) {
          if (event.object.metadata.annotations?.[initialEventsEnd] !== 'true') {
            throw new WatchListUnsupportedError('a bookmark came before the end of the initial events');
          }
          this.#commit(list, event.object.metadata.resourceVersion);
          list = undefined;
          guard.allow(idleMs);
          this.#watching();
        }
        if (list) continue;
        this.#status.failures = 0;
        this.#suspects = 0;
        this.#status.resourceVersion = event.object.metadata.resourceVersion;
      }
      if (list) throw new KubeError('Network', `watch ${this.#name}: ended before all objects had come`);
      return { kind: 'closed', durationMs: clock.monotonicMs() - startedMs };
    } catch (thrown) {
      // Servers without it refuse the parameter, say with an ERROR event that their storage cannot (etcd before 3.4.25),
      // or send the objects and never the bookmark.
      if (list && (guard.silent || isKubeError(thrown, 'Invalid', 'BadRequest', 'Internal'))) {
        throw new WatchListUnsupportedError(thrown);
      }
      if (guard.silent && opened) return { kind: 'silent', durationMs: clock.monotonicMs() - startedMs };
      throw thrown;
    } finally {
      guard.dispose();
    }
  }

  #heard(): void {
    this.#status.lastContactMs = this.#options.clock.monotonicMs();
  }

  #commit(list: ListInProgress<T>, resourceVersion: string): void {
    list.commit();
    this.#status.resourceVersion = resourceVersion;
    this.#status.synced = true;
    this.#status.lists += 1;
  }

  #watching(): void {
    const status = this.#status;
    if (status.failures > 1) this.#logger.info({ failures: status.failures }, 'following the API server again');
    status.phase = 'watching';
    status.reason = 'Watching';
    status.message = '';
    status.disconnectedSinceMs = undefined;
    status.watches += 1;
  }
}

function isUnreachable(reason: ReflectorReason): boolean {
  return reason === 'Disconnected' || reason === 'NoAnswer';
}
