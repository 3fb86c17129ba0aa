import type { Clock } from '../../base/index.ts';

/** Lets through so many reports a second, and counts the others: what a stranger sends must not drown what matters. */
export class Allowance {
  readonly #clock: Clock;
  readonly #mostASecond: number;
  #secondStartMs = Number.NEGATIVE_INFINITY;
  #inSecond = 0;
  #unreported = 0;

  constructor(clock: Clock, mostASecond = 10) {
    this.#clock = clock;
    this.#mostASecond = mostASecond;
  }

  /** How many were left out before this one, or undefined when this one is left out too. */
  take(): number | undefined {
    const now = this.#clock.monotonicMs();
    if (now - this.#secondStartMs >= 1000) {
      this.#secondStartMs = now;
      this.#inSecond = 0;
    }
    if (this.#inSecond >= this.#mostASecond) {
      this.#unreported += 1;
      return undefined;
    }
    this.#inSecond += 1;
    const before = this.#unreported;
    this.#unreported = 0;
    return before;
  }
}
