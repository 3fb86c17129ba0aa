import type { Clock, Timer } from '../base/index.ts';
import { KubeError } from './kube-error.ts';

/** Ends a watch that is silent for too long, or that outlives its time; passes its parent's abort on. */
export class WatchGuard {
  readonly #clock: Clock;
  readonly #parent: AbortSignal;
  readonly #controller = new AbortController();
  readonly #onAbort = () => this.#controller.abort(this.#parent.reason);
  #idleMs: number;
  #heardMs: number;
  #silent = false;
  #idleTimer: Timer;
  readonly #endTimer: Timer;

  constructor(clock: Clock, parent: AbortSignal, idleMs: number, longestMs: number) {
    this.#clock = clock;
    this.#parent = parent;
    this.#idleMs = idleMs;
    this.#heardMs = clock.monotonicMs();
    if (parent.aborted) this.#onAbort();
    else parent.addEventListener('abort', this.#onAbort, { once: true });
    this.#idleTimer = clock.setTimer(idleMs, () => this.#check());
    this.#endTimer = clock.setTimer(longestMs, () => this.#end('the server did not end the watch in time'));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** True when this guard ended the watch. */
  get silent(): boolean {
    return this.#silent;
  }

  /** Something arrived. Cheap: the timer looks at the time when it fires. */
  heard(): void {
    this.#heardMs = this.#clock.monotonicMs();
  }

  /** Changes the silence that is borne, from now on. */
  allow(idleMs: number): void {
    this.#idleMs = idleMs;
    this.heard();
    this.#idleTimer.cancel();
    this.#idleTimer = this.#clock.setTimer(idleMs, () => this.#check());
  }

  dispose(): void {
    this.#idleTimer.cancel();
    this.#endTimer.cancel();
    this.#parent.removeEventListener('abort', this.#onAbort);
  }

  #check(): void {
    const left = this.#heardMs + this.#idleMs - this.#clock.monotonicMs();
    if (left > 0) this.#idleTimer = this.#clock.setTimer(left, () => this.#check());
    else this.#end(`nothing was heard for ${this.#idleMs} ms`);
  }

  #end(text: string): void {
    if (this.#parent.aborted) return;
    this.#silent = true;
    this.#controller.abort(new KubeError('Timeout', text));
  }
}
