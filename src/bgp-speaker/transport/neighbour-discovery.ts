import { type Clock, type Random, systemClock, type Timer } from '../../base/index.ts';
import { Address, Mac } from '../../net/index.ts';
import {
  type LinkWatcher,
  type LinkWatcherOptions,
  openPacketSocket,
  type PacketSocketOptions,
  RawSocketError,
  watchLinks,
} from '../../raw-socket/index.ts';
import { BgpTransportError } from '../errors.ts';
import { isLinkLocal } from './connection-options.ts';
import {
  type DiscoveryEffect,
  type DiscoveryEvent,
  type DiscoveryState,
  discoveryDueMs,
  discoveryStart,
  neighbourOf,
  stepDiscovery,
} from './neighbour-machine.ts';
import { routerDiscoveryFilter } from './router-discovery-filter.ts';
import {
  decodeRouterMessage,
  encodeAdvertisement,
  encodeSolicitation,
  type RouterMessageFault,
  routerDiscoveryGroups,
} from './router-message.ts';

export type NeighbourEvent = {
  readonly interface: string;
} /** A router is at the other end, or another than `previous`. */ & (
  | { readonly type: 'neighbour'; readonly address: Address; readonly previous?: Address }
  /** It said farewell or nothing for its lifetime, or the link is down. */
  | { readonly type: 'gone'; readonly address: Address }
  /** Why nothing can be heard there, said once for each cause. The interface is tried again when it changes. */
  | { readonly type: 'silent'; readonly reason: 'no-interface' | 'down' | 'no-link-local-address' }
  | { readonly type: 'silent'; readonly reason: 'failed'; readonly error: Error }
);

export interface NeighbourDiscoveryOptions {
  onEvent?(event: NeighbourEvent): void;
  clock?: Clock;
  random?: Random;
  /** The host's links and its wire; default: those of this network namespace. */
  watchLinks?: (options: LinkWatcherOptions) => Pick<LinkWatcher, 'links' | 'addresses' | 'close'>;
  openPacketSocket?: (options: PacketSocketOptions) => { send(frame: Uint8Array): boolean; close(): void };
}

/** Frames of one interface since it was watched. */
export interface DiscoveryCounters {
  advertisementsReceived: number;
  solicitationsReceived: number;
  advertisementsSent: number;
  solicitationsSent: number;
  /** Frames the interface did not take. */
  unsent: number;
  /** Frames that are no valid router message, by what is wrong with them. */
  discarded: Partial<Record<RouterMessageFault, number>>;
}

/**
 * Finds the routers of unnumbered peers: those given as an interface only. Listens to Router Advertisements, solicits
 * them, and advertises this host's own link-local address with lifetime 0, from which routers (FRR: `neighbor eth0
 * interface`) learn it in turn. Needs NET_RAW. Changes nothing of the host's own neighbour discovery; a host that accepts
 * advertisements itself (net.ipv6.conf.*.accept_ra) takes the router for its default router, as always.
 */
export interface NeighbourDiscovery {
  /** Looks for a neighbour there from now on, whether or not the interface exists yet. Idempotent. */
  watch(interfaceName: string): void;
  /** Stops that; no event follows. */
  unwatch(interfaceName: string): void;
  /** The neighbour known now. */
  neighbour(interfaceName: string): Address | undefined;
  /**
   * The neighbour on an interface as soon as there is one, which is watched from now on: what a speaker's `discoverPeer`
   * is. @throws the signal's reason when aborted; BgpTransportError `Connect` after `close` or `unwatch`
   */
  discoverPeer(interfaceName: string, signal: AbortSignal): Promise<Address>;
  counters(interfaceName: string): DiscoveryCounters | undefined;
  /** Idempotent; no event follows. */
  close(): void;
}

/** @throws RawSocketError when links cannot be followed (`AddonMissing`, ...) */
export function discoverNeighbours(options: NeighbourDiscoveryOptions = {}): NeighbourDiscovery {
  return new InterfaceNeighbours(options);
}

class InterfaceNeighbours implements NeighbourDiscovery {
  readonly #options: NeighbourDiscoveryOptions;
  readonly #links: Pick<LinkWatcher, 'links' | 'addresses' | 'close'>;
  readonly #watched = new Map<string, WatchedInterface>();
  #isSynced = false;
  #isClosed = false;

  constructor(options: NeighbourDiscoveryOptions) {
    this.#options = options;
    this.#links = (options.watchLinks ?? watchLinks)({
      onEvent: (event) => {
        if (!this.#isSynced) return;
        if (event.type === 'link' || event.type === 'link-gone') this.#look();
        else if (event.address.address.length === 16) this.#look();
      },
      onSynced: () => {
        this.#isSynced = true;
        this.#look();
      },
      // The watcher reads everything anew by itself, and then reports the differences.
      onError: () => {},
      ...(options.clock === undefined ? {} : { clock: options.clock }),
    });
  }

  watch(interfaceName: string): void {
    this.#watch(interfaceName);
  }

  unwatch(interfaceName: string): void {
    const watched = this.#watched.get(interfaceName);
    this.#watched.delete(interfaceName);
    watched?.close();
  }

  neighbour(interfaceName: string): Address | undefined {
    return this.#watched.get(interfaceName)?.neighbour;
  }

  discoverPeer(interfaceName: string, signal: AbortSignal): Promise<Address> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#isClosed) return Promise.reject(notWatched(interfaceName));
    return this.#watch(interfaceName).wait(signal);
  }

  counters(interfaceName: string): DiscoveryCounters | undefined {
    return this.#watched.get(interfaceName)?.counters;
  }

  close(): void {
    this.#isClosed = true;
    this.#links.close();
    for (const name of [...this.#watched.keys()]) this.unwatch(name);
  }

  #watch(name: string): WatchedInterface {
    const known = this.#watched.get(name);
    if (known) return known;
    const made = new WatchedInterface(name, this.#options);
    this.#watched.set(name, made);
    if (this.#isSynced) made.follow(this.#situationOf(name));
    return made;
  }

  #look(): void {
    for (const [name, watched] of [...this.#watched]) watched.follow(this.#situationOf(name));
  }

  #situationOf(name: string): Situation {
    const link = this.#links.links.find((each) => each.name === name);
    if (!link) return { kind: 'silent', reason: 'no-interface' };
    if (!link.flags.up || !link.carrier) return { kind: 'silent', reason: 'down' };
    const ours = this.#links.addresses
      .filter(({ index, address, tentative }) => index === link.index && address.length === 16 && !tentative)
      .map(({ address }) => Address.fromBytes(address))
      .filter(isLinkLocal);
    if (ours.length === 0) return { kind: 'silent', reason: 'no-link-local-address' };
    return { kind: 'ready', index: link.index, mac: Mac.fromBytes(link.mac), ours };
  }
}

type Situation =
  | { kind: 'silent'; reason: 'no-interface' | 'down' | 'no-link-local-address' }
  | { kind: 'ready'; index: number; mac: Mac; ours: readonly Address[] };

interface Wire {
  readonly socket: { send(frame: Uint8Array): boolean; close(): void };
  readonly index: number;
  readonly mac: Mac;
  readonly self: Address;
}

/** A failure to open the wire is tried again after this. */
const retryMs = 5_000;

class WatchedInterface {
  readonly counters: DiscoveryCounters = {
    advertisementsReceived: 0,
    solicitationsReceived: 0,
    advertisementsSent: 0,
    solicitationsSent: 0,
    unsent: 0,
    discarded: {},
  };
  readonly #name: string;
  readonly #options: NeighbourDiscoveryOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #waiting = new Set<PromiseWithResolvers<Address>>();
  #state: DiscoveryState = discoveryStart;
  #wire: Wire | undefined;
  #ours: readonly Address[] = [];
  #timer: Timer | undefined;
  #retry: Timer | undefined;
  #told: string | undefined;
  #isClosed = false;

  constructor(name: string, options: NeighbourDiscoveryOptions) {
    this.#name = name;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
  }

  get neighbour(): Address | undefined {
    return neighbourOf(this.#state);
  }

  async wait(signal: AbortSignal): Promise<Address> {
    if (this.neighbour !== undefined) return this.neighbour;
    const waiting = Promise.withResolvers<Address>();
    const onAbort = () => waiting.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiting.add(waiting);
    try {
      return await waiting.promise;
    } finally {
      this.#waiting.delete(waiting);
      signal.removeEventListener('abort', onAbort);
    }
  }

  follow(situation: Situation): void {
    if (this.#isClosed) return;
    this.#retry?.cancel();
    this.#retry = undefined;
    if (situation.kind === 'silent') {
      this.#cut();
      this.#tell(situation.reason, { type: 'silent', interface: this.#name, reason: situation.reason });
      return;
    }
    this.#ours = situation.ours;
    const { index, mac, ours } = situation;
    const wire = this.#wire;
    const isSame = wire?.index === index && wire.mac.equals(mac) && ours.some((each) => each.equals(wire.self));
    if (!isSame) this.#open(situation);
  }

  close(): void {
    this.#isClosed = true;
    this.#retry?.cancel();
    this.#timer?.cancel();
    this.#wire?.socket.close();
    this.#wire = undefined;
    this.#state = discoveryStart;
    for (const waiting of this.#waiting) waiting.reject(notWatched(this.#name));
  }

  #open(situation: Situation & { kind: 'ready' }): void {
    this.#cut();
    const { index, mac, ours } = situation;
    const [self] = ours;
    if (self === undefined || this.#isClosed) return;
    try {
      const socket = (this.#options.openPacketSocket ?? openPacketSocket)({
        interface: index,
        etherType: 0x86dd,
        filter: routerDiscoveryFilter(),
        multicast: routerDiscoveryGroups,
        receiveBufferBytes: 1 << 16,
        onFrame: (frame) => this.#received(frame),
        // The link is followed: what is told here comes from there too.
        onError: () => {},
      });
      this.#wire = { socket, index, mac, self };
    } catch (thrown) {
      if (!(thrown instanceof RawSocketError)) throw thrown;
      this.#retry = this.#clock.setTimer(retryMs, () => this.#open(situation));
      this.#tell(thrown.message, { type: 'silent', interface: this.#name, reason: 'failed', error: thrown });
      return;
    }
    this.#told = undefined;
    this.#step({ type: 'up' });
  }

  #cut(): void {
    this.#wire?.socket.close();
    this.#wire = undefined;
    this.#step({ type: 'down' });
  }

  #received(frame: Uint8Array): void {
    const message = decodeRouterMessage(frame);
    if ('fault' in message) {
      this.counters.discarded[message.fault] = (this.counters.discarded[message.fault] ?? 0) + 1;
      return;
    }
    // Our own words, sent back by a loop in the network.
    if (this.#ours.some((each) => each.equals(message.source))) return;
    if (message.type === 'advertisement') this.counters.advertisementsReceived += 1;
    else this.counters.solicitationsReceived += 1;
    this.#step(message);
  }

  #step(event: DiscoveryEvent): void {
    const { state, effects } = stepDiscovery(this.#state, event, this.#clock.monotonicMs(), this.#random);
    this.#state = state;
    this.#timer?.cancel();
    const dueMs = discoveryDueMs(state);
    this.#timer =
      dueMs === undefined
        ? undefined
        : this.#clock.setTimer(Math.max(0, dueMs - this.#clock.monotonicMs()), () => this.#step({ type: 'timer' }));
    for (const effect of effects) this.#carryOut(effect);
  }

  #carryOut(effect: DiscoveryEffect): void {
    if (this.#isClosed) return;
    switch (effect.type) {
      case 'advertise':
      case 'solicit':
        this.#send(effect.type);
        break;
      case 'neighbour':
        for (const waiting of this.#waiting) waiting.resolve(effect.address);
        this.#options.onEvent?.({ ...effect, interface: this.#name });
        break;
      case 'gone':
        this.#options.onEvent?.({ ...effect, interface: this.#name });
        break;
    }
  }

  #send(what: 'advertise' | 'solicit'): void {
    if (!this.#wire) return;
    const { socket, self, mac } = this.#wire;
    const frame = what === 'advertise' ? encodeAdvertisement(self, mac) : encodeSolicitation(self, mac);
    if (!isSent(socket, frame)) this.counters.unsent += 1;
    else if (what === 'advertise') this.counters.advertisementsSent += 1;
    else this.counters.solicitationsSent += 1;
  }

  #tell(cause: string, event: NeighbourEvent): void {
    if (this.#isClosed || this.#told === cause) return;
    this.#told = cause;
    this.#options.onEvent?.(event);
  }
}

/** What the kernel refuses is said again at the next turn; whether the link is there, the links tell. */
function isSent(socket: Wire['socket'], frame: Uint8Array): boolean {
  try {
    return socket.send(frame);
  } catch (thrown) {
    if (thrown instanceof RawSocketError) return false;
    throw thrown;
  }
}

function notWatched(name: string): BgpTransportError<'Connect'> {
  return new BgpTransportError('Connect', `nobody looks for a neighbour on ${name} any more`);
}
