import type { Clock, Timer } from '../../base/index.ts';
import type { Address } from '../../net/index.ts';

export interface PeerSearchOptions {
  discover(signal: AbortSignal): Promise<Address>;
  onFound(address: Address): void;
  clock: Clock;
  /** Between two looks, ms. */
  intervalMs: number;
}

/** Looks for an unnumbered peer that we do not dial, again and again: it may be another router by now. */
export class PeerSearch {
  readonly #options: PeerSearchOptions;
  #looking: AbortController | undefined;
  #timer: Timer | undefined;

  constructor(options: PeerSearchOptions) {
    this.#options = options;
  }

  /** Idempotent. */
  start(): void {
    if (this.#looking) return;
    this.#looking = new AbortController();
    void this.#look(this.#looking.signal);
  }

  stop(): void {
    this.#looking?.abort();
    this.#looking = undefined;
    this.#timer?.cancel();
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { discover, onFound, clock, intervalMs } = this.#options;
    // What keeps it from being found now may be over by the next look.
    const address = await discover(signal).catch(() => undefined);
    if (signal.aborted) return;
    if (address) onFound(address);
    this.#timer = clock.setTimer(intervalMs, () => void this.#look(signal));
  }
}
