/** Every interval of layer 2 ownership on one interface. All in ms unless the name says otherwise. */
export interface L2Timing {
  /** A heartbeat leaves at least this often. */
  readonly heartbeatMs: number;
  /** A speaker is dead when nothing was heard of it for this long; sent along, so that each is judged by its own. */
  readonly holdMs: number;
  /** Our right to answer ends this much before the others may take us for dead. */
  readonly gateMarginMs: number;
  /** ARP probes sent before an address is taken over. 0 turns probing off. */
  readonly probeCount: number;
  /** Time between those probes, and after the last one. */
  readonly probeIntervalMs: number;
  /** The k-th in line waits k times this, so that only one claims. Longer than all probes together. */
  readonly rankDelayMs: number;
  /** An owner that hands over on purpose keeps answering until its successor is heard, at most this long. */
  readonly yieldMs: number;
  /**
   * At most this many moves on purpose per address within `moveWindowMs`: EVPN fabrics freeze an address that moves
   * five times in 180 s (RFC 7432 15.1).
   */
  readonly moveBudget: number;
  readonly moveWindowMs: number;
  /** An address found in use by a stranger is tried again after this long, doubling up to `inUseRetryMaxMs`. */
  readonly inUseRetryMs: number;
  readonly inUseRetryMaxMs: number;
  /** The only peer is silent and no witness answers either: we wait this much longer before we take over. */
  readonly lonelyWaitMs: number;
  /** A peer that stayed silent this long is forgotten. */
  readonly forgetMs: number;
}

/**
 * The intervals that follow from the time between heartbeats. 100 ms is the default: a dead owner is replaced 300 to
 * 400 ms after its last sign of life. 50 ms halves that and asks for hosts whose timers are not late.
 *
 * @param heartbeatMs 20 to 5000
 */
export function timingOf(heartbeatMs: number, overrides: Partial<L2Timing> = {}): L2Timing {
  const holdMs = heartbeatMs * 4;
  const probeIntervalMs = Math.min(40, Math.max(20, heartbeatMs / 2));
  return {
    heartbeatMs,
    holdMs,
    gateMarginMs: Math.max(20, holdMs / 8),
    probeCount: 2,
    probeIntervalMs,
    rankDelayMs: Math.max(100, heartbeatMs * 1.5),
    yieldMs: 1_000,
    moveBudget: 3,
    moveWindowMs: 180_000,
    inUseRetryMs: 5_000,
    inUseRetryMaxMs: 60_000,
    lonelyWaitMs: 1_000,
    forgetMs: 600_000,
    ...overrides,
  };
}

/** How long the probes of one address take in all, ms. */
export function probeWindowMs(timing: L2Timing): number {
  return timing.probeCount * timing.probeIntervalMs;
}
