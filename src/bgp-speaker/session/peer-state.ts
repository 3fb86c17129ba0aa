/** What the state machine of a peer is about: its configuration, states, events and effects (peer-machine.ts). */
import type { Notification } from '../errors.ts';
import type { OpenMessage } from '../message/open.ts';
import type { ExpectedAs, Negotiated } from './negotiation.ts';

/** What does not change while a peer is configured. */
export interface PeerMachineConfig {
  /** The OPEN sent on every connection. */
  local: OpenMessage;
  expectedAs: ExpectedAs;
  /** Wait for the peer to connect. */
  passive: boolean;
  /** Between attempts to connect, s; RFC 4271 suggests 120. */
  connectRetrySeconds: number;
  /** How long an OPEN is waited for, and without a hold time the KEEPALIVE after it, s; RFC 4271 suggests 240. */
  openHoldSeconds: number;
  /** Wait after the first failure in a row, s; it doubles with each until `maximumIdleHoldSeconds`. */
  idleHoldSeconds: number;
  maximumIdleHoldSeconds: number;
  /** A session up for this long clears the failures before it, s. */
  stableSeconds: number;
  /**
   * The peer must take a byte within this time, s, greater than our hold time; 0 for none, as with a hold time of 0.
   * Default per RFC 9687: the larger of 480 and twice the hold time.
   */
  sendHoldSeconds?: number;
}

/** One TCP connection with the peer, named by a number that the caller gives out and never uses again. */
export type Connection = {
  readonly id: number;
  readonly initiator: 'us' | 'peer';
} & (
  | { readonly state: 'open-sent' }
  | { readonly state: 'open-confirm' | 'established'; readonly negotiated: Negotiated }
);

/** A connection on which the peer's OPEN has come. */
export type OpenedConnection = Extract<Connection, { negotiated: Negotiated }>;

export type PeerState =
  /** Not wanted. */
  | { readonly phase: 'stopped' }
  /** Idle until the damping timer expires. */
  | { readonly phase: 'idle-hold'; readonly failures: number }
  | {
      readonly phase: 'running';
      readonly failures: number;
      /** Whether an attempt to connect is under way. */
      readonly dialling: boolean;
      /** None, one, or two that collide; the older first. At most one is established. */
      readonly connections: readonly Connection[];
    };

/** Timers of the peer itself, and of each connection. */
export type PeerTimer = 'connect-retry' | 'idle-hold' | 'stable';
export type ConnectionTimer = 'hold' | 'keepalive' | 'send-hold';

export type PeerEvent =
  /** `failures`: in a row, known from earlier; default 0. */
  | { type: 'start'; failures?: number }
  /** `notification` undefined closes without a word, as a graceful restart does (RFC 4724 section 4.1). */
  | { type: 'stop'; notification: Notification | undefined }
  /** Ends the session and starts over: administrative reset, BFD down, changed configuration. */
  | { type: 'reset'; notification: Notification }
  | { type: 'timer'; timer: PeerTimer }
  | { type: 'connection-timer'; connection: number; timer: ConnectionTimer }
  | { type: 'connected'; connection: number; initiator: 'us' | 'peer' }
  | { type: 'connect-failed' }
  | { type: 'closed'; connection: number }
  /** The peer's kernel took bytes that waited to be sent. */
  | { type: 'sent'; connection: number }
  | { type: 'open'; connection: number; open: OpenMessage }
  | { type: 'keepalive'; connection: number }
  | { type: 'update'; connection: number }
  | { type: 'route-refresh'; connection: number }
  | { type: 'notification'; connection: number; notification: Notification }
  /** What was received cannot be, and calls for this NOTIFICATION. */
  | { type: 'bad-message'; connection: number; notification: Notification };

/** Why a session that was established is so no more. */
export type DownReason =
  | { kind: 'stopped' }
  | { kind: 'closed' }
  /** A new connection of the peer replaced it: it has restarted (RFC 4724). */
  | { kind: 'peer-restarted' }
  | { kind: 'notification-received'; notification: Notification }
  | { kind: 'notification-sent'; notification: Notification };

export type PeerEffect =
  /** Connect; answer with "connected" or "connect-failed". */
  | { type: 'dial' }
  | { type: 'cancel-dial' }
  | { type: 'set-timer'; timer: PeerTimer; seconds: number; jitter: boolean }
  | { type: 'cancel-timer'; timer: PeerTimer }
  /** `jitter`: multiply by a number from [0.75, 1) (RFC 4271 section 10). A timer that runs is set anew. */
  | { type: 'set-connection-timer'; connection: number; timer: ConnectionTimer; seconds: number; jitter: boolean }
  | { type: 'send-open'; connection: number }
  | { type: 'send-keepalive'; connection: number }
  | { type: 'send-notification'; connection: number; notification: Notification }
  /** Flush, close, and drop the connection's timers. No event about it is awaited. */
  | { type: 'close'; connection: number }
  | { type: 'up'; connection: number; negotiated: Negotiated }
  | { type: 'down'; connection: number; reason: DownReason }
  /** A connection that was not established ended; for events and counters. */
  | { type: 'failed'; connection: number; reason: DownReason };

/** How a peer begins. */
export const initialPeerState: PeerState = { phase: 'stopped' };

/** The state that RFC 4271 section 8.2.2 names: that of the connection that got furthest. */
export type RfcState = 'Idle' | 'Connect' | 'Active' | 'OpenSent' | 'OpenConfirm' | 'Established';

export function rfcState(state: PeerState): RfcState {
  if (state.phase !== 'running') return 'Idle';
  const states = new Set(state.connections.map((connection) => connection.state));
  if (states.has('established')) return 'Established';
  if (states.has('open-confirm')) return 'OpenConfirm';
  if (states.has('open-sent')) return 'OpenSent';
  return state.dialling ? 'Connect' : 'Active';
}
