/** One request of the probe. Times in ms on one clock. */
export interface ProbeResult {
  startMs: number;
  endMs: number;
  ok: boolean;
  answer: string;
}

/** What clients went through around a fault. */
export interface Outage {
  /** Longest time between two successful answers after the fault (the first counts from the last one before), ms. */
  longestGapMs: number;
  /** From the fault to the first successful answer of a request sent after it, ms. */
  firstAnswerMs: number;
  requests: number;
  failed: number;
}

/**
 * Sums up the requests around a fault.
 *
 * @param results in any order; those that ended before the fault only mark the last good answer
 * @returns undefined while nobody has answered a request that was sent after the fault
 */
export function measureOutage(results: readonly ProbeResult[], faultMs: number): Outage | undefined {
  const good = results.filter(({ ok }) => ok).sort((a, b) => a.endMs - b.endMs);
  const first = good.find(({ startMs }) => startMs >= faultMs);
  if (!first) return undefined;
  const lastBefore = good.findLast(({ endMs }) => endMs <= faultMs)?.endMs ?? faultMs;
  let longestGapMs = 0;
  let previous = lastBefore;
  for (const { endMs } of good) {
    if (endMs <= faultMs) continue;
    longestGapMs = Math.max(longestGapMs, endMs - previous);
    previous = endMs;
  }
  const after = results.filter(({ startMs }) => startMs >= faultMs);
  return {
    longestGapMs,
    firstAnswerMs: first.endMs - faultMs,
    requests: after.length,
    failed: after.filter(({ ok }) => !ok).length,
  };
}
