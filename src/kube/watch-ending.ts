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
  /** The data or the version was to blame. */
  suspect: boolean;
  reason: ReflectorReason;
}

/** A watch that lived this long was healthy, ms. */
const healthyMs = 30_000;
/** A watch that the server ended before this was refused rather than served, ms. */
const veryShortMs = 1_000;
/** So many attempts in a row that blame the data or the version end in a new list. */
const suspectStreak = 2;

/** What came before, since an event was last delivered. */
export interface Streak {
  /** Attempts that failed in a row. */
  failures: number;
  /** Those of them, at the end, that blamed the data or the version. */
  suspects: number;
  /** Those of them, at the end, that told of a history that is gone. */
  expiries: number;
}

export function afterEnding(ending: Ending, before: Streak): NextStep {
  const healthy = ending.durationMs >= healthyMs;
  const step: NextStep = { next: 'resume', backoff: true, atLeastMs: 0, healthy, suspect: false, reason: 'Closed' };
  if (ending.kind === 'closed') return { ...step, backoff: ending.durationMs < veryShortMs };
  if (ending.kind === 'silent') return { ...step, backoff: false, reason: 'Silent' };
  const { error } = ending;
  const reason = reasonOf(error);
  const atLeastMs = isKubeError(error) ? (error.retryAfterMs ?? 0) : 0;
  // History gone: all objects must be read again, and at once, however long the server was away before; only a server
  // that says so again and again is given time.
  if (reason === 'Expired') return { ...step, next: 'list', backoff: before.expiries > 0, atLeastMs, reason };
  // A version the server has not reached: it lags (soon over), or was restored from a backup (never over).
  const suspect = reason === 'BadData' || isTooLargeResourceVersion(error);
  const next = suspect && before.suspects + 1 >= suspectStreak ? 'list' : 'resume';
  return { ...step, next, atLeastMs, suspect, reason };
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
