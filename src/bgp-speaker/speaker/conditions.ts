import type { Clock } from '../../base/index.ts';

/** Waits until something is so, looked at whenever `look` is called. */
export class Conditions {
  readonly #clock: Clock;
  readonly #waiting = new Set<{ check(): void; reject(reason: Error): void }>();
  #over: Error | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Something may have changed. */
  look(): void {
    for (const { check } of this.#waiting) check();
  }

  /** Nothing will change any more: who waits, or comes to wait, is told so. */
  end(reason: Error): void {
    this.#over ??= reason;
    for (const { reject } of this.#waiting) reject(this.#over);
  }

  /** Resolves when it is so; at once when it is. @throws the signal's reason; that of `end` */
  async when(isSo: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (isSo()) return;
    if (this.#over) throw this.#over;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const check = () => {
      if (isSo()) resolve();
    };
    const onAbort = () => reject(signal?.reason);
    const waiting = { check, reject };
    this.#waiting.add(waiting);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await promise;
    } finally {
      this.#waiting.delete(waiting);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Resolves when it is so, after `limitMs`, or at the end. @throws the signal's reason */
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
