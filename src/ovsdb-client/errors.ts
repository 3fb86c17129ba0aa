import { OvenbirdError, type OvenbirdErrorOptions } from '../base/errors.ts';

/**
 * What can go wrong, as a stable identifier.
 *
 * - `InvalidOptions`: an option of the caller is wrong; nothing was opened.
 * - `InvalidRequest`: a row, condition or mutation does not fit the schema; nothing was sent.
 * - `UnknownTable`, `UnknownColumn`: the served schema lacks it; nothing was sent.
 * - `ConnectFailed`: one endpoint could not be reached or did not speak the protocol.
 * - `ConnectionLost`: the connection ended; what was in flight has an unknown outcome.
 * - `ProtocolError`: the peer sent something that RFC 7047 does not allow; the connection was dropped.
 * - `ServerError`: the server answered a request with an error.
 * - `TransactionFailed`: see {@link TransactionError}.
 * - `Closed`: the client was closed.
 */
export type OvsdbErrorCode =
  | 'InvalidOptions'
  | 'InvalidRequest'
  | 'UnknownTable'
  | 'UnknownColumn'
  | 'ConnectFailed'
  | 'ConnectionLost'
  | 'ProtocolError'
  | 'ServerError'
  | 'TransactionFailed'
  | 'Closed';

/** Every error this library throws, except the caller's own abort reason. */
export class OvsdbError extends OvenbirdError<OvsdbErrorCode> {}

/** The server answered a request with an error: `error` is its word (e.g. `unknown method`), `details` its sentence. */
export class ServerError extends OvsdbError {
  readonly error: string;
  readonly details: string | undefined;

  constructor(method: string, error: string, details?: string) {
    super('ServerError', `${method}: server says ${error}${details === undefined ? '' : ` (${details})`}`);
    this.error = error;
    this.details = details;
  }
}

/**
 * What is known about the database after a transaction that did not succeed.
 *
 * - `not-sent`: nothing left this process. Sending it again is safe.
 * - `refused`: the server evaluated it and committed nothing.
 * - `unknown`: it may have been committed, even more than once if it was not written idempotently. Wait for the
 *   monitor to be live again, compare, and send only what is missing.
 */
export type FailedOutcome = 'not-sent' | 'refused' | 'unknown';

/** A transaction that did not succeed; `outcome` says what that means for the database. */
export class TransactionError extends OvsdbError {
  readonly outcome: FailedOutcome;
  /** The server's word, e.g. `constraint violation`, when it gave one. */
  readonly error: string | undefined;
  readonly details: string | undefined;
  /** Position of the operation the server complained about; undefined for an error at commit. */
  readonly operation: number | undefined;

  constructor(
    outcome: FailedOutcome,
    message: string,
    more: {
      error?: string | undefined;
      details?: string | undefined;
      operation?: number | undefined;
    } & OvenbirdErrorOptions = {},
  ) {
    super('TransactionFailed', message, { retryable: outcome !== 'refused', ...more });
    this.outcome = outcome;
    this.error = more.error;
    this.details = more.details;
    this.operation = more.operation;
  }
}
