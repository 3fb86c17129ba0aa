import { isObject, type Json, type JsonObject, member } from '../json/json-value.ts';
import type { DatabaseSchema } from '../schema/schema.ts';
import { decodeValue } from '../value/column-value.ts';
import type { Uuid } from '../value/uuid.ts';

/** What a server says about one of its databases, from its `_Server` database (ovsdb-server(5)). */
export interface ServerStatus {
  readonly model: 'standalone' | 'clustered' | 'relay';
  /** For a clustered database: in contact with a majority. For a relay: connected to its source. */
  readonly connected: boolean;
  readonly leader: boolean;
  /** Cluster and server; undefined for a standalone database. */
  readonly cid: Uuid | undefined;
  readonly sid: Uuid | undefined;
  /** Position in the cluster's log, which never goes back. */
  readonly index: bigint | undefined;
}

/** A server without a `_Server` database (before 2.9), or a database that is not told about, counts as this. */
export const standaloneStatus: ServerStatus = {
  model: 'standalone',
  connected: true,
  leader: true,
  cid: undefined,
  sid: undefined,
  index: undefined,
};

const wantedColumns = ['name', 'model', 'connected', 'leader', 'cid', 'sid', 'index', 'schema'];

/** The columns of `_Server.Database` that this server has. */
export function statusColumns(schema: DatabaseSchema): readonly string[] {
  const table = schema.tables.get('Database');
  return wantedColumns.filter((column) => table?.columns.has(column));
}

/** Reads one row (all columns; what is left out has its default). Throws OvsdbError `ProtocolError`. */
export function readServerStatus(
  schema: DatabaseSchema,
  row: JsonObject,
): { name: string; status: ServerStatus; schemaText: string | undefined } {
  const value = (name: string): unknown => {
    const column = schema.tables.get('Database')?.columns.get(name);
    const json = member(row, name);
    return column === undefined || json === undefined ? undefined : decodeValue(column, json);
  };
  const model = value('model');
  const index = value('index');
  return {
    name: String(value('name') ?? ''),
    status: {
      model: model === 'clustered' || model === 'relay' ? model : 'standalone',
      connected: value('connected') === true,
      leader: value('leader') === true,
      cid: value('cid') as Uuid | undefined,
      sid: value('sid') as Uuid | undefined,
      index: typeof index === 'number' || typeof index === 'bigint' ? BigInt(index) : undefined,
    },
    schemaText: value('schema') as string | undefined,
  };
}

/** Whether a leader is insisted on, liked, or irrelevant. */
export type LeaderPreference = 'require' | 'prefer' | 'any';

export type Verdict =
  | { readonly kind: 'accept' }
  /** Usable, but a server that leads would be better. */
  | { readonly kind: 'second-best'; readonly reason: string }
  | { readonly kind: 'reject'; readonly reason: string };

/** Highest log index seen, by cluster: a server that is behind it would show us the past. */
export type SeenIndexes = ReadonlyMap<Uuid, bigint>;

/** Whether to work with a server (ovsdb(7), "Clustered database": leader, connected, index). */
export function judgeServer(status: ServerStatus, preference: LeaderPreference, seen: SeenIndexes): Verdict {
  if (status.model === 'standalone') return { kind: 'accept' };
  if (!status.connected) {
    const what =
      status.model === 'relay' ? 'is not connected to its source' : 'is not in contact with a majority of the cluster';
    return { kind: 'reject', reason: `the server ${what}` };
  }
  const known = status.cid === undefined ? undefined : seen.get(status.cid);
  if (known !== undefined && status.index !== undefined && status.index < known) {
    return { kind: 'reject', reason: `the server is behind: at log index ${status.index}, we have seen ${known}` };
  }
  if (status.leader || preference === 'any') return { kind: 'accept' };
  const reason = status.model === 'relay' ? 'the server is a relay' : 'the server is not the leader';
  return preference === 'require' ? { kind: 'reject', reason } : { kind: 'second-best', reason };
}

/** The row of an `update2`-style entry, or undefined. */
export function statusRow(entry: Json | undefined): JsonObject | undefined {
  if (!isObject(entry)) return undefined;
  const row = member(entry, 'initial') ?? member(entry, 'insert');
  return isObject(row) ? row : undefined;
}
