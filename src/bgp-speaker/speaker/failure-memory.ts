import type { Clock } from '../../base/index.ts';

/** Addresses remembered; beyond it the one noted longest ago is forgotten. */
const mostAddresses = 4096;

/** How often in a row those have failed who are forgotten else between their connections: dynamic peers. */
export class FailureMemory {
  readonly #clock: Clock;
  /** In the order in which they were noted. */
  readonly #noted = new Map<string, { failures: number; untilMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(who: string, failures: number, forMs: number): void {
    this.#noted.delete(who);
    if (failures === 0) return;
    this.#noted.set(who, { failures, untilMs: this.#clock.monotonicMs() + forMs });
    if (this.#noted.size <= mostAddresses) return;
    const [oldest] = this.#noted.keys();
    if (oldest !== undefined) this.#noted.delete(oldest);
  }

  failuresOf(who: string): number {
    const noted = this.#noted.get(who);
    return noted && this.#clock.monotonicMs() < noted.untilMs ? noted.failures : 0;
  }

  clear(): void {
    this.#noted.clear();
  }
}
