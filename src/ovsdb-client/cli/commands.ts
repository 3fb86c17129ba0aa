import { readFile } from 'node:fs/promises';
import { type Client, connect } from '../client.ts';
import { OvsdbError } from '../errors.ts';
import { isArray, type Json, stringify } from '../json/json-value.ts';
import { generateTypes, readSchemaText } from '../schema/generate.ts';
import { everyRow, type UntypedTables } from '../value/row-types.ts';
import type { CommandLine } from './arguments.ts';
import { jsonLines, rowToJson, tableText, valueToText } from './print.ts';

/** Where a command writes and when it has to stop. */
export interface CommandContext {
  line: CommandLine;
  write: (text: string) => void;
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
  const [endpoints, database, onlyTable, ...columns] = operands(
    context,
    2,
    'dump ENDPOINTS DATABASE [TABLE [COLUMN]...]',
  );
  await using client = await open(context, endpoints, database);
  const tables = onlyTable === undefined ? [...client.schema.tables.keys()].sort() : [onlyTable];
  const tx = client.transaction();
  const selects = tables.map((table) => {
    const wanted = columns.length > 0 ? columns : allColumns(client, table);
    return { table, wanted, select: tx.select(table, everyRow, ['_uuid', ...wanted]) };
  });
  const result = await client.transact(tx, { signal: context.signal });
  for (const { table, wanted, select } of selects) {
    const rows = result.rows(select);
    if (context.line.output === 'json') {
      if (rows.length > 0) context.write(`${jsonLines(table, rows)}\n`);
    } else if (rows.length > 0 || onlyTable !== undefined) {
      context.write(`${table} table\n${tableText(['_uuid', ...wanted.filter((name) => name !== '_uuid')], rows)}\n\n`);
    }
  }
}

async function monitor(context: CommandContext): Promise<void> {
  const [endpoints, database, table = '', ...columns] = operands(
    context,
    3,
    'monitor ENDPOINTS DATABASE TABLE [COLUMN]...',
  );
  await using client = await open(context, endpoints, database);
  const selection = { [table]: columns.length > 0 ? { columns } : (true as const) };
  const live = await client.monitor(selection, { signal: context.signal });
  for (const missing of live.missing) {
    throw new OvsdbError(
      'UnknownColumn',
      `${database} has no ${missing.table}${missing.column === undefined ? '' : `.${missing.column}`}`,
    );
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
  const [endpoints, text = ''] = operands(context, 2, 'transact ENDPOINTS JSON');
  const params = readSchemaText(text, 'the transaction');
  if (!isArray(params) || typeof params[0] !== 'string') {
    throw new OvsdbError('InvalidOptions', 'the transaction must be ["DATABASE", OPERATION...]');
  }
  await using client = await open(context, endpoints, params[0]);
  const reply = await client.call('transact', params, { signal: context.signal });
  context.write(`${stringify(reply)}\n`);
  const failed =
    isArray(reply) && reply.find((result) => typeof result === 'object' && result !== null && 'error' in result);
  if (failed) throw new OvsdbError('TransactionFailed', `the transaction failed: ${stringify(failed)}`);
}

async function wait(context: CommandContext): Promise<void> {
  const [endpoints, database = '', state] = operands(context, 3, 'wait ENDPOINTS DATABASE added|connected|removed');
  if (state !== 'added' && state !== 'connected' && state !== 'removed') {
    throw new OvsdbError('InvalidOptions', `wait for added, connected or removed, not ${state}`);
  }
  // `_Server` is served by every server that can tell.
  await using client = await open(context, endpoints, '_Server');
  const live = await client.monitor({ Database: { columns: ['name', 'connected'] } }, { signal: context.signal });
  await live.until(
    () => {
      const row = [...(live.tables.Database ?? [])].find((candidate) => candidate.name === database);
      if (state === 'removed') return row === undefined;
      return row !== undefined && (state === 'added' || row.connected === true);
    },
    { signal: context.signal },
  );
}

async function listDatabases(context: CommandContext): Promise<void> {
  const [endpoints] = operands(context, 1, 'list-dbs ENDPOINTS');
  await using client = await open(context, endpoints, '_Server');
  for (const name of [...(await client.databases({ signal: context.signal }))].sort()) context.write(`${name}\n`);
}

async function getSchema(context: CommandContext): Promise<void> {
  const [endpoints, database = ''] = operands(context, 2, 'get-schema ENDPOINTS DATABASE');
  await using client = await open(context, endpoints, database);
  const schema: Json = await client.call('get_schema', [database], { signal: context.signal });
  context.write(`${stringify(schema)}\n`);
}

async function generate(context: CommandContext): Promise<void> {
  const [file = ''] = operands(context, 1, 'generate SCHEMA-FILE');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new OvsdbError('InvalidOptions', `${file} cannot be read`, { cause });
  }
  context.write(generateTypes(readSchemaText(text, file), { importFrom: context.line.importFrom }));
}

function open(context: CommandContext, endpoints = '', database = ''): Promise<Client<UntypedTables>> {
  const { tls, leader } = context.line;
  return connect({ endpoints, database, leader, signal: context.signal, ...(tls !== undefined && { tls }) });
}

function operands(context: CommandContext, atLeast: number, synopsis: string): readonly string[] {
  if (context.line.operands.length < atLeast) throw new OvsdbError('InvalidOptions', `usage: ovsdb-client ${synopsis}`);
  return context.line.operands;
}

function allColumns(client: Client<UntypedTables>, table: string): readonly string[] {
  return [...(client.schema.tables.get(table)?.columns.keys() ?? [])].sort();
}
