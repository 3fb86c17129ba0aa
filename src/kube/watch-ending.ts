import { isKubeError, isTooLargeResourceVersion } from './kube-error.ts';

/** Why a reflector is where it is; shown in readiness and metrics. */
export type ReflectorReason =
  | 'NotStarted'
  | 'Listing'
  | 'Watching'
  | 'Closed'
  | 'Silent'
  | 'Expired'
  | 'Disconnected'
  | 'NoAnswer'
  | 'Throttled'
  | 'Forbidden'
  | 'Unauthorized'
  | 'NotServed'
  | 'BadData'
  | 'ServerError'
  | 'Stopped';

/** How a list or a watch ended. */
export type Ending =
  /** The server ended the watch in good order. */
  | { kind: 'closed'; durationMs: number }
  /** Nothing was heard for longer than a bookmark interval, or the server did not end the watch when it should have. */
  | { kind: 'silent'; durationMs: number }
  | { kind: 'failed'; durationMs: number; error: unknown };

export interface NextStep {
  /** `resume` at the resourceVersion reached; `list` all objects anew. */
  next: 'resume' | 'list';
  /** Wait for the back-off first. */
  backoff: boolean;
  /** Wait at least this long, as the server asked, ms. */
  atLeastMs: number;
  /** The back-off begins anew: the connection had been good. */
  healthy: boolean;
  reason: ReflectorReason;
}

/** A watch that lived this long was healthy, ms. */
const healthyMs = 30_000;
/** A watch that the server ended before this was refused rather than served, ms. */
const veryShortMs = 1_000;
/** So many attempts in a row that bring nothing and blame the data or the version end in a new list. */
const suspectStreak = 2;

/** `streak`: attempts that failed in a row before this one, none of which delivered an event. */
export function afterEnding(ending: Ending, streak: number): NextStep {
  const healthy = ending.durationMs >= healthyMs;
  const step: NextStep = { next: 'resume', backoff: true, atLeastMs: 0, healthy, reason: 'Closed' };
  if (ending.kind === 'closed') return { ...step, backoff: ending.durationMs < veryShortMs };
  if (ending.kind === 'silent') return { ...step, backoff: false, reason: 'Silent' };
  const { error } = ending;
  const reason = reasonOf(error);
  const atLeastMs = isKubeError(error) ? (error.retryAfterMs ?? 0) : 0;
  // History gone: all objects must be read again, at once if this is the first trouble.
  if (reason === 'Expired') return { ...step, next: 'list', backoff: streak > 0, atLeastMs, reason };
  // A version the server has not reached: it lags (soon over), or was restored from a backup (never over).
  const suspect = reason === 'BadData' || isTooLargeResourceVersion(error);
  return { ...step, next: suspect && streak + 1 >= suspectStreak ? 'list' : 'resume', atLeastMs, reason };
}

/** The reason that a failure gives. Anything that is not a KubeError came from handling the data. */
export function reasonOf(error: unknown): ReflectorReason {
  if (!isKubeError(error)) return 'BadData';
  switch (error.code) {
    case 'Gone':
      return 'Expired';
    case 'Network':
    case 'BadConfig':
      return 'Disconnected';
    case 'Timeout':
      return 'NoAnswer';
    case 'TooManyRequests':
    case 'Unavailable':
      return 'Throttled';
    case 'Forbidden':
      return 'Forbidden';
    case 'Unauthorized':
      return 'Unauthorized';
    case 'NotFound':
      return 'NotServed';
    case 'BadResponse':
      return 'BadData';
    default:
      return 'ServerError';
  }
}
