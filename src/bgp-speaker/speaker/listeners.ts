import type { Socket } from 'node:net';
import type { Address, Cidr } from '../../net/index.ts';
import type {
  ConnectionOptions,
  PeerEndpoint,
  PeerListener,
  RefusalReason,
  Transport,
} from '../transport/transport.ts';

export interface ListenersObserver {
  onConnection(socket: Socket, from: PeerEndpoint): void;
  onRefused(from: PeerEndpoint, reason: RefusalReason): void;
  /** One has ended; connections are taken by the others only. */
  onFailed(address: Address, error: Error): void;
}

/** Where connections are taken, all admitting the same peers. */
export class Listeners {
  readonly #transport: Transport;
  readonly #observer: ListenersObserver;
  readonly #listeners: { address: Address; listener: PeerListener }[] = [];
  /** By prefix and interface. */
  readonly #admitted = new Map<string, { peers: Cidr; options: ConnectionOptions }>();
  #isClosed = false;

  constructor(transport: Transport, observer: ListenersObserver) {
    this.#transport = transport;
    this.#observer = observer;
  }

  /** With the ports that the kernel chose. */
  get all(): { address: Address; port: number }[] {
    return this.#listeners.map(({ address, listener }) => ({ address, port: listener.port }));
  }

  /** @returns the port. @throws BgpTransportError `Listen` */
  async add(address: Address, port: number | undefined, link: string | undefined): Promise<number> {
    const { onConnection, onRefused, onFailed } = this.#observer;
    const listener = await this.#transport.listen({
      address,
      ...(port === undefined ? {} : { port }),
      ...(link === undefined ? {} : { interface: link }),
      onConnection,
      onRefused,
      onError: (error) => {
        const index = this.#listeners.findIndex((entry) => entry.listener === listener);
        if (index >= 0) this.#listeners.splice(index, 1);
        onFailed(address, error);
      },
    });
    try {
      for (const { peers, options } of this.#admitted.values()) {
        if (peers.family === address.family) listener.admit(peers, options);
      }
    } catch (thrown) {
      await listener.close();
      throw thrown;
    }
    // Closed meanwhile.
    if (this.#isClosed) await listener.close();
    else this.#listeners.push({ address, listener });
    return listener.port;
  }

  /** @throws BgpOptionsError, BgpTransportError `Listen`; then nobody is admitted */
  admit(peers: Cidr, options: ConnectionOptions): void {
    this.#admitted.set(keyOf(peers, options), { peers, options });
    try {
      for (const { address, listener } of this.#listeners) {
        if (address.family === peers.family) listener.admit(peers, options);
      }
    } catch (thrown) {
      this.dismiss(peers, options);
      throw thrown;
    }
  }

  dismiss(peers: Cidr, options: ConnectionOptions): void {
    this.#admitted.delete(keyOf(peers, options));
    for (const { address, listener } of this.#listeners) {
      if (address.family === peers.family) listener.dismiss(peers, options);
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#listeners.splice(0).map(({ listener }) => listener.close()));
  }
}

function keyOf(peers: Cidr, options: ConnectionOptions): string {
  return `${peers}%${options.interface ?? ''}`;
}
