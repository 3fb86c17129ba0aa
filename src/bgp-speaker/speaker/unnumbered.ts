import type { Clock, Random } from '../../base/index.ts';
import type { Address } from '../../net/index.ts';
import { discoverNeighbours, type NeighbourDiscovery } from '../transport/neighbour-discovery.ts';

/** Finds the router on a link. */
export type DiscoverPeer = (interfaceName: string, signal: AbortSignal) => Promise<Address>;

/** Discovery for the unnumbered peers of a speaker; starts with the first of them. */
export class Unnumbered {
  readonly #given: DiscoverPeer | undefined;
  readonly #start: typeof discoverNeighbours;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #owners = new Map<object, string>();
  #discovery: NeighbourDiscovery | undefined;

  /** @param given does it instead of the host's own; `start` starts that */
  constructor(given: DiscoverPeer | undefined, clock: Clock, random: Random, start = discoverNeighbours) {
    this.#given = given;
    this.#start = start;
    this.#clock = clock;
    this.#random = random;
  }

  /**
   * Looks for the router there, and lets itself be found, until no `owner` wants it any more.
   * @throws RawSocketError where the host cannot
   */
  watch(interfaceName: string, owner: object): void {
    if (this.#given) return;
    // What is seen comes out of `discover`; until then the session says that it waits.
    this.#discovery ??= this.#start({ clock: this.#clock, random: this.#random, onEvent: () => {} });
    this.#discovery.watch(interfaceName);
    this.#owners.set(owner, interfaceName);
  }

  unwatch(owner: object): void {
    const interfaceName = this.#owners.get(owner);
    this.#owners.delete(owner);
    if (interfaceName === undefined || [...this.#owners.values()].includes(interfaceName)) return;
    this.#discovery?.unwatch(interfaceName);
  }

  /** @throws the signal's reason; what a given discovery throws, also one that throws at once */
  async discover(interfaceName: string, signal: AbortSignal): Promise<Address> {
    if (this.#given) return this.#given(interfaceName, signal);
    if (!this.#discovery) throw signal.reason;
    return this.#discovery.discoverPeer(interfaceName, signal);
  }

  close(): void {
    this.#discovery?.close();
    this.#discovery = undefined;
  }
}
