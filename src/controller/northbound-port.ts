import type { OvnInputs } from '../ovn/index.ts';

/** The state of the writer as the controller needs it. */
export interface NorthboundStatus {
  /** `off`: OVN is not used; nothing is said about it on Services. `waiting`: not connected, or still finding out. */
  state: 'off' | 'waiting' | 'ready';
  /** A sentence for /readyz and logs. */
  message: string;
}

/** What keeps one Service from being carried, or that it is carried. */
export type ServiceProgramming =
  | { kind: 'programmed' }
  /** OVN cannot carry (all of) it; the message says what to change. */
  | { kind: 'problem'; message: string }
  /** Not written yet, or not known. */
  | { kind: 'pending' };

/** Where the controller hands over what OVN should carry. */
export interface NorthboundPort {
  /** The whole desired state. Cheap: it is kept, and written soon; a Service that did not change is the same object. */
  setDesired(inputs: OvnInputs): void;
  status(): NorthboundStatus;
  /** What became of one Service ("namespace/name") of the newest desired state. */
  programming(service: string): ServiceProgramming;
  /** Calls `listener` after each attempt to write. */
  subscribe(listener: () => void): () => void;
  /** Connects and writes until `signal` aborts, then resolves. */
  run(signal: AbortSignal): Promise<void>;
}

/** Where OVN is not used. */
export const noNorthbound: NorthboundPort = {
  setDesired() {},
  status: () => ({ state: 'off', message: 'OVN is not used' }),
  programming: () => ({ kind: 'pending' }),
  subscribe: () => () => {},
  async run() {},
};
