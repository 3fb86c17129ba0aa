import { describeError } from '../../base/errors.ts';
import { type OvsdbError, ServerError, TransactionError } from '../errors.ts';
import { isArray, type Json } from '../json/json-value.ts';
import type { Session } from '../session/session.ts';
import { decodeSelected, findTransactionError, TransactionResult } from './result.ts';

/**
 * Sends encoded operations on a session that can take them, and waits for the outcome. Rejects with
 * {@link TransactionError}; its outcome is never `not-sent`.
 */
export async function sendTransaction(
  session: Session,
  database: string,
  operations: readonly Json[],
  signal: AbortSignal | undefined,
): Promise<TransactionResult> {
  const { connection, schema, status } = session;
  const selected = new Map<number, readonly object[] | OvsdbError>();
  let reply: Json;
  try {
    reply = await connection.start('transact', [database, ...operations], {
      signal,
      cancelOnAbort: true,
      onResult: (results) => decodeSelected(schema, operations, results, selected),
    });
  } catch (thrown) {
    throw failedTransaction(thrown);
  }
  if (!isArray(reply))
    throw new TransactionError('unknown', 'the server answered something that is not a list of results');
  const error = findTransactionError(reply, operations, status.model !== 'standalone');
  if (error !== undefined) throw error;
  return new TransactionResult(reply, selected);
}

// Errors in reply to the whole request for which the server is known to have done nothing.
const requestRefusals: readonly string[] = [
  'unknown database',
  'syntax error',
  'unknown method',
  'permission error',
  'not allowed',
];

function failedTransaction(thrown: unknown): TransactionError {
  if (thrown instanceof ServerError) {
    const outcome = requestRefusals.includes(thrown.error) ? 'refused' : 'unknown';
    return new TransactionError(outcome, thrown.message, {
      error: thrown.error,
      details: thrown.details,
      cause: thrown,
    });
  }
  return new TransactionError('unknown', `it may or may not have been committed: ${describeError(thrown)}`, {
    cause: thrown,
  });
}
