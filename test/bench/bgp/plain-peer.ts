/** The other end of a session, as little as will do: no routes, no timers but KEEPALIVE, what comes is timed. */
import { createServer, type Server, type Socket } from 'node:net';
import { encodeKeepalive, encodeOpen, MessageFramer, messageType } from '../../../src/bgp-speaker/index.ts';
import { Address } from '../../../src/net/index.ts';

export interface Heard {
  type: number;
  /** On the clock of `process.hrtime`, ms. */
  atMs: number;
}

/** Takes one session on loopback. */
export class PlainPeer {
  readonly as = 65_002;
  onMessage: (heard: Heard) => void = () => {};
  readonly #server: Server;
  readonly #holdTimeSeconds: number;
  #socket: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(holdTimeSeconds: number) {
    this.#holdTimeSeconds = holdTimeSeconds;
    this.#server = createServer({ noDelay: true }, (socket) => this.#take(socket));
  }

  /** @returns the port */
  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  /** Resolves when there is room for more. @throws Error when the session is gone */
  async write(bytes: Uint8Array): Promise<void> {
    const socket = this.#socket;
    if (!socket || socket.destroyed) throw new Error('the session under test ended');
    if (!socket.write(bytes)) {
      await new Promise<void>((resolve) => {
        const done = () => {
          socket.off('drain', done).off('close', done);
          resolve();
        };
        socket.on('drain', done).on('close', done);
      });
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#socket?.destroy();
    this.#server.close();
  }

  #take(socket: Socket): void {
    this.#socket = socket;
    const framer = new MessageFramer();
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      const atMs = Number(process.hrtime.bigint()) / 1e6;
      framer.append(chunk);
      for (let message = framer.next(); message; message = framer.next()) {
        if (message.type === messageType.open) this.#answer(socket);
        this.onMessage({ type: message.type, atMs });
      }
    });
  }

  #answer(socket: Socket): void {
    socket.write(
      encodeOpen({
        asNumber: this.as,
        holdTimeSeconds: this.#holdTimeSeconds,
        identifier: Address.parse('127.0.0.1'),
        capabilities: {
          families: ['ipv4-unicast'],
          routeRefresh: true,
          enhancedRouteRefresh: false,
          extendedMessages: false,
          ipv4NextHopOverIpv6: false,
          fourOctetAs: this.as,
        },
      }),
    );
    socket.write(encodeKeepalive());
    const everyMs = (this.#holdTimeSeconds * 1000) / 3;
    this.#timer = setInterval(() => socket.write(encodeKeepalive()), everyMs);
  }
}
