import { OvsdbError } from '../errors.ts';
import type { Json } from '../json/json-value.ts';
import { type ColumnSchema, columnOf, type DatabaseSchema, tableOf } from '../schema/schema.ts';
import type { ResolveRow } from '../value/atom.ts';
import { InsertedRow } from '../value/inserted-row.ts';
import type {
  ColumnName,
  ColumnsOf,
  Mutation,
  NewRow,
  RowChange,
  TableName,
  TablesOf,
  UntypedTables,
  Where,
} from '../value/row-types.ts';
import type { Uuid } from '../value/uuid.ts';
import { encodeColumns, encodeMutation, encodeNewRow, encodeRow, encodeWhere } from './encode.ts';

/** Stands for an operation that reports how many rows it concerned. */
export interface CountedOperation {
  readonly kind: 'counted';
  readonly position: number;
}

/** Stands for a select; `Row` is what its result holds. */
export interface SelectOperation<Row> {
  readonly kind: 'select';
  readonly position: number;
  readonly columns: readonly string[] | undefined;
  readonly table: string;
  /** Never set: carries the row type. */
  readonly row?: Row;
}

type Operation = (schema: DatabaseSchema, resolve: ResolveRow) => Json;

/**
 * A list of operations that commit together or not at all (RFC 7047 section 5.2), built before it is sent.
 *
 * It can be sent more than once, and be sent to servers with different schemas: it is checked against the schema that
 * is served at that moment, and everything wrong is found before the first byte leaves (OvsdbError `InvalidRequest`,
 * `UnknownTable` or `UnknownColumn`, naming table and column).
 */
export class Transaction<Tables extends TablesOf<Tables> = UntypedTables> {
  readonly #operations: Operation[] = [];
  readonly #inserted: InsertedRow[] = [];
  readonly #deletedFrom = new Set<string>();

  /** Number of operations so far. */
  get size(): number {
    return this.#operations.length;
  }

  /**
   * A new row. What it returns can be used as a uuid in other operations of this transaction, earlier ones included.
   * With `uuid` the row gets that identity, which makes the insert safe to repeat: a second one fails with
   * `duplicate uuid` (ovsdb-server 2.13 and later).
   */
  insert<Table extends TableName<Tables>>(
    table: Table,
    row: NewRow<Tables[Table]>,
    options: { uuid?: Uuid } = {},
  ): InsertedRow {
    const inserted = new InsertedRow(this, table, `row${this.#inserted.length}`, this.#operations.length);
    this.#inserted.push(inserted);
    this.#operations.push((schema, resolve) => ({
      op: 'insert',
      table,
      row: encodeNewRow({ table: tableOf(schema, table), resolve }, row),
      'uuid-name': inserted.name,
      ...(options.uuid !== undefined && { uuid: options.uuid }),
    }));
    return inserted;
  }

  /** Overwrites columns of the rows that match. */
  update<Table extends TableName<Tables>>(
    table: Table,
    where: Where<Tables[Table]>,
    change: RowChange<Tables[Table]>,
  ): CountedOperation {
    return this.#counted((schema, resolve) => {
      const context = { table: tableOf(schema, table), resolve };
      const row = encodeRow(context, change);
      for (const name of Object.keys(change)) checkMutable(table, columnOf(context.table, name));
      return { op: 'update', table, where: encodeWhere(context, where), row };
    });
  }

  /** Changes numbers, sets and maps of the rows that match, without sending what stays. */
  mutate<Table extends TableName<Tables>>(
    table: Table,
    where: Where<Tables[Table]>,
    mutations: readonly Mutation<Tables[Table]>[],
  ): CountedOperation {
    return this.#counted((schema, resolve) => {
      const context = { table: tableOf(schema, table), resolve };
      return {
        op: 'mutate',
        table,
        where: encodeWhere(context, where),
        mutations: mutations.map((mutation) => {
          const encoded = encodeMutation(context, mutation);
          checkMutable(table, columnOf(context.table, String((mutation as readonly unknown[])[0])));
          return encoded;
        }),
      };
    });
  }

  /** Deletes the rows that match. */
  delete<Table extends TableName<Tables>>(table: Table, where: Where<Tables[Table]>): CountedOperation {
    this.#deletedFrom.add(table);
    return this.#counted((schema, resolve) => ({
      op: 'delete',
      table,
      where: encodeWhere({ table: tableOf(schema, table), resolve }, where),
    }));
  }

  /** Reads the rows that match; without `columns`, all columns. */
  select<Table extends TableName<Tables>, Column extends ColumnName<Tables[Table]> = ColumnName<Tables[Table]>>(
    table: Table,
    where: Where<Tables[Table]>,
    columns?: readonly Column[],
  ): SelectOperation<ColumnsOf<Tables[Table], Column>> {
    const position = this.#operations.length;
    this.#operations.push((schema, resolve) => {
      const context = { table: tableOf(schema, table), resolve };
      return {
        op: 'select',
        table,
        where: encodeWhere(context, where),
        ...(columns !== undefined && { columns: encodeColumns(context, columns) }),
      };
    });
    return { kind: 'select', position, columns, table };
  }

  /**
   * Goes on only when the given columns of the rows that match are (`==`), or are not (`!=`), exactly `rows`.
   * `timeoutMs` 0 decides at once; a failed wait ends the transaction with the error `timed out`. There is no default:
   * a wait without a limit can last for ever.
   */
  wait<Table extends TableName<Tables>, Column extends ColumnName<Tables[Table]>>(
    table: Table,
    where: Where<Tables[Table]>,
    columns: readonly Column[],
    until: '==' | '!=',
    rows: readonly RowChange<Pick<Tables[Table], Column>>[],
    timeoutMs: number,
  ): void {
    if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 0) {
      throw new OvsdbError('InvalidRequest', `${table}: wait needs timeoutMs >= 0 (a whole number), not ${timeoutMs}`);
    }
    this.#operations.push((schema, resolve) => {
      const context = { table: tableOf(schema, table), resolve };
      return {
        op: 'wait',
        table,
        where: encodeWhere(context, where),
        columns: encodeColumns(context, columns),
        until,
        rows: rows.map((row) => encodeRow(context, row)),
        timeout: timeoutMs,
      };
    });
  }

  /** Words for the server's log of this transaction; `ovsdb-tool show-log` prints them. */
  comment(text: string): void {
    if (text.includes('\0') || !text.isWellFormed()) {
      throw new OvsdbError('InvalidRequest', 'a comment must be well-formed text without NUL');
    }
    this.#operations.push(() => ({ op: 'comment', comment: text }));
  }

  /** Makes the whole transaction fail with the error `aborted`: to see what operations would do. */
  abort(): void {
    this.#operations.push(() => ({ op: 'abort' }));
  }

  /** Goes on only while this client holds the lock; otherwise the transaction fails with `not owner`. */
  assert(lock: string): void {
    this.#operations.push(() => ({ op: 'assert', lock }));
  }

  /** Asks the server to answer only when the transaction is on its disk. */
  commitDurably(): void {
    this.#operations.push(() => ({ op: 'commit', durable: true }));
  }

  /** The rows that will be there once this is committed: inserted, and not deleted by the same transaction. */
  get lasting(): readonly InsertedRow[] {
    return this.#inserted.filter((row) => !this.#deletedFrom.has(row.table));
  }

  /** The operations as RFC 7047 writes them. Throws OvsdbError when one does not fit the schema. */
  encode(schema: DatabaseSchema): readonly Json[] {
    const resolve: ResolveRow = (row, refTable, complain) => {
      if (row.owner !== this) throw complain('it refers to a row that another transaction inserts');
      if (refTable !== undefined && refTable !== row.table) {
        throw complain(`it refers to rows of ${refTable}, not of ${row.table}`);
      }
      return row.name;
    };
    return this.#operations.map((operation) => operation(schema, resolve));
  }

  #counted(operation: Operation): CountedOperation {
    const position = this.#operations.length;
    this.#operations.push(operation);
    return { kind: 'counted', position };
  }
}

function checkMutable(table: string, column: ColumnSchema): void {
  if (!column.mutable)
    throw new OvsdbError('InvalidRequest', `${table}.${column.name}: it can be set only when the row is inserted`);
}
