import type { Clock } from '../../base/index.ts';

/** Waits until something is so, looked at whenever `look` is called. */
export class Conditions {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Something may have changed. */
  look(): void {
    for (const check of this.#waiting) check();
  }

  /** Resolves when it is so; at once when it is. @throws the signal's reason */
  async when(isSo: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (isSo()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const check = () => {
      if (isSo()) resolve();
    };
    const onAbort = () => reject(signal?.reason);
    this.#waiting.add(check);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await promise;
    } finally {
      this.#waiting.delete(check);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Resolves when it is so, or after `limitMs`. @throws the signal's reason */
  async within(limitMs: number, isSo: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    const late = new AbortController();
    const timer = this.#clock.setTimer(limitMs, () => late.abort());
    try {
      await this.when(isSo, signal ? AbortSignal.any([signal, late.signal]) : late.signal);
    } catch {
      signal?.throwIfAborted();
    } finally {
      timer.cancel();
    }
  }
}
