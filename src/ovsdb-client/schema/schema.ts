import { OvsdbError } from '../errors.ts';
import { abbreviate, isArray, isObject, type Json, type JsonObject, member, stringify } from '../json/json-value.ts';

/** The five atomic types of RFC 7047 section 3.2. */
export type AtomicType = 'integer' | 'real' | 'boolean' | 'string' | 'uuid';

/** A `<base-type>`: an atomic type with its constraints. */
export interface BaseType {
  readonly type: AtomicType;
  /** The allowed values, when they are enumerated. */
  readonly enum?: readonly (string | number | bigint | boolean)[];
  /** Smallest and largest integer or real. */
  readonly minimum?: number | bigint;
  readonly maximum?: number | bigint;
  /** Shortest and longest string, in characters. */
  readonly minLength?: number;
  readonly maxLength?: number;
  /** The table that a uuid refers to. */
  readonly refTable?: string;
  readonly refType?: 'strong' | 'weak';
}

/**
 * How a column's value is held: one atom; one atom or none; a set; a map.
 */
export type ColumnKind = 'scalar' | 'optional' | 'set' | 'map';

export interface ColumnSchema {
  readonly name: string;
  readonly kind: ColumnKind;
  readonly key: BaseType;
  /** Only for maps. */
  readonly value?: BaseType;
  /** Number of elements, or of key-value pairs. */
  readonly min: number;
  /** `Infinity` when unlimited. */
  readonly max: number;
  readonly ephemeral: boolean;
  readonly mutable: boolean;
}

export interface TableSchema {
  readonly name: string;
  readonly columns: ReadonlyMap<string, ColumnSchema>;
  /** Column sets whose values are unique over the table. */
  readonly indexes: readonly (readonly string[])[];
  /** Rows of a table outside the root set vanish when nothing refers to them strongly. */
  readonly isRoot: boolean;
  readonly maxRows: number;
}

/** A `<database-schema>` of RFC 7047 section 3.2, validated. Compare with {@link hasColumn} before using what is new. */
export interface DatabaseSchema {
  readonly name: string;
  readonly version: string;
  /** The schema as the server wrote it. Same text, same schema; versions and checksums are not always kept up. */
  readonly text: string;
  readonly tables: ReadonlyMap<string, TableSchema>;
}

/** Whether this schema has the table, and the column if one is given. */
export function hasColumn(schema: DatabaseSchema, table: string, column?: string): boolean {
  const found = schema.tables.get(table);
  if (found === undefined) return false;
  return column === undefined || found.columns.has(column) || implicitColumns.has(column);
}

const uuidColumn = (name: string): ColumnSchema => ({
  name,
  kind: 'scalar',
  key: { type: 'uuid' },
  min: 1,
  max: 1,
  ephemeral: name === '_version',
  mutable: false,
});

/** The columns that every table has without declaring them. */
export const implicitColumns: ReadonlyMap<string, ColumnSchema> = new Map([
  ['_uuid', uuidColumn('_uuid')],
  ['_version', uuidColumn('_version')],
]);

/** The table of that name; throws OvsdbError `UnknownTable`. */
export function tableOf(schema: DatabaseSchema, table: string): TableSchema {
  const found = schema.tables.get(table);
  if (found === undefined) {
    throw new OvsdbError('UnknownTable', `${schema.name} ${schema.version} has no table ${table}`);
  }
  return found;
}

/** The column of that name, `_uuid` and `_version` included; throws OvsdbError `UnknownColumn`. */
export function columnOf(table: TableSchema, column: string): ColumnSchema {
  const found = table.columns.get(column) ?? implicitColumns.get(column);
  if (found === undefined) throw new OvsdbError('UnknownColumn', `table ${table.name} has no column ${column}`);
  return found;
}

/** Reads the JSON of a schema. Throws OvsdbError `ProtocolError` naming the place that is wrong. */
export function parseSchema(json: Json): DatabaseSchema {
  const root = asObject(json, 'schema');
  const tables = new Map<string, TableSchema>();
  for (const [name, table] of Object.entries(asObject(member(root, 'tables'), 'tables'))) {
    tables.set(name, parseTable(name, asObject(table, name)));
  }
  return {
    name: asString(member(root, 'name'), 'name'),
    version: asString(member(root, 'version') ?? '', 'version'),
    text: stringify(json),
    tables,
  };
}

function parseTable(name: string, json: JsonObject): TableSchema {
  const columns = new Map<string, ColumnSchema>();
  for (const [column, description] of Object.entries(asObject(member(json, 'columns'), `${name}.columns`))) {
    columns.set(column, parseColumn(column, asObject(description, `${name}.${column}`), `${name}.${column}`));
  }
  const indexes = asArray(member(json, 'indexes') ?? [], `${name}.indexes`).map((index) =>
    asArray(index, `${name}.indexes`).map((column) => asString(column, `${name}.indexes`)),
  );
  return {
    name,
    columns,
    indexes,
    isRoot: member(json, 'isRoot') === true,
    maxRows: numberOr(member(json, 'maxRows'), Number.POSITIVE_INFINITY),
  };
}

function parseColumn(name: string, json: JsonObject, path: string): ColumnSchema {
  const ephemeral = member(json, 'ephemeral') === true;
  const mutable = member(json, 'mutable') !== false;
  const type = member(json, 'type');
  if (typeof type === 'string') {
    return { name, kind: 'scalar', key: parseBase(type, path), min: 1, max: 1, ephemeral, mutable };
  }
  const description = asObject(type, `${path}.type`);
  const key = parseBase(member(description, 'key'), `${path}.key`);
  const valueJson = member(description, 'value');
  const min = numberOr(member(description, 'min'), 1);
  const maxJson = member(description, 'max');
  const max = maxJson === 'unlimited' ? Number.POSITIVE_INFINITY : numberOr(maxJson, 1);
  if ((min !== 0 && min !== 1) || max < 1 || max < min) throw malformed(path, description);
  const common = { name, key, min, max, ephemeral, mutable };
  if (valueJson !== undefined) return { ...common, kind: 'map', value: parseBase(valueJson, `${path}.value`) };
  if (max > 1) return { ...common, kind: 'set' };
  return { ...common, kind: min === 1 ? 'scalar' : 'optional' };
}

const atomicTypes: readonly string[] = ['integer', 'real', 'boolean', 'string', 'uuid'] satisfies AtomicType[];

function parseBase(json: Json | undefined, path: string): BaseType {
  const description = typeof json === 'string' ? { type: json } : asObject(json, path);
  const type = member(description, 'type');
  if (typeof type !== 'string' || !atomicTypes.includes(type)) throw malformed(path, json);
  const minimum = member(description, 'minInteger') ?? member(description, 'minReal');
  const maximum = member(description, 'maxInteger') ?? member(description, 'maxReal');
  const minLength = member(description, 'minLength');
  const maxLength = member(description, 'maxLength');
  const refTable = member(description, 'refTable');
  return {
    type: type as AtomicType,
    ...(member(description, 'enum') !== undefined && { enum: parseEnum(member(description, 'enum'), path) }),
    ...((typeof minimum === 'number' || typeof minimum === 'bigint') && { minimum }),
    ...((typeof maximum === 'number' || typeof maximum === 'bigint') && { maximum }),
    ...(typeof minLength === 'number' && { minLength }),
    ...(typeof maxLength === 'number' && { maxLength }),
    ...(typeof refTable === 'string' && {
      refTable,
      refType: member(description, 'refType') === 'weak' ? ('weak' as const) : ('strong' as const),
    }),
  };
}

function parseEnum(json: Json | undefined, path: string): readonly (string | number | bigint | boolean)[] {
  const elements = isArray(json) && json.length === 2 && json[0] === 'set' ? asArray(json[1], path) : [json ?? null];
  return elements.map((element) => {
    if (typeof element === 'object') throw malformed(path, json);
    return element;
  });
}

function asObject(json: Json | undefined, path: string): JsonObject {
  if (!isObject(json)) throw malformed(path, json);
  return json;
}

function asArray(json: Json | undefined, path: string): readonly Json[] {
  if (!isArray(json)) throw malformed(path, json);
  return json;
}

function asString(json: Json | undefined, path: string): string {
  if (typeof json !== 'string') throw malformed(path, json);
  return json;
}

function numberOr(json: Json | undefined, otherwise: number): number {
  return typeof json === 'number' ? json : otherwise;
}

function malformed(path: string, json: Json | undefined): OvsdbError {
  return new OvsdbError('ProtocolError', `the schema is malformed at ${path}: ${abbreviate(json)}`);
}
