import type { Socket } from 'node:net';
import type { Clock, Random } from '../../base/index.ts';
import type { Address, Cidr } from '../../net/index.ts';
import { BgpOptionsError } from '../errors.ts';
import type { Routes } from '../rib/routes.ts';
import type { PeerEndpoint, RefusalReason, Transport } from '../transport/transport.ts';
import { Allowance } from './allowance.ts';
import { DynamicPeers, newRange, type Range } from './dynamic-peers.ts';
import type { EventDetail } from './events.ts';
import { Listeners } from './listeners.ts';
import { ownerOf, peersAt } from './neighbours.ts';
import {
  type DynamicPeerOptions,
  nameAt,
  type PeerOptions,
  peerLike,
  type ResolvedPeer,
  resolvePeer,
} from './options.ts';
import { Session, type SessionHost } from './session.ts';
import { Turns } from './turns.ts';
import { type DiscoverPeer, Unnumbered } from './unnumbered.ts';

export interface PeersOptions {
  /** The speaker's own. */
  readonly identity: { readonly localAs: number; readonly identifier: string };
  readonly routes: Routes;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly discoverPeer: DiscoverPeer | undefined;
  isComplete(): boolean;
  emit(event: EventDetail): void;
}

/** The sessions of a speaker: who is configured, who has come from a range, and whose a connection is. */
export class Peers {
  readonly listeners: Listeners;
  readonly #options: PeersOptions;
  readonly #host: SessionHost;
  readonly #sessions = new Map<string, Session>();
  readonly #dynamic: DynamicPeers;
  readonly #unnumbered: Unnumbered;
  readonly #refusals: Allowance;
  /** Removed, with connections that still deliver their last message. */
  readonly #leaving = new Set<Session>();
  #isClosing = false;

  constructor(options: PeersOptions) {
    const { clock, random, transport, routes, discoverPeer } = options;
    this.#options = options;
    this.#refusals = new Allowance(clock);
    this.#dynamic = new DynamicPeers(clock);
    this.#unnumbered = new Unnumbered(discoverPeer, clock, random);
    this.listeners = new Listeners(transport, {
      onConnection: (socket, from) => this.#accepted(socket, from),
      onRefused: (from, reason) => this.#refused(from, reason),
      onFailed: (address, error) => options.emit({ type: 'listener-failed', address, error }),
    });
    this.#host = {
      clock,
      random,
      transport,
      turns: new Turns(clock),
      routes,
      arrivals: new Allowance(clock),
      isComplete: () => options.isComplete(),
      emit: (event) => options.emit(event),
      onIdle: (session) => this.#leave(session, () => session.stop()),
      onFound: (session, address) => this.#found(session, address),
      discover: (interfaceName, signal) => this.#unnumbered.discover(interfaceName, signal),
    };
  }

  /** In the order in which they were added. */
  get sessions(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  get(name: string): Session | undefined {
    return this.#sessions.get(name);
  }

  /** @throws BgpOptionsError, BgpTransportError `Listen`, RawSocketError; then nothing has changed */
  add(options: PeerOptions): Session {
    const resolved = resolvePeer(this.#options.identity, options);
    const { name, address, interface: link, connection } = resolved;
    if (this.#sessions.get(name)?.options.dynamic === false) {
      throw new BgpOptionsError([{ field: 'name', text: `there is a peer "${name}" already; give this one another` }]);
    }
    const session = new Session(resolved, this.#host);
    if (address) this.listeners.admit(session, peersAt(address), connection);
    else if (link !== undefined) this.#unnumbered.watch(link, session);
    this.#endDynamic(resolved);
    this.#add(session);
    if (!resolved.disabled) session.start();
    return session;
  }

  /** Resolves when its connections are gone. */
  async remove(session: Session): Promise<void> {
    if (this.#sessions.get(session.name) !== session) return;
    if (session.options.dynamic) {
      session.deconfigure();
      await session.gone();
      return;
    }
    this.listeners.dismiss(session);
    this.#unnumbered.unwatch(session);
    session.deconfigure();
    this.#forget(session);
    await this.#gone(session);
  }

  /** @throws BgpOptionsError, BgpTransportError `Listen`; then the range is as it was */
  accept(prefix: Cidr, options: DynamicPeerOptions): void {
    const range = newRange(prefix, options, (name, address) =>
      resolvePeer(this.#options.identity, { ...options, name, address }, true),
    );
    this.listeners.admit(range.key, range.peers, range.template.connection);
    this.#dynamic.set(range);
  }

  /** Resolves when the connections of who came from it are gone. */
  async reject(prefix: Cidr, link: string | undefined): Promise<void> {
    const ended = this.#dynamic.delete(prefix, link);
    if (!ended) return;
    this.listeners.dismiss(ended.range.key);
    for (const session of ended.sessions) session.deconfigure();
    await Promise.all(ended.sessions.map((session) => session.gone()));
  }

  /** Takes no more connections; those there are stay. */
  async stopListening(): Promise<void> {
    this.#isClosing = true;
    await this.listeners.close();
  }

  /** After every session was told to stop: resolves when no connection and no timer is left. */
  async allGone(): Promise<void> {
    await Promise.all([...this.#sessions.values(), ...this.#leaving].map((session) => session.gone()));
    this.#unnumbered.close();
    this.#sessions.clear();
    this.#dynamic.clear();
  }

  #add(session: Session): void {
    this.#sessions.set(session.name, session);
    session.added();
  }

  /** A dynamic peer that somebody configures now, or whose name is wanted, gives way. */
  #endDynamic({ name, address, interface: link }: ResolvedPeer): void {
    for (const { session, ...peer } of this.#dynamic.sessions) {
      const isSame = address !== undefined && peer.address.equals(address) && session.options.interface === link;
      if (!isSame && session.name !== name) continue;
      this.#leave(session, () => session.deconfigure());
    }
  }

  #forget(session: Session): void {
    this.#sessions.delete(session.name);
    session.removed();
  }

  async #gone(session: Session): Promise<void> {
    this.#leaving.add(session);
    await session.gone();
    this.#leaving.delete(session);
  }

  /** Nobody else on the link of an unnumbered peer may connect. */
  #found(session: Session, address: Address): void {
    if (this.#sessions.get(session.name) !== session) return;
    this.listeners.admit(session, peersAt(address), session.options.connection);
  }

  #accepted(socket: Socket, from: PeerEndpoint): void {
    const sessions = [...this.#sessions.values()];
    const configured = sessions.filter(({ options }) => !options.dynamic);
    const now = this.#host.clock.monotonicMs();
    const owner = ownerOf(from, configured, this.#dynamic.sessions, this.#dynamic.ranges, now);
    if (this.#isClosing || owner.kind === 'refused') {
      socket.destroy();
      const reason = owner.kind === 'refused' ? owner.reason : 'not-admitted';
      this.#refused(from, reason);
    } else if (owner.kind === 'session') owner.session.accept(socket);
    else {
      owner.evict?.giveWay();
      this.#acceptDynamic(owner.range, socket, from);
    }
  }

  #refused({ address, port }: PeerEndpoint, reason: RefusalReason | 'too-many'): void {
    const unreported = this.#refusals.take();
    if (unreported !== undefined) this.#options.emit({ type: 'refused', address, port, reason, unreported });
  }

  #acceptDynamic(range: Range, socket: Socket, from: PeerEndpoint): void {
    const name = this.#freeName(nameAt(from.address, range.interface));
    const session = new Session(peerLike(range.template, name, from.address), this.#host);
    this.#add(session);
    session.start(this.#dynamic.came(session, range, this.#host.clock.monotonicMs()));
    session.accept(socket);
  }

  /** Any name may have been given to a configured peer. */
  #freeName(name: string): string {
    let free = name;
    for (let number = 2; this.#sessions.has(free); number++) free = `${name}#${number}`;
    return free;
  }

  #leave(session: Session, end: () => void): void {
    if (!this.#dynamic.left(session)) return;
    end();
    this.#forget(session);
    void this.#gone(session);
  }
}
