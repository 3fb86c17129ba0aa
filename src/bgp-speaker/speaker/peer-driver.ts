/** Carries out what the state machine of one peer decides: timers, attempts to connect, connections, messages. */
import type { Socket } from 'node:net';
import type { Clock, Random } from '../../base/index.ts';
import { BgpMessageError, type Notification } from '../errors.ts';
import { extendedMessageLength, messageType } from '../message/assigned-numbers.ts';
import { encodeKeepalive, type FramedMessage } from '../message/framing.ts';
import { decodeNotification, encodeNotification } from '../message/notification.ts';
import { decodeOpen, encodeOpen, type OpenMessage } from '../message/open.ts';
import { decodeRouteRefresh } from '../message/route-refresh.ts';
import { classifyUpdate } from '../message/update-classifier.ts';
import type { Negotiated } from '../session/negotiation.ts';
import { stepPeer } from '../session/peer-machine.ts';
import {
  type ConnectionTimer,
  initialPeerState,
  type PeerEffect,
  type PeerEvent,
  type PeerMachineConfig,
  type PeerState,
  type PeerTimer,
  type RfcState,
  rfcState,
} from '../session/peer-state.ts';
import { Connection } from './connection.ts';
import { countMessage, type SessionCounters } from './counters.ts';
import { DeadlineTimer } from './deadline-timer.ts';
import { Dialler } from './dialler.ts';
import type { DriverObserver } from './driver-observer.ts';
import type { Turns } from './turns.ts';

export interface DriverOptions {
  /** Asked at each event, for the R bit of graceful restart goes out once. */
  config: () => PeerMachineConfig;
  dial: (signal: AbortSignal) => Promise<Socket>;
  clock: Clock;
  random: Random;
  turns: Turns;
  counters: SessionCounters;
  observer: DriverObserver;
}

interface OpenConnection {
  connection: Connection;
  timers: Record<ConnectionTimer, DeadlineTimer>;
  /** How often the hold timer was set. */
  holdsSet: number;
  /** What the kernel had taken when the send hold timer was set. */
  takenBytes: number | undefined;
  negotiated: Negotiated | undefined;
  /** For messages about its end. */
  detail: string;
}

export class PeerDriver {
  readonly #options: DriverOptions;
  readonly #timers: Record<PeerTimer, DeadlineTimer>;
  readonly #connections = new Map<number, OpenConnection>();
  /** Closed by us, still delivering their last message. */
  readonly #leaving = new Set<Connection>();
  readonly #queue: PeerEvent[] = [];
  #state: PeerState = initialPeerState;
  readonly #dialler: Dialler;
  #nextId = 1;
  #isStepping = false;
  #onAllGone: (() => void)[] = [];

  constructor(options: DriverOptions) {
    this.#options = options;
    this.#dialler = new Dialler({
      soon: (run) =>
        options.turns.run(() => {
          run();
          return false;
        }),
      dial: options.dial,
      onConnected: (socket) => this.step({ type: 'connected', connection: this.#adopt(socket), initiator: 'us' }),
      onFailed: (error) => {
        options.observer.onConnectFailed(error);
        this.step({ type: 'connect-failed' });
      },
    });
    const timer = (name: PeerTimer) =>
      new DeadlineTimer(options.clock, () => this.step({ type: 'timer', timer: name }));
    this.#timers = {
      'connect-retry': timer('connect-retry'),
      'idle-hold': timer('idle-hold'),
      stable: timer('stable'),
    };
  }

  get state(): PeerState {
    return this.#state;
  }

  get rfcState(): RfcState {
    return rfcState(this.#state);
  }

  /** Takes a connection that the peer made. */
  accept(socket: Socket): void {
    this.step({ type: 'connected', connection: this.#adopt(socket), initiator: 'peer' });
  }

  /** Resolves when no connection of this peer is left, the last messages delivered or given up. */
  gone(): Promise<void> {
    if (this.#connections.size === 0 && this.#leaving.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onAllGone.push(resolve));
  }

  /** An event that comes while another is dealt with waits for it. */
  step(event: PeerEvent): void {
    this.#queue.push(event);
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      for (let next = this.#queue.shift(); next; next = this.#queue.shift()) this.#stepOnce(next);
    } finally {
      this.#isStepping = false;
    }
    this.#options.observer.onSettled();
  }

  #stepOnce(event: PeerEvent): void {
    const before = this.rfcState;
    const { state, effects } = stepPeer(this.#options.config(), this.#state, event);
    this.#state = state;
    const after = this.rfcState;
    if (before !== after) this.#options.observer.onState(before, after);
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: PeerEffect): void {
    switch (effect.type) {
      case 'dial':
        this.#dialler.start();
        return;
      case 'cancel-dial':
        this.#dialler.cancel();
        return;
      case 'set-timer':
        this.#timers[effect.timer].set(this.#delayMs(effect.seconds, effect.jitter));
        return;
      case 'cancel-timer':
        this.#timers[effect.timer].cancel();
        return;
      default: {
        const entry = this.#connections.get(effect.connection);
        if (entry) this.#performOn(entry, effect);
      }
    }
  }

  #performOn(entry: OpenConnection, effect: Extract<PeerEffect, { connection: number }>): void {
    const { observer } = this.#options;
    switch (effect.type) {
      case 'set-connection-timer':
        if (effect.timer === 'hold') entry.holdsSet += 1;
        if (effect.timer === 'send-hold') entry.takenBytes = entry.connection.takenBytes;
        if (effect.seconds === 0) entry.timers[effect.timer].cancel();
        else entry.timers[effect.timer].set(this.#delayMs(effect.seconds, effect.jitter));
        return;
      case 'send-open':
        this.send(entry.connection, messageType.open, encodeOpen(this.#options.config().local));
        return;
      case 'send-keepalive':
        this.send(entry.connection, messageType.keepalive, encodeKeepalive());
        return;
      case 'send-notification':
        this.send(entry.connection, messageType.notification, encodeNotification(effect.notification));
        return;
      case 'close':
        this.#close(effect.connection, entry);
        return;
      case 'up':
        entry.negotiated = effect.negotiated;
        observer.onUp(entry.connection, effect.negotiated);
        return;
      case 'down':
        observer.onDown(effect.reason, entry.detail);
        return;
      case 'failed':
        observer.onFailed(effect.reason, entry.detail);
        return;
    }
  }

  /** Writes a message and counts it. */
  send(connection: Connection, type: number, bytes: Uint8Array): void {
    const { counters } = this.#options;
    countMessage(counters.messagesOut, type);
    counters.bytesOut += bytes.length;
    connection.write(bytes);
  }

  #delayMs(seconds: number, jitter: boolean): number {
    return seconds * 1000 * (jitter ? 0.75 + 0.25 * this.#options.random() : 1);
  }

  #adopt(socket: Socket): number {
    const id = this.#nextId++;
    const { clock, turns, observer } = this.#options;
    const connection = new Connection({
      socket,
      clock,
      turns,
      handlers: {
        onMessage: (message) => this.#received(id, message),
        onBadFrame: (notification, text) => this.#bad(id, notification, text),
        onClosed: (reason) => {
          this.#note(id, reason);
          this.step({ type: 'closed', connection: id });
        },
        onSent: () => this.step({ type: 'sent', connection: id }),
        onRoom: () => observer.onRoom(),
        onGone: () => this.#goneAway(connection),
      },
    });
    const timer = (name: ConnectionTimer) => new DeadlineTimer(clock, () => this.#connectionTimer(id, name));
    this.#connections.set(id, {
      connection,
      timers: { hold: timer('hold'), keepalive: timer('keepalive'), 'send-hold': timer('send-hold') },
      holdsSet: 0,
      takenBytes: undefined,
      negotiated: undefined,
      detail: '',
    });
    return id;
  }

  #close(id: number, { connection, timers }: OpenConnection): void {
    for (const timer of Object.values(timers)) timer.cancel();
    // Its entry stays while effects of the same step name it.
    queueMicrotask(() => {
      this.#connections.delete(id);
      this.#reportAllGone();
    });
    this.#leaving.add(connection);
    connection.close();
  }

  #goneAway(connection: Connection): void {
    this.#leaving.delete(connection);
    this.#reportAllGone();
  }

  #reportAllGone(): void {
    if (this.#connections.size > 0 || this.#leaving.size > 0) return;
    for (const resolve of this.#onAllGone.splice(0)) resolve();
  }

  #note(id: number, detail: string): void {
    const entry = this.#connections.get(id);
    if (entry) entry.detail = detail;
  }

  #bad(id: number, notification: Notification, text: string): void {
    this.#note(id, text);
    this.step({ type: 'bad-message', connection: id, notification });
  }

  #connectionTimer(id: number, timer: ConnectionTimer): void {
    const entry = this.#connections.get(id);
    if (!entry) return;
    const fire = () => this.step({ type: 'connection-timer', connection: id, timer });
    const { unsentBytes, takenBytes } = entry.connection;
    if (timer === 'send-hold' && (unsentBytes === 0 || takenBytes !== entry.takenBytes)) {
      // Nothing waits for the peer, or it is slow but takes something: it is not late.
      this.step({ type: 'sent', connection: id });
    } else if (timer === 'hold') {
      this.#whenAllIsRead(id, entry, entry.holdsSet, fire);
    } else fire();
  }

  /**
   * Where we were late ourselves, what the peer sent in time is still in the kernel or waits for its turn: the timer
   * counts only when a turn of the event loop brings nothing that sets it anew.
   */
  #whenAllIsRead(id: number, entry: OpenConnection, holdsSet: number, run: () => void): void {
    setImmediate(() => {
      if (this.#connections.get(id) !== entry || entry.holdsSet !== holdsSet) return;
      if (entry.connection.hasUnread) this.#whenAllIsRead(id, entry, holdsSet, run);
      else run();
    });
  }

  #received(id: number, message: FramedMessage): void {
    const entry = this.#connections.get(id);
    if (!entry) return;
    const { counters } = this.#options;
    countMessage(counters.messagesIn, message.type);
    counters.bytesIn += message.bytes.length;
    try {
      this.#decode(id, entry, message);
    } catch (thrown) {
      if (!(thrown instanceof BgpMessageError)) throw thrown;
      this.#bad(id, thrown.notification, thrown.message);
    }
  }

  /** @throws BgpMessageError */
  #decode(id: number, entry: OpenConnection, { type, bytes, body }: FramedMessage): void {
    switch (type) {
      case messageType.open:
        this.#receivedOpen(id, entry, decodeOpen(body));
        return;
      case messageType.keepalive:
        this.step({ type: 'keepalive', connection: id });
        return;
      case messageType.notification:
        this.step({ type: 'notification', connection: id, notification: decodeNotification(body) });
        return;
      case messageType.update:
        this.#receivedUpdate(id, entry, bytes, body);
        return;
      case messageType.routeRefresh: {
        const refresh = decodeRouteRefresh(bytes);
        this.step({ type: 'route-refresh', connection: id });
        if (entry.negotiated && this.#connections.get(id) === entry) this.#options.observer.onRouteRefresh(refresh);
        return;
      }
      default:
    }
  }

  #receivedOpen(id: number, entry: OpenConnection, open: OpenMessage): void {
    const { local } = this.#options.config();
    if (local.capabilities.extendedMessages && open.capabilities.extendedMessages) {
      entry.connection.framer.maximumLength = extendedMessageLength;
    }
    entry.detail = `the peer says AS ${open.asNumber}, identifier ${open.identifier}`;
    this.step({ type: 'open', connection: id, open });
    entry.detail = '';
  }

  #receivedUpdate(id: number, entry: OpenConnection, bytes: Uint8Array, body: Uint8Array): void {
    const { negotiated } = entry;
    if (!negotiated) {
      this.step({ type: 'update', connection: id });
      return;
    }
    const verdict = classifyUpdate(body, negotiated);
    this.#options.observer.onUpdate(verdict, bytes);
    if (verdict.notification) {
      const text = verdict.problems.find(({ action }) => action === 'session-reset')?.text ?? '';
      this.#bad(id, verdict.notification, `UPDATE: ${text}`);
    } else this.step({ type: 'update', connection: id });
  }
}
