import type { Socket } from 'node:net';
import { type Clock, type Random, systemClock } from '../../base/index.ts';
import { Address, type Cidr } from '../../net/index.ts';
import { BgpOptionsError } from '../errors.ts';
import type { RouteAttributes } from '../message/path-attributes.ts';
import { Routes } from '../rib/routes.ts';
import { resolveSessionOptions } from '../session/session-options.ts';
import { tcpTransport } from '../transport/tcp-transport.ts';
import type { PeerEndpoint, RefusalReason, Transport } from '../transport/transport.ts';
import { Allowance } from './allowance.ts';
import { DynamicPeers, newRange, type Range } from './dynamic-peers.ts';
import { EventHub, type EventsOptions, type SpeakerEvent } from './events.ts';
import { Listeners } from './listeners.ts';
import { ownerOf, peersAt } from './neighbours.ts';
import {
  type DynamicPeerOptions,
  type ListenAddress,
  type PeerOptions,
  type ResolvedPeer,
  readAddress,
  readPrefix,
  resolvePeer,
  type SpeakerOptions,
} from './options.ts';
import { type DrainOptions, Session, type SessionHost } from './session.ts';
import { Turns } from './turns.ts';
import { Unnumbered } from './unnumbered.ts';

/** How a speaker ends. */
export interface CloseOptions extends Pick<DrainOptions, 'waitMs' | 'text' | 'signal'> {
  /**
   * `shutdown`: Cease/2 to every peer (default). `graceful-restart`: no word, so that peers with graceful restart keep
   * the routes until this speaker is back. `drain`: `Session.drain` with every peer first.
   */
  mode?: 'shutdown' | 'graceful-restart' | 'drain';
}

/**
 * A BGP speaker that announces routes (RFC 4271 and what the README lists). Received routes are checked, counted and
 * dropped. Made by `createSpeaker`.
 */
export class BgpSpeaker {
  readonly localAs: number;
  readonly identifier: string;
  readonly #routes = new Routes();
  readonly #sessions = new Map<string, Session>();
  readonly #dynamic: DynamicPeers;
  readonly #listeners: Listeners;
  readonly #refusals: Allowance;
  readonly #events: EventHub;
  readonly #transport: Transport;
  readonly #unnumbered: Unnumbered;
  readonly #host: SessionHost;
  /** Removed, with connections that still deliver their last message. */
  readonly #leaving = new Set<Session>();
  #isComplete: boolean;
  #isPublishing = false;
  #closing: Promise<void> | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = () => void this.close();

  /** Use `createSpeaker`, which listens as well. */
  constructor(options: Omit<SpeakerOptions, 'listen'>) {
    const { localAs, identifier, clock = systemClock, random = Math.random } = options;
    // The same checks that a session makes, at once.
    resolveSessionOptions({ localAs, identifier, peerAs: 'any' });
    this.localAs = localAs;
    this.identifier = identifier;
    this.#isComplete = options.routesComplete ?? false;
    this.#transport = options.transport ?? tcpTransport();
    this.#events = new EventHub(() => clock.nowMs());
    this.#refusals = new Allowance(clock);
    this.#dynamic = new DynamicPeers(clock);
    this.#listeners = new Listeners(this.#transport, {
      onConnection: (socket, from) => this.#accepted(socket, from),
      onRefused: (from, reason) => this.#refused(from, reason),
      onFailed: (address, error) => this.#events.emit({ type: 'listener-failed', address, error }),
    });
    this.#unnumbered = new Unnumbered(options.discoverPeer, clock, random);
    this.#host = this.#hostOf(clock, random);
    this.#signal = options.signal;
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Every session, by name. */
  get sessions(): readonly Session[] {
    return [...this.#sessions.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }

  session(name: string): Session | undefined {
    return this.#sessions.get(name);
  }

  /** Where connections are taken, with the ports that the kernel chose. */
  get listening(): readonly { address: Address; port: number }[] {
    return this.#listeners.all;
  }

  /** Number of routes announced. */
  get routeCount(): number {
    return this.#routes.size;
  }

  /** What is announced, with the attributes as given. */
  routes(): IterableIterator<readonly [Cidr, RouteAttributes]> {
    return this.#routes[Symbol.iterator]();
  }

  /** Memory of the routes, bytes, attribute sets not counted. */
  get routesMemoryBytes(): number {
    return this.#routes.memoryBytes;
  }

  /** Takes connections on one more address. @throws BgpTransportError `Listen`; the signal's reason */
  async listen({ signal, ...options }: ListenAddress & { signal?: AbortSignal }): Promise<number> {
    this.#checkOpen();
    signal?.throwIfAborted();
    const address = readAddress('address', options.address) ?? Address.of(4, 0n);
    const port = await this.#listeners.add(address, options.port, options.interface, signal);
    this.#checkOpen();
    return port;
  }

  /**
   * Adds a peer and starts its session, unless `disabled`.
   * @throws BgpOptionsError naming every field that is wrong, or that the name is taken
   */
  addPeer(options: PeerOptions): Session {
    this.#checkOpen();
    const resolved = resolvePeer(this, options);
    const { name, address, interface: link, connection } = resolved;
    if (this.#sessions.get(name)?.options.dynamic === false) {
      throw new BgpOptionsError([{ field: 'name', text: `there is a peer "${name}" already; give this one another` }]);
    }
    const session = new Session(resolved, this.#host);
    if (address) this.#listeners.admit(session, peersAt(address), connection);
    else if (link !== undefined) this.#unnumbered.watch(link, session);
    this.#endDynamic(resolved);
    this.#add(session);
    if (!resolved.disabled) session.start();
    return session;
  }

  /**
   * Ends the session with Cease/3. Resolves when its connections are gone, in a second at most.
   * @throws the signal's reason; nobody is removed when it was aborted before, else the removal goes on
   */
  async removePeer(session: Session, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    signal?.throwIfAborted();
    if (this.#sessions.get(session.name) !== session) return;
    if (session.options.dynamic) {
      session.deconfigure();
      await orAborted(session.gone(), signal);
      return;
    }
    this.#listeners.dismiss(session);
    this.#unnumbered.unwatch(session);
    session.deconfigure();
    this.#forget(session);
    await orAborted(this.#gone(session), signal);
  }

  /**
   * Takes connections from every address of a prefix (dynamic neighbours); each becomes a session that lives as long as
   * it is connected, and as long after as a failure is damped.
   * @throws BgpOptionsError
   */
  acceptPeers(prefix: string | Cidr, options: DynamicPeerOptions): void {
    this.#checkOpen();
    const range = newRange(readPrefix('prefix', prefix), options, (name, address) =>
      resolvePeer(this, { ...options, name, address }, true),
    );
    this.#listeners.admit(range.key, range.peers, range.template.connection);
    this.#dynamic.set(range);
  }

  /**
   * Takes no more from a prefix, and ends the sessions that came from it. Resolves when their connections are gone.
   * @throws the signal's reason, as `removePeer`
   */
  async rejectPeers(
    prefix: string | Cidr,
    { interface: link, signal }: { interface?: string; signal?: AbortSignal } = {},
  ): Promise<void> {
    signal?.throwIfAborted();
    const ended = this.#dynamic.delete(readPrefix('prefix', prefix), link);
    if (!ended) return;
    this.#listeners.dismiss(ended.range.key);
    for (const session of ended.sessions) session.deconfigure();
    await orAborted(Promise.all(ended.sessions.map((session) => session.gone())), signal);
  }

  /**
   * Every peer should have this route; sent at the end of the current microtask, with all other changes made until then.
   * @param attributes must not change afterwards; share one object among routes that are alike
   * @throws BgpArgumentError for attributes that cannot be encoded
   */
  announce(prefix: string | Cidr, attributes: RouteAttributes = {}): void {
    this.#checkOpen();
    this.#routes.announce(readPrefix('prefix', prefix), attributes);
    this.#publishSoon();
  }

  withdraw(prefix: string | Cidr): void {
    this.#checkOpen();
    this.#routes.withdraw(readPrefix('prefix', prefix));
    this.#publishSoon();
  }

  /** Exactly these routes, from now on; peers are sent the difference. @throws BgpArgumentError, with nothing changed */
  replaceAll(routes: Iterable<readonly [string | Cidr, RouteAttributes]>): void {
    this.#checkOpen();
    const parsed: [Cidr, RouteAttributes][] = [];
    for (const [prefix, attributes] of routes) parsed.push([readPrefix('prefix', prefix), attributes]);
    this.#routes.replaceAll(parsed);
    this.#publishSoon();
  }

  /**
   * All routes that there are at first have been announced: peers are sent End-of-RIB, upon which those that kept routes
   * of an earlier run drop what was not announced again (RFC 4724). Call it when the sources are complete, not before.
   */
  routesComplete(): void {
    this.#isComplete = true;
    this.#publish();
    for (const session of this.#sessions.values()) session.pump();
  }

  /** What happens from now on. Any number of readers; each has its own buffer. Ends when the speaker is closed. */
  events(options?: EventsOptions): AsyncIterableIterator<SpeakerEvent> {
    return this.#events.read(options);
  }

  /** Ends every session and listener. Resolves when no socket and no timer is left. Again: the same promise. */
  close(options: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close({ mode = 'shutdown', ...drain }: CloseOptions): Promise<void> {
    await this.#listeners.close();
    const sessions = [...this.#sessions.values()];
    let failure: { reason: unknown } | undefined;
    if (mode === 'drain') {
      const ends = await Promise.allSettled(sessions.map((session) => session.drain(drain)));
      const rejected = ends.find((end) => end.status === 'rejected');
      if (rejected) failure = { reason: rejected.reason };
    }
    for (const session of sessions) {
      if (mode === 'graceful-restart') session.stopForRestart();
      else session.stop(drain.text === undefined ? {} : { text: drain.text });
      session.end();
    }
    await Promise.all([...sessions, ...this.#leaving].map((session) => session.gone()));
    this.#unnumbered.close();
    this.#sessions.clear();
    this.#dynamic.clear();
    this.#events.close();
    this.#signal?.removeEventListener('abort', this.#onAbort);
    if (failure) throw failure.reason;
  }

  #hostOf(clock: Clock, random: Random): SessionHost {
    return {
      clock,
      random,
      transport: this.#transport,
      turns: new Turns(clock),
      routes: this.#routes,
      arrivals: new Allowance(clock),
      isComplete: () => this.#isComplete,
      emit: (event) => this.#events.emit(event),
      onIdle: (session) => this.#dynamicEnded(session),
      onFound: (session, address) => this.#found(session, address),
      discover: (interfaceName, signal) => this.#unnumbered.discover(interfaceName, signal),
    };
  }

  #checkOpen(): void {
    if (this.#closing) throw new BgpOptionsError([{ field: 'speaker', text: 'it is closed' }]);
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

  #publishSoon(): void {
    if (this.#isPublishing || !this.#routes.hasChanges) return;
    this.#isPublishing = true;
    queueMicrotask(() => this.#publish());
  }

  #publish(): void {
    this.#isPublishing = false;
    if (!this.#routes.hasChanges) return;
    this.#routes.publish();
    for (const session of this.#sessions.values()) if (session.isBehind) session.pump();
  }

  /** Nobody else on the link of an unnumbered peer may connect. */
  #found(session: Session, address: Address): void {
    if (this.#sessions.get(session.name) !== session) return;
    this.#listeners.admit(session, peersAt(address), session.options.connection);
  }

  #accepted(socket: Socket, from: PeerEndpoint): void {
    const sessions = [...this.#sessions.values()];
    const configured = sessions.filter(({ options }) => !options.dynamic);
    const now = this.#host.clock.monotonicMs();
    const owner = ownerOf(from, configured, this.#dynamic.sessions, this.#dynamic.ranges, now);
    if (this.#closing || owner.kind === 'refused') {
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
    if (unreported !== undefined) this.#events.emit({ type: 'refused', address, port, reason, unreported });
  }

  #acceptDynamic(range: Range, socket: Socket, from: PeerEndpoint): void {
    const { name } = resolvePeer(this, { ...range.options, address: from.address }, true);
    const options = { ...range.options, name: this.#freeName(name), address: from.address };
    const session = new Session(resolvePeer(this, options, true), this.#host);
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

  #dynamicEnded(session: Session): void {
    this.#leave(session, () => session.stop());
  }

  #leave(session: Session, end: () => void): void {
    if (!this.#dynamic.left(session)) return;
    end();
    this.#forget(session);
    void this.#gone(session);
  }
}

/** Waits no longer than the signal lets it. @throws the signal's reason */
async function orAborted(work: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) {
    await work;
    return;
  }
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * A speaker that takes connections where `listen` says.
 * @throws BgpOptionsError naming every field that is wrong; BgpTransportError `Listen`
 */
export async function createSpeaker(options: SpeakerOptions): Promise<BgpSpeaker> {
  const { listen = [], signal } = options;
  signal?.throwIfAborted();
  const speaker = new BgpSpeaker(options);
  try {
    for (const address of listen) await speaker.listen(address);
    signal?.throwIfAborted();
  } catch (thrown) {
    await speaker.close();
    throw thrown;
  }
  return speaker;
}
