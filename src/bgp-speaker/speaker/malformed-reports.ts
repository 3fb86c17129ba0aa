import type { Clock } from '../../base/index.ts';

const mostASecond = 10;

/** Lets through so many reports a second, and counts the others. */
export class MalformedReports {
  readonly #clock: Clock;
  #secondStartMs = Number.NEGATIVE_INFINITY;
  #inSecond = 0;
  #unreported = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many were left out before this one, or undefined when this one is left out too. */
  take(): number | undefined {
    const now = this.#clock.monotonicMs();
    if (now - this.#secondStartMs >= 1000) {
      this.#secondStartMs = now;
      this.#inSecond = 0;
    }
    if (this.#inSecond >= mostASecond) {
      this.#unreported += 1;
      return undefined;
    }
    this.#inSecond += 1;
    const before = this.#unreported;
    this.#unreported = 0;
    return before;
  }
}
