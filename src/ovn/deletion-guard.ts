/** Below this many rows any number may go at once. */
const SMALL = 20;

/**
 * Keeps a wrong or empty list from taking everything away: when more than half of the rows (and at least 20) would go
 * at once, they go only if a second look, `confirmAfterMs` later, still says so, and then only those that both looks named.
 */
export class DeletionGuard {
  readonly #confirmAfterMs: number;
  #suspects: { since: number; uuids: ReadonlySet<string> } | undefined;

  constructor(confirmAfterMs: number) {
    this.#confirmAfterMs = confirmAfterMs;
  }

  /**
   * @param orphans uuids that would be deleted
   * @param total how many rows of ours there are, orphans included
   * @param nowMs monotonic
   */
  allow(orphans: readonly string[], total: number, nowMs: number): ReadonlySet<string> {
    if (orphans.length < SMALL || orphans.length * 2 <= total) {
      this.#suspects = undefined;
      return new Set(orphans);
    }
    const suspects = this.#suspects;
    const confirmed = suspects ? orphans.filter((uuid) => suspects.uuids.has(uuid)) : [];
    if (!suspects || confirmed.length === 0) {
      this.#suspects = { since: nowMs, uuids: new Set(orphans) };
      return new Set();
    }
    if (nowMs - suspects.since < this.#confirmAfterMs) {
      // Only what every look names stays under suspicion; what was added later waits for its own second look.
      this.#suspects = { since: suspects.since, uuids: new Set(confirmed) };
      return new Set();
    }
    this.#suspects = undefined;
    return new Set(confirmed);
  }

  /** Time until a second look may confirm, in ms; undefined when nothing is suspected. */
  dueInMs(nowMs: number): number | undefined {
    return this.#suspects && Math.max(0, this.#suspects.since + this.#confirmAfterMs - nowMs);
  }

  /** Forgets: nothing is about to be deleted. */
  clear(): void {
    this.#suspects = undefined;
  }
}
