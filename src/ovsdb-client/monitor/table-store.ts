import type { Atom } from '../value/atom.ts';
import type { Uuid } from '../value/uuid.ts';
import type { Change } from './change.ts';
import type { CachedRow } from './row-codec.ts';

/** What an index sorts rows by: one key, several, or none (the row is then not in the index). */
export type KeyOf<Row> = (row: Row) => Atom | readonly Atom[] | undefined;

/** Rows by a key of the reader's choice. It is always as current as the table, and changes in the same instant. */
export interface RowIndex<Row> {
  /** The rows with this key, in no particular order; empty if there are none. */
  get(key: Atom): readonly Row[];
  /** The row with this key if there is exactly one. */
  only(key: Atom): Row | undefined;
  keys(): IterableIterator<Atom>;
}

/** One row stands for itself: most keys of most indexes are unique. */
type Bucket = CachedRow | Map<Uuid, CachedRow>;

const noRows: readonly CachedRow[] = Object.freeze([]);

class IndexStore implements RowIndex<CachedRow> {
  readonly keyOf: KeyOf<CachedRow>;
  buckets = new Map<Atom, Bucket>();

  constructor(keyOf: KeyOf<CachedRow>) {
    this.keyOf = keyOf;
  }

  get(key: Atom): readonly CachedRow[] {
    const bucket = this.buckets.get(key);
    if (bucket === undefined) return noRows;
    return bucket instanceof Map ? [...bucket.values()] : [bucket];
  }

  only(key: Atom): CachedRow | undefined {
    const bucket = this.buckets.get(key);
    return bucket instanceof Map ? undefined : bucket;
  }

  keys(): IterableIterator<Atom> {
    return this.buckets.keys();
  }
}

/** The rows of one table, with their indexes. Rows are immutable; the maps change, a whole update at a time. */
export class TableStore {
  #rows = new Map<Uuid, CachedRow>();
  /** Somebody holds `#rows` as a snapshot: the next change must work on a copy. */
  #shared = false;
  readonly #indexes: IndexStore[] = [];

  get rows(): ReadonlyMap<Uuid, CachedRow> {
    return this.#rows;
  }

  /** The rows as they are now; later changes do not show in it. Costs nothing until the next change. */
  snapshot(): ReadonlyMap<Uuid, CachedRow> {
    this.#shared = true;
    return this.#rows;
  }

  /** Adds an index over the rows of now and later. */
  index(keyOf: KeyOf<CachedRow>): RowIndex<CachedRow> {
    const index = new IndexStore(keyOf);
    for (const row of this.#rows.values()) addToIndex(index.buckets, keyOf(row), row);
    this.#indexes.push(index);
    return index;
  }

  /** Applies changes now. For a few thousand at most; see {@link stage}. */
  apply(changes: readonly Change<CachedRow>[]): void {
    if (changes.length === 0) return;
    if (this.#shared) this.#rows = new Map(this.#rows);
    this.#shared = false;
    for (const change of changes) {
      if (change.kind === 'delete') this.#rows.delete(change.uuid);
      else this.#rows.set(change.uuid, change.row);
    }
    for (const index of this.#indexes) {
      for (const change of changes) reindex(index, change);
    }
  }

  /**
   * Makes the table as it will be after the changes, a few rows at a time, beside the current one. Returns the step that
   * puts it in place in an instant.
   */
  *stage(changes: readonly Change<CachedRow>[]): Generator<void, () => void, void> {
    const rows = new Map<Uuid, CachedRow>();
    const gone = new Map<Uuid, Change<CachedRow>>();
    let steps = 0;
    if (this.#rows.size > 0) {
      for (const change of changes) {
        if (++steps % 512 === 0) yield;
        gone.set(change.uuid, change);
      }
    }
    for (const [uuid, row] of this.#rows) {
      if (++steps % 512 === 0) yield;
      const change = gone.get(uuid);
      if (change === undefined) rows.set(uuid, row);
      else if (change.kind !== 'delete') rows.set(uuid, change.row);
    }
    for (const change of changes) {
      if (++steps % 512 === 0) yield;
      if (change.kind === 'insert') rows.set(change.uuid, change.row);
    }
    const buckets: Map<Atom, Bucket>[] = [];
    for (const index of this.#indexes) {
      const built = new Map<Atom, Bucket>();
      for (const row of rows.values()) {
        if (++steps % 512 === 0) yield;
        addToIndex(built, index.keyOf(row), row);
      }
      buckets.push(built);
    }
    return () => {
      this.#rows = rows;
      this.#shared = false;
      for (const [i, index] of this.#indexes.entries()) {
        const built = buckets[i];
        if (built !== undefined) index.buckets = built;
        else {
          // Added while the rest was being built.
          index.buckets = new Map();
          for (const row of rows.values()) addToIndex(index.buckets, index.keyOf(row), row);
        }
      }
    };
  }
}

function reindex(index: IndexStore, change: Change<CachedRow>): void {
  if (change.kind !== 'insert') removeFromIndex(index.buckets, index.keyOf(change.old), change.uuid);
  if (change.kind !== 'delete') addToIndex(index.buckets, index.keyOf(change.row), change.row);
}

function addToIndex(buckets: Map<Atom, Bucket>, keys: Atom | readonly Atom[] | undefined, row: CachedRow): void {
  for (const key of asList(keys)) {
    const bucket = buckets.get(key);
    if (bucket === undefined) buckets.set(key, row);
    else if (bucket instanceof Map) bucket.set(row._uuid, row);
    else if (bucket._uuid === row._uuid) buckets.set(key, row);
    else {
      buckets.set(
        key,
        new Map([
          [bucket._uuid, bucket],
          [row._uuid, row],
        ]),
      );
    }
  }
}

function removeFromIndex(buckets: Map<Atom, Bucket>, keys: Atom | readonly Atom[] | undefined, uuid: Uuid): void {
  for (const key of asList(keys)) {
    const bucket = buckets.get(key);
    if (bucket instanceof Map) {
      bucket.delete(uuid);
      const [last] = bucket.values();
      if (bucket.size === 1 && last !== undefined) buckets.set(key, last);
    } else if (bucket?._uuid === uuid) buckets.delete(key);
  }
}

function asList(keys: Atom | readonly Atom[] | undefined): readonly Atom[] {
  if (keys === undefined) return [];
  return typeof keys === 'object' ? keys : [keys];
}
