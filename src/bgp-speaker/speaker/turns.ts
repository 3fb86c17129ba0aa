import type { Clock } from '../../base/index.ts';

/** Work that stops when `isOver` says so. Returns true when there is more to do. */
export type SlicedWork = (isOver: () => boolean) => boolean;

/**
 * Shares the event loop: all work handed in runs for at most `sliceMs` a turn together, one after the other, and goes on
 * in the next turn, so that timers and other sockets are not kept waiting. Work handed in while there is time left runs
 * at once.
 */
export class Turns {
  readonly #clock: Clock;
  readonly #sliceMs: number;
  readonly #queue: SlicedWork[] = [];
  #usedMs = 0;
  #immediate: NodeJS.Immediate | undefined;

  constructor(clock: Clock, sliceMs = 2) {
    this.#clock = clock;
    this.#sliceMs = sliceMs;
  }

  run(work: SlicedWork): void {
    if (this.#queue.length > 0 || this.#usedMs >= this.#sliceMs) this.#queue.push(work);
    else if (this.#slice(work)) this.#queue.push(work);
    // Also when nothing waits: the next turn has its whole time again.
    this.#immediate ??= setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#immediate = undefined;
    this.#usedMs = 0;
    while (this.#usedMs < this.#sliceMs) {
      const work = this.#queue.shift();
      if (!work) break;
      if (this.#slice(work)) this.#queue.push(work);
    }
    if (this.#queue.length > 0) this.#immediate = setImmediate(() => this.#turn());
  }

  #slice(work: SlicedWork): boolean {
    const before = this.#clock.monotonicMs();
    const end = before + this.#sliceMs - this.#usedMs;
    const more = work(() => this.#clock.monotonicMs() >= end);
    this.#usedMs += this.#clock.monotonicMs() - before;
    return more;
  }
}
