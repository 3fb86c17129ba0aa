import { type KubeObject, objectKey, type ReadStore } from '../kube/index.ts';

/**
 * A cache that never shows less than what was written through it: until the watch has caught up with a write, the
 * server's answer to that write counts. Without it each write would be followed by a decision on the state before it.
 */
export class LatestObjects<T extends KubeObject> {
  readonly #store: Pick<ReadStore<T>, 'get'>;
  readonly #written = new Map<string, T>();

  constructor(store: Pick<ReadStore<T>, 'get'>) {
    this.#store = store;
  }

  /** The newest state known; undefined when the object is gone. */
  get(key: string): T | undefined {
    const cached = this.#store.get(key);
    const written = this.#written.get(key);
    if (!written) return cached;
    if (cached && cached.metadata.uid === written.metadata.uid && isOlder(cached, written)) return written;
    this.#written.delete(key);
    return cached;
  }

  /** Remembers what the server answered to a write. */
  wrote(object: T): void {
    this.#written.set(objectKey(object), object);
  }
}

/** Resource versions of one resource are decimal numbers that grow (KEP-5504); as texts, the longer one is greater. */
function isOlder(a: KubeObject, b: KubeObject): boolean {
  const [left = '', right = ''] = [a.metadata.resourceVersion, b.metadata.resourceVersion];
  return left.length === right.length ? left < right : left.length < right.length;
}
