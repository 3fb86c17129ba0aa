import { OvsdbError } from '../errors.ts';
import type { ColumnName, ColumnsOf, Condition, TableName, TablesOf } from '../value/row-types.ts';
import type { Uuid } from '../value/uuid.ts';
import type { Change } from './change.ts';
import type { PendingChanges } from './change-feed.ts';
import type { MonitorCore, MonitorState } from './monitor.ts';
import type { MissingElement } from './request.ts';
import { TableCache } from './table-cache.ts';

/** What to monitor of one table: `true` is every column of every row. */
export type TableSelection<Row> =
  | true
  | {
      /** Columns to keep; all when left out. `_uuid` is always there. */
      readonly columns?: readonly ColumnName<Row>[];
      /** Rows for which ANY of these conditions holds; every row when left out, none when empty. */
      readonly anyOf?: readonly Condition<Row>[];
    };

/** What to monitor, by table. */
export type MonitorSelection<Tables extends TablesOf<Tables>> = {
  readonly [Table in TableName<Tables>]?: TableSelection<Tables[Table]>;
};

type SelectedRow<Row, Selection> = Selection extends { readonly columns: readonly (infer Column)[] }
  ? ColumnsOf<Row, (Column & keyof Row) | ('_uuid' & keyof Row)>
  : Row;

/** Row types of a monitor: the selected columns of the selected tables. */
export type MonitoredRows<Tables, Selection> = {
  readonly [Table in keyof Selection & keyof Tables]: SelectedRow<Tables[Table], Selection[Table]>;
};

/** Everything that changed since the last set, each row at most once, all of it already visible in the tables. */
export interface ChangeSet<Rows> {
  readonly tables: { readonly [Table in keyof Rows]?: readonly Change<Rows[Table]>[] };
  /** The content was read anew (first time, or after a reconnect the server could not resume). */
  readonly resynced: boolean;
}

/**
 * A live copy of the selected tables. It outlives connections: while there is none the rows stay as they were and
 * `state` is `stale`.
 */
export class Monitor<Rows> {
  /** The tables, by name. */
  readonly tables: { readonly [Table in keyof Rows]: TableCache<Rows[Table]> };
  readonly #core: MonitorCore;

  constructor(core: MonitorCore) {
    this.#core = core;
    const tables: Record<string, TableCache<unknown>> = {};
    for (const [name, store] of core.stores) tables[name] = new TableCache(name, store);
    this.tables = tables as { readonly [Table in keyof Rows]: TableCache<Rows[Table]> };
  }

  get state(): MonitorState {
    return this.#core.state;
  }

  /** Tables and columns that were selected and that the served schema lacks. They read as empty or default. */
  get missing(): readonly MissingElement[] {
    return this.#core.missing;
  }

  /** The last transaction that the tables hold; all zero if the server does not number transactions. */
  get lastTransaction(): Uuid {
    return this.#core.lastTransaction;
  }

  /** All tables at one instant. */
  snapshot(): { readonly [Table in keyof Rows]: ReadonlyMap<Uuid, Rows[Table]> } {
    const tables: Record<string, unknown> = {};
    for (const [name, store] of this.#core.stores) tables[name] = store.snapshot();
    return tables as { readonly [Table in keyof Rows]: ReadonlyMap<Uuid, Rows[Table]> };
  }

  /**
   * Calls back after each change of rows or of `state`, in the same turn, for those who then look at everything anyway.
   * Returns what ends it.
   */
  onChange(listener: () => void): () => void {
    return this.#core.listen(listener);
  }

  /**
   * The changes from here on, beginning with the current rows as inserts, until the monitor is closed. A slow reader
   * gets fewer and larger sets, never an incomplete one. Throws the signal's reason when aborted.
   */
  async *changes(options: { signal?: AbortSignal } = {}): AsyncGenerator<ChangeSet<Rows>, void, void> {
    const { feed, close } = this.#core.feed();
    try {
      for (;;) {
        const pending = await feed.take(options.signal);
        if (pending === undefined) return;
        yield changeSet<Rows>(pending);
      }
    } finally {
      close();
    }
  }

  /** Resolves as soon as the tables are what the server last said (`state.kind` is `live`). */
  async live(options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.until(() => this.state.kind === 'live', options);
  }

  /** Resolves when `condition` holds; it is tried now and after every change. Throws the signal's reason when aborted. */
  until(condition: () => boolean, options: { signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        stop();
        signal?.removeEventListener('abort', onAbort);
        settle();
      };
      const check = () => {
        try {
          if (condition()) finish(resolve);
          else if (this.state.kind === 'closed')
            finish(() => reject(new OvsdbError('Closed', 'the monitor is closed')));
        } catch (thrown) {
          finish(() => reject(thrown));
        }
      };
      const onAbort = () => finish(() => reject(signal?.reason));
      const stop = this.#core.listen(check);
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) onAbort();
      else check();
    });
  }

  /** Changes which rows of a table are shown; resolves when the tables follow. `undefined` shows all, `[]` none. */
  setConditions<Table extends keyof Rows & string>(
    table: Table,
    anyOf: readonly Condition<Rows[Table]>[] | undefined,
    options: { signal?: AbortSignal } = {},
  ): Promise<void> {
    return this.#core.setConditions(table, anyOf, options.signal);
  }

  /** Ends it. The tables stay readable as they are. */
  close(): void {
    this.#core.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function changeSet<Rows>(pending: PendingChanges): ChangeSet<Rows> {
  const tables: Record<string, readonly Change<object>[]> = {};
  for (const [name, changes] of pending.tables) tables[name] = [...changes.values()];
  return { tables: tables as ChangeSet<Rows>['tables'], resynced: pending.resynced };
}
