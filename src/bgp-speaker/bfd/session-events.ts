import type { BfdDiscardReason, BfdSessionState } from './control-packet.ts';
import type { Lateness } from './lateness.ts';

/** Why a session came to its state. */
export type BfdStateReason =
  /** It begins, or begins again after the operator took it down. */
  | 'started'
  /** The peer hears nothing from us yet. */
  | 'peer-seen'
  | 'established'
  /** The detection time passed without a packet. */
  | 'peer-silent'
  /** The peer says it does not hear us, or starts anew. */
  | 'peer-signaled-down'
  /** The peer was taken down by its operator: no failure of the path (RFC 5882 section 3.2). */
  | 'peer-admin-down'
  /** Taken down by our operator. */
  | 'admin-down';

export type BfdSessionEvent =
  | {
      type: 'state';
      from: BfdSessionState;
      to: BfdSessionState;
      reason: BfdStateReason;
      /** It was up and the path failed, by what we or the peer found; not so when an operator took it down. */
      isFailure: boolean;
      /** Diagnostic codes of RFC 5880 section 4.1: ours, and what the peer said last. */
      diagnostic: number;
      remoteDiagnostic: number;
      /** Wall clock, ms since 1970. */
      atMs: number;
    }
  /** What was negotiated changed; 0 while nothing is sent, or nothing expected. */
  | { type: 'timing'; transmitIntervalMs: number; detectionTimeMs: number; atMs: number }
  /** Packets cannot be sent or received: the interface or the address is not there, the network unreachable, ... */
  | { type: 'problem'; code: string; message: string; atMs: number }
  /** The problem is over. */
  | { type: 'recovered'; atMs: number }
  /** So many events were dropped as nobody took them. */
  | { type: 'lost'; count: number };

/** Why a received packet was not given to a session. */
export type BfdDropReason =
  | BfdDiscardReason
  /** Your discriminator is 0 and no session is with this source. */
  | 'no-session'
  /** For a session, but by another interface or on the port of the other hop kind. */
  | 'wrong-path'
  /** For a session that the operator took down. */
  | 'admin-down';

/** In the order in which the checks are made. */
export const bfdDropReasons: readonly BfdDropReason[] = [
  'version',
  'length',
  'detect-multiplier',
  'multipoint',
  'my-discriminator',
  'your-discriminator',
  'authentication',
  'no-session',
  'wrong-path',
  'ttl',
  'admin-down',
];

export type BfdDropCounts = Record<BfdDropReason, number>;

export function noDrops(): BfdDropCounts {
  return Object.fromEntries(bfdDropReasons.map((reason) => [reason, 0])) as BfdDropCounts;
}

/** One session as it is now. */
export interface BfdSessionStatus {
  state: BfdSessionState;
  diagnostic: number;
  /** In this state for, ms. */
  forMs: number;
  localDiscriminator: number;
  /** UDP source port; 0 while there is no socket. */
  sourcePort: number;
  /** What the peer said last; discriminator 0 when it is not known. */
  remote: {
    state: BfdSessionState;
    diagnostic: number;
    discriminator: number;
    minRxMs: number;
    desiredMinTxMs: number;
    detectMultiplier: number;
  };
  /** Negotiated; 0 while nothing is sent, or nothing expected. */
  transmitIntervalMs: number;
  detectionTimeMs: number;
  received: number;
  sent: number;
  /** Packets the kernel did not take. */
  unsent: number;
  discarded: BfdDropCounts;
  /** How often the session came up, and how often it left that state. */
  ups: number;
  downs: number;
  /** How late our own timers were. */
  lateness: Lateness;
  /** Why packets cannot be sent or received. */
  problem: string | undefined;
}

/** The engine as a whole. */
export interface BfdEngineStatus {
  sessions: number;
  /** Of all sessions and of packets for none. */
  discarded: BfdDropCounts;
  /** Datagrams that the kernel dropped: too low a TTL, or no room in the receive buffer. */
  droppedByKernel: number;
}
