import { OvsdbError, TransactionError } from '../errors.ts';
import { abbreviate, isArray, isObject, type Json, type JsonObject, member } from '../json/json-value.ts';
import type { Work } from '../rpc/connection.ts';
import { readError } from '../rpc/message.ts';
import { columnOf, type DatabaseSchema, implicitColumns, type TableSchema, tableOf } from '../schema/schema.ts';
import { decodeValue } from '../value/column-value.ts';
import type { InsertedRow } from '../value/inserted-row.ts';
import { isUuid, type Uuid } from '../value/uuid.ts';
import type { CountedOperation, SelectOperation } from './transaction.ts';

/** What a committed transaction did. */
export class TransactionResult {
  readonly #results: readonly Json[];
  readonly #selected: SelectedRows;

  constructor(results: readonly Json[], selected: SelectedRows = new Map()) {
    this.#results = results;
    this.#selected = selected;
  }

  /** The identity of a row that was inserted. */
  uuid(row: InsertedRow): Uuid {
    const value = member(this.#at(row.position), 'uuid');
    const text = isArray(value) && value[0] === 'uuid' ? value[1] : undefined;
    if (!isUuid(text)) throw unexpected(row.position, value);
    return text;
  }

  /** How many rows an update, mutate or delete concerned. */
  count(operation: CountedOperation): number {
    const value = member(this.#at(operation.position), 'count');
    if (typeof value !== 'number') throw unexpected(operation.position, value);
    return value;
  }

  /** The rows that a select found, in the server's order. */
  rows<Row>(operation: SelectOperation<Row>): readonly Row[] {
    const decoded = this.#selected.get(operation.position);
    if (decoded instanceof OvsdbError) throw decoded;
    if (decoded === undefined) throw unexpected(operation.position, this.#results[operation.position]);
    return decoded as readonly Row[];
  }

  #at(position: number): JsonObject {
    const result = this.#results[position];
    if (!isObject(result)) throw unexpected(position, result);
    return result;
  }
}

/** Rows of the select operations by position, or why they cannot be read. */
export type SelectedRows = ReadonlyMap<number, readonly object[] | OvsdbError>;

const ROWS_PER_STEP = 32;

/**
 * Reads the rows of all select operations in short steps: done at once, tens of thousands of rows would keep the event
 * loop for longer than a tenth of a second. Nothing to do gives undefined.
 */
export function decodeSelected(
  schema: DatabaseSchema,
  operations: readonly Json[],
  results: Json,
  into: Map<number, readonly object[] | OvsdbError>,
): Work | undefined {
  const isSelect = (operation: Json) => isObject(operation) && member(operation, 'op') === 'select';
  return isArray(results) && operations.some(isSelect) ? decode(results) : undefined;

  function* decode(all: readonly Json[]): Work {
    for (const [position, operation] of operations.entries()) {
      const result = all[position];
      const rows = isObject(result) ? member(result, 'rows') : undefined;
      if (!isObject(operation) || !isSelect(operation) || !isArray(rows)) continue;
      try {
        const table = tableOf(schema, String(member(operation, 'table')));
        const decoded: object[] = [];
        for (const row of rows) {
          if (!isObject(row)) throw unexpected(position, row);
          decoded.push(decodeSelectedRow(table, row));
          if (decoded.length % ROWS_PER_STEP === 0) yield;
        }
        into.set(position, decoded);
      } catch (thrown) {
        if (!(thrown instanceof OvsdbError)) throw thrown;
        into.set(position, thrown);
      }
    }
  }
}

function decodeSelectedRow(table: TableSchema, json: JsonObject): object {
  const row: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(json)) {
    row[name] = decodeValue(implicitColumns.get(name) ?? columnOf(table, name), value);
  }
  return row;
}

function unexpected(position: number, json: Json | undefined): OvsdbError {
  return new OvsdbError('ProtocolError', `the result of operation ${position} is ${abbreviate(json ?? null)}`);
}

// What the server says when a request that it carried out twice met its own first execution. On a cluster a write in
// flight during a change of leader is executed again by the server, and only the second execution is reported.
const errorsOfSecondExecution: readonly string[] = ['timed out', 'duplicate uuid', 'constraint violation'];

// Errors after which the server has certainly committed nothing. `I/O error` and words that we do not know are not here.
const refusals: readonly string[] = [
  ...errorsOfSecondExecution,
  'aborted',
  'domain error',
  'duplicate uuid-name',
  'not allowed',
  'not owner',
  'not supported',
  'ovsdb error',
  'permission error',
  'range error',
  'referential integrity violation',
  'resources exhausted',
  'syntax error',
  'unknown column',
  'unknown database',
  'unknown table',
];

/**
 * Looks through the result array of a `transact` for the error that RFC 7047 section 4.1.3 hides in it: operations
 * before the failing one have results, later ones null, and an error at commit is one element more than operations.
 * Returns undefined when everything succeeded.
 */
export function findTransactionError(
  results: readonly Json[],
  operations: readonly Json[],
  clustered: boolean,
): TransactionError | undefined {
  for (const [position, result] of results.entries()) {
    const json = isObject(result) ? member(result, 'error') : undefined;
    if (json === undefined || json === null) continue;
    const { error } = readError(json);
    const details = isObject(result) ? member(result, 'details') : undefined;
    const sentence = typeof details === 'string' ? details : undefined;
    const atCommit = position >= operations.length;
    const where = atCommit ? 'at commit' : `in operation ${position} (${describeOperation(operations[position])})`;
    const isCertain = refusals.includes(error) && !(clustered && errorsOfSecondExecution.includes(error));
    const outcome = isCertain ? 'refused' : 'unknown';
    return new TransactionError(outcome, `${error} ${where}${sentence === undefined ? '' : `: ${sentence}`}`, {
      error,
      details: sentence,
      operation: atCommit ? undefined : position,
    });
  }
  if (results.length < operations.length || results.some((result) => !isObject(result))) {
    return new TransactionError(
      'unknown',
      `the server answered ${abbreviate(results)} to ${operations.length} operations`,
    );
  }
  return undefined;
}

function describeOperation(operation: Json | undefined): string {
  if (!isObject(operation)) return 'unknown';
  const table = member(operation, 'table');
  return typeof table === 'string' ? `${String(member(operation, 'op'))} ${table}` : String(member(operation, 'op'));
}
