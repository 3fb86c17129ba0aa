import type { Json } from '../json/json-value.ts';
import { encodeCondition } from '../operations/encode.ts';
import { type DatabaseSchema, hasColumn, type TableSchema } from '../schema/schema.ts';
import { type ColumnValue, defaultValue } from '../value/column-value.ts';
import { RowCodec } from './row-codec.ts';

/** What one table of a monitor shall show, loosely typed. */
export interface TableRequest {
  /** Columns to keep; all when left out. */
  readonly columns?: readonly string[] | undefined;
  /** Rows for which any of these conditions holds; every row when left out, none when empty. */
  readonly anyOf?: readonly unknown[] | undefined;
}

/** Something that was asked for and that the served schema does not have. `column` is absent for a whole table. */
export interface MissingElement {
  readonly table: string;
  readonly column?: string;
}

export interface MonitorPlan {
  /** The `<monitor-requests>` of RFC 7047 section 4.1.5, with `where` where a condition was given. */
  readonly requests: Readonly<Record<string, readonly Json[]>>;
  readonly codecs: ReadonlyMap<string, RowCodec>;
  readonly missing: readonly MissingElement[];
  /** Two plans with the same fingerprint read the same columns of the same types. */
  readonly fingerprint: string;
}

/**
 * Fits what is wanted to the schema that is served: what the server lacks is left out and reported, since asking for it
 * would fail the whole request. A missing column reads as its default if `expected` knows its type. Throws OvsdbError
 * when a condition does not fit.
 */
export function planMonitor(
  wanted: ReadonlyMap<string, TableRequest>,
  served: DatabaseSchema,
  expected: DatabaseSchema | undefined,
): MonitorPlan {
  const requests: Record<string, readonly Json[]> = {};
  const codecs = new Map<string, RowCodec>();
  const missing: MissingElement[] = [];
  for (const [name, request] of wanted) {
    const table = served.tables.get(name);
    if (table === undefined) {
      missing.push({ table: name });
      continue;
    }
    const all = [...(expected?.tables.get(name) ?? table).columns.keys()].sort();
    const columns = (request.columns ?? all).filter((column) => column !== '_uuid');
    const present = columns.filter((column) => hasColumn(served, name, column));
    const extra: Record<string, ColumnValue> = {};
    for (const column of columns) {
      if (hasColumn(served, name, column)) continue;
      missing.push({ table: name, column });
      const known = expected?.tables.get(name)?.columns.get(column);
      if (known !== undefined) extra[column] = defaultValue(known);
    }
    codecs.set(name, new RowCodec(table, present, extra));
    requests[name] = [{ columns: present, ...encodeAnyOf(table, request.anyOf) }];
  }
  const shapes = [...codecs.values()].map((codec) => [codec.table, codec.columns]);
  return { requests, codecs, missing, fingerprint: `${JSON.stringify(shapes)} ${served.text}` };
}

/** `{"where": [...]}`, or nothing. In monitors, unlike in operations, one of the conditions is enough. */
export function encodeAnyOf(table: TableSchema, anyOf: readonly unknown[] | undefined): { where?: readonly Json[] } {
  if (anyOf === undefined) return {};
  if (anyOf.length === 0) return { where: [false] };
  const context = {
    table,
    resolve: (_row: unknown, _refTable: unknown, complain: (what: string) => Error) => {
      throw complain('a row that is only about to be inserted cannot be a condition');
    },
  };
  return { where: anyOf.map((condition) => encodeCondition(context, condition)) };
}
