import type { Atom } from './atom.ts';
import type { ColumnValue } from './column-value.ts';
import type { InsertedRow } from './inserted-row.ts';
import type { Uuid } from './uuid.ts';

/** A row of a database whose schema is not known at compile time. */
export interface UntypedRow {
  readonly _uuid: Uuid;
  readonly [column: string]: ColumnValue;
}

/** Row types by table name, for a database whose schema is not known at compile time. */
export interface UntypedTables {
  readonly [table: string]: UntypedRow;
}

/** Bound of every `Tables` type parameter: row types by table name. `ovsdb-client generate` writes one for a schema. */
export type TablesOf<Tables> = { readonly [Table in keyof Tables]: { readonly _uuid: Uuid } };

/** A table's name. */
export type TableName<Tables> = keyof Tables & string;

/** A column's name. */
export type ColumnName<Row> = keyof Row & string;

/** What may be given where a column of type `Value` is written: rows of the same transaction may stand for uuids. */
export type Input<Value> =
  Value extends ReadonlyMap<infer Key, infer Item>
    ?
        | ReadonlyMap<InputAtom<Key>, InputAtom<Item>>
        | (Key extends string ? { readonly [key: string]: InputAtom<Item> } : never)
    : Value extends readonly (infer Element)[]
      ? readonly InputAtom<Element>[] | ReadonlySet<InputAtom<Element>>
      : InputAtom<Value>;

export type InputAtom<Value> = Value extends Uuid ? Uuid | InsertedRow : Value extends number ? Value | bigint : Value;

/** A row cut to some of its columns. */
export type ColumnsOf<Row, Column extends keyof Row> = string extends keyof Row ? Row : Pick<Row, Column>;

/** The columns of a new row. Columns that are left out, or undefined, get their default. */
export type NewRow<Row> = {
  readonly [Column in Exclude<ColumnName<Row>, '_uuid' | '_version'>]?: Input<Row[Column]> | undefined;
};

/** Columns to overwrite. `undefined` empties an optional column; columns that are left out stay. */
export type RowChange<Row> = {
  readonly [Column in Exclude<ColumnName<Row>, '_uuid' | '_version'>]?: Input<Row[Column]> | undefined;
};

export type ConditionFunction = '==' | '!=' | 'includes' | 'excludes' | '<' | '<=' | '>=' | '>';

/** `[column, function, value]` of RFC 7047 section 5.1. */
export type Condition<Row> = {
  [Column in ColumnName<Row>]: readonly [column: Column, is: ConditionFunction, value: Input<Row[Column]>];
}[ColumnName<Row>];

/** Chooses every row of the table. A word of its own, so that no forgotten condition deletes a table. */
export const everyRow = 'every row';

/**
 * Which rows an operation concerns: rows for which all conditions hold, rows whose columns equal the given ones, or
 * {@link everyRow}. Searching by `_uuid` is the only search that does not scan the table.
 */
export type Where<Row> =
  | typeof everyRow
  | readonly [Condition<Row>, ...Condition<Row>[]]
  | { readonly [Column in ColumnName<Row>]?: Input<Row[Column]> };

export type Arithmetic = '+=' | '-=' | '*=' | '/=' | '%=';

type MutationValue<Value> =
  Value extends ReadonlyMap<infer Key, unknown>
    ? readonly ['insert', Input<Value>] | readonly ['delete', Input<Value> | readonly Key[] | ReadonlySet<Key>]
    : Value extends readonly (infer Element)[]
      ?
          | readonly ['insert' | 'delete', Input<Value>]
          | (Element extends number | bigint ? readonly [Arithmetic, number | bigint] : never)
      : Value extends number | bigint
        ? readonly [Arithmetic, number | bigint]
        : never;

/**
 * `[column, mutator, value]` of RFC 7047 section 5.1. `insert` into a map leaves keys that are present as they are;
 * `delete` from a map takes keys, or pairs that must match. The mutations of one operation apply in order.
 */
export type Mutation<Row> = {
  [Column in ColumnName<Row>]: MutationValue<Row[Column]> extends infer Pair
    ? Pair extends readonly [infer Mutator, infer Value]
      ? readonly [column: Column, mutator: Mutator, value: Value]
      : never
    : never;
}[ColumnName<Row>];

export type { Atom };
