/** Looks in a second that do not wait for more changes to come. */
const looksAtOnce = 8;
/** Times that somebody may take rows away before that counts as a quarrel. */
const contestsAtOnce = 3;
/** A quarrel is over when nobody took anything away for so long, ms. */
const contestMs = 10_000;
const longestGatherMs = 5_000;
const longestRestMs = 1_000;

/**
 * How long to wait from one look at the database to the next: not at all for a single change, a little while changes pour
 * in, so that they gather, and longer and longer against somebody who goes on taking our rows away.
 */
export class LookPacing {
  readonly #gatherMs: number;
  /** Monotonic times of the looks of the last second. */
  #recentLooks: number[] = [];
  #contests = 0;
  #contestedAtMs = Number.NEGATIVE_INFINITY;

  /** @param gatherMs shortest time between two looks of a burst */
  constructor(gatherMs: number) {
    this.#gatherMs = gatherMs;
  }

  /** Somebody took rows of ours away. */
  contested(nowMs: number): void {
    this.#contests = this.#isQuarrelOver(nowMs) ? 1 : this.#contests + 1;
    this.#contestedAtMs = nowMs;
  }

  /** The pause after a look, ms. Long looks (many rows, a slow server) are spaced so that half of the time is theirs. */
  pauseMs(lookMs: number, nowMs: number): number {
    this.#recentLooks = [...this.#recentLooks.filter((atMs) => nowMs - atMs < 1_000), nowMs];
    const excess = this.#isQuarrelOver(nowMs) ? 0 : Math.max(0, this.#contests - contestsAtOnce);
    const calm = this.#recentLooks.length <= looksAtOnce && excess === 0;
    const gatherMs = calm ? 0 : Math.min(longestGatherMs, this.#gatherMs * 2 ** excess);
    return Math.max(gatherMs, Math.min(lookMs, longestRestMs));
  }

  #isQuarrelOver(nowMs: number): boolean {
    return nowMs - this.#contestedAtMs > contestMs;
  }
}
