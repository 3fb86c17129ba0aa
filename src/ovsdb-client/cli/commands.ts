import { readFile } from 'node:fs/promises';
import type { Client } from '../client.ts';
import { OvsdbError } from '../errors.ts';
import { isArray, isObject, type Json, stringify } from '../json/json-value.ts';
import { generateTypes, readSchemaText } from '../schema/generate.ts';
import { everyRow, type UntypedRow, type UntypedTables } from '../value/row-types.ts';
import type { CommandLine } from './arguments.ts';
import { open } from './open.ts';
import { jsonLines, listText, rowToJson, tableText, valueToText } from './print.ts';

/** What a command is given, where it writes, and when it has to stop. */
export interface CommandContext {
  line: CommandLine;
  /** Results, for programs to read. */
  write: (text: string) => void;
  /** News for the person who watches. */
  notice: (text: string) => void;
  /** Columns of the terminal; undefined when the output is not one. */
  width: number | undefined;
  /** The whole standard input. */
  input: () => Promise<string>;
  /** Its reason is an OvsdbError whose message says what ended the command. */
  signal: AbortSignal;
}

type Command = (context: CommandContext) => Promise<void>;

/** The commands by name; each throws OvsdbError, or the signal's reason. */
export const commands: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['dump', dump],
  ['monitor', monitor],
  ['transact', transact],
  ['wait', wait],
  ['list-dbs', listDatabases],
  ['get-schema', getSchema],
  ['generate', generate],
]);

async function dump(context: CommandContext): Promise<void> {
  const synopsis = 'dump ENDPOINTS DATABASE [TABLE [COLUMN]...]';
  const [endpoints = '', database = '', onlyTable, ...columns] = operands(
    context,
    2,
    Number.POSITIVE_INFINITY,
    synopsis,
  );
  await using client = await open(context, endpoints, database);
  const tables = onlyTable === undefined ? [...client.schema.tables.keys()].sort() : [onlyTable];
  const tx = client.transaction();
  const selects = tables.map((table) => {
    checkNames(client, table, columns);
    const wanted = columns.length > 0 ? columns : allColumns(client, table);
    const shown = ['_uuid', ...wanted.filter((name) => name !== '_uuid')];
    return { table, shown, select: tx.select(table, everyRow, shown) };
  });
  const result = await client.transact(tx, { signal: context.signal });
  let first = true;
  for (const { table, shown, select } of selects) {
    const rows = result.rows(select);
    if (rows.length === 0 && onlyTable === undefined) continue;
    if (context.line.output === 'json') {
      if (rows.length > 0) context.write(`${jsonLines(table, shown, rows)}\n`);
      continue;
    }
    const count = rows.length === 1 ? '1 row' : `${rows.length} rows`;
    context.write(`${first ? '' : '\n'}${table} table: ${count}\n`);
    if (rows.length > 0) context.write(`${rowsText(context, shown, rows)}\n`);
    first = false;
  }
}

/** As a table, or as a list where that is asked for or the table is wider than the terminal. */
function rowsText({ line, width }: CommandContext, columns: readonly string[], rows: readonly UntypedRow[]): string {
  const table = line.output === 'list' ? undefined : tableText(columns, rows);
  const isTooWide =
    line.output === 'auto' && width !== undefined && table?.split('\n').some((row) => row.length > width);
  return table === undefined || isTooWide ? listText(columns, rows) : table;
}

async function monitor(context: CommandContext): Promise<void> {
  const synopsis = 'monitor ENDPOINTS DATABASE TABLE [COLUMN]...';
  const [endpoints = '', database = '', table = '', ...columns] = operands(
    context,
    3,
    Number.POSITIVE_INFINITY,
    synopsis,
  );
  await using client = await open(context, endpoints, database, true);
  checkNames(client, table, columns);
  const selection = { [table]: columns.length > 0 ? { columns } : (true as const) };
  const live = await client.monitor(selection, { signal: context.signal });
  if (context.width !== undefined && (live.tables[table]?.size ?? 0) === 0) {
    context.notice(`${table} has no rows yet; waiting for changes`);
  }
  for await (const changes of live.changes({ signal: context.signal })) {
    for (const change of changes.tables[table] ?? []) {
      const row = change.kind === 'delete' ? change.old : change.row;
      if (context.line.output === 'json') {
        const more = change.kind === 'modify' ? { old: rowToJson(change.old) } : {};
        context.write(`${stringify({ table, change: change.kind, row: rowToJson(row), ...more })}\n`);
      } else {
        const text = Object.entries(row).map(([name, value]) => `${name}=${valueToText(value)}`);
        context.write(`${change.kind} ${text.join(' ')}\n`);
      }
    }
  }
}

async function transact(context: CommandContext): Promise<void> {
  const [endpoints = '', text = ''] = operands(context, 2, 2, 'transact ENDPOINTS JSON');
  const params = readSchemaText(text === '-' ? await context.input() : text, 'the transaction');
  if (!isArray(params) || typeof params[0] !== 'string') {
    throw new OvsdbError('InvalidOptions', 'the transaction must be ["DATABASE", OPERATION...]');
  }
  await using client = await open(context, endpoints, params[0]);
  const reply = await client.call('transact', params, { signal: context.signal });
  context.write(`${stringify(reply)}\n`);
  const position = isArray(reply) ? reply.findIndex((result) => isObject(result) && 'error' in result) : -1;
  const failed = isArray(reply) ? reply[position] : undefined;
  if (!isObject(failed)) return;
  const where = position < params.length - 1 ? `operation ${position + 1} of ${params.length - 1}` : 'at commit';
  const details = typeof failed.details === 'string' ? ` (${failed.details})` : '';
  throw new OvsdbError('TransactionFailed', `the transaction failed: ${where}: ${String(failed.error)}${details}`);
}

async function wait(context: CommandContext): Promise<void> {
  const synopsis = 'wait ENDPOINTS DATABASE added|connected|removed';
  const [endpoints = '', database = '', state = ''] = operands(context, 3, 3, synopsis);
  if (state !== 'added' && state !== 'connected' && state !== 'removed') {
    throw new OvsdbError('InvalidOptions', `wait for added, connected or removed, not ${state}`);
  }
  // `_Server` is served by every server that can tell.
  await using client = await open(context, endpoints, '_Server', true);
  const live = await client.monitor({ Database: { columns: ['name', 'connected'] } }, { signal: context.signal });
  const isReached = () => {
    const row = [...(live.tables.Database ?? [])].find((candidate) => candidate.name === database);
    if (state === 'removed') return row === undefined;
    return row !== undefined && (state === 'added' || row.connected === true);
  };
  try {
    await live.until(isReached, { signal: context.signal });
  } catch (cause) {
    throw new OvsdbError('Closed', `${database} is not ${state}`, { cause });
  }
}

async function listDatabases(context: CommandContext): Promise<void> {
  const [endpoints = ''] = operands(context, 1, 1, 'list-dbs ENDPOINTS');
  await using client = await open(context, endpoints, '_Server');
  for (const name of [...(await client.databases({ signal: context.signal }))].sort()) context.write(`${name}\n`);
}

async function getSchema(context: CommandContext): Promise<void> {
  const [endpoints = '', database = ''] = operands(context, 2, 2, 'get-schema ENDPOINTS DATABASE');
  await using client = await open(context, endpoints, database);
  const schema: Json = await client.call('get_schema', [database], { signal: context.signal });
  context.write(`${stringify(schema)}\n`);
}

async function generate(context: CommandContext): Promise<void> {
  const [file = ''] = operands(context, 1, 1, 'generate SCHEMA-FILE');
  let text: string;
  try {
    text = file === '-' ? await context.input() : await readFile(file, 'utf8');
  } catch (cause) {
    throw new OvsdbError('InvalidOptions', `${file} cannot be read`, { cause });
  }
  const name = file === '-' ? 'the standard input' : file;
  context.write(generateTypes(readSchemaText(text, name), { importFrom: context.line.importFrom }));
}

function operands(context: CommandContext, atLeast: number, atMost: number, synopsis: string): readonly string[] {
  const given = context.line.operands;
  if (given.length < atLeast || given.length > atMost) {
    throw new OvsdbError('InvalidOptions', `usage: ovsdb-client ${synopsis}`);
  }
  return given;
}

/** Throws OvsdbError that says which names there are. */
function checkNames({ schema }: Client<UntypedTables>, table: string, columns: readonly string[]): void {
  const found = schema.tables.get(table);
  if (found === undefined) {
    const names = [...schema.tables.keys()].sort().join(', ');
    throw new OvsdbError('UnknownTable', `${schema.name} ${schema.version} has no table ${table}; it has ${names}`);
  }
  const unknown = columns.find((name) => name !== '_uuid' && !found.columns.has(name));
  if (unknown === undefined) return;
  const names = [...found.columns.keys()].sort().join(', ');
  throw new OvsdbError('UnknownColumn', `table ${table} has no column ${unknown}; it has ${names}`);
}

function allColumns(client: Client<UntypedTables>, table: string): readonly string[] {
  return [...(client.schema.tables.get(table)?.columns.keys() ?? [])].sort();
}
