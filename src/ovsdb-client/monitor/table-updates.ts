import { OvsdbError } from '../errors.ts';
import { abbreviate, isObject, type Json, member } from '../json/json-value.ts';
import type { Uuid } from '../value/uuid.ts';
import type { Change } from './change.ts';
import type { CachedRow, RowCodec } from './row-codec.ts';
import { RevivedRow, RowEntries } from './row-revival.ts';

/**
 * The two shapes of changes on the wire:
 *
 *     1: <table-updates>   {table: {uuid: {"old": <row>, "new": <row>}}}       RFC 7047 section 4.1.6 (`monitor`)
 *     2: <table-updates2>  {table: {uuid: {"initial" | "insert" | "modify": <row>} or {"delete": null}}}
 *                          ovsdb-server(7) section 4.1.14 (`monitor_cond`, `monitor_cond_since`)
 */
export type UpdateFormat = 1 | 2;

/** The server changed a row that we do not have, or inserted one that we have: the cache is not what it believes. */
export class CacheDivergence extends OvsdbError {
  constructor(table: string, uuid: string, what: string) {
    super('ProtocolError', `the cache has diverged from the server: ${table} ${uuid} ${what}`, { retryable: true });
  }
}

/** One table of a monitor while an update is read. */
export interface ReadTable {
  readonly codec: RowCodec;
  readonly rows: ReadonlyMap<Uuid, CachedRow>;
}

const ROWS_PER_STEP = 32;

/** Reads an update against the rows of now. The changes are complete only when the generator is done. */
export function* readUpdate(
  json: Json,
  format: UpdateFormat,
  tables: ReadonlyMap<string, ReadTable>,
): Generator<void, Map<string, Change<CachedRow>[]>, void> {
  const result = new Map<string, Change<CachedRow>[]>();
  let steps = 0;
  for (const [table, { uuids, entries }] of tablesIn(json, tables)) {
    const changes: Change<CachedRow>[] = [];
    for (let i = 0; i < uuids.length; i++) {
      const change = readRow(table, uuids[i] as Uuid, entries[i] as Json, format);
      if (change !== undefined) changes.push(change);
      if (++steps % ROWS_PER_STEP === 0) yield;
    }
    if (changes.length > 0) result.set(table.codec.table, changes);
  }
  return result;
}

/**
 * Reads a complete content, and gives what has to change to get there from the rows of now. `sameShape` says that the
 * rows of now have the same columns, so that equal rows can stay.
 */
export function* readContent(
  json: Json,
  format: UpdateFormat,
  tables: ReadonlyMap<string, ReadTable>,
  sameShape: boolean,
): Generator<void, Map<string, Change<CachedRow>[]>, void> {
  const result = new Map<string, Change<CachedRow>[]>();
  const seen = new Map<string, RowEntries>();
  let steps = 0;
  for (const [table, rows] of tablesIn(json, tables)) {
    const { uuids, entries } = rows;
    const changes: Change<CachedRow>[] = [];
    for (let i = 0; i < uuids.length; i++) {
      const uuid = uuids[i] as Uuid;
      const content = contentOf(entries[i] as Json, format);
      if (content === undefined) throw malformed(table.codec.table, uuid, entries[i] as Json);
      const row = wholeRow(table, uuid, content);
      const old = table.rows.get(uuid);
      if (old === undefined) changes.push({ kind: 'insert', uuid, row });
      else if (!sameShape || !table.codec.same(old, row)) changes.push({ kind: 'modify', uuid, old, row });
      if (++steps % ROWS_PER_STEP === 0) yield;
    }
    result.set(table.codec.table, changes);
    seen.set(table.codec.table, rows);
  }
  for (const [name, table] of tables) {
    const changes = result.get(name) ?? [];
    if (table.rows.size > 0) {
      const present = new Set(seen.get(name)?.uuids);
      for (const [uuid, old] of table.rows) {
        if (!present.has(uuid)) changes.push({ kind: 'delete', uuid, old });
        if (++steps % ROWS_PER_STEP === 0) yield;
      }
    }
    if (changes.length > 0) result.set(name, changes);
    else result.delete(name);
  }
  return result;
}

function* tablesIn(json: Json, tables: ReadonlyMap<string, ReadTable>): Generator<[ReadTable, RowEntries], void, void> {
  if (!isObject(json)) throw new OvsdbError('ProtocolError', `a table update is ${abbreviate(json)}, not an object`);
  for (const [name, rows] of Object.entries(json)) {
    const table = tables.get(name);
    const entries = RowEntries.of(rows);
    if (table === undefined || entries === undefined) {
      throw new OvsdbError(
        'ProtocolError',
        `an update has ${abbreviate(name)}, which was not asked for, or whose rows are not an object by uuid`,
      );
    }
    yield [table, entries];
  }
}

function wholeRow({ codec }: ReadTable, uuid: Uuid, content: Json): CachedRow {
  if (!(content instanceof RevivedRow)) return codec.decode(uuid, content);
  if (content.codec !== codec) throw malformed(codec.table, uuid, 'a row of another monitor');
  return content.row;
}

/** The row of an entry that says how a row is, as opposed to how it changed. */
function contentOf(json: Json, format: UpdateFormat): Json | undefined {
  if (!isObject(json)) return undefined;
  if (json instanceof RevivedRow) return json;
  return format === 1 ? member(json, 'new') : (member(json, 'initial') ?? member(json, 'insert'));
}

function readRow(table: ReadTable, uuid: Uuid, json: Json, format: UpdateFormat): Change<CachedRow> | undefined {
  const { codec } = table;
  if (!isObject(json)) throw malformed(codec.table, uuid, json);
  const old = table.rows.get(uuid);
  const content = contentOf(json, format);
  const difference = format === 2 ? member(json, 'modify') : undefined;
  const isChange = format === 1 ? member(json, 'old') !== undefined : difference !== undefined;
  if (content === undefined && difference === undefined) {
    if (format === 2 ? member(json, 'delete') === undefined : !isChange) throw malformed(codec.table, uuid, json);
    if (old === undefined) throw new CacheDivergence(codec.table, uuid, 'is deleted but unknown here');
    return { kind: 'delete', uuid, old };
  }
  if (isChange) {
    if (old === undefined) throw new CacheDivergence(codec.table, uuid, 'is modified but unknown here');
    const row = difference === undefined ? wholeRow(table, uuid, content as Json) : codec.apply(old, difference);
    return codec.same(old, row) ? undefined : { kind: 'modify', uuid, old, row };
  }
  if (old !== undefined) throw new CacheDivergence(codec.table, uuid, 'is inserted but already here');
  return { kind: 'insert', uuid, row: wholeRow(table, uuid, content as Json) };
}

function malformed(table: string, uuid: string, json: Json): OvsdbError {
  return new OvsdbError('ProtocolError', `the update of ${table} ${abbreviate(uuid)} is ${abbreviate(json)}`);
}
