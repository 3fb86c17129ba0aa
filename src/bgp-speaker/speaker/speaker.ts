import { systemClock } from '../../base/index.ts';
import { Address, type Cidr } from '../../net/index.ts';
import { BgpOptionsError } from '../errors.ts';
import type { RouteAttributes } from '../message/path-attributes.ts';
import { Routes } from '../rib/routes.ts';
import { resolveSessionOptions } from '../session/session-options.ts';
import { tcpTransport } from '../transport/tcp-transport.ts';
import { type DrainOptions, drainProblem } from './drain.ts';
import { EventHub, type EventsOptions, type SpeakerEvent } from './events.ts';
import {
  type DynamicPeerOptions,
  type ListenAddress,
  type PeerOptions,
  readAddress,
  readPrefix,
  type SpeakerOptions,
} from './options.ts';
import { Peers } from './peers.ts';
import type { Session } from './session.ts';

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
  readonly #events: EventHub;
  readonly #peers: Peers;
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
    this.#events = new EventHub(() => clock.nowMs());
    this.#peers = new Peers({
      identity: this,
      routes: this.#routes,
      transport: options.transport ?? tcpTransport(),
      clock,
      random,
      discoverPeer: options.discoverPeer,
      isComplete: () => this.#isComplete,
      emit: (event) => this.#events.emit(event),
    });
    this.#signal = options.signal;
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Every session, by name. */
  get sessions(): readonly Session[] {
    return [...this.#peers.sessions].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }

  session(name: string): Session | undefined {
    return this.#peers.get(name);
  }

  /** Where connections are taken, with the ports that the kernel chose. */
  get listening(): readonly { address: Address; port: number }[] {
    return this.#peers.listeners.all;
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
    const port = await this.#peers.listeners.add(address, options.port, options.interface, signal);
    this.#checkOpen();
    return port;
  }

  /**
   * Adds a peer and starts its session, unless `disabled`.
   * @throws BgpOptionsError naming every field that is wrong, or that the name is taken
   */
  addPeer(options: PeerOptions): Session {
    this.#checkOpen();
    return this.#peers.add(options);
  }

  /**
   * Ends the session with Cease/3. Resolves when its connections are gone, in a second at most.
   * @throws the signal's reason; nobody is removed when it was aborted before, else the removal goes on
   */
  async removePeer(session: Session, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    signal?.throwIfAborted();
    await orAborted(this.#peers.remove(session), signal);
  }

  /**
   * Takes connections from every address of a prefix (dynamic neighbours); each becomes a session that lives as long as
   * it is connected, and as long after as a failure is damped.
   * @throws BgpOptionsError
   */
  acceptPeers(prefix: string | Cidr, options: DynamicPeerOptions): void {
    this.#checkOpen();
    this.#peers.accept(readPrefix('prefix', prefix), options);
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
    await orAborted(this.#peers.reject(readPrefix('prefix', prefix), link), signal);
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
    for (const session of this.#peers.sessions) session.pump();
  }

  /** What happens from now on. Any number of readers; each has its own buffer. Ends when the speaker is closed. */
  events(options?: EventsOptions): AsyncIterableIterator<SpeakerEvent> {
    return this.#events.read(options);
  }

  /**
   * Ends every session and listener. Resolves when no socket and no timer is left. Again: the same promise.
   * @throws BgpOptionsError; then nothing was closed
   */
  close(options: CloseOptions = {}): Promise<void> {
    const problem = this.#closing ? undefined : drainProblem(options);
    if (problem) return Promise.reject(problem);
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close({ mode = 'shutdown', ...drain }: CloseOptions): Promise<void> {
    await this.#peers.stopListening();
    const sessions = [...this.#peers.sessions];
    let failure: { reason: unknown } | undefined;
    if (mode === 'drain') {
      const { signal } = drain;
      // One that somebody has begun goes by their options, and fails for their reasons; but we wait by our own.
      const drains = Promise.allSettled(sessions.map((session) => session.drain(drain)));
      await orAborted(drains, signal).catch(() => {});
      if (signal?.aborted) failure = { reason: signal.reason };
    }
    for (const session of sessions) {
      if (mode === 'graceful-restart') session.stopForRestart();
      else session.stop(drain.text === undefined ? {} : { text: drain.text });
      session.end();
    }
    await this.#peers.allGone();
    this.#events.close();
    this.#signal?.removeEventListener('abort', this.#onAbort);
    if (failure) throw failure.reason;
  }

  #checkOpen(): void {
    if (this.#closing) throw new BgpOptionsError([{ field: 'speaker', text: 'it is closed' }]);
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
    for (const session of this.#peers.sessions) if (session.isBehind) session.pump();
  }
}

/** Waits no longer than the signal lets it. @throws the signal's reason */
async function orAborted(work: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) {
    await work;
    return;
  }
  signal.throwIfAborted();
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
