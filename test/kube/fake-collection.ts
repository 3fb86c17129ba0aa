import { type KubeObject, objectKey } from '../../src/kube/index.ts';

/** An event of the history: the object as it was at `revision`. */
export interface HistoryEvent<T> {
  revision: number;
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: T;
}

/** One revision counter for all collections, as in etcd. */
export interface Revisions {
  revision: number;
}

/** A collection of the API server: objects, their history, and its compaction. */
export class FakeCollection<T extends KubeObject = KubeObject> {
  readonly #revisions: Revisions;
  #objects = new Map<string, T>();
  #history: HistoryEvent<T>[] = [];
  #compacted = 0;
  #uids = 0;
  readonly #watchers = new Set<(event: HistoryEvent<T>) => void>();

  constructor(revisions: Revisions = { revision: 100 }) {
    this.#revisions = revisions;
  }

  get revision(): number {
    return this.#revisions.revision;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  /** Sorted by key, as etcd answers. */
  list(): T[] {
    return [...this.#objects.keys()].sort().map((key) => this.#objects.get(key) as T);
  }

  /** Creates or replaces; gives the stored object. */
  put(object: T): T {
    const key = objectKey(object);
    const old = this.#objects.get(key);
    this.#uids += old ? 0 : 1;
    const uid = old?.metadata.uid ?? `uid-${this.#uids}`;
    this.#revisions.revision += 1;
    const stored = structuredClone(object);
    stored.metadata = { ...stored.metadata, uid, resourceVersion: String(this.revision) };
    this.#objects.set(key, stored);
    this.#tell({ revision: this.revision, type: old ? 'MODIFIED' : 'ADDED', object: stored });
    return stored;
  }

  delete(key: string): T | undefined {
    const old = this.#objects.get(key);
    if (!old) return undefined;
    this.#revisions.revision += 1;
    this.#objects.delete(key);
    const object = structuredClone(old);
    object.metadata.resourceVersion = String(this.revision);
    this.#tell({ revision: this.revision, type: 'DELETED', object });
    return object;
  }

  /** Forgets all history up to now. */
  compact(): void {
    this.#compacted = this.revision;
    this.#history = [];
  }

  /** Events after `revision`; undefined when they were compacted (410) or `revision` is in the future. */
  since(revision: number): HistoryEvent<T>[] | undefined {
    if (revision < this.#compacted || revision > this.revision) return undefined;
    return this.#history.filter((event) => event.revision > revision);
  }

  /** Calls `watcher` for each later event; returns how to stop that. */
  watch(watcher: (event: HistoryEvent<T>) => void): () => void {
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
    };
  }

  #tell(event: HistoryEvent<T>): void {
    this.#history.push(event);
    for (const watcher of this.#watchers) watcher(event);
  }
}
