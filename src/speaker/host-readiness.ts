import type { Clock, Timer } from '../base/index.ts';

/** An overlay interface that is back within this time, ms, was only made anew; nothing moves for it. */
const graceMs = 3_000;

/**
 * Whether this host can carry traffic for Services, as the election of owners should see it: a host that can stands at
 * once; one that cannot any more lets go only when that lasts.
 */
export class HostReadiness {
  readonly #clock: Clock;
  readonly #onChange: () => void;
  #ready: boolean;
  #loss: Timer | undefined;

  /**
   * @param ready what holds at the start
   * @param onChange called when `ready` became something else
   */
  constructor(clock: Clock, ready: boolean, onChange: () => void) {
    this.#clock = clock;
    this.#ready = ready;
    this.#onChange = onChange;
  }

  get ready(): boolean {
    return this.#ready;
  }

  /** Says what holds now. */
  tell(carries: boolean): void {
    if (carries) {
      this.stop();
      if (!this.#ready) this.#set(true);
    } else if (this.#ready) {
      this.#loss ??= this.#clock.setTimer(graceMs, () => {
        this.#loss = undefined;
        this.#set(false);
      });
    }
  }

  stop(): void {
    this.#loss?.cancel();
    this.#loss = undefined;
  }

  #set(ready: boolean): void {
    this.#ready = ready;
    this.#onChange();
  }
}
