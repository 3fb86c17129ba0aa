/** Upper bounds of the buckets, ms; the last bucket is open. */
export const latenessBoundsMs = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000] as const;

export interface LatenessReport {
  /** One count for each bound, then one for all that is later. Not cumulative. */
  counts: number[];
  maximumMs: number;
}

/** How late our timers fire: what decides whether short heartbeats can be kept on this host. */
export class LatenessHistogram {
  readonly #counts = new Uint32Array(latenessBoundsMs.length + 1);
  #maximumMs = 0;

  add(lateMs: number): void {
    let bucket = 0;
    while (bucket < latenessBoundsMs.length && lateMs > (latenessBoundsMs[bucket] ?? 0)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    if (lateMs > this.#maximumMs) this.#maximumMs = lateMs;
  }

  report(): LatenessReport {
    return { counts: [...this.#counts], maximumMs: this.#maximumMs };
  }
}
