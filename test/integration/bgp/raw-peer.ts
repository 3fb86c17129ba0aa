/** A peer made of bytes over TCP; shares no code with the library. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { keepalive, open, type ReadMessage } from '../../bgp-speaker/speaker/scripted-peer.ts';

/** One connection, and what came over it. */
export class RawConnection {
  readonly socket: Socket;
  readonly messages: ReadMessage[] = [];
  isClosed = false;
  #rest = Buffer.alloc(0);
  readonly #watchers = new Set<() => void>();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('close', () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 19) {
      const length = this.#rest.readUInt16BE(16);
      if (this.#rest.length < length) break;
      this.messages.push({ type: this.#rest[18] ?? 0, bytes: this.#rest.subarray(0, length) });
      this.#rest = this.#rest.subarray(length);
    }
    this.#wake();
  }

  #wake(): void {
    for (const watcher of this.#watchers) watcher();
  }

  send(...messages: Uint8Array[]): void {
    this.socket.write(Buffer.concat(messages));
  }

  /** Waits until what was received is as wanted. @throws Error after `timeoutMs` */
  async when(isSo: () => boolean, timeoutMs = 10_000): Promise<void> {
    if (isSo()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const watcher = () => {
      if (isSo()) resolve();
    };
    this.#watchers.add(watcher);
    const types = () => this.messages.map(({ type }) => type).join(' ');
    const timer = setTimeout(() => reject(new Error(`not within ${timeoutMs} ms; received ${types()}`)), timeoutMs);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(watcher);
    }
  }

  /** The `count`th message of a type. */
  async message(type: number, count = 1): Promise<Buffer> {
    const found = () => this.messages.filter((one) => one.type === type)[count - 1];
    await this.when(() => found() !== undefined);
    return found()?.bytes ?? Buffer.alloc(0);
  }

  /** "3/9" of the NOTIFICATION received. */
  async notification(): Promise<string> {
    const bytes = await this.message(3);
    return `${bytes[19]}/${bytes[20]}`;
  }

  /** Answers the OPEN and the KEEPALIVE. */
  async establish(options: Parameters<typeof open>[1] = {}, asNumber = 65_002): Promise<void> {
    await this.message(1);
    this.send(open(asNumber, options), keepalive);
    await this.message(4);
  }
}

/** Listens on 127.0.0.1 and gives out the connections in order. */
export class RawPeer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #waiting: ((connection: RawConnection) => void)[] = [];
  readonly #ready: RawConnection[] = [];
  /** When each connection came, ms as `performance.now()`. */
  readonly cameAtMs: number[] = [];

  constructor() {
    this.#server = createServer((socket) => {
      this.cameAtMs.push(performance.now());
      this.#sockets.add(socket);
      const connection = new RawConnection(socket);
      const waiting = this.#waiting.shift();
      if (waiting) waiting(connection);
      else this.#ready.push(connection);
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  connection(): Promise<RawConnection> {
    const ready = this.#ready.shift();
    return ready ? Promise.resolve(ready) : new Promise((resolve) => this.#waiting.push(resolve));
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** Connects to a speaker. */
export async function dialRaw(port: number, host = '127.0.0.1'): Promise<RawConnection> {
  const socket = connect({ host, port });
  const connection = new RawConnection(socket);
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  return connection;
}
