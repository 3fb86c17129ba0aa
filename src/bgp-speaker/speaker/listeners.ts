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

/** What somebody wants admitted. */
interface Wish {
  /** Prefix and interface. */
  readonly key: string;
  readonly peers: Cidr;
  readonly options: ConnectionOptions;
}

/** Who wants something admitted: a session, or the key of a range. */
type Owner = object | string;

/**
 * Where connections are taken, all admitting the same peers. Where several owners want the same, the options of the first
 * session hold, or of the range: of whom the connections will be.
 */
export class Listeners {
  readonly #transport: Transport;
  readonly #observer: ListenersObserver;
  readonly #listeners: { address: Address; listener: PeerListener }[] = [];
  readonly #wishes = new Map<Owner, Wish>();
  /** The owners of each key, in the order in which they came. */
  readonly #owners = new Map<string, Set<Owner>>();
  /** What every listener admits, by key. */
  readonly #admitted = new Map<string, Wish>();
  #isClosed = false;

  constructor(transport: Transport, observer: ListenersObserver) {
    this.#transport = transport;
    this.#observer = observer;
  }

  /** With the ports that the kernel chose. */
  get all(): { address: Address; port: number }[] {
    return this.#listeners.map(({ address, listener }) => ({ address, port: listener.port }));
  }

  /** @returns the port. @throws BgpTransportError `Listen`; the signal's reason */
  async add(address: Address, port?: number, link?: string, signal?: AbortSignal): Promise<number> {
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
      signal?.throwIfAborted();
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

  /** Instead of what this owner wanted before. @throws BgpOptionsError, BgpTransportError `Listen`; then that holds */
  admit(owner: Owner, peers: Cidr, options: ConnectionOptions): void {
    const former = this.#wishes.get(owner);
    const wish = { key: `${peers}%${options.interface ?? ''}`, peers, options };
    if (former?.key === wish.key && former.options === options) return;
    this.#want(owner, wish);
    try {
      this.#realise(wish.key);
    } catch (thrown) {
      this.#want(owner, former);
      this.#realise(wish.key);
      throw thrown;
    }
    if (former && former.key !== wish.key) this.#realise(former.key);
  }

  dismiss(owner: Owner): void {
    const former = this.#wishes.get(owner);
    if (!former) return;
    this.#want(owner, undefined);
    this.#realise(former.key);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#listeners.splice(0).map(({ listener }) => listener.close()));
  }

  #want(owner: Owner, wish: Wish | undefined): void {
    const former = this.#wishes.get(owner);
    if (former && former.key !== wish?.key) {
      const owners = this.#owners.get(former.key);
      owners?.delete(owner);
      if (owners?.size === 0) this.#owners.delete(former.key);
    }
    if (!wish) {
      this.#wishes.delete(owner);
      return;
    }
    this.#wishes.set(owner, wish);
    const owners = this.#owners.get(wish.key);
    if (owners) owners.add(owner);
    else this.#owners.set(wish.key, new Set([owner]));
  }

  /** Has every listener admit what is wanted there, if anything. */
  #realise(key: string): void {
    const owners = [...(this.#owners.get(key) ?? [])];
    const owner = owners.find((each) => typeof each === 'object') ?? owners[0];
    const wanted = owner === undefined ? undefined : this.#wishes.get(owner);
    const before = this.#admitted.get(key);
    if (wanted === before) return;
    if (wanted) this.#admitted.set(key, wanted);
    else this.#admitted.delete(key);
    const { peers, options } = wanted ?? before ?? {};
    if (!peers || !options) return;
    for (const { address, listener } of this.#listeners) {
      if (address.family !== peers.family) continue;
      if (wanted) listener.admit(peers, options);
      else listener.dismiss(peers, options);
    }
  }
}
