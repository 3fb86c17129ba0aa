import { type KubeObject, objectKey, type ReadStore } from '../kube/index.ts';

/**
 * A cache that never shows less than what the server has answered: until the watch has caught up, the answer to a write,
 * or a list that a new leader read, counts. Without it a decision would be made on a state that is known to be over.
 */
export class LatestObjects<T extends KubeObject> {
  readonly #store: Pick<ReadStore<T>, 'get'>;
  readonly #answered = new Map<string, T>();

  constructor(store: Pick<ReadStore<T>, 'get'>) {
    this.#store = store;
  }

  /** The newest state known; undefined when the cache has none: the object is gone, or was not heard of yet. */
  get(key: string): T | undefined {
    const cached = this.#store.get(key);
    const answered = this.#answered.get(key);
    if (!cached || !answered) return cached;
    // Also when the cache still has the object that was deleted before this one was created under its name.
    if (isOlder(cached, answered)) return answered;
    this.#answered.delete(key);
    return cached;
  }

  /** The object is gone for good. */
  gone(key: string): void {
    this.#answered.delete(key);
  }

  /** Remembers what the server answered to a read or a write, unless the cache knows as much. */
  answered(object: T): void {
    const key = objectKey(object);
    const cached = this.#store.get(key);
    if (!cached || isOlder(cached, object)) this.#answered.set(key, object);
  }
}

/** Resource versions of one resource are decimal numbers that grow (KEP-5504); as texts, the longer one is greater. */
export function isOlder(a: KubeObject, b: KubeObject): boolean {
  const [left = '', right = ''] = [a.metadata.resourceVersion, b.metadata.resourceVersion];
  return left.length === right.length ? left < right : left.length < right.length;
}
