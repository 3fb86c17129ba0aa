import type { Clock, Timer } from '../../base/index.ts';

/** A timer that is set anew far more often than it fires: moving the deadline back starts no timer. */
export class DeadlineTimer {
  readonly #clock: Clock;
  readonly #run: () => void;
  #deadline: number | undefined;
  #timer: Timer | undefined;
  #timerAt = 0;

  constructor(clock: Clock, run: () => void) {
    this.#clock = clock;
    this.#run = run;
  }

  /** Fires once, this long from now, unless set anew or cancelled. */
  set(delayMs: number): void {
    const deadline = this.#clock.monotonicMs() + delayMs;
    this.#deadline = deadline;
    if (this.#timer && this.#timerAt <= deadline) return;
    this.#start(deadline);
  }

  cancel(): void {
    this.#deadline = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #start(at: number): void {
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#clock.setTimer(Math.max(0, at - this.#clock.monotonicMs()), () => this.#fired());
  }

  #fired(): void {
    this.#timer = undefined;
    const deadline = this.#deadline;
    if (deadline === undefined) return;
    // Timers of the system may fire a fraction of a millisecond early.
    if (this.#clock.monotonicMs() < deadline - 1) {
      this.#start(deadline);
      return;
    }
    this.#deadline = undefined;
    this.#run();
  }
}
