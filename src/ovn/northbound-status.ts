import type { MeasuredLag } from './chassis-lag.ts';
import type { OvnProblem } from './problems.ts';
import type { OvnMode } from './service-input.ts';

/** What the northbound writer is doing; all of it current. */
export interface NorthboundStatus {
  /**
   * `off`: nothing is or will be written here; `waiting`: not connected, or something must happen first; `ready`: what is
   * desired is in the database, or being written.
   */
  state: 'off' | 'waiting' | 'ready';
  /** A sentence for operators that says why. */
  message: string;
  /** The mode that is in force; undefined until it could be settled. */
  mode: OvnMode | undefined;
  /** How many times a desired state was handed in, and which of them is in the database. */
  desiredGeneration: number;
  writtenGeneration: number;
  lastError: string | undefined;
  /** Names of the switches and routers where our load balancers act. */
  attachments: string[];
  /** What keeps the wiring from being complete. */
  missing: string[];
  rows: number;
  /** Rows that nobody wants any more but whose deletion is not confirmed. */
  withheldDeletions: number;
  /** Since the start. */
  transactions: number;
  operations: number;
  /** Rows that somebody else deleted and that were written again, since the start. */
  restored: number;
  problems: OvnProblem[];
  lag: MeasuredLag | undefined;
}

/** What keeps one Service from being carried, or that it is carried. */
export type ServiceProgramming =
  | { kind: 'programmed' }
  /** OVN cannot carry all of it; the message says what to change. */
  | { kind: 'problem'; message: string }
  /** Not written yet, or not known. */
  | { kind: 'pending' };
