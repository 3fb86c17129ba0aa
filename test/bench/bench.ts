/** What one benchmark measured. Times in ms, memory in MB (resident), rates per second; `unit` says which. */
export interface BenchResult {
  name: string;
  unit: string;
  /** Number of samples. */
  n: number;
  median: number;
  p95: number;
  p99: number;
  max: number;
  min?: number;
  /** What the figures depend on: sizes, versions, settings. */
  conditions: Record<string, string | number | boolean>;
  /** A peer that did the same work in the same run, and ours divided by its median. */
  peer?: { name: string; version: string; median: number; [figure: string]: string | number };
  ratio?: number;
  /** Further figures of the same run. */
  details?: Record<string, number | string>;
  raw?: number[];
}

/** A benchmark: sets up what it needs, measures, tears down. Throws with one sentence when it cannot run. */
export type Bench = (options: { samples?: number; progress(text: string): void }) => Promise<BenchResult>;

/** Order statistics of the samples, nearest-rank, rounded to three decimals. @throws RangeError without samples */
export function summarize(
  name: string,
  unit: string,
  samples: readonly number[],
  conditions: BenchResult['conditions'],
): BenchResult {
  if (samples.length === 0) throw new RangeError(`${name}: no sample was taken`);
  const sorted = [...samples].sort((a, b) => a - b);
  const rank = (fraction: number) => round(sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? Number.NaN);
  return {
    name,
    unit,
    n: sorted.length,
    median: rank(0.5),
    p95: rank(0.95),
    p99: rank(0.99),
    max: rank(1),
    min: rank(0),
    conditions,
    raw: samples.map(round),
  };
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
