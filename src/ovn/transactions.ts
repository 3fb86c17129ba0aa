import { uuid as asUuid, Transaction, type UntypedTables } from '../ovsdb-client/index.ts';
import type { Operation } from './operations.ts';

/** Writes operations down as a transaction. */
export function toTransaction(operations: readonly Operation[]): Transaction<UntypedTables> {
  const transaction = new Transaction<UntypedTables>();
  for (const operation of operations) {
    const { table } = operation;
    const uuid = asUuid(operation.uuid);
    const where = [['_uuid', '==', uuid]] as const;
    switch (operation.op) {
      case 'insert':
        transaction.insert(table, operation.row as never, { uuid });
        break;
      case 'update':
        transaction.update(table, where, operation.row as never);
        break;
      case 'delete':
        transaction.delete(table, where);
        break;
      case 'mutate':
        transaction.mutate(table, where, [[operation.column, operation.mutator, operation.uuids.map(asUuid)]] as never);
        break;
    }
  }
  return transaction;
}
