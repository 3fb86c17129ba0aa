import { describeError } from '../base/index.ts';
import { OvsdbError, TransactionError } from '../ovsdb-client/index.ts';
import type { LoadBalancerRow } from './load-balancer-rows.ts';
import type { Operation } from './operations.ts';
import type { OvnProblem } from './problems.ts';

interface Refusal {
  message: string;
  /** The desired row that was refused, once known. */
  row?: LoadBalancerRow;
}

/** Complaints that say something about the state of the database or of the server, not about the row. */
const passing: readonly string[] = [
  'duplicate uuid',
  'timed out',
  'referential integrity violation',
  'not owner',
  'not allowed',
  'permission error',
  'resources exhausted',
];

/**
 * Rows that the server would not take. They are left out until they change, so that one bad row does not keep the rest of
 * its transaction out.
 */
export class RefusedRows {
  readonly #refusals = new Map<string, Refusal>();
  /** True after a refusal that did not name its row: from then on each Service goes by itself. */
  careful = false;

  /** Looks for the row to blame for a failed transaction. */
  learn(thrown: unknown, batch: readonly Operation[]): void {
    if (!(thrown instanceof OvsdbError)) return;
    const message = describeError(thrown);
    if (thrown instanceof TransactionError) {
      if (thrown.outcome !== 'refused' || passing.includes(thrown.error ?? '')) return;
      const blamed = thrown.operation === undefined ? undefined : batch[thrown.operation];
      if (blamed?.table === 'Load_Balancer') {
        this.#refusals.set(blamed.uuid, { message });
        return;
      }
    } else if (thrown.code !== 'InvalidRequest') {
      return;
    }
    if (!this.careful) {
      this.careful = true;
      return;
    }
    for (const { table, uuid } of batch) if (table === 'Load_Balancer') this.#refusals.set(uuid, { message });
  }

  /** The rows still to be left out; one that changed since gets another chance. */
  current(rows: readonly LoadBalancerRow[]): ReadonlySet<string> {
    if (this.#refusals.size === 0) return new Set();
    const byUuid = new Map(rows.map((row) => [row.uuid, row]));
    for (const [uuid, refusal] of this.#refusals) {
      const row = byUuid.get(uuid);
      if (!row || (refusal.row && refusal.row !== row)) this.#refusals.delete(uuid);
      else refusal.row = row;
    }
    return new Set(this.#refusals.keys());
  }

  problems(): OvnProblem[] {
    return [...this.#refusals.values()].flatMap(({ message, row }) =>
      row
        ? {
            code: 'RefusedByDatabase' as const,
            service: row.service,
            message: `the northbound database refuses load balancer "${row.name}": ${message}`,
            blocking: true,
          }
        : [],
    );
  }

  /** Another server or schema may think differently. */
  forget(): void {
    this.#refusals.clear();
    this.careful = false;
  }
}
