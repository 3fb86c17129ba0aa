import type { Expectation } from './l2/interface-choice.ts';
import type { AddressReport } from './l2/layer2.ts';
import type { SegmentReport } from './l2/segment-runtime.ts';

/** What the wire worker is started with; all of it can be cloned. */
export interface WireSettings {
  /** Name of this node. */
  node: string;
  /** Tells clusters on one network apart: the UID of the namespace kube-system. */
  clusterId: string;
  keys: { current: Uint8Array; previous?: Uint8Array | undefined };
  /** UDP port of the heartbeats. Default 7472. */
  port?: number;
  /** Milliseconds between heartbeats, 20 to 5000. Default 100: a silent owner is replaced within 400 ms. */
  heartbeatMs?: number;
  /** Where announcements may come to be made. Default: on every suitable interface. */
  expectation?: Expectation | undefined;
  /** SCHED_FIFO priority for the worker, 1 to 99; needs SYS_NICE. Default: none. */
  realtimePriority?: number | undefined;
}

export interface AssignmentChange {
  nodeSets: string[][];
  /** `nodes`: index into `nodeSets`. */
  set: { address: string; interfaces: string[]; nodes: number }[];
  remove: string[];
}

export type ToWorker =
  | { kind: 'ping'; id: number }
  | { kind: 'assign'; change: AssignmentChange }
  | { kind: 'expect'; expectation: Expectation }
  | { kind: 'keys'; keys: WireSettings['keys'] }
  | { kind: 'resign'; id: number; withinMs: number }
  | { kind: 'status'; id: number };

/** The state of the wire worker at one moment. */
export interface WireReport {
  segments: SegmentReport[];
  /** Bytes of the worker's own heap in use. */
  heapBytes: number;
}

export type FromWorker =
  | { kind: 'reply'; id: number; report?: WireReport }
  | { kind: 'changes'; changes: { address: string; reports: AddressReport[] }[] }
  | { kind: 'peers-changed' }
  | { kind: 'log'; level: 'debug' | 'info' | 'warn' | 'error'; fields: object; text: string };
