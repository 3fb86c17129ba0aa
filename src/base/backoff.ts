/** A source of randomness in [0, 1), handed in so that tests are deterministic. */
export type Random = () => number;

export interface BackoffOptions {
  /** First delay, ms, > 0. */
  initialMs: number;
  /** No delay is longer than this before jitter, ms. */
  maximumMs: number;
  /** Each delay is this many times the one before. Default 2. */
  factor?: number;
  /** The delay is multiplied by a number drawn from [1, 1 + jitter). Default 0.5. */
  jitter?: number;
}

/** Exponential back-off with jitter. `next()` gives the delay to wait now, in ms; `reset()` starts over. */
export class Backoff {
  #attempt = 0;
  readonly #options: Required<BackoffOptions>;
  readonly #random: Random;

  constructor(options: BackoffOptions, random: Random = Math.random) {
    this.#options = { factor: 2, jitter: 0.5, ...options };
    this.#random = random;
  }

  /** How many delays were handed out since the last reset. */
  get attempts(): number {
    return this.#attempt;
  }

  next(): number {
    const { initialMs, maximumMs, factor, jitter } = this.#options;
    const base = Math.min(maximumMs, initialMs * factor ** this.#attempt);
    this.#attempt += 1;
    return base * (1 + jitter * this.#random());
  }

  reset(): void {
    this.#attempt = 0;
  }
}
