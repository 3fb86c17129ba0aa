import type { TransactionResult } from '../operations/result.ts';
import type { RpcConnection } from '../rpc/connection.ts';
import type { DatabaseSchema } from '../schema/schema.ts';
import type { InsertedRow } from '../value/inserted-row.ts';
import type { MonitorCore } from './monitor.ts';

/**
 * Watches for monitors that the server has forgotten: some releases of ovsdb-server lost them silently under load, and
 * the cache then stays as it was for ever. A row that this client has just inserted must show; when one does not, even
 * after another round trip, the monitor reads everything again (once for each connection, since a row can also be missing
 * because somebody else deleted it at once).
 */
export async function checkOwnWrites(
  connection: RpcConnection,
  schema: DatabaseSchema,
  rows: readonly InsertedRow[],
  result: TransactionResult,
  monitors: Iterable<MonitorCore>,
): Promise<void> {
  for (const monitor of monitors) {
    // Rows outside the root set vanish when nothing refers to them: they prove nothing.
    const row = rows.find(
      (inserted) =>
        schema.tables.get(inserted.table)?.isRoot && monitor.lacks(connection, inserted.table, result.uuid(inserted)),
    );
    if (row === undefined) continue;
    await connection.call('echo', []);
    const uuid = result.uuid(row);
    if (monitor.lacks(connection, row.table, uuid)) monitor.distrust(row.table, uuid);
  }
}
