// Not through the room's index: the CNI plugin starts for every pod and must not load a logger.
import { OvenbirdError } from '../../src/base/errors.ts';

/** A value as OVSDB writes it in JSON (RFC 7047 section 5.1). */
export type OvsdbValue =
  | string
  | number
  | boolean
  | readonly [string, string]
  | readonly ['set' | 'map', readonly unknown[]];

export type OvsdbRow = Readonly<Record<string, OvsdbValue>>;

/** One operation of a transaction (RFC 7047 section 5.2). */
export type OvsdbOperation = { readonly op: string } & Readonly<Record<string, unknown>>;

/** The result of one operation; `rows` for a select, `count` for the others. */
export interface OvsdbResult {
  readonly rows?: readonly OvsdbRow[];
  readonly count?: number;
  readonly uuid?: readonly ['uuid', string];
  readonly error?: string;
  readonly details?: string;
}

/** A transaction that was refused; nothing of it took effect. */
export class OvsdbRefused extends OvenbirdError<'Refused'> {
  /** RFC 7047's word: `timed out` when a `wait` did not hold, `constraint violation`, ... */
  readonly reason: string;
  /** Which operation failed; the number of operations when the commit itself did. */
  readonly at: number;

  constructor(reason: string, at: number, message: string) {
    super('Refused', message);
    this.reason = reason;
    this.at = at;
  }
}

/** The words that carry out one transaction with Open vSwitch's own client, which knows long socket paths. */
export function transactCommand(
  server: string,
  database: string,
  operations: readonly OvsdbOperation[],
  timeoutSeconds: number,
): { command: string; args: string[] } {
  return {
    command: 'ovsdb-client',
    args: [`--timeout=${timeoutSeconds}`, 'transact', server, JSON.stringify([database, ...operations])],
  };
}

/**
 * The results in the order of the operations.
 * @throws OvsdbRefused when an operation failed, naming it.
 */
export function parseTransactReply(stdout: string, operations: readonly OvsdbOperation[]): OvsdbResult[] {
  const results = JSON.parse(stdout) as (OvsdbResult | null)[];
  const failedAt = results.findIndex((result) => result?.error !== undefined);
  const failed = results[failedAt];
  if (failed?.error !== undefined) {
    const operation = operations[failedAt];
    const which = operation ? `${operation.op} ${String(operation.table ?? '')}` : 'commit';
    throw new OvsdbRefused(
      failed.error,
      failedAt,
      `${which.trim()}: ${failed.error}${failed.details ? `: ${failed.details}` : ''}`,
    );
  }
  return results.map((result) => result ?? {});
}

/** Members of a set column, which OVSDB writes bare when there is exactly one. */
export function setMembers(value: OvsdbValue | undefined): readonly OvsdbValue[] {
  if (value === undefined) return [];
  if (Array.isArray(value) && value[0] === 'set') return value[1] as OvsdbValue[];
  return [value];
}

/** A map column as an object. */
export function mapEntries(value: OvsdbValue | undefined): Record<string, string> {
  if (!Array.isArray(value) || value[0] !== 'map') return {};
  return Object.fromEntries(value[1] as [string, string][]);
}

/** An object as a map column. */
export function mapValue(entries: Readonly<Record<string, string>>): OvsdbValue {
  return ['map', Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1))];
}

/** The uuid inside `["uuid", "..."]`; empty when the value is something else. */
export function uuidText(value: OvsdbValue | undefined): string {
  return Array.isArray(value) && value[0] === 'uuid' ? String(value[1]) : '';
}
