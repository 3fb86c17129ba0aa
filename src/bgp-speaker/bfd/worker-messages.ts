/** What a BFD worker and its owner say to each other. */
import type { BfdEngineStatus, BfdSessionEvent, BfdSessionStatus } from './session-events.ts';
import type { BfdTiming, ResolvedBfdSession } from './session-options.ts';

export interface BfdWorkerSettings {
  realtimePriority: number | undefined;
}

/** `session` is a number that the owner gives. */
export type ToBfdWorker =
  | { kind: 'add'; session: number; options: ResolvedBfdSession }
  | { kind: 'configure'; session: number; change: BfdTiming }
  | { kind: 'admin-down'; session: number; adminDown: boolean }
  | { kind: 'remove'; session: number; request: number }
  | { kind: 'status'; session: number; request: number }
  | { kind: 'engine-status'; request: number }
  | { kind: 'close'; request: number };

export type BfdAnswer = BfdSessionStatus | BfdEngineStatus | undefined;

export type FromBfdWorker =
  /** It runs; `realtimeRefused` says why without the real-time priority that was asked for. */
  | { kind: 'ready'; realtimeRefused: string | undefined }
  | { kind: 'event'; session: number; event: BfdSessionEvent }
  | { kind: 'reply'; request: number; answer: BfdAnswer };
