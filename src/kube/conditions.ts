import { cutText } from './cut-text.ts';
import type { Condition } from './objects.ts';

/** Longest message of a metav1.Condition, bytes; the API allows as many characters. */
const maximumMessageBytes = 32_768;

/** A condition as a decision gives it: without the time, which depends on what was there before. */
export type DesiredCondition = Omit<Condition, 'lastTransitionTime'>;

/**
 * Puts `desired` among `conditions`, sorted by type. `lastTransitionTime` becomes `now` (RFC 3339) only when the status
 * changes, as metav1.Condition asks. `changed` is false when nothing would differ: then nothing needs to be written.
 */
export function ensureCondition(
  conditions: readonly Condition[] | undefined,
  desired: DesiredCondition,
  now: string,
): { conditions: Condition[]; changed: boolean } {
  const old = conditions?.find((condition) => condition.type === desired.type);
  const lastTransitionTime = old?.status === desired.status ? old.lastTransitionTime : now;
  const message = cutText(desired.message, maximumMessageBytes);
  const next: Condition = { ...desired, message, lastTransitionTime };
  const changed =
    !old ||
    old.status !== next.status ||
    old.reason !== next.reason ||
    old.message !== next.message ||
    old.observedGeneration !== next.observedGeneration;
  const others = (conditions ?? []).filter((condition) => condition.type !== desired.type);
  const sorted = [...others, changed ? next : (old ?? next)].sort((a, b) => (a.type < b.type ? -1 : 1));
  return { conditions: sorted, changed };
}

/** Time as metav1.Time prints it: RFC 3339 in whole seconds, UTC. */
export function kubeTime(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 19)}Z`;
}

/** Time as metav1.MicroTime prints it: RFC 3339 with microseconds, UTC. */
export function kubeMicroTime(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 23)}000Z`;
}
