import { type Clock, OvenbirdError, type Timer } from '../base/index.ts';

/** This process does not lead, or no longer: what it was about to write must not be written. */
export class LeadershipError extends OvenbirdError<'LeadershipLost'> {
  constructor(message: string, cause?: unknown) {
    super('LeadershipLost', message, { cause });
  }
}

/** What proves a term of leadership. */
export interface FenceToken {
  /** Of the Lease when it was checked. */
  resourceVersion: string;
  /** Number of the term; grows with each change of the holder. */
  term: number;
}

/** One term of leadership, from the Lease being written to its loss or release. */
export interface Leadership {
  /** Aborted with LeadershipError when the term is over or to be ended; nothing may be written afterwards. */
  readonly signal: AbortSignal;
  readonly term: number;
  /** Throws LeadershipError unless the Lease was renewed within the renew deadline. Cheap: before each write. */
  check(): void;
  /**
   * Reads the Lease and throws LeadershipError unless this process still holds it in this term: before writes that no
   * resourceVersion of their own protects. KubeError when the API server does not answer.
   */
  fence(signal?: AbortSignal): Promise<FenceToken>;
}

/** A term as the election keeps it. The deadline is its own timer, so that it holds while a renewal hangs. */
export class Term implements Leadership {
  readonly term: number;
  readonly #clock: Clock;
  readonly #renewDeadlineMs: number;
  readonly #controller = new AbortController();
  readonly #fence: (signal: AbortSignal | undefined) => Promise<FenceToken>;
  #renewedAtMs: number;
  #held = true;
  #timer: Timer;

  constructor(
    clock: Clock,
    renewDeadlineMs: number,
    term: number,
    renewedAtMs: number,
    fence: (signal: AbortSignal | undefined) => Promise<FenceToken>,
  ) {
    this.#clock = clock;
    this.#renewDeadlineMs = renewDeadlineMs;
    this.term = term;
    this.#renewedAtMs = renewedAtMs;
    this.#fence = fence;
    this.#timer = this.#arm();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get renewedAtMs(): number {
    return this.#renewedAtMs;
  }

  /** True until the Lease is lost; stays true while the term is being ended in good order. */
  get held(): boolean {
    return this.#held && this.#leftMs() > 0;
  }

  renewed(sentAtMs: number): void {
    if (!this.#held) return;
    this.#renewedAtMs = sentAtMs;
    this.#timer.cancel();
    this.#timer = this.#arm();
  }

  /** Ends the work of the term; the Lease is still ours. */
  end(reason: LeadershipError): void {
    this.#timer.cancel();
    this.#controller.abort(reason);
  }

  lose(reason: LeadershipError): void {
    this.#held = false;
    this.end(reason);
  }

  check(): void {
    if (this.#leftMs() <= 0) this.lose(this.#late());
    if (this.#controller.signal.aborted) throw this.#controller.signal.reason;
  }

  async fence(signal?: AbortSignal): Promise<FenceToken> {
    return this.#fence(signal);
  }

  #leftMs(): number {
    return this.#renewedAtMs + this.#renewDeadlineMs - this.#clock.monotonicMs();
  }

  #arm(): Timer {
    return this.#clock.setTimer(Math.max(0, this.#leftMs()), () => this.lose(this.#late()));
  }

  #late(): LeadershipError {
    return new LeadershipError(`the lease could not be renewed for ${this.#renewDeadlineMs} ms`);
  }
}
