/**
 * A client for OVSDB servers: RFC 7047 and the extensions of Open vSwitch. See README.md for a runnable example.
 *
 *     const client = await connect({ endpoints: 'unix:/run/openvswitch/db.sock', database: 'Open_vSwitch' });
 *     const monitor = await client.monitor({ Bridge: { columns: ['name'] } });
 *     for (const row of monitor.tables.Bridge) console.log(row.name);
 */
export { Client, connect } from './client.ts';
export {
  type FailedOutcome,
  OvsdbError,
  type OvsdbErrorCode,
  ServerError,
  TransactionError,
} from './errors.ts';
export type { Json, JsonObject } from './json/json-value.ts';
export { Lock, type LockState } from './lock.ts';
export type { Change } from './monitor/change.ts';
export {
  type ChangeSet,
  Monitor,
  type MonitoredRows,
  type MonitorSelection,
  type TableSelection,
} from './monitor/live-monitor.ts';
export type { MonitorState } from './monitor/monitor.ts';
export type { MissingElement } from './monitor/request.ts';
export { TableCache } from './monitor/table-cache.ts';
export type { RowIndex } from './monitor/table-store.ts';
export { TransactionResult } from './operations/result.ts';
export { type CountedOperation, type SelectOperation, Transaction } from './operations/transaction.ts';
export type { ConnectOptions, DatabaseDefinition } from './options.ts';
export {
  type BaseType,
  type ColumnKind,
  type ColumnSchema,
  columnOf,
  type DatabaseSchema,
  hasColumn,
  parseSchema,
  type TableSchema,
  tableOf,
} from './schema/schema.ts';
export { type Endpoint, formatEndpoint, parseEndpoints } from './session/endpoint.ts';
export type { ConnectionEvent, ConnectionState } from './session/events.ts';
export type { LeaderPreference, ServerStatus } from './session/server-status.ts';
export type { PemSource, TlsOptions } from './session/tls.ts';
export type { Dial } from './session/transport.ts';
export type { Atom } from './value/atom.ts';
export { type ColumnValue, setOf } from './value/column-value.ts';
export { InsertedRow } from './value/inserted-row.ts';
export {
  type Condition,
  everyRow,
  type Mutation,
  type NewRow,
  type RowChange,
  type UntypedRow,
  type UntypedTables,
  type Where,
} from './value/row-types.ts';
export { isUuid, newUuid, type Uuid, uuid, zeroUuid } from './value/uuid.ts';
