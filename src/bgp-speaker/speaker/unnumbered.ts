import type { Clock, Random } from '../../base/index.ts';
import type { Address } from '../../net/index.ts';
import { discoverNeighbours, type NeighbourDiscovery } from '../transport/neighbour-discovery.ts';

/** Finds the router on a link. */
export type DiscoverPeer = (interfaceName: string, signal: AbortSignal) => Promise<Address>;

/** Discovery for the unnumbered peers of a speaker; starts with the first of them. */
export class Unnumbered {
  readonly #given: DiscoverPeer | undefined;
  readonly #clock: Clock;
  readonly #random: Random;
  #discovery: NeighbourDiscovery | undefined;

  /** @param given does it instead of the host's own */
  constructor(given: DiscoverPeer | undefined, clock: Clock, random: Random) {
    this.#given = given;
    this.#clock = clock;
    this.#random = random;
  }

  /** Looks for the router there, and lets itself be found. @throws RawSocketError where the host cannot */
  watch(interfaceName: string): void {
    if (this.#given) return;
    // What is seen comes out of `discover`; until then the session says that it waits.
    this.#discovery ??= discoverNeighbours({ clock: this.#clock, random: this.#random, onEvent: () => {} });
    this.#discovery.watch(interfaceName);
  }

  unwatch(interfaceName: string): void {
    this.#discovery?.unwatch(interfaceName);
  }

  /** @throws the signal's reason */
  discover(interfaceName: string, signal: AbortSignal): Promise<Address> {
    if (this.#given) return this.#given(interfaceName, signal);
    this.watch(interfaceName);
    return this.#discovery?.discoverPeer(interfaceName, signal) ?? Promise.reject(signal.reason);
  }

  close(): void {
    this.#discovery?.close();
    this.#discovery = undefined;
  }
}
