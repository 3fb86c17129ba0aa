import type { Socket } from 'node:net';
import type { Clock } from '../../base/index.ts';
import type { Address } from '../../net/index.ts';
import type { Transport } from '../transport/transport.ts';
import type { ResolvedPeer } from './options.ts';
import { PeerSearch } from './peer-search.ts';

export interface PeerLocationOptions {
  readonly peer: ResolvedPeer;
  readonly clock: Clock;
  readonly transport: Transport;
  /** Finds the peer of an unnumbered session. */
  discover(interfaceName: string, signal: AbortSignal): Promise<Address>;
  /** While it is established, the session is with whom it is, whoever is found on the link. */
  isEstablished(): boolean;
  /** There it is: its connections are to be taken. */
  onFound(address: Address): void;
  /** `onFound` threw. What the listeners do not take for its peer, we may dial all the same. */
  onFailed(error: Error): void;
}

/** Where the peer of a session is: at its address, or on its link, where it is looked for. */
export class PeerLocation {
  /** Of an unnumbered peer, the last one found. */
  address: Address | undefined;
  readonly #options: PeerLocationOptions;
  /** For an unnumbered peer that we do not dial. */
  readonly #search: PeerSearch | undefined;

  constructor(options: PeerLocationOptions) {
    const { clock, peer } = options;
    const { machine, address, interface: link = '' } = peer;
    this.#options = options;
    this.address = address;
    if (address || !machine.passive) return;
    this.#search = new PeerSearch({
      discover: (signal) => options.discover(link, signal),
      onFound: (found) => this.#found(found),
      clock,
      intervalMs: machine.connectRetrySeconds * 1000,
    });
  }

  /** The session is wanted. Idempotent. */
  start(): void {
    this.#search?.start();
  }

  stop(): void {
    this.#search?.stop();
  }

  /** Connects to it. @throws BgpTransportError; the signal's reason */
  async dial(signal: AbortSignal): Promise<Socket> {
    const { peer, transport, discover } = this.#options;
    const { address, port, connection, interface: link = '' } = peer;
    const found = address ?? (await discover(link, signal));
    signal.throwIfAborted();
    if (!address) this.#found(found);
    return transport.dial({ address: found, ...(port === undefined ? {} : { port }) }, connection, signal);
  }

  #found(address: Address): void {
    const { isEstablished, onFound, onFailed } = this.#options;
    if (isEstablished()) return;
    this.address = address;
    try {
      onFound(address);
    } catch (thrown) {
      onFailed(thrown instanceof Error ? thrown : new Error(String(thrown)));
    }
  }
}
