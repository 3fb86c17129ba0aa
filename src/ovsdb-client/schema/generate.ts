import { OvsdbError } from '../errors.ts';
import { type Json, stringify } from '../json/json-value.ts';
import { parseNumber } from '../json/scalar-token.ts';
import { type BaseType, type ColumnSchema, type DatabaseSchema, parseSchema } from './schema.ts';

export interface GenerateOptions {
  /** Where the written module imports this library from. */
  importFrom: string;
}

/**
 * Writes a TypeScript module for a schema: an interface for each table, one that maps table names to them, and a
 * `DatabaseDefinition` to hand to `connect`. The same schema gives the same text.
 */
export function generateTypes(schemaJson: Json, options: GenerateOptions): string {
  const schema = parseSchema(schemaJson);
  const names = uniqueNames([...schema.tables.keys()], pascalCase);
  const base = pascalCase(schema.name);
  const tables = [...schema.tables.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const lines = [
    `// Written by \`ovsdb-client generate\` from the schema of ${schema.name} ${schema.version}. Do not edit: generate it again.`,
    `import type { DatabaseDefinition${usesUuid(schema) ? ', Uuid' : ''} } from ${quote(options.importFrom)};`,
    '',
  ];
  for (const table of tables) {
    lines.push(`/** A row of ${table.name}.${table.isRoot ? '' : ' Vanishes when no row refers to it strongly.'} */`);
    lines.push(`export interface ${names.get(table.name)} {`, '  readonly _uuid: Uuid;');
    for (const column of [...table.columns.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const note = columnNote(column);
      if (note !== '') lines.push(`  /** ${note} */`);
      lines.push(`  readonly ${propertyName(column.name)}: ${columnType(column)};`);
    }
    lines.push('}', '');
  }
  lines.push(`/** The tables of ${schema.name}. */`, `export interface ${base}Tables {`);
  for (const table of tables) lines.push(`  readonly ${propertyName(table.name)}: ${names.get(table.name)};`);
  lines.push('}', '');
  const constant = `${base.charAt(0).toLowerCase()}${base.slice(1)}`;
  lines.push(
    `/** ${schema.name} ${schema.version}, for \`connect({ database: ${constant} })\`. */`,
    `export const ${constant}: DatabaseDefinition<${base}Tables> = {`,
    `  name: ${quote(schema.name)},`,
    `  schema: ${stringify(sortKeys(schemaJson))},`,
    '};',
    '',
  );
  return lines.join('\n');
}

function columnType(column: ColumnSchema): string {
  const key = atomType(column.key);
  switch (column.kind) {
    case 'scalar':
      return key;
    case 'optional':
      return `${key} | undefined`;
    case 'set':
      return `readonly ${key.includes(' ') ? `(${key})` : key}[]`;
    case 'map':
      return `ReadonlyMap<${key}, ${atomType(column.value as BaseType)}>`;
  }
}

function atomType(base: BaseType): string {
  if (base.enum !== undefined)
    return base.enum.map((value) => (typeof value === 'bigint' ? `${value}n` : literal(value))).join(' | ');
  switch (base.type) {
    case 'string':
      return 'string';
    case 'boolean':
      return 'boolean';
    case 'real':
      return 'number';
    case 'uuid':
      return 'Uuid';
    case 'integer':
      return isSafe(base.minimum) && isSafe(base.maximum) ? 'number' : 'number | bigint';
  }
}

/** What the type does not say. */
function columnNote(column: ColumnSchema): string {
  const notes: string[] = [];
  for (const base of [column.key, column.value]) {
    if (base?.refTable !== undefined) notes.push(`${base.refType} reference to ${base.refTable}`);
    if (base?.minimum !== undefined || base?.maximum !== undefined) {
      notes.push(`${base.minimum ?? '-2^63'} to ${base.maximum ?? '2^63-1'}`);
    }
    if (base?.maxLength !== undefined) notes.push(`at most ${base.maxLength} characters`);
  }
  if (column.kind === 'set' && column.min === 1) notes.push('at least one element');
  if ((column.kind === 'set' || column.kind === 'map') && Number.isFinite(column.max))
    notes.push(`at most ${column.max} elements`);
  if (!column.mutable) notes.push('set only when the row is inserted');
  if (column.ephemeral) notes.push('not kept over a restart of the server');
  const text = notes.join('; ');
  return text === '' ? '' : `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function isSafe(bound: number | bigint | undefined): boolean {
  return typeof bound === 'number' && Number.isSafeInteger(bound);
}

function usesUuid(schema: DatabaseSchema): boolean {
  return schema.tables.size > 0;
}

function pascalCase(name: string): string {
  const text = name
    .split(/[^A-Za-z0-9]+/)
    .map(
      (part) => part.charAt(0).toUpperCase() + (/^[A-Z0-9]+$/.test(part) ? part.slice(1).toLowerCase() : part.slice(1)),
    )
    .join('');
  return /^[A-Za-z]/.test(text) ? text : `T${text}`;
}

function uniqueNames(names: readonly string[], convert: (name: string) => string): ReadonlyMap<string, string> {
  const result = new Map<string, string>();
  const taken = new Set(['Uuid', 'DatabaseDefinition', 'ReadonlyMap']);
  for (const name of [...names].sort()) {
    let candidate = convert(name);
    while (taken.has(candidate)) candidate += 'Row';
    taken.add(candidate);
    result.set(name, candidate);
  }
  return result;
}

function propertyName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : quote(name);
}

function literal(value: string | number | boolean): string {
  return typeof value === 'string' ? quote(value) : String(value);
}

function quote(text: string): string {
  return `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
}

function sortKeys(json: Json): Json {
  if (Array.isArray(json)) return json.map(sortKeys);
  if (typeof json !== 'object' || json === null) return json;
  return Object.fromEntries(
    Object.entries(json)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => [key, sortKeys(value)]),
  );
}

/** Reads the text of a schema file. Throws OvsdbError `InvalidOptions` when it is not JSON. */
export function readSchemaText(text: string, file: string): Json {
  try {
    return JSON.parse(text, exactNumber) as Json;
  } catch (cause) {
    throw new OvsdbError('InvalidOptions', `${file} is not JSON`, { cause });
  }
}

/** For JSON.parse: integers that a double cannot hold are read from the text itself. */
function exactNumber(_key: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === 'number' && context?.source !== undefined ? parseNumber(context.source) : value;
}
