import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../base/index.ts';
import { BgpMessageError, type Notification } from '../errors.ts';
import { type FramedMessage, MessageFramer } from '../message/framing.ts';
import type { Turns } from './turns.ts';

/** How long a closed connection may take to deliver its last message, ms. */
const lingerMs = 1_000;

export interface ConnectionHandlers {
  /** A whole message; its bytes are good until this returns. */
  onMessage(message: FramedMessage): void;
  /** The stream cannot be cut into messages any more. */
  onBadFrame(notification: Notification, text: string): void;
  /** The peer or the kernel ended it; not called after `close`. */
  onClosed(reason: string): void;
  /** The kernel took bytes. */
  onSent(): void;
  /** There is room again after `write` said that there is none. */
  onRoom(): void;
  /** It is gone, whoever ended it: the last call. */
  onGone(): void;
}

/**
 * One TCP connection: bytes to messages in slices of a turn, and messages to bytes. What arrives meanwhile waits in the
 * kernel, so at most one read is held.
 */
export class Connection {
  readonly framer = new MessageFramer();
  readonly #socket: Socket;
  readonly #handlers: ConnectionHandlers;
  readonly #turns: Turns;
  readonly #clock: Clock;
  /** open: both ways; closing: what was written goes out, what comes in is dropped. */
  #state: 'open' | 'closing' | 'gone' = 'open';
  #hasUnread = false;
  /** The peer's end came while messages before it were not handled yet. */
  #endReason: string | undefined;
  #isSocketClosed = false;
  #linger: Timer | undefined;
  bytesIn = 0;
  bytesOut = 0;

  constructor(options: { socket: Socket; handlers: ConnectionHandlers; turns: Turns; clock: Clock }) {
    const { socket } = options;
    this.#socket = socket;
    this.#handlers = options.handlers;
    this.#turns = options.turns;
    this.#clock = options.clock;
    socket.on('error', (error: NodeJS.ErrnoException) => this.#ended(error.code ?? error.message));
    socket.on('end', () => this.#ended('the peer closed the connection'));
    socket.on('close', () => {
      this.#isSocketClosed = true;
      this.#ended('the connection was closed');
      this.#gone();
    });
    socket.on('drain', () => {
      if (this.#state === 'open') this.#handlers.onRoom();
    });
    socket.on('data', (chunk: Uint8Array) => this.#received(chunk));
  }

  get localAddress(): string | undefined {
    return this.#socket.localAddress;
  }

  /** False while the kernel and the buffer before it take no more. */
  get hasRoom(): boolean {
    return this.#state === 'open' && !this.#socket.writableNeedDrain;
  }

  /** Bytes received and not handled yet. */
  get hasUnread(): boolean {
    return this.#hasUnread;
  }

  /** Bytes that the kernel has not taken. */
  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  /**
   * Bytes that the kernel has taken; undefined where the socket does not say. It takes a large write in parts, of which
   * Node tells the end only; the rest is on the handle.
   */
  get takenBytes(): number | undefined {
    const { _handle: handle }: { _handle?: { bytesWritten?: number; writeQueueSize?: number } | null } = this
      .#socket as object;
    return handle?.bytesWritten === undefined ? undefined : handle.bytesWritten - (handle.writeQueueSize ?? 0);
  }

  write(bytes: Uint8Array): void {
    if (this.#state !== 'open') return;
    this.bytesOut += bytes.length;
    this.#socket.write(bytes, (error) => {
      if (!error && this.#state === 'open') this.#handlers.onSent();
    });
  }

  /** Runs `write`s together as one, so that many messages make one system call. */
  together(run: () => void): void {
    this.#socket.cork();
    try {
      run();
    } finally {
      this.#socket.uncork();
    }
  }

  /** Sends what was written, then ends; what the peer does not take within a second is lost. */
  close(): void {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    if (this.#isSocketClosed) {
      this.#gone();
      return;
    }
    // Reading goes on: closing with unread bytes would make the kernel send a reset, which may overtake the last message.
    this.#socket.resume();
    this.#socket.end();
    this.#linger = this.#clock.setTimer(lingerMs, () => this.destroy());
  }

  destroy(): void {
    if (this.#state === 'open') this.#state = 'closing';
    this.#socket.destroy();
    this.#gone();
  }

  #received(chunk: Uint8Array): void {
    if (this.#state !== 'open') return;
    this.bytesIn += chunk.length;
    this.framer.append(chunk);
    this.#hasUnread = true;
    this.#turns.run((isOver) => this.#readSlice(isOver));
    // Re-read: the slice may have run at once.
    if (this.#hasUnread && this.#state === 'open') this.#socket.pause();
  }

  #readSlice(isOver: () => boolean): boolean {
    for (let count = 1; this.#state === 'open'; count++) {
      const message = this.#nextMessage();
      if (!message) break;
      this.#handlers.onMessage(message);
      if (count % 16 === 0 && isOver()) return this.#state === 'open';
    }
    this.#hasUnread = false;
    if (this.#state !== 'open') return false;
    if (this.#endReason === undefined) {
      if (this.#socket.isPaused()) this.#socket.resume();
    } else this.#reportEnd(this.#endReason);
    return false;
  }

  #nextMessage(): FramedMessage | undefined {
    try {
      return this.framer.next();
    } catch (thrown) {
      if (!(thrown instanceof BgpMessageError)) throw thrown;
      this.#handlers.onBadFrame(thrown.notification, thrown.message);
      return undefined;
    }
  }

  #ended(reason: string): void {
    if (this.#state !== 'open') return;
    this.#endReason ??= reason;
    if (!this.#hasUnread) this.#reportEnd(this.#endReason);
  }

  #reportEnd(reason: string): void {
    this.#state = 'closing';
    this.#handlers.onClosed(reason);
    this.destroy();
  }

  #gone(): void {
    if (this.#state === 'gone') return;
    // The socket is gone, but messages that came before its end are still being handled.
    if (this.#state === 'open' && this.#hasUnread) return;
    this.#state = 'gone';
    this.#linger?.cancel();
    this.#handlers.onGone();
  }
}
