/** How late timers fired: a histogram with fixed bounds. */
export interface Lateness {
  /** How many were at most `latenessBoundsMs[i]` late, and later than the bound before; the last one counts the rest. */
  counts: number[];
  maxMs: number;
}

export const latenessBoundsMs = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] as const;

export function noLateness(): Lateness {
  return { counts: new Array<number>(latenessBoundsMs.length + 1).fill(0), maxMs: 0 };
}

export function noteLateness(lateness: Lateness, lateMs: number): void {
  let index = 0;
  while (index < latenessBoundsMs.length && lateMs > (latenessBoundsMs[index] ?? 0)) index += 1;
  lateness.counts[index] = (lateness.counts[index] ?? 0) + 1;
  if (lateMs > lateness.maxMs) lateness.maxMs = lateMs;
}
