import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '../../base/clock.ts';
import { OvsdbError, ServerError } from '../errors.ts';
import { JsonStream, type JsonStreamLimits, type Revive } from '../json/json-stream.ts';
import { type Json, stringify } from '../json/json-value.ts';
import { type Message, readMessage } from './message.ts';

/**
 * Work that a received message causes, cut into short steps: each `next()` should take well under a millisecond. Other
 * messages of the connection wait until it is done, other work of the process does not.
 */
export type Work = Generator<void, void, void>;

/** What a notification of the server does. Called in the order of the wire. */
export type NotificationHandler = (method: string, params: readonly Json[]) => Work | undefined;

export interface CallOptions {
  /** Stops waiting; the promise rejects with the signal's reason. The request itself may still be carried out. */
  signal?: AbortSignal | undefined;
  /**
   * Runs in wire order when the result arrives, before any later message is looked at; the promise resolves when it
   * and the work it returns are done.
   */
  onResult?: (result: Json) => Work | undefined;
  /** Send `cancel` (RFC 7047 section 4.1.4) when the signal aborts. */
  cancelOnAbort?: boolean;
}

export interface ConnectionOptions extends JsonStreamLimits {
  clock: Clock;
  /** Send an echo after this much silence from the peer, and give up after as much again. 0 = never. */
  probeIntervalMs: number;
  /** Longest time spent on received data before other work of the process gets its turn. Default 8 ms. */
  sliceMs?: number;
  /** See {@link Revive}. */
  revive?: Revive;
}

interface Pending {
  method: string;
  resolve: (result: Json) => void;
  reject: (reason: unknown) => void;
  onResult: ((result: Json) => Work | undefined) | undefined;
  release: () => void;
}

// Stop reading from the socket while this many bytes wait to be parsed: the peer then feels the back-pressure.
const MAXIMUM_WAITING_BYTES = 512 * 1024;
// Wait for the socket to drain before writing more requests.
const HIGH_WATER_BYTES = 1024 * 1024;

/**
 * JSON-RPC over one byte stream: requests with replies in any order, notifications in wire order, echo both ways.
 *
 * Received bytes are parsed and handled in slices of a few milliseconds, so neither a 10 MB reply nor a burst of small
 * ones keeps the event loop. A connection that has ended never comes back: make another one.
 */
export class RpcConnection {
  readonly #stream: Duplex;
  readonly #options: ConnectionOptions;
  readonly #parser: JsonStream;
  readonly #closed = Promise.withResolvers<OvsdbError>();
  readonly #pending = new Map<number, Pending>();
  #onNotification: NotificationHandler = () => undefined;
  #nextId = 0;
  #error: OvsdbError | undefined;

  #chunks: Buffer[] = [];
  #chunkAt = 0;
  #waitingBytes = 0;
  #messages: Json[] = [];
  #messageAt = 0;
  #work: Work | undefined;
  /** The call whose result `#work` is still taking in. */
  #working: { call: Pending; result: Json } | undefined;
  #scheduled: NodeJS.Immediate | undefined;
  #pumping = false;

  #lastHeardMs: number;
  #probe: Timer | undefined;
  #probeSent = false;
  #blockedWriters: (() => void)[] = [];

  constructor(stream: Duplex, options: ConnectionOptions) {
    this.#stream = stream;
    this.#options = options;
    this.#parser = new JsonStream((value) => this.#messages.push(value), options, options.revive);
    this.#lastHeardMs = options.clock.monotonicMs();
    stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    stream.on('error', (thrown: Error) => this.#end('the connection broke', thrown));
    stream.on('end', () => this.#end('the server closed the connection'));
    stream.on('close', () => this.#end('the connection was closed'));
    stream.on('drain', () => this.#unblock());
    this.#armProbe();
  }

  /** Resolves with the reason once the connection has ended. Never rejects. */
  get closed(): Promise<OvsdbError> {
    return this.#closed.promise;
  }

  /** Why the connection ended, or undefined while it lives. */
  get error(): OvsdbError | undefined {
    return this.#error;
  }

  /** Who handles the server's notifications; those before the first handler are dropped. */
  set onNotification(handler: NotificationHandler) {
    this.#onNotification = handler;
  }

  /**
   * Sends a request and waits for its reply. Rejects with ServerError when the server answers with an error, with
   * OvsdbError `ConnectionLost` or `ProtocolError` when the connection ends first.
   */
  async call(method: string, params: readonly unknown[], options: CallOptions = {}): Promise<Json> {
    await this.writable(options.signal);
    return this.start(method, params, options);
  }

  /** Resolves when the socket's buffer has room, or the connection has ended. Throws the signal's reason. */
  async writable(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    while (this.#error === undefined && this.#stream.writableLength > HIGH_WATER_BYTES) {
      await this.#drained(signal);
    }
  }

  /** Like {@link call}, without waiting for room in the socket's buffer: the request is written before this returns. */
  start(method: string, params: readonly unknown[], options: CallOptions = {}): Promise<Json> {
    const { signal, onResult } = options;
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (signal?.aborted) return Promise.reject(signal.reason);
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<Json>();
    const onAbort = () => {
      this.#pending.delete(id);
      if (options.cancelOnAbort && this.#error === undefined) this.#write({ id: null, method: 'cancel', params: [id] });
      reject(signal?.reason);
    };
    const release = () => signal?.removeEventListener('abort', onAbort);
    this.#pending.set(id, { method, resolve, reject, onResult, release });
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#write({ id, method, params });
    return promise;
  }

  /** Ends the connection; every pending call rejects with `error`. */
  close(error: OvsdbError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#probe?.cancel();
    if (this.#scheduled !== undefined) clearImmediate(this.#scheduled);
    this.#stream.destroy();
    this.#chunks = [];
    this.#messages = [];
    this.#work = undefined;
    const pending = [...this.#pending.values()];
    if (this.#working !== undefined) pending.push(this.#working.call);
    this.#working = undefined;
    this.#pending.clear();
    for (const call of pending) {
      call.release();
      call.reject(error);
    }
    this.#unblock();
    this.#closed.resolve(error);
  }

  #end(what: string, cause?: Error): void {
    this.close(new OvsdbError('ConnectionLost', what, { retryable: true, ...(cause && { cause }) }));
  }

  #write(message: object): void {
    this.#stream.write(stringify(message));
  }

  async #drained(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#blockedWriters.push(resolve);
    try {
      await promise;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #unblock(): void {
    const blocked = this.#blockedWriters;
    this.#blockedWriters = [];
    for (const resume of blocked) resume();
  }

  #receive(chunk: Buffer): void {
    if (this.#error !== undefined) return;
    this.#lastHeardMs = this.#options.clock.monotonicMs();
    this.#probeSent = false;
    this.#chunks.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#waitingBytes > MAXIMUM_WAITING_BYTES) this.#stream.pause();
    if (this.#scheduled === undefined && !this.#pumping) this.#pump();
  }

  /** Parses and handles what has arrived until nothing is left or the slice is used up. */
  #pump(): void {
    this.#scheduled = undefined;
    this.#pumping = true;
    const { clock, sliceMs = 8 } = this.#options;
    const until = clock.monotonicMs() + sliceMs;
    try {
      while (this.#error === undefined) {
        if (!this.#step()) break;
        if (clock.monotonicMs() >= until) {
          this.#scheduled = setImmediate(() => this.#pump());
          break;
        }
      }
    } catch (thrown) {
      this.close(
        thrown instanceof OvsdbError
          ? thrown
          : new OvsdbError('ProtocolError', 'a message could not be handled', { cause: thrown }),
      );
    } finally {
      this.#pumping = false;
    }
  }

  /** One step of work; false when there is nothing to do. */
  #step(): boolean {
    if (this.#work !== undefined) {
      if (this.#work.next().done) {
        this.#work = undefined;
        const working = this.#working;
        this.#working = undefined;
        working?.call.resolve(working.result);
      }
      return true;
    }
    if (this.#messageAt < this.#messages.length) {
      const value = this.#messages[this.#messageAt] as Json;
      this.#messages[this.#messageAt++] = null;
      this.#dispatch(readMessage(value));
      return true;
    }
    this.#messages.length = 0;
    this.#messageAt = 0;
    const chunk = this.#chunks[this.#chunkAt];
    if (chunk === undefined) return false;
    this.#chunkAt += 1;
    if (this.#chunkAt === this.#chunks.length) {
      this.#chunks = [];
      this.#chunkAt = 0;
    }
    this.#waitingBytes -= chunk.length;
    if (this.#stream.isPaused() && this.#waitingBytes < MAXIMUM_WAITING_BYTES / 2) this.#stream.resume();
    this.#parser.push(chunk);
    return true;
  }

  #dispatch(message: Message): void {
    switch (message.kind) {
      case 'request':
        if (message.method === 'echo') this.#write({ id: message.id, result: message.params, error: null });
        else this.#write({ id: message.id, result: null, error: 'unknown method' });
        return;
      case 'notification':
        this.#work = this.#onNotification(message.method, message.params);
        return;
      case 'result': {
        const call = this.#take(message.id);
        if (call === undefined) return;
        this.#work = call.onResult?.(message.result);
        if (this.#work === undefined) call.resolve(message.result);
        else this.#working = { call, result: message.result };
        return;
      }
      case 'error': {
        const call = this.#take(message.id);
        call?.reject(new ServerError(call.method, message.error, message.details));
      }
    }
  }

  #take(id: Json): Pending | undefined {
    if (typeof id !== 'number') return undefined;
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    call?.release();
    return call;
  }

  #armProbe(): void {
    const { clock, probeIntervalMs } = this.#options;
    if (probeIntervalMs <= 0) return;
    const silentMs = clock.monotonicMs() - this.#lastHeardMs;
    const waitMs = this.#probeSent ? probeIntervalMs : Math.max(1, probeIntervalMs - silentMs);
    this.#probe = clock.setTimer(waitMs, () => this.#checkSilence());
  }

  #checkSilence(): void {
    const { clock, probeIntervalMs } = this.#options;
    const silentMs = clock.monotonicMs() - this.#lastHeardMs;
    // Data that waits here to be parsed is proof of life, even when this process is the slow one.
    if (this.#probeSent && this.#waitingBytes === 0) {
      this.#end(`the server has been silent for ${Math.round(silentMs / 1000)} s and did not answer an echo`);
      return;
    }
    if (silentMs >= probeIntervalMs && !this.#probeSent) {
      this.#probeSent = true;
      this.start('echo', []).catch(() => {});
    }
    this.#armProbe();
  }
}
