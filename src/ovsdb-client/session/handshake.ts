import { OvsdbError, ServerError } from '../errors.ts';
import { isArray, isObject, type Json, member } from '../json/json-value.ts';
import type { RpcConnection } from '../rpc/connection.ts';
import { type DatabaseSchema, parseSchema } from '../schema/schema.ts';
import { readServerStatus, type ServerStatus, standaloneStatus, statusColumns, statusRow } from './server-status.ts';

const STATUS_MONITOR = 'server-status';

/** What the server says of itself, followed for as long as the connection lives. */
export interface StatusWatch {
  readonly status: ServerStatus;
  /** The schema in use, as text: it changes with an online conversion. */
  readonly schemaText: string | undefined;
  /** Looks at a notification; the new status if it was about our database. `undefined` status: it is not served any more. */
  update(method: string, params: readonly Json[]): { status: ServerStatus | undefined } | undefined;
}

/**
 * Asks for online conversions to be announced instead of cutting the connection (ovsdb-server(7), set_db_change_aware).
 * False on servers that do not know it.
 */
export async function becomeChangeAware(connection: RpcConnection, signal: AbortSignal): Promise<boolean> {
  try {
    await connection.call('set_db_change_aware', [true], { signal });
    return true;
  } catch (thrown) {
    if (thrown instanceof ServerError) return false;
    throw thrown;
  }
}

/**
 * Reads and watches `_Server.Database` for one database. Servers without it count as standalone. `onWatching` gets the
 * watch before anything after the first reply is looked at, so that no news is missed.
 */
export async function watchStatus(
  connection: RpcConnection,
  database: string,
  signal: AbortSignal,
  onWatching: (watch: StatusWatch) => void,
): Promise<StatusWatch> {
  let schema: DatabaseSchema;
  try {
    schema = parseSchema(await connection.call('get_schema', ['_Server'], { signal }));
  } catch (thrown) {
    if (thrown instanceof ServerError)
      return { status: standaloneStatus, schemaText: undefined, update: () => undefined };
    throw thrown;
  }
  const columns = statusColumns(schema);
  const row: { key: string | undefined; json: Record<string, Json> } = { key: undefined, json: {} };
  const read = () => readServerStatus(schema, row.json);
  const take = (updates: Json): boolean => {
    const rows = isObject(updates) ? member(updates, 'Database') : undefined;
    if (!isObject(rows)) return false;
    let touched = false;
    for (const [key, entry] of Object.entries(rows)) {
      const whole = statusRow(entry);
      const change = isObject(entry) ? member(entry, 'modify') : undefined;
      if (whole !== undefined && readServerStatus(schema, whole).name === database) {
        row.key = key;
        row.json = { ...whole };
        touched = true;
      } else if (key === row.key && isObject(change)) {
        // Scalars and optional columns: a difference is the new value.
        Object.assign(row.json, change);
        touched = true;
      } else if (key === row.key && whole === undefined) {
        row.key = undefined;
        touched = true;
      }
    }
    return touched;
  };
  const watch: StatusWatch = {
    get status() {
      return read().status;
    },
    get schemaText() {
      return read().schemaText;
    },
    update(method, params) {
      if (method !== 'update2' || params[0] !== STATUS_MONITOR || !take(params[1] ?? null)) return undefined;
      return { status: row.key === undefined ? undefined : read().status };
    },
  };
  await connection.call('monitor_cond', ['_Server', STATUS_MONITOR, { Database: [{ columns }] }], {
    signal,
    onResult: (updates) => {
      take(updates);
      onWatching(watch);
      return undefined;
    },
  });
  if (row.key === undefined) throw notServed(database);
  return watch;
}

/** The schema of a database. Throws OvsdbError `ConnectFailed` when the server has no such database. */
export async function fetchSchema(
  connection: RpcConnection,
  database: string,
  signal: AbortSignal,
): Promise<DatabaseSchema> {
  try {
    return parseSchema(await connection.call('get_schema', [database], { signal }));
  } catch (thrown) {
    if (!(thrown instanceof ServerError)) throw thrown;
    const names = await connection.call('list_dbs', [], { signal }).catch(() => null);
    throw notServed(database, isArray(names) ? names.filter((name) => typeof name === 'string') : undefined);
  }
}

function notServed(database: string, names?: readonly string[]): OvsdbError {
  const served = names === undefined ? '' : `; it serves ${names.join(', ') || 'none'}`;
  return new OvsdbError('ConnectFailed', `the server has no database ${database}${served}`, { retryable: true });
}
