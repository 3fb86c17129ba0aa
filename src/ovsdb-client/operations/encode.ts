import { OvsdbError } from '../errors.ts';
import { abbreviate, type Json } from '../json/json-value.ts';
import { type BaseType, type ColumnSchema, columnOf, type TableSchema } from '../schema/schema.ts';
import { type Complain, encodeAtom, type ResolveRow } from '../value/atom.ts';
import { encodeValue } from '../value/column-value.ts';
import { everyRow } from '../value/row-types.ts';

/** How loosely typed values become the JSON of RFC 7047 section 5; each throws OvsdbError before anything is sent. */
export interface EncodeContext {
  table: TableSchema;
  resolve: ResolveRow;
}

const relational: readonly string[] = ['<', '<=', '>=', '>'];
const anyKind: readonly string[] = ['==', '!=', 'includes', 'excludes'];
const arithmetic: readonly string[] = ['+=', '-=', '*=', '/=', '%='];

/** `<row>`: columns to values. `undefined` is the empty value of an optional column, and skipped elsewhere. */
export function encodeRow(context: EncodeContext, row: object): Json {
  const result: Record<string, Json> = {};
  for (const [name, value] of Object.entries(row)) {
    const column = writableColumn(context.table, name);
    if (value === undefined && column.kind !== 'optional') continue;
    result[name] = encodeValue(column, value, context.resolve, complainAbout(context.table, name));
  }
  return result;
}

/** `<row>` of an insert. A reference that must exist has no usable default: it has to be given. */
export function encodeNewRow(context: EncodeContext, row: object): Json {
  for (const column of context.table.columns.values()) {
    const isOwed = column.min > 0 && column.key.refType === 'strong';
    if (isOwed && (row as Readonly<Record<string, unknown>>)[column.name] === undefined) {
      throw complainAbout(context.table, column.name)(`a new row must refer to a row of ${column.key.refTable} here`);
    }
  }
  return encodeRow(context, row);
}

/** `<condition>*`: all must hold. */
export function encodeWhere(context: EncodeContext, where: unknown): Json {
  if (where === everyRow) return [];
  const conditions: readonly unknown[] = Array.isArray(where)
    ? where
    : Object.entries(where as object).map(([column, value]) => [column, '==', value]);
  if (conditions.length === 0) {
    throw new OvsdbError('InvalidRequest', `${context.table.name}: no condition given; say everyRow to mean all rows`);
  }
  return conditions.map((condition) => encodeCondition(context, condition));
}

/** `[column, function, value]`. */
export function encodeCondition(context: EncodeContext, condition: unknown): Json {
  const [name, is, value] = triple(context.table, condition);
  const column = columnOf(context.table, name);
  const complain = complainAbout(context.table, name);
  if (relational.includes(is)) {
    const isNumber = column.key.type === 'integer' || column.key.type === 'real';
    if (!isNumber || (column.kind !== 'scalar' && column.kind !== 'optional')) {
      throw complain(`"${is}" compares single numbers only`);
    }
  } else if (!anyKind.includes(is)) throw complain(`${abbreviate(is)} is not a condition function`);
  // A condition may name fewer or more elements than the column can hold, and values that no row can have.
  const relaxed: ColumnSchema = { ...column, min: 0, key: unconstrained(column.key) };
  return [
    name,
    is,
    encodeValue(column.kind === 'scalar' ? { ...relaxed, min: 1 } : relaxed, value, context.resolve, complain),
  ];
}

/** `[column, mutator, value]`. */
export function encodeMutation(context: EncodeContext, mutation: unknown): Json {
  const [name, mutator, value] = triple(context.table, mutation);
  const column = writableColumn(context.table, name);
  const complain = complainAbout(context.table, name);
  if (arithmetic.includes(mutator)) {
    const { type } = column.key;
    if (column.kind === 'map' || (type !== 'integer' && type !== 'real'))
      throw complain(`"${mutator}" changes numbers only`);
    if (mutator === '%=' && type === 'real') throw complain('"%=" changes integers only');
    if ((mutator === '/=' || mutator === '%=') && Number(value) === 0) throw complain('division by zero');
    return [name, mutator, encodeAtom({ type }, value, context.resolve, complain)];
  }
  if (mutator !== 'insert' && mutator !== 'delete') throw complain(`${abbreviate(mutator)} is not a mutator`);
  if (column.kind === 'scalar') throw complain(`"${mutator}" changes sets and maps only`);
  const isKeySet =
    column.kind === 'map' && mutator === 'delete' && Symbol.iterator in Object(value) && !(value instanceof Map);
  // One element may be absent and the other present: only the whole column has to keep within its limits.
  const relaxed: ColumnSchema = { ...column, min: 0, ...(mutator === 'delete' && { key: unconstrained(column.key) }) };
  if (isKeySet || column.kind === 'optional') {
    const elements = isKeySet || Symbol.iterator in Object(value) ? value : value === undefined ? [] : [value];
    const { value: _, ...keys } = relaxed;
    return [
      name,
      mutator,
      encodeValue({ ...keys, kind: 'set', max: Number.POSITIVE_INFINITY }, elements, context.resolve, complain),
    ];
  }
  return [name, mutator, encodeValue({ ...relaxed, max: Number.POSITIVE_INFINITY }, value, context.resolve, complain)];
}

/** A list of column names, checked against the table. */
export function encodeColumns(context: EncodeContext, columns: readonly string[]): Json {
  return columns.map((name) => columnOf(context.table, name).name);
}

/** Makes errors that name the table and the column. */
export function complainAbout(table: TableSchema, column: string): Complain {
  return (what) => new OvsdbError('InvalidRequest', `${table.name}.${column}: ${what}`);
}

function writableColumn(table: TableSchema, name: string): ColumnSchema {
  const column = columnOf(table, name);
  if (name === '_uuid' || name === '_version') throw complainAbout(table, name)('it cannot be written');
  return column;
}

function unconstrained(base: BaseType): BaseType {
  const { enum: _allowed, minimum: _min, maximum: _max, minLength: _short, maxLength: _long, ...rest } = base;
  return rest;
}

function triple(table: TableSchema, value: unknown): [string, string, unknown] {
  if (Array.isArray(value) && value.length === 3 && typeof value[0] === 'string' && typeof value[1] === 'string') {
    return [value[0], value[1], value[2]];
  }
  throw new OvsdbError('InvalidRequest', `${table.name}: expected [column, word, value], not ${abbreviate(value)}`);
}
