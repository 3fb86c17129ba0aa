import type { KubeObject } from './objects.ts';

/**
 * What happened to one object of a store.
 *
 * `fromList` is true when the change was found by comparing with a list (the first one, or one after the history was
 * lost) and not told by a watch event: such changes come in masses and are less urgent. An object that was deleted and
 * created again under its name between two looks gives `deleted` and then `added`, never `modified`.
 */
export type Change<T> =
  | { type: 'added'; key: string; object: T; fromList: boolean }
  | { type: 'modified'; key: string; object: T; old: T; fromList: boolean }
  | { type: 'deleted'; key: string; old: T; fromList: boolean };

/** Index values of an object; it is found under each of them. */
export type IndexFunction<T> = (object: T) => readonly string[];

/** The reading side of a store. Objects are shared: never change them. */
export interface ReadStore<T, Index extends string = string> {
  readonly size: number;
  get(key: string): T | undefined;
  /** Sorted. */
  keys(): string[];
  /** Unsorted, without a copy. */
  values(): IterableIterator<T>;
  /** All objects, sorted by key. */
  list(): T[];
  /** Keys of the objects that have `value` in `index`, sorted. */
  keysBy(index: Index, value: string): string[];
  /** The objects that have `value` in `index`, sorted by key. */
  listBy(index: Index, value: string): T[];
}

/** Objects by key with secondary indexes. Every mutation returns what changed; nothing is ever half done. */
export class ObjectStore<T extends KubeObject, Index extends string = string> implements ReadStore<T, Index> {
  #objects = new Map<string, T>();
  #indexes: Map<Index, Map<string, Set<string>>>;
  readonly #functions: [Index, IndexFunction<T>][];

  constructor(indexes: Record<Index, IndexFunction<T>>) {
    this.#functions = Object.entries<IndexFunction<T>>(indexes) as [Index, IndexFunction<T>][];
    this.#indexes = this.#emptyIndexes();
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  keys(): string[] {
    return [...this.#objects.keys()].sort();
  }

  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  list(): T[] {
    return this.#resolve(this.keys());
  }

  keysBy(index: Index, value: string): string[] {
    return [...(this.#indexes.get(index)?.get(value) ?? [])].sort();
  }

  listBy(index: Index, value: string): T[] {
    return this.#resolve(this.keysBy(index, value));
  }

  /** Adds or replaces one object. The same version of it changes nothing: the one at hand is kept. */
  set(key: string, object: T): Change<T>[] {
    const old = this.#objects.get(key);
    if (old && sameVersion(old, object)) return [];
    if (old) this.#unindex(key, old);
    this.#objects.set(key, object);
    this.#index(this.#indexes, key, object);
    return difference(key, old, object, false);
  }

  remove(key: string): Change<T>[] {
    const old = this.#objects.get(key);
    if (!old) return [];
    this.#objects.delete(key);
    this.#unindex(key, old);
    return [{ type: 'deleted', key, old, fromList: false }];
  }

  /** Makes `objects` the whole content in one step. Deletions come first in the answer, then the rest in list order. */
  replace(objects: Map<string, T>): Change<T>[] {
    const before = this.#objects;
    const indexes = this.#emptyIndexes();
    for (const [key, object] of objects) {
      const old = before.get(key);
      const kept = old && sameVersion(old, object) ? old : object;
      if (kept !== object) objects.set(key, kept);
      this.#index(indexes, key, kept);
    }
    this.#objects = objects;
    this.#indexes = indexes;
    const changes: Change<T>[] = [];
    for (const [key, old] of before) {
      if (!objects.has(key)) changes.push({ type: 'deleted', key, old, fromList: true });
    }
    for (const [key, object] of objects) {
      const old = before.get(key);
      if (old !== object) changes.push(...difference(key, old, object, true));
    }
    return changes;
  }

  #emptyIndexes(): Map<Index, Map<string, Set<string>>> {
    return new Map(this.#functions.map(([name]) => [name, new Map<string, Set<string>>()]));
  }

  #index(indexes: Map<Index, Map<string, Set<string>>>, key: string, object: T): void {
    for (const [name, values] of this.#functions) {
      const index = indexes.get(name);
      for (const value of values(object)) {
        const keys = index?.get(value);
        if (keys) keys.add(key);
        else index?.set(value, new Set([key]));
      }
    }
  }

  #unindex(key: string, object: T): void {
    for (const [name, values] of this.#functions) {
      const index = this.#indexes.get(name);
      for (const value of values(object)) {
        const keys = index?.get(value);
        keys?.delete(key);
        if (keys?.size === 0) index?.delete(value);
      }
    }
  }

  #resolve(keys: string[]): T[] {
    const found: T[] = [];
    for (const key of keys) {
      const object = this.#objects.get(key);
      if (object) found.push(object);
    }
    return found;
  }
}

function sameVersion(old: KubeObject, object: KubeObject): boolean {
  const { uid, resourceVersion } = object.metadata;
  return resourceVersion !== undefined && old.metadata.resourceVersion === resourceVersion && old.metadata.uid === uid;
}

function difference<T extends KubeObject>(key: string, old: T | undefined, object: T, fromList: boolean): Change<T>[] {
  if (!old) return [{ type: 'added', key, object, fromList }];
  if (old.metadata.uid !== object.metadata.uid) {
    return [
      { type: 'deleted', key, old, fromList },
      { type: 'added', key, object, fromList },
    ];
  }
  return [{ type: 'modified', key, object, old, fromList }];
}
