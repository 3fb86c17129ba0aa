import type { Bench } from './bench.ts';

/** Every benchmark by name: what it measures, and how to load it. */
export const benches: Record<string, { what: string; load(): Promise<Bench> }> = {};
