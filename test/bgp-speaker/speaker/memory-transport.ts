/** TCP in memory, with the faults of real networks: a window that closes, resets, silence, attempts that hang. */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type {
  ConnectionOptions,
  ListenOptions,
  PeerEndpoint,
  PeerListener,
  Transport,
} from '../../../src/bgp-speaker/transport/transport.ts';
import { Address } from '../../../src/net/index.ts';

/** One end of a connection. */
export class MemorySocket extends Duplex {
  readonly localAddress: string;
  other: MemorySocket | undefined;
  /** What this end was sent and has not read: beyond this many bytes the sender's kernel takes no more. */
  windowBytes = 256 * 1024;
  /** Bytes that the other end has written towards this one. */
  receivedBytes = 0;
  /** As node:net has it: all that was written, and what the kernel has not taken of the write under way. */
  readonly _handle = { bytesWritten: 0, writeQueueSize: 0 };
  #inFlight = 0;
  #blocked: (() => void) | undefined;

  constructor(localAddress: string) {
    super({ allowHalfOpen: false });
    this.localAddress = localAddress;
    // As node:net: an error that nobody listens to is no crash here.
    this.on('error', () => {});
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error) => void): void {
    const { other } = this;
    if (!other || other.destroyed) done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    else {
      this._handle.bytesWritten += chunk.length;
      this._handle.writeQueueSize = chunk.length;
      other.#deliver(chunk, () => {
        this._handle.writeQueueSize = 0;
        done();
      });
    }
  }

  override _final(done: () => void): void {
    const { other } = this;
    if (other && !other.destroyed) setImmediate(() => other.push(null));
    done();
  }

  override _read(): void {
    this.#inFlight = 0;
    const blocked = this.#blocked;
    this.#blocked = undefined;
    if (blocked && this.windowBytes > 0) blocked();
    else this.#blocked = blocked;
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const { other } = this;
    if (other && !other.destroyed) {
      setImmediate(() => {
        if (!other.destroyed) other.push(null);
      });
    }
    done(error);
  }

  #deliver(chunk: Uint8Array, taken: () => void): void {
    const take = () => {
      this.receivedBytes += chunk.length;
      this.#inFlight += chunk.length;
      this.push(Uint8Array.from(chunk));
      taken();
    };
    if (this.windowBytes > 0 && this.#inFlight < this.windowBytes) take();
    else this.#blocked = take;
  }

  /** Takes nothing from now on (a zero window), or again. */
  setWindow(bytes: number): void {
    this.windowBytes = bytes;
    if (bytes > 0) this._read();
  }

  /** As a RST does: both ends are gone at once, the other one with an error. */
  reset(): void {
    this.other?.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
    this.destroy();
  }
}

export function socketPair(a: string, b: string): [MemorySocket, MemorySocket] {
  const [first, second] = [new MemorySocket(a), new MemorySocket(b)];
  first.other = second;
  second.other = first;
  return [first, second];
}

/** What happens to an attempt to connect. */
export type DialAnswer = 'accept' | 'refuse' | 'hang';

/** Gives the far ends of the connections that the speaker makes, and makes connections to it. */
export class MemoryTransport implements Transport {
  readonly dialled: { peer: PeerEndpoint; socket: MemorySocket | undefined; signal: AbortSignal }[] = [];
  readonly listeners: ListenOptions[] = [];
  /** "LISTENER PEERS INTERFACE" */
  readonly admitted = new Set<string>();
  /** The options of each of them. */
  readonly admittedWith = new Map<string, ConnectionOptions>();
  admitFails = false;
  answer: DialAnswer = 'accept';
  onDial: ((socket: MemorySocket) => void) | undefined;

  async dial(peer: PeerEndpoint, _options: unknown, signal: AbortSignal): Promise<Socket> {
    signal.throwIfAborted();
    if (this.answer === 'accept') {
      const [ours, theirs] = socketPair('192.0.2.1', String(peer.address));
      this.dialled.push({ peer, socket: theirs, signal });
      this.onDial?.(theirs);
      return ours as unknown as Socket;
    }
    this.dialled.push({ peer, socket: undefined, signal });
    if (this.answer === 'refuse') throw Object.assign(new Error(`${peer.address} refused`), { code: 'ECONNREFUSED' });
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
  }

  async listen(options: ListenOptions): Promise<PeerListener> {
    this.listeners.push(options);
    return {
      port: options.port ?? 179,
      admit: (peers, connection) => {
        if (this.admitFails) throw new Error('no more keys');
        const key = `${options.address} ${peers} ${connection.interface ?? ''}`;
        this.admitted.add(key);
        this.admittedWith.set(key, connection);
      },
      dismiss: (peers, { interface: link = '' } = {}) =>
        void this.admitted.delete(`${options.address} ${peers} ${link}`),
      close: async () => {
        this.listeners.splice(this.listeners.indexOf(options), 1);
      },
    };
  }

  /** A connection from a peer; the result is the peer's end. */
  connect(from: string, link?: string): MemorySocket {
    const [ours, theirs] = socketPair('192.0.2.1', from);
    const [listener] = this.listeners;
    if (!listener) throw new Error('nobody listens');
    const endpoint = { address: Address.parse(from), port: 33_333, ...(link === undefined ? {} : { interface: link }) };
    listener.onConnection(ours as unknown as Socket, endpoint);
    return theirs;
  }
}
