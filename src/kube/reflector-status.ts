import type { ReflectorReason } from './watch-ending.ts';

/** For readiness, metrics and status pages. */
export interface ReflectorStatus {
  /** `waiting`: between two watches, or for the next try. */
  phase: 'idle' | 'listing' | 'watching' | 'waiting' | 'stopped';
  /** A full list was committed at least once; stays true while disconnected. */
  synced: boolean;
  reason: ReflectorReason;
  /** The last failure in words, empty while all is well. */
  message: string;
  /** Monotonic time of the last byte from the server, ms. */
  lastContactMs: number | undefined;
  /** Monotonic time since when no watch is open, ms; undefined while one is. */
  disconnectedSinceMs: number | undefined;
  resourceVersion: string | undefined;
  /** Full lists committed, watches opened, events received, failures in a row. */
  lists: number;
  watches: number;
  events: number;
  failures: number;
}

export const initialStatus: Readonly<ReflectorStatus> = {
  phase: 'idle',
  synced: false,
  reason: 'NotStarted',
  message: '',
  lastContactMs: undefined,
  disconnectedSinceMs: undefined,
  resourceVersion: undefined,
  lists: 0,
  watches: 0,
  events: 0,
  failures: 0,
};
