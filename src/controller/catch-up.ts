import type { Clock } from '../base/index.ts';
import { type ChangeListener, type KubeObject, objectKey, type ReadStore } from '../kube/index.ts';
import { isOlder } from './latest-objects.ts';

export interface CatchUpOptions<T extends KubeObject> {
  cache: { store: Pick<ReadStore<T>, 'get'>; subscribe(listener: ChangeListener<T>): () => void };
  /** What the server listed. */
  listed: readonly T[];
  /** Longest time to wait, ms. */
  patienceMs: number;
  clock: Clock;
}

/**
 * Waits until a cache has heard of everything that the server listed. Mostly it has already; one that has not would let
 * a new leader take away what its predecessor has just set up.
 *
 * @returns how many objects it is still behind with
 */
export async function caughtUp<T extends KubeObject>(options: CatchUpOptions<T>, signal: AbortSignal): Promise<number> {
  const { cache, listed, patienceMs, clock } = options;
  const behind = new Map<string, T>();
  for (const object of listed) {
    const key = objectKey(object);
    const cached = cache.store.get(key);
    if (!cached || isOlder(cached, object)) behind.set(key, object);
  }
  if (behind.size === 0) return 0;
  const done = new AbortController();
  const unsubscribe = cache.subscribe((change) => {
    const object = behind.get(change.key);
    if (!object) return;
    const heard =
      change.type === 'deleted' ? change.old.metadata.uid === object.metadata.uid : !isOlder(change.object, object);
    if (heard) behind.delete(change.key);
    if (behind.size === 0) done.abort();
  });
  try {
    await clock.sleep(patienceMs, AbortSignal.any([signal, done.signal]));
  } catch {
    // Caught up, or stopped.
  } finally {
    unsubscribe();
  }
  return behind.size;
}
