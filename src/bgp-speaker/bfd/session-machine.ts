/**
 * One BFD session in asynchronous mode (RFC 5880 section 6.8), pure: packets and timers are effects.
 *
 * Two timers: "transmit" paces what is sent, "detect" judges the peer's silence. Whoever runs them must read what is
 * queued in the socket before handing in an expired detection timer, so that a stall of one's own is not taken for
 * the peer's.
 */
import { type BfdControlPacket, type BfdSessionState, diagnostic } from './control-packet.ts';

/** Changes with "configure" only. Intervals in microseconds, 1-4294967295. */
export interface BfdSessionConfig {
  /** Not 0, unique on this machine. */
  localDiscriminator: number;
  desiredMinTxMicroseconds: number;
  /** 0: the peer shall send nothing periodically. */
  requiredMinRxMicroseconds: number;
  /** 1-255. */
  detectMultiplier: number;
  /** Send nothing before the peer did. */
  passive: boolean;
}

export interface BfdSession {
  readonly config: BfdSessionConfig;
  readonly state: BfdSessionState;
  /** Why it is not up (`diagnostic`). */
  readonly diagnostic: number;
  /** What the peer said last; `discriminator` 0 when it is not known or forgotten. */
  readonly remote: {
    readonly discriminator: number;
    readonly state: BfdSessionState;
    readonly diagnostic: number;
    readonly minRxMicroseconds: number;
    readonly desiredMinTxMicroseconds: number;
    readonly detectMultiplier: number;
    readonly demand: boolean;
  };
  /** A poll sequence: "again" when the intervals changed during one. */
  readonly poll: 'none' | 'active' | 'again';
  /** What is in force until the peer has confirmed a change (RFC 5880 section 6.8.3). */
  readonly txInForceMicroseconds: number;
  readonly rxInForceMicroseconds: number;
  /** The interval that the transmit timer runs with; 0 when it does not run. */
  readonly pacedMicroseconds: number;
  /**
   * Taken down while it was up: so many more packets say so at the pace of before, or one that is lost would be a failure
   * to the peer (RFC 5880 section 6.8.16). 0 when it has heard.
   */
  readonly farewells: number;
}

export type BfdEvent =
  | { type: 'start' }
  /** Taken down by the operator; "start" ends it. */
  | { type: 'admin-down' }
  | { type: 'packet'; packet: BfdControlPacket }
  | { type: 'transmit-timer' }
  | { type: 'detect-timer' }
  | {
      type: 'configure';
      desiredMinTxMicroseconds: number;
      requiredMinRxMicroseconds: number;
      detectMultiplier: number;
    };

export type BfdEffect =
  | { type: 'send'; packet: BfdControlPacket }
  /** Fire once, after a time drawn evenly from this range (RFC 5880 section 6.8.7). */
  | { type: 'set-transmit'; leastMicroseconds: number; mostMicroseconds: number }
  | { type: 'cancel-transmit' }
  | { type: 'set-detect'; microseconds: number }
  | { type: 'cancel-detect' }
  /** `byOperator`: the peer was taken down on purpose, which is no failure of the path (RFC 5882 section 3.2). */
  | { type: 'changed'; from: BfdSessionState; to: BfdSessionState; diagnostic: number; byOperator: boolean };

export interface BfdStep {
  session: BfdSession;
  effects: readonly BfdEffect[];
}

/** Not Up: nobody sends faster (RFC 5880 section 6.8.3). */
export const slowestStartMicroseconds = 1_000_000;

const unknownRemote: BfdSession['remote'] = {
  discriminator: 0,
  state: 'down',
  diagnostic: diagnostic.none,
  minRxMicroseconds: 1,
  desiredMinTxMicroseconds: 0,
  detectMultiplier: 0,
  demand: false,
};

/** A session that has not been started: it neither sends nor listens. */
export function newBfdSession(config: BfdSessionConfig): BfdSession {
  return {
    config,
    state: 'admin-down',
    diagnostic: diagnostic.none,
    remote: unknownRemote,
    poll: 'none',
    txInForceMicroseconds: Math.max(config.desiredMinTxMicroseconds, slowestStartMicroseconds),
    rxInForceMicroseconds: config.requiredMinRxMicroseconds,
    pacedMicroseconds: 0,
    farewells: 0,
  };
}

export function stepBfd(session: BfdSession, event: BfdEvent): BfdStep {
  const turn = new Turn(session);
  turn.take(event);
  return { session: turn.session, effects: turn.effects };
}

/** What the peer's silence may last, microseconds; 0 when the peer is not known (RFC 5880 section 6.8.4). */
export function detectionMicroseconds({ remote, rxInForceMicroseconds }: BfdSession): number {
  return remote.detectMultiplier * Math.max(rxInForceMicroseconds, remote.desiredMinTxMicroseconds);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

class Turn {
  readonly session: Mutable<BfdSession>;
  readonly effects: BfdEffect[] = [];

  constructor(session: BfdSession) {
    this.session = { ...session };
  }

  take(event: BfdEvent): void {
    switch (event.type) {
      case 'start':
        if (this.session.state === 'admin-down') this.#become('down', diagnostic.none);
        this.#watch();
        break;
      case 'admin-down':
        this.#become('admin-down', diagnostic.administrativelyDown);
        // To forget the peer, which may come back as somebody else.
        this.#watch();
        break;
      case 'packet':
        this.#receive(event.packet);
        break;
      case 'transmit-timer':
        this.session.pacedMicroseconds = 0;
        if (this.#transmitInterval() > 0) this.#send(false);
        if (this.session.farewells > 0) this.#farewellsLeft(this.session.farewells - 1);
        break;
      case 'detect-timer':
        this.#expire();
        break;
      case 'configure':
        this.#configure(event);
        break;
    }
    this.#pace();
  }

  /** RFC 5880 section 6.8.6, from where the session is known. */
  #receive(packet: BfdControlPacket): void {
    const { session } = this;
    if (packet.yourDiscriminator !== 0 && packet.yourDiscriminator !== session.config.localDiscriminator) return;
    session.remote = {
      discriminator: packet.myDiscriminator,
      state: packet.state,
      diagnostic: packet.diagnostic,
      minRxMicroseconds: packet.requiredMinRxMicroseconds,
      desiredMinTxMicroseconds: packet.desiredMinTxMicroseconds,
      detectMultiplier: packet.detectMultiplier,
      demand: packet.demand,
    };
    if (packet.final && session.poll !== 'none') this.#confirmed();
    if (session.state === 'admin-down') {
      if (packet.state === 'down' || packet.state === 'admin-down') this.#farewellsLeft(0);
      this.#watch();
      return;
    }
    this.#follow(packet.state);
    if (packet.poll) this.#send(true);
    this.#watch();
  }

  #follow(remote: BfdSessionState): void {
    const { state } = this.session;
    if (remote === 'admin-down') {
      if (state !== 'down') this.#become('down', diagnostic.neighborSignaledDown, true);
    } else if (state === 'down') {
      if (remote === 'down') this.#become('init', this.session.diagnostic);
      else if (remote === 'init') this.#become('up', diagnostic.none);
    } else if (state === 'init') {
      if (remote !== 'down') this.#become('up', diagnostic.none);
    } else if (remote === 'down') {
      this.#become('down', diagnostic.neighborSignaledDown);
    }
  }

  /** The peer was silent: the session is down; if it was already, the peer is forgotten (RFC 5880 section 6.8.1). */
  #expire(): void {
    const { session } = this;
    if (session.state === 'init' || session.state === 'up') {
      this.#become('down', diagnostic.detectionTimeExpired);
      this.#watch();
    } else {
      session.remote = unknownRemote;
      this.#farewellsLeft(0);
    }
  }

  #farewellsLeft(count: number): void {
    const { session } = this;
    session.farewells = count;
    if (count === 0) session.txInForceMicroseconds = this.#desiredTx();
  }

  #become(state: BfdSessionState, code: number, byOperator = false): void {
    const { session } = this;
    const from = session.state;
    session.diagnostic = code;
    if (from === state) return;
    session.state = state;
    // Up lowers the interval, which holds at once and is confirmed by a poll; the way back is not up and needs none.
    this.#farewellsLeft(state === 'admin-down' && from === 'up' ? session.config.detectMultiplier - 1 : 0);
    if (state === 'up') session.poll = 'active';
    else {
      session.poll = 'none';
      session.rxInForceMicroseconds = session.config.requiredMinRxMicroseconds;
    }
    this.effects.push({ type: 'changed', from, to: state, diagnostic: code, byOperator });
    // The peer learns of it now, not with the next packet.
    if (this.#transmitInterval() > 0) this.#send(false);
  }

  #configure(change: Extract<BfdEvent, { type: 'configure' }>): void {
    const { session } = this;
    const { type: _, ...intervals } = change;
    const before = session.config;
    session.config = { ...before, ...intervals };
    const isChanged =
      before.desiredMinTxMicroseconds !== intervals.desiredMinTxMicroseconds ||
      before.requiredMinRxMicroseconds !== intervals.requiredMinRxMicroseconds;
    if (session.state !== 'up') {
      session.txInForceMicroseconds = this.#desiredTx();
      session.rxInForceMicroseconds = session.config.requiredMinRxMicroseconds;
    } else if (isChanged) {
      // Sending slower, or expecting more, waits until the peer knows; the other directions hold at once.
      session.txInForceMicroseconds = Math.min(session.txInForceMicroseconds, this.#desiredTx());
      session.rxInForceMicroseconds = Math.max(session.rxInForceMicroseconds, intervals.requiredMinRxMicroseconds);
      session.poll = session.poll === 'none' ? 'active' : 'again';
    }
    if (session.state === 'init' || session.state === 'up') this.#watch();
  }

  /** The poll sequence is over: what was announced is in force. */
  #confirmed(): void {
    const { session } = this;
    if (session.poll === 'again') {
      session.poll = 'active';
      return;
    }
    session.poll = 'none';
    session.txInForceMicroseconds = this.#desiredTx();
    session.rxInForceMicroseconds = session.config.requiredMinRxMicroseconds;
  }

  #desiredTx(): number {
    const { state, config } = this.session;
    return state === 'up'
      ? config.desiredMinTxMicroseconds
      : Math.max(config.desiredMinTxMicroseconds, slowestStartMicroseconds);
  }

  /** Microseconds between packets before jitter; 0 when none are to be sent (RFC 5880 section 6.8.7). */
  #transmitInterval(): number {
    const { state, config, diagnostic: code, remote, poll, txInForceMicroseconds } = this.session;
    if (state === 'admin-down' && code !== diagnostic.administrativelyDown) return 0;
    if (config.passive && remote.discriminator === 0) return 0;
    if (remote.minRxMicroseconds === 0) return 0;
    if (remote.demand && remote.state === 'up' && state === 'up' && poll === 'none') return 0;
    return Math.max(txInForceMicroseconds, remote.minRxMicroseconds);
  }

  /** Keeps the transmit timer at the interval; what is received does not start it anew. */
  #pace(): void {
    const { session } = this;
    const interval = this.#transmitInterval();
    // It wants to hear nothing.
    if (interval === 0) session.farewells = 0;
    if (interval === session.pacedMicroseconds) return;
    session.pacedMicroseconds = interval;
    if (interval === 0) {
      this.effects.push({ type: 'cancel-transmit' });
      return;
    }
    const most = session.config.detectMultiplier === 1 ? 0.9 : 1;
    this.effects.push({
      type: 'set-transmit',
      leastMicroseconds: Math.floor(interval * 0.75),
      mostMicroseconds: Math.floor(interval * most),
    });
  }

  #watch(): void {
    const microseconds = detectionMicroseconds(this.session);
    this.effects.push(microseconds > 0 ? { type: 'set-detect', microseconds } : { type: 'cancel-detect' });
  }

  #send(final: boolean): void {
    const { session } = this;
    const { config, state, remote } = session;
    this.effects.push({
      type: 'send',
      packet: {
        diagnostic: session.diagnostic,
        state,
        // A packet never has both (RFC 5880 section 6.5).
        poll: !final && session.poll !== 'none',
        final,
        controlPlaneIndependent: false,
        demand: false,
        detectMultiplier: config.detectMultiplier,
        myDiscriminator: config.localDiscriminator,
        yourDiscriminator: remote.discriminator,
        desiredMinTxMicroseconds: this.#desiredTx(),
        requiredMinRxMicroseconds: config.requiredMinRxMicroseconds,
        requiredMinEchoRxMicroseconds: 0,
      },
    });
  }
}
