import { setTimeout as sleepFor } from 'node:timers/promises';

/** A timer that has been started; `cancel` is idempotent. */
export interface Timer {
  cancel(): void;
}

/**
 * Time, handed in so that tests need no sleeps.
 *
 * `nowMs` is the wall clock (UTC, ms since 1970): for timestamps that people or the API read; it may jump.
 * `monotonicMs` never jumps and has no epoch: for every interval, deadline and back-off.
 */
export interface Clock {
  nowMs(): number;
  monotonicMs(): number;
  /** Calls `run` once after `delayMs` (>= 0). The timer keeps the process alive. */
  setTimer(delayMs: number, run: () => void): Timer;
  /** Resolves after `delayMs`; rejects with the signal's reason when aborted. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** The machine's clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, run) {
    const handle = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  async sleep(delayMs, signal) {
    try {
      await sleepFor(delayMs, undefined, signal ? { signal } : undefined);
    } catch (thrown) {
      throw signal?.reason ?? thrown;
    }
  },
};
