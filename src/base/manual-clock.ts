import type { Clock, Timer } from './clock.ts';

interface Pending {
  at: number;
  order: number;
  run: () => void;
}

/** A clock that moves only when told to: for tests and simulations. Wall and monotonic time can be moved apart. */
export class ManualClock implements Clock {
  #monotonicMs = 0;
  #wallOffsetMs: number;
  #order = 0;
  readonly #pending = new Set<Pending>();

  constructor(startWallMs = Date.UTC(2026, 0, 1)) {
    this.#wallOffsetMs = startWallMs;
  }

  nowMs(): number {
    return this.#wallOffsetMs + this.#monotonicMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const entry: Pending = { at: this.#monotonicMs + Math.max(0, delayMs), order: this.#order++, run };
    this.#pending.add(entry);
    return { cancel: () => this.#pending.delete(entry) };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const timer = this.setTimer(delayMs, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      const onAbort = () => {
        timer.cancel();
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Number of timers that have not fired: zero after a clean stop. */
  get pendingTimers(): number {
    return this.#pending.size;
  }

  /** Moves only the wall clock, as NTP or an operator does. */
  jumpWallMs(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** Moves time forward and fires due timers in order, letting promises settle between them. */
  async advance(byMs: number): Promise<void> {
    const end = this.#monotonicMs + byMs;
    for (;;) {
      await settle();
      let next: Pending | undefined;
      for (const entry of this.#pending) {
        if (entry.at <= end && (!next || entry.at < next.at || (entry.at === next.at && entry.order < next.order))) {
          next = entry;
        }
      }
      if (!next) break;
      this.#pending.delete(next);
      this.#monotonicMs = Math.max(this.#monotonicMs, next.at);
      next.run();
    }
    this.#monotonicMs = end;
    await settle();
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}
