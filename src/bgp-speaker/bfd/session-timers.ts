import type { Clock, Timer } from '../../base/index.ts';

/** When a session sends next, and when the silence of its peer is judged: both on one timer of the clock. */
export class SessionTimers {
  /** Ms on the monotonic clock; infinity: not at all. */
  transmitAtMs = Number.POSITIVE_INFINITY;
  detectAtMs = Number.POSITIVE_INFINITY;
  readonly #clock: Clock;
  readonly #run: () => void;
  #armedAtMs = Number.POSITIVE_INFINITY;
  #timer: Timer | undefined;

  /** @param run something may be due; `arm` is to be called again */
  constructor(clock: Clock, run: () => void) {
    this.#clock = clock;
    this.#run = run;
  }

  /** The earlier one. */
  get dueMs(): number {
    return Math.min(this.transmitAtMs, this.detectAtMs);
  }

  /** A deadline that moves on leaves the timer as it is: `run` is called too early, and arms it anew. */
  arm(): void {
    const atMs = this.dueMs;
    if (this.#timer !== undefined && this.#armedAtMs <= atMs) return;
    this.stop();
    if (atMs === Number.POSITIVE_INFINITY) return;
    this.#armedAtMs = atMs;
    const delayMs = Math.ceil(Math.max(0, atMs - this.#clock.monotonicMs()));
    this.#timer = this.#clock.setTimer(delayMs, this.#fired);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  readonly #fired = (): void => {
    this.#timer = undefined;
    this.#run();
  };
}
