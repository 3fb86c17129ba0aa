/**
 * The finite state machine of one peer: RFC 4271 section 8, with RFC 6608 (error codes), section 6.8 (collisions), RFC
 * 4724 section 4.2 (a restarted peer comes back), RFC 9687 (send hold timer) and damping of peers that keep failing.
 *
 * RFC 4271 runs one machine a connection; here one machine holds the peer's connections (at most two), because a
 * collision is a matter between them. `rfcState` gives the name of the RFC's state.
 *
 * Pure: timers and sockets are effects, carried out by the caller, who reports what came of them as events.
 */
import { BgpMessageError, type Notification } from '../errors.ts';
import { cease, errorCode, fsmError, messageType } from '../message/assigned-numbers.ts';
import type { OpenMessage } from '../message/open.ts';
import { judgeCollision } from './collision.ts';
import { type Negotiated, negotiate } from './negotiation.ts';
import type {
  Connection,
  ConnectionTimer,
  DownReason,
  OpenedConnection,
  PeerEffect,
  PeerEvent,
  PeerMachineConfig,
  PeerState,
  PeerTimer,
} from './peer-state.ts';

export interface PeerStep {
  state: PeerState;
  effects: readonly PeerEffect[];
}

/** What an event does. An event about a connection that is gone does nothing. */
export function stepPeer(config: PeerMachineConfig, state: PeerState, event: PeerEvent): PeerStep {
  const turn = new Turn(config, state);
  turn.take(event);
  return { state: turn.state, effects: turn.effects };
}

type Running = Extract<PeerState, { phase: 'running' }>;

/** One step under way: the state so far and the effects collected. */
class Turn {
  state: PeerState;
  readonly effects: PeerEffect[] = [];
  readonly #config: PeerMachineConfig;

  constructor(config: PeerMachineConfig, state: PeerState) {
    this.#config = config;
    this.state = state;
  }

  take(event: PeerEvent): void {
    switch (event.type) {
      case 'start':
        if (this.state.phase === 'stopped') this.#run(event.failures ?? 0);
        return;
      case 'stop':
        this.#stop(event.notification);
        return;
      case 'reset':
        if (this.state.phase === 'running') this.#restart(event.notification);
        return;
      case 'timer':
        this.#peerTimer(event.timer);
        return;
      case 'connected':
        this.#connected(event.connection, event.initiator);
        return;
      case 'connect-failed':
        this.#connectFailed();
        return;
      default: {
        const running = this.state;
        if (running.phase !== 'running') return;
        const connection = running.connections.find(({ id }) => id === event.connection);
        if (connection) this.#connectionEvent(running, connection, event);
      }
    }
  }

  // --- the peer ---

  /** Idle to Connect or Active. */
  #run(failures: number): void {
    this.state = { phase: 'running', failures, dialling: false, connections: [] };
    this.#dial();
  }

  #dial(): void {
    const { passive, connectRetrySeconds } = this.#config;
    if (passive || this.state.phase !== 'running') return;
    this.state = { ...this.state, dialling: true };
    this.effects.push({ type: 'dial' });
    this.#setTimer('connect-retry', connectRetrySeconds, true);
  }

  #cancelDial(): void {
    if (this.state.phase !== 'running') return;
    if (this.state.dialling) this.effects.push({ type: 'cancel-dial' });
    this.state = { ...this.state, dialling: false };
    this.#cancelTimer('connect-retry');
  }

  #stop(notification: Notification | undefined): void {
    const before = this.state;
    if (before.phase === 'idle-hold') this.#cancelTimer('idle-hold');
    if (before.phase === 'running') {
      this.#cancelDial();
      this.#cancelTimer('stable');
      for (const connection of before.connections) this.#end(connection, { kind: 'stopped' }, notification);
    }
    this.state = { phase: 'stopped' };
  }

  /** Ends every connection on our own wish, which is no failure of the peer's. */
  #restart(notification: Notification): void {
    if (this.state.phase !== 'running') return;
    const { connections, failures } = this.state;
    this.#cancelDial();
    this.#cancelTimer('stable');
    for (const connection of connections) {
      this.#end(connection, { kind: 'notification-sent', notification }, notification);
    }
    this.#run(failures);
  }

  #peerTimer(timer: PeerTimer): void {
    const { state } = this;
    if (timer === 'idle-hold') {
      if (state.phase === 'idle-hold') this.#run(state.failures);
    } else if (state.phase === 'running') {
      if (timer === 'stable') this.state = { ...state, failures: 0 };
      else {
        // RFC 4271 8.2.2, Connect: an attempt that takes this long is dropped for another, unless the peer has come.
        if (state.dialling) this.effects.push({ type: 'cancel-dial' });
        this.state = { ...state, dialling: false };
        if (state.connections.length === 0) this.#dial();
      }
    }
  }

  #connectFailed(): void {
    if (this.state.phase !== 'running' || !this.state.dialling) return;
    this.state = { ...this.state, dialling: false };
  }

  #connected(id: number, initiator: 'us' | 'peer'): undefined {
    if (this.state.phase === 'stopped') {
      this.#refuse(id, { code: errorCode.cease, subcode: cease.connectionRejected, data: new Uint8Array(0) });
      return;
    }
    // Idle takes no connections: that is what the damping is for.
    if (this.state.phase === 'idle-hold') return this.#refuse(id);
    if (initiator === 'us') {
      // The attempt was cancelled while its answer was on the way.
      if (!this.state.dialling) return this.#refuse(id);
      this.state = { ...this.state, dialling: false };
    }
    this.#makeRoom(initiator);
    const established = this.state.connections.some((connection) => connection.state === 'established');
    if (established && initiator === 'us') return this.#refuse(id);
    this.state = { ...this.state, connections: [...this.state.connections, { id, initiator, state: 'open-sent' }] };
    this.effects.push({ type: 'send-open', connection: id });
    this.#setConnectionTimer(id, 'hold', this.#config.openHoldSeconds, false);
  }

  #refuse(id: number, notification?: Notification): undefined {
    if (notification) this.effects.push({ type: 'send-notification', connection: id, notification });
    this.effects.push({ type: 'close', connection: id });
  }

  /** A side opens one connection at a time: who opens another has lost the one before. Not so an established one. */
  #makeRoom(initiator: 'us' | 'peer'): void {
    if (this.state.phase !== 'running') return;
    for (const connection of this.state.connections) {
      if (connection.state === 'established' || connection.initiator !== initiator) continue;
      this.#end(connection, { kind: 'peer-restarted' });
    }
  }

  // --- a connection ---

  #connectionEvent(running: Running, connection: Connection, event: Extract<PeerEvent, { connection: number }>): void {
    switch (event.type) {
      case 'closed':
        this.#end(connection, { kind: 'closed' });
        this.#after(connection, connection.state !== 'open-sent');
        return;
      case 'notification':
        this.#end(connection, { kind: 'notification-received', notification: event.notification });
        this.#after(connection, true);
        return;
      case 'bad-message':
        this.#fail(connection, event.notification);
        return;
      case 'sent':
        if (connection.state === 'established') this.#armSendHold(connection);
        return;
      case 'connection-timer':
        this.#connectionTimer(connection, event.timer);
        return;
      case 'open':
        if (connection.state === 'open-sent') this.#opened(running, connection, event.open);
        else this.#unexpected(connection, messageType.open);
        return;
      case 'keepalive':
        if (connection.state === 'open-confirm') this.#establish(running, connection);
        else if (connection.state === 'established') this.#armHold(connection);
        else this.#unexpected(connection, messageType.keepalive);
        return;
      case 'update':
        if (connection.state === 'established') this.#armHold(connection);
        else this.#unexpected(connection, messageType.update);
        return;
      case 'route-refresh':
        if (connection.state !== 'established') this.#unexpected(connection, messageType.routeRefresh);
        return;
      case 'connected':
        return;
    }
  }

  #connectionTimer(connection: Connection, timer: ConnectionTimer): undefined {
    if (timer === 'hold') return this.#fail(connection, plain(errorCode.holdTimer));
    if (timer === 'send-hold') return this.#fail(connection, plain(errorCode.sendHoldTimer));
    if (connection.state === 'open-sent') return;
    this.effects.push({ type: 'send-keepalive', connection: connection.id });
    this.#setConnectionTimer(connection.id, 'keepalive', connection.negotiated.keepaliveSeconds, true);
  }

  /** OpenSent to OpenConfirm, unless the OPEN is refused or the connection loses a collision. */
  #opened(running: Running, connection: Connection, open: OpenMessage): undefined {
    let negotiated: Negotiated;
    try {
      negotiated = negotiate(this.#config.local, open, this.#config.expectedAs);
    } catch (thrown) {
      if (!(thrown instanceof BgpMessageError)) throw thrown;
      return this.#fail(connection, thrown.notification);
    }
    const rival = running.connections.find(({ id, state }) => id !== connection.id && state !== 'open-sent');
    if (rival?.state === 'open-confirm' || rival?.state === 'established') {
      switch (judgeCollision(this.#config.local, rival, open)) {
        case 'rival-is-dead':
          this.#end(rival, { kind: 'peer-restarted' });
          this.#cancelTimer('stable');
          break;
        case 'rival-loses':
          this.#endForCollision(rival);
          break;
        case 'rival-stays':
          // The peer may have forgotten it. Then its kernel answers with a reset, and nobody waits for a timer of ours.
          if (rival.state === 'established') this.effects.push({ type: 'send-keepalive', connection: rival.id });
          return this.#endForCollision(connection);
      }
    }
    const { id, initiator } = connection;
    this.#replace({ id, initiator, state: 'open-confirm', negotiated });
    this.effects.push({ type: 'send-keepalive', connection: id });
    // Without a hold time the wait for the peer has an end all the same: it may hang between OPEN and KEEPALIVE.
    this.#setConnectionTimer(id, 'hold', negotiated.holdTimeSeconds || this.#config.openHoldSeconds, false);
    this.#setConnectionTimer(id, 'keepalive', negotiated.keepaliveSeconds, true);
  }

  #establish(running: Running, connection: OpenedConnection): void {
    const { id, initiator, negotiated } = connection;
    this.#cancelDial();
    // A connection beside it, whose OPEN is still awaited, has lost the collision.
    for (const other of running.connections) if (other.id !== id) this.#endForCollision(other);
    this.#replace({ id, initiator, state: 'established', negotiated });
    // A hold time of 0 stops the timer of the wait.
    this.#setConnectionTimer(id, 'hold', negotiated.holdTimeSeconds, false);
    this.#armSendHold(connection);
    if (running.failures > 0) this.#setTimer('stable', this.#config.stableSeconds, false);
    this.effects.push({ type: 'up', connection: id, negotiated });
  }

  /** RFC 6608: the data is the type of the message. */
  #unexpected(connection: Connection, type: number): void {
    const subcode = {
      'open-sent': fsmError.inOpenSent,
      'open-confirm': fsmError.inOpenConfirm,
      established: fsmError.inEstablished,
    }[connection.state];
    this.#fail(connection, { code: errorCode.fsm, subcode, data: Uint8Array.of(type) });
  }

  /** Tells the peer, closes, and counts a failure. */
  #fail(connection: Connection, notification: Notification): undefined {
    this.#end(connection, { kind: 'notification-sent', notification }, notification);
    this.#after(connection, true);
  }

  #endForCollision(connection: Connection): undefined {
    const notification = { code: errorCode.cease, subcode: cease.collision, data: new Uint8Array(0) };
    this.#end(connection, { kind: 'notification-sent', notification }, notification);
  }

  /** Takes a connection out of the state. */
  #end(connection: Connection, reason: DownReason, notification?: Notification): void {
    const { id } = connection;
    if (notification) this.effects.push({ type: 'send-notification', connection: id, notification });
    this.effects.push({ type: 'close', connection: id });
    this.effects.push({ type: connection.state === 'established' ? 'down' : 'failed', connection: id, reason });
    if (this.state.phase !== 'running') return;
    this.state = { ...this.state, connections: this.state.connections.filter((other) => other.id !== id) };
  }

  /** What is left when a connection ended: another one, a new attempt later (Active), or Idle for a while. */
  #after(connection: Connection, isFailure: boolean): void {
    if (this.state.phase !== 'running') return;
    if (connection.state === 'established') this.#cancelTimer('stable');
    if (this.state.connections.length > 0) return;
    if (isFailure) {
      this.#cancelDial();
      const { idleHoldSeconds, maximumIdleHoldSeconds } = this.#config;
      const { failures } = this.state;
      this.state = { phase: 'idle-hold', failures: failures + 1 };
      const seconds = Math.min(idleHoldSeconds * 2 ** Math.min(failures, 30), maximumIdleHoldSeconds);
      this.#setTimer('idle-hold', seconds, true);
    } else if (!this.state.dialling && !this.#config.passive) {
      this.#setTimer('connect-retry', this.#config.connectRetrySeconds, true);
    }
  }

  // --- timers ---

  #armHold({ id, negotiated }: OpenedConnection): void {
    if (negotiated.holdTimeSeconds > 0) this.#setConnectionTimer(id, 'hold', negotiated.holdTimeSeconds, false);
  }

  /** RFC 9687: runs in Established only, and not without a hold time, when there may be nothing to send. */
  #armSendHold({ id, negotiated: { holdTimeSeconds } }: OpenedConnection): void {
    const configured = this.#config.sendHoldSeconds ?? Math.max(480, 2 * holdTimeSeconds);
    this.#setConnectionTimer(id, 'send-hold', holdTimeSeconds === 0 ? 0 : configured, false);
  }

  /** A time of 0 stops the timer. */
  #setConnectionTimer(connection: number, timer: ConnectionTimer, seconds: number, jitter: boolean): void {
    this.effects.push({ type: 'set-connection-timer', connection, timer, seconds, jitter });
  }

  #setTimer(timer: PeerTimer, seconds: number, jitter: boolean): void {
    this.effects.push({ type: 'set-timer', timer, seconds, jitter });
  }

  #cancelTimer(timer: PeerTimer): void {
    this.effects.push({ type: 'cancel-timer', timer });
  }

  #replace(connection: Connection): void {
    if (this.state.phase !== 'running') return;
    const connections = this.state.connections.map((other) => (other.id === connection.id ? connection : other));
    this.state = { ...this.state, connections };
  }
}

function plain(code: number): Notification {
  return { code, subcode: 0, data: new Uint8Array(0) };
}
