import { kubeMicroTime } from './conditions.ts';
import type { Lease } from './objects.ts';

/** What a contender remembers of the Lease: which version it saw, and when, by its own monotonic clock. */
export interface Observation {
  /** Changes whenever the holder writes the Lease. */
  version: string;
  holder: string;
  leaseMs: number;
  /** When this version was first seen here. Only this is compared with the clock: clocks of hosts differ. */
  seenAtMs: number;
}

/** What to do with the Lease as it is. */
export type Bid =
  /** It does not exist. */
  | { action: 'create' }
  /** It is ours already, is free, or its holder has not renewed for as long as it promised. */
  | { action: 'write'; takeover: boolean }
  | { action: 'wait'; holder: string; forMs: number };

/** Updates the observation with the Lease just read at `nowMs`; an unchanged Lease keeps the time it was first seen. */
export function observe(before: Observation | undefined, lease: Lease, nowMs: number): Observation {
  const version = `${lease.metadata.uid}/${lease.metadata.resourceVersion}`;
  return {
    version,
    holder: lease.spec?.holderIdentity ?? '',
    leaseMs: (lease.spec?.leaseDurationSeconds ?? 0) * 1000,
    seenAtMs: before?.version === version ? before.seenAtMs : nowMs,
  };
}

/** Decides for `identity`. Pure. */
export function bid(observed: Observation | undefined, identity: string, nowMs: number): Bid {
  if (!observed) return { action: 'create' };
  if (observed.holder === identity) return { action: 'write', takeover: false };
  const leftMs = observed.holder === '' ? 0 : observed.seenAtMs + observed.leaseMs - nowMs;
  if (leftMs > 0) return { action: 'wait', holder: observed.holder, forMs: leftMs };
  return { action: 'write', takeover: true };
}

/** The spec to write: a new term for a takeover, else a renewal of the one in `old`. */
export function leaseSpec(
  old: Lease['spec'],
  identity: string,
  leaseMs: number,
  wallMs: number,
): NonNullable<Lease['spec']> {
  const now = kubeMicroTime(wallMs);
  const same = old?.holderIdentity === identity;
  return {
    ...old,
    holderIdentity: identity,
    leaseDurationSeconds: Math.ceil(leaseMs / 1000),
    acquireTime: same ? (old?.acquireTime ?? now) : now,
    renewTime: now,
    leaseTransitions: old === undefined ? 0 : (old.leaseTransitions ?? 0) + (same ? 0 : 1),
  };
}

/** The spec that frees the Lease for the next contender at once. */
export function releasedSpec(old: Lease['spec'], wallMs: number): NonNullable<Lease['spec']> {
  const now = kubeMicroTime(wallMs);
  return { ...old, holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now };
}
