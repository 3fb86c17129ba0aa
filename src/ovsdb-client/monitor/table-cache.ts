import type { Atom } from '../value/atom.ts';
import type { Uuid } from '../value/uuid.ts';
import type { CachedRow } from './row-codec.ts';
import type { KeyOf, RowIndex, TableStore } from './table-store.ts';

/**
 * The rows of one monitored table as they are now. Rows are immutable: keep them as long as you like, and compare them
 * by identity to see whether they changed.
 */
export class TableCache<Row> implements Iterable<Row> {
  readonly name: string;
  readonly #store: TableStore;

  constructor(name: string, store: TableStore) {
    this.name = name;
    this.#store = store;
  }

  get size(): number {
    return this.#store.rows.size;
  }

  get(uuid: Uuid): Row | undefined {
    return this.#store.rows.get(uuid) as Row | undefined;
  }

  has(uuid: Uuid): boolean {
    return this.#store.rows.has(uuid);
  }

  /** The rows, in no particular order. */
  [Symbol.iterator](): IterableIterator<Row> {
    return this.#store.rows.values() as IterableIterator<Row>;
  }

  /** The table as it is now, for reading at leisure: later changes do not show in it. */
  snapshot(): ReadonlyMap<Uuid, Row> {
    return this.#store.snapshot() as ReadonlyMap<Uuid, unknown> as ReadonlyMap<Uuid, Row>;
  }

  /**
   * Adds an index by a key of your choice, e.g. `(row) => row.name` or `(row) => row.external_ids.get('owner')`. Make
   * it once and keep it; `keyOf` must depend on the row alone, and not throw.
   */
  index(keyOf: (row: Row) => Atom | readonly Atom[] | undefined): RowIndex<Row> {
    return this.#store.index(keyOf as KeyOf<unknown> as KeyOf<CachedRow>) as RowIndex<unknown> as RowIndex<Row>;
  }
}
