/** One connection of a peer: what comes in becomes events of the state machine, its effects timers and messages. */
import type { Socket } from 'node:net';
import type { Clock } from '../../base/index.ts';
import { BgpMessageError, type Notification } from '../errors.ts';
import { extendedMessageLength, messageType } from '../message/assigned-numbers.ts';
import { encodeKeepalive, type FramedMessage } from '../message/framing.ts';
import { decodeNotification, encodeNotification } from '../message/notification.ts';
import { decodeOpen, encodeOpen, type OpenMessage } from '../message/open.ts';
import { decodeRouteRefresh } from '../message/route-refresh.ts';
import { classifyUpdate } from '../message/update-classifier.ts';
import type { Negotiated } from '../session/negotiation.ts';
import type { ConnectionTimer, PeerEffect, PeerEvent } from '../session/peer-state.ts';
import { Connection } from './connection.ts';
import { countMessage, type SessionCounters } from './counters.ts';
import { DeadlineTimer } from './deadline-timer.ts';
import type { DriverObserver } from './driver-observer.ts';
import type { Turns } from './turns.ts';

/** What the state machine has done to a connection. */
export type ConnectionEffect = Exclude<Extract<PeerEffect, { connection: number }>, { type: 'close' }>;

export interface PeerConnectionOptions {
  readonly id: number;
  readonly socket: Socket;
  readonly clock: Clock;
  readonly turns: Turns;
  readonly counters: SessionCounters;
  readonly observer: DriverObserver;
  /** The OPEN to send now. */
  local(): OpenMessage;
  /** With jitter where it is wanted. */
  delayMs(seconds: number, jitter: boolean): number;
  step(event: PeerEvent): void;
  /** False when it was closed, and the effects that name it are done. */
  isOpen(): boolean;
  onGone(): void;
}

export class PeerConnection {
  readonly stream: Connection;
  readonly #options: PeerConnectionOptions;
  readonly #timers: Record<ConnectionTimer, DeadlineTimer>;
  /** How often the hold timer was set. */
  #holdsSet = 0;
  /** What the kernel had taken when the send hold timer was set. */
  #takenBytes: number | undefined;
  #negotiated: Negotiated | undefined;
  /** For messages about its end. */
  #detail = '';

  constructor(options: PeerConnectionOptions) {
    const { id, socket, clock, turns, observer, step } = options;
    this.#options = options;
    const timer = (name: ConnectionTimer) => new DeadlineTimer(clock, () => this.#expired(name));
    this.#timers = { hold: timer('hold'), keepalive: timer('keepalive'), 'send-hold': timer('send-hold') };
    this.stream = new Connection({
      socket,
      clock,
      turns,
      handlers: {
        onMessage: (message) => this.#received(message),
        onBadFrame: (notification, text) => this.#bad(notification, text),
        onClosed: (reason) => {
          this.#detail = reason;
          step({ type: 'closed', connection: id });
        },
        onSent: () => step({ type: 'sent', connection: id }),
        onRoom: () => observer.onRoom(),
        onGone: () => options.onGone(),
      },
    });
  }

  perform(effect: ConnectionEffect): void {
    const { observer, local, delayMs } = this.#options;
    switch (effect.type) {
      case 'set-connection-timer':
        if (effect.timer === 'hold') this.#holdsSet += 1;
        if (effect.timer === 'send-hold') this.#takenBytes = this.stream.takenBytes;
        if (effect.seconds === 0) this.#timers[effect.timer].cancel();
        else this.#timers[effect.timer].set(delayMs(effect.seconds, effect.jitter));
        return;
      case 'send-open':
        this.send(messageType.open, encodeOpen(local()));
        return;
      case 'send-keepalive':
        this.send(messageType.keepalive, encodeKeepalive());
        return;
      case 'send-notification':
        this.send(messageType.notification, encodeNotification(effect.notification));
        return;
      case 'up':
        this.#negotiated = effect.negotiated;
        observer.onUp(this, effect.negotiated);
        return;
      case 'down':
        observer.onDown(effect.reason, this.#detail);
        return;
      case 'failed':
        observer.onFailed(effect.reason, this.#detail);
        return;
    }
  }

  /** Writes a message and counts it. */
  send(type: number, bytes: Uint8Array): void {
    const { counters } = this.#options;
    countMessage(counters.messagesOut, type);
    counters.bytesOut += bytes.length;
    this.stream.write(bytes);
  }

  /** Sends what was written, then ends. */
  close(): void {
    for (const timer of Object.values(this.#timers)) timer.cancel();
    this.stream.close();
  }

  #expired(timer: ConnectionTimer): void {
    const { id, step, isOpen } = this.#options;
    if (!isOpen()) return;
    const fire = () => step({ type: 'connection-timer', connection: id, timer });
    const { unsentBytes, takenBytes } = this.stream;
    if (timer === 'send-hold' && (unsentBytes === 0 || takenBytes !== this.#takenBytes)) {
      // Nothing waits for the peer, or it is slow but takes something: it is not late.
      step({ type: 'sent', connection: id });
    } else if (timer === 'hold') {
      this.#whenAllIsRead(this.#holdsSet, fire);
    } else fire();
  }

  /**
   * Where we were late ourselves, what the peer sent in time is still in the kernel or waits for its turn: the timer
   * counts only when a turn of the event loop brings nothing that sets it anew.
   */
  #whenAllIsRead(holdsSet: number, run: () => void): void {
    setImmediate(() => {
      if (!this.#options.isOpen() || this.#holdsSet !== holdsSet) return;
      if (this.stream.hasUnread) this.#whenAllIsRead(holdsSet, run);
      else run();
    });
  }

  #bad(notification: Notification, text: string): void {
    const { id, step } = this.#options;
    this.#detail = text;
    step({ type: 'bad-message', connection: id, notification });
  }

  #received(message: FramedMessage): void {
    const { counters, isOpen } = this.#options;
    if (!isOpen()) return;
    countMessage(counters.messagesIn, message.type);
    counters.bytesIn += message.bytes.length;
    try {
      this.#decode(message);
    } catch (thrown) {
      if (!(thrown instanceof BgpMessageError)) throw thrown;
      this.#bad(thrown.notification, thrown.message);
    }
  }

  /** @throws BgpMessageError */
  #decode({ type, bytes, body }: FramedMessage): void {
    const { id, step, isOpen, observer } = this.#options;
    switch (type) {
      case messageType.open:
        this.#receivedOpen(decodeOpen(body));
        return;
      case messageType.keepalive:
        step({ type: 'keepalive', connection: id });
        return;
      case messageType.notification:
        step({ type: 'notification', connection: id, notification: decodeNotification(body) });
        return;
      case messageType.update:
        this.#receivedUpdate(bytes, body);
        return;
      case messageType.routeRefresh: {
        const refresh = decodeRouteRefresh(bytes);
        step({ type: 'route-refresh', connection: id });
        if (this.#negotiated && isOpen()) observer.onRouteRefresh(refresh);
        return;
      }
      default:
    }
  }

  #receivedOpen(open: OpenMessage): void {
    const { id, step, local } = this.#options;
    if (local().capabilities.extendedMessages && open.capabilities.extendedMessages) {
      this.stream.framer.maximumLength = extendedMessageLength;
    }
    this.#detail = `the peer says AS ${open.asNumber}, identifier ${open.identifier}`;
    step({ type: 'open', connection: id, open });
    this.#detail = '';
  }

  #receivedUpdate(bytes: Uint8Array, body: Uint8Array): void {
    const { id, step, observer } = this.#options;
    if (!this.#negotiated) {
      step({ type: 'update', connection: id });
      return;
    }
    const verdict = classifyUpdate(body, this.#negotiated);
    observer.onUpdate(verdict, bytes);
    if (verdict.notification) {
      const text = verdict.problems.find(({ action }) => action === 'session-reset')?.text ?? '';
      this.#bad(verdict.notification, `UPDATE: ${text}`);
    } else step({ type: 'update', connection: id });
  }
}
