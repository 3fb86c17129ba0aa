import type { Clock } from '../base/index.ts';

/** So many corrections of one status may follow at once, and one more after each `refillMs`. */
const burst = 5;
const refillMs = 10_000;

/**
 * Slows down quarrels about the status of a Service. Another load-balancer implementation that serves the same Services
 * answers each of our writes with one of its own, and two such programs would keep the API server busy for ever.
 */
export class StatusContests {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  /** What was written last, and when all corrections of it so far will have been made good. */
  readonly #written = new Map<string, { text: string; paidAtMs: number }>();

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
  }

  /** True when this very text was written last: whoever finds another one there has found somebody else's. */
  isCorrection(key: string, text: string): boolean {
    return this.#written.get(key)?.text === text;
  }

  /** How long to wait before `text` is written into a status that does not say it, ms. */
  waitMs(key: string, text: string): number {
    const last = this.#written.get(key);
    if (last?.text !== text) return 0;
    return Math.max(0, last.paidAtMs - (burst - 1) * refillMs - this.#clock.monotonicMs());
  }

  /** The status says `text` now. */
  wrote(key: string, text: string): void {
    const now = this.#clock.monotonicMs();
    const last = this.#written.get(key);
    const paidAtMs = last?.text === text ? Math.max(last.paidAtMs, now) + refillMs : now;
    this.#written.set(key, { text, paidAtMs });
  }

  forget(key: string): void {
    this.#written.delete(key);
  }
}
