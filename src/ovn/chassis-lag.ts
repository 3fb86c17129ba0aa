import type { GlobalCounters } from './northbound-reader.ts';

/** How long a change took on its way, ms. */
export interface MeasuredLag {
  /** Until northd had translated it. */
  northdMs: number;
  /** Until every chassis had it; undefined while that lasts, or when a chassis is away. */
  chassisMs: number | undefined;
}

/**
 * Measures how far the data plane lags behind by raising NB_Global.nb_cfg after a write, and watching for northd and the
 * chassis to report that number. Other users may raise it too: only numbers at least as high as ours are looked for.
 */
export class ChassisLag {
  readonly #everyMs: number | undefined;
  #pending: { target: number; sinceMs: number; northdMs?: number } | undefined;
  #lastMs: number | undefined;
  measured: MeasuredLag | undefined;

  /** @param everyMs shortest time between two measurements; undefined never measures */
  constructor(everyMs: number | undefined) {
    this.#everyMs = everyMs;
  }

  /** Looks at the counters; gives the row whose counter to raise when a measurement is to begin. */
  next(counters: GlobalCounters | undefined, wrote: boolean, nowMs: number): GlobalCounters | undefined {
    if (this.#everyMs === undefined || !counters) return undefined;
    this.#observe(counters, nowMs);
    if (!wrote || (this.#lastMs !== undefined && nowMs - this.#lastMs < this.#everyMs)) return undefined;
    this.#lastMs = nowMs;
    this.#pending = { target: counters.nbCfg + 1, sinceMs: nowMs };
    return counters;
  }

  #observe({ sbCfg, hvCfg }: GlobalCounters, nowMs: number): void {
    const pending = this.#pending;
    if (!pending) return;
    if (pending.northdMs === undefined && sbCfg >= pending.target) {
      pending.northdMs = nowMs - pending.sinceMs;
      this.measured = { northdMs: pending.northdMs, chassisMs: undefined };
    }
    if (pending.northdMs === undefined || hvCfg < pending.target) return;
    this.measured = { northdMs: pending.northdMs, chassisMs: nowMs - pending.sinceMs };
    this.#pending = undefined;
  }
}
