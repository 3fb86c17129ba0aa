/** Why something is as it is: a stable code and a sentence for people. The same pair goes wherever the decision shows. */
export interface Reason {
  code: string;
  message: string;
}

/** What one speaker does with one address on one interface. */
export interface AddressStatus {
  address: string;
  /** "namespace/name" of the Services that have the address; sorted. */
  services: string[];
  /** Absent when no interface of the node can announce the address. */
  interface?: string;
  role: 'owner' | 'probing' | 'standby' | 'listening' | 'none';
  /** Node that announces the address, as far as this node knows. */
  owner?: string;
  /** Grows with each claim of the address. */
  epoch?: number;
  /** Milliseconds in this role. */
  sinceMs?: number;
  reason: Reason;
}

/** Another speaker, as heard on one interface. */
export interface PeerStatus {
  node: string;
  interface: string;
  alive: boolean;
  /** Milliseconds since its last heartbeat. */
  lastHeardMs: number;
}

/** The document that a speaker serves on /status, to callers on its own host only. */
export interface SpeakerStatus {
  node: string;
  version: string;
  /** False until every cache has its initial list. */
  synced: boolean;
  peers: PeerStatus[];
  addresses: AddressStatus[];
  /** What the host agent programmed; absent where it does not run. */
  hostAgent?: { ready: boolean; reason: Reason };
}
