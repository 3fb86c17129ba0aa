import { type Clock, type Logger, type Random, silentLogger, systemClock } from '../base/index.ts';
import type { KubeClient } from './client.ts';
import { type Change, type IndexFunction, ObjectStore, type ReadStore } from './object-store.ts';
import { type KubeObject, objectKey } from './objects.ts';
import { Reflector, type ReflectorSink, type ReflectorTiming, type Selection } from './reflector.ts';
import type { ReflectorStatus } from './reflector-status.ts';
import type { Resource } from './resources.ts';

export interface ResourceCacheOptions<T extends KubeObject, P extends KubeObject, Index extends string> {
  client: Pick<KubeClient, 'pages' | 'watch'> & Partial<Pick<KubeClient, 'onConnect'>>;
  resource: Resource<T>;
  /** Which objects; all when absent. */
  selection?: Selection;
  /**
   * What is kept of an object; it may change and return its argument. Must keep metadata's namespace, name, uid and
   * resourceVersion. managedFields are gone already.
   */
  project?: (object: T) => P;
  /**
   * True when the difference between two versions of an object interests nobody: the new one is kept, no listener is
   * called. E.g. Nodes whose heartbeat alone changed.
   */
  same?: (old: P, object: P) => boolean;
  indexes?: Record<Index, IndexFunction<P>>;
  clock?: Clock;
  logger?: Logger;
  random?: Random;
  timing?: Partial<ReflectorTiming>;
}

export type ChangeListener<P> = (change: Change<P>) => void;

/**
 * A copy of a collection in memory, kept current by a reflector.
 *
 * Listeners are called after the store has the new state; for a list, after all of it has. A listener that throws is
 * logged and harms neither the others nor the stream: its work belongs into a queue.
 */
export class ResourceCache<T extends KubeObject, P extends KubeObject = T, Index extends string = never> {
  readonly resource: Resource<T>;
  readonly #store: ObjectStore<P, Index>;
  readonly #reflector: Reflector<T>;
  readonly #project: (object: T) => P;
  readonly #same: (old: P, object: P) => boolean;
  readonly #logger: Logger;
  readonly #listeners = new Set<ChangeListener<P>>();
  readonly #synced = Promise.withResolvers<void>();

  constructor(options: ResourceCacheOptions<T, P, Index>) {
    const { client, resource, selection, random, timing, clock = systemClock, logger = silentLogger } = options;
    this.resource = resource;
    this.#logger = logger;
    this.#project = options.project ?? ((object) => object as KubeObject as P);
    this.#same = options.same ?? (() => false);
    this.#store = new ObjectStore<P, Index>(options.indexes ?? ({} as Record<Index, IndexFunction<P>>));
    this.#reflector = new Reflector<T>(this.#sink(), {
      client,
      resource,
      clock,
      logger,
      ...(selection ? { selection } : {}),
      ...(random ? { random } : {}),
      ...(timing ? { timing } : {}),
    });
  }

  get store(): ReadStore<P, Index> {
    return this.#store;
  }

  get status(): Readonly<ReflectorStatus> {
    return this.#reflector.status;
  }

  /** Follows the API server until `signal` aborts; never rejects. Start it once. */
  run(signal: AbortSignal): Promise<void> {
    return this.#reflector.run(signal);
  }

  /** Calls `listener` for every change from now on; returns how to stop that. */
  subscribe(listener: ChangeListener<P>): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Resolves when the first full list is in the store and its listeners were called; rejects with the signal's reason. */
  async synced(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await Promise.race([this.#synced.promise, aborted.promise]);
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #sink(): ReflectorSink<T> {
    return {
      begin: () => {
        const objects = new Map<string, P>();
        return {
          set: (object) => this.#keep(object, (key, kept) => objects.set(key, kept)),
          remove: (object) => objects.delete(objectKey(object)),
          commit: () => {
            this.#notify(this.#store.replace(objects));
            this.#synced.resolve();
          },
        };
      },
      set: (object) => this.#keep(object, (key, kept) => this.#notify(this.#store.set(key, kept))),
      remove: (object) => this.#notify(this.#store.remove(objectKey(object))),
    };
  }

  /** Projects an object; one that cannot be projected stays as it was, and does not hold up the others. */
  #keep(object: T, put: (key: string, kept: P) => void): void {
    delete (object.metadata as { managedFields?: unknown }).managedFields;
    const key = objectKey(object);
    let kept: P | undefined;
    try {
      kept = this.#project(object);
    } catch (thrown) {
      this.#logger.error({ err: thrown, key }, 'an object cannot be projected, its last state is kept');
      kept = this.#store.get(key);
    }
    if (kept) put(key, kept);
  }

  #notify(changes: Change<P>[]): void {
    for (const change of changes) {
      if (change.type === 'modified' && this.#same(change.old, change.object)) continue;
      for (const listener of this.#listeners) {
        try {
          listener(change);
        } catch (thrown) {
          this.#logger.error({ err: thrown, key: change.key, change: change.type }, 'a change listener failed');
        }
      }
    }
  }
}

/** Resolves when all caches hold their first full list. */
export async function allSynced(
  caches: readonly { synced(signal?: AbortSignal): Promise<void> }[],
  signal?: AbortSignal,
): Promise<void> {
  await Promise.all(caches.map((cache) => cache.synced(signal)));
}
