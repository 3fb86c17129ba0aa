import type { Socket } from 'node:net';
import type { Clock, Random } from '../../base/index.ts';
import type { Address } from '../../net/index.ts';
import { BgpOptionsError, type Notification } from '../errors.ts';
import { type AddressFamily, cease, errorCode, messageType } from '../message/assigned-numbers.ts';
import { ceaseWithText, hardReset } from '../message/notification.ts';
import { encodeRouteRefresh, type RouteRefresh } from '../message/route-refresh.ts';
import type { Routes } from '../rib/routes.ts';
import type { Negotiated } from '../session/negotiation.ts';
import type { DownReason, RfcState } from '../session/peer-state.ts';
import type { Transport } from '../transport/transport.ts';
import type { Allowance } from './allowance.ts';
import { Announcer } from './announcer.ts';
import { Conditions } from './conditions.ts';
import { newCounters, type SessionCounters } from './counters.ts';
import { type DrainOptions, drain, type StopOptions } from './drain.ts';
import type { EventDetail } from './events.ts';
import type { ResolvedPeer } from './options.ts';
import { outboundPeer } from './outbound-peer.ts';
import type { PeerConnection } from './peer-connection.ts';
import { PeerDriver } from './peer-driver.ts';
import { PeerLocation } from './peer-location.ts';
import { ReceivedUpdates } from './received-updates.ts';
import { RestartBit } from './restart-bit.ts';
import { SessionReports } from './session-reports.ts';
import type { Turns } from './turns.ts';

/** What a session needs of its speaker. */
export interface SessionHost {
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: Transport;
  readonly turns: Turns;
  readonly routes: Routes;
  isComplete(): boolean;
  emit(event: EventDetail): void;
  /** How many dynamic peers may be told to have come. */
  readonly arrivals: Allowance;
  /** A dynamic session has no connection and no damping left. */
  onIdle(session: Session): void;
  /** Finds the peer of an unnumbered session. */
  discover(interfaceName: string, signal: AbortSignal): Promise<Address>;
  /** There it is: its connections are to be taken. @throws BgpOptionsError, BgpTransportError `Listen` */
  onFound(session: Session, address: Address): void;
}

export interface ResetOptions {
  /** For the operator on the other side (RFC 9003); default none. */
  text?: string;
  /** The peer drops the routes at once, also where RFC 8538 was negotiated. */
  hardReset?: boolean;
}

/** An established session, and who sends on it. */
interface Established {
  readonly connection: PeerConnection;
  readonly negotiated: Negotiated;
  readonly announcer: Announcer;
}

/** One peer of a speaker. It lives until it is removed, through any number of connections. */
export class Session {
  readonly options: ResolvedPeer;
  readonly #host: SessionHost;
  readonly #reports: SessionReports;
  readonly #driver: PeerDriver;
  readonly #counters: SessionCounters = newCounters();
  readonly #restartBit: RestartBit;
  readonly #conditions: Conditions;
  readonly #received: ReceivedUpdates;
  readonly #location: PeerLocation;
  #established: Established | undefined;
  #wasConnected = false;
  #failures = 0;
  #isOver = false;
  #drain: Promise<void> | undefined;

  constructor(options: ResolvedPeer, host: SessionHost) {
    this.options = options;
    this.#host = host;
    const { name, dynamic } = options;
    const { clock, arrivals, transport } = host;
    const counters = this.#counters;
    const emit = (event: EventDetail) => host.emit(event);
    this.#reports = new SessionReports({ peer: name, dynamic, clock, counters, arrivals, emit });
    this.#restartBit = new RestartBit(options.machine, clock);
    this.#conditions = new Conditions(clock);
    this.#received = new ReceivedUpdates(name, clock, counters, emit);
    this.#location = new PeerLocation({
      peer: options,
      clock,
      transport,
      discover: (link, signal) => host.discover(link, signal),
      isEstablished: () => this.#established !== undefined,
      onFound: (address) => host.onFound(this, address),
      onFailed: (error) => this.#reports.connectFailed(error),
    });
    this.#driver = new PeerDriver({
      config: () => this.#restartBit.config,
      dial: (signal) => this.#location.dial(signal),
      clock,
      random: host.random,
      turns: host.turns,
      counters,
      observer: {
        onState: (from, to) => this.#reports.state(from, to),
        onUp: (connection, negotiated) => this.#up(connection, negotiated),
        onDown: (reason, detail) => this.#down(reason, detail),
        onFailed: (reason, detail) => this.#reports.failed(reason, detail),
        onConnectFailed: (error) => this.#reports.connectFailed(error),
        onUpdate: (verdict, message) => this.#received.take(verdict, message),
        onRouteRefresh: (refresh) => this.#refreshAsked(refresh),
        onRoom: () => this.pump(),
        onSettled: () => this.#settled(),
      },
    });
  }

  /** The peer's address; of an unnumbered peer, the last one found. */
  get address(): Address | undefined {
    return this.#location.address;
  }

  get name(): string {
    return this.options.name;
  }

  /** For logs: what it is and how it is, without keys. */
  toJSON(): { name: string; address: string | undefined; state: RfcState; counters: SessionCounters } {
    return { name: this.name, address: this.address?.toString(), state: this.state, counters: this.counters };
  }

  /** RFC 4271 section 8.2.2. */
  get state(): RfcState {
    return this.#driver.rfcState;
  }

  /** What both sides agreed on, while the session is established. */
  get negotiated(): Negotiated | undefined {
    return this.#established?.negotiated;
  }

  /** A copy. */
  get counters(): SessionCounters {
    const { messagesIn, messagesOut } = this.#counters;
    const prefixesOut = this.#established?.announcer.prefixes ?? 0;
    return { ...this.#counters, messagesIn: { ...messagesIn }, messagesOut: { ...messagesOut }, prefixesOut };
  }

  /** True when the peer was sent every route, with End-of-RIB where the routes are complete. */
  get isInStep(): boolean {
    return this.#established?.announcer.isBehind === false && this.#established.connection.stream.unsentBytes === 0;
  }

  /** Failures in a row, by which it is damped. */
  get failuresInARow(): number {
    return this.#failures;
  }

  /**
   * Wants the session: at first, or again after `stop`. `failures`: in a row, of a dynamic peer that was here before.
   * @throws BgpOptionsError when it was removed, or its speaker closed
   */
  start(failures = 0): void {
    if (this.#isOver) throw isOver();
    this.#location.start();
    this.#driver.step({ type: 'start', failures });
  }

  /** Ends the session with Cease/2 and keeps it down until `start`. Where both sides have RFC 8538, as a hard reset. */
  stop({ text = this.options.shutdownText }: StopOptions = {}): void {
    this.#stop(ceaseWithText(cease.administrativeShutdown, text));
  }

  /** Closes without a word, so that the peer keeps the routes as long as it was told (RFC 4724 section 4.1). */
  stopForRestart(): void {
    this.#driver.step({ type: 'stop', notification: undefined });
  }

  /** As `stop`, for a peer that is no longer configured (Cease/3). */
  deconfigure(): void {
    this.#stop({ code: errorCode.cease, subcode: cease.peerDeconfigured, data: new Uint8Array(0) });
  }

  /** As `stop`, for a dynamic peer that gives way to another (Cease/8). */
  giveWay(): void {
    this.#stop({ code: errorCode.cease, subcode: cease.outOfResources, data: new Uint8Array(0) });
  }

  /**
   * Ends the session with Cease/4 and starts over. Where both sides have RFC 8538 the peer keeps the routes meanwhile, but
   * for a hard reset.
   */
  reset({ text = '', hardReset = false }: ResetOptions = {}): void {
    this.#reset(ceaseWithText(cease.administrativeReset, text), hardReset);
  }

  /**
   * What BFD says about the way to the peer (RFC 5882). Down ends the session with Cease/10 (RFC 9384) and starts over;
   * where both sides have RFC 8538 as a hard reset, for the routes lead to nowhere, unless `hardReset` is false.
   * Admin-down says nothing about the way and ends nothing.
   */
  bfd(state: 'up' | 'down' | 'admin-down', { hardReset = true }: Pick<ResetOptions, 'hardReset'> = {}): void {
    this.#host.emit({ type: 'bfd', peer: this.name, state });
    if (state !== 'down') return;
    this.#reset({ code: errorCode.cease, subcode: cease.bfdDown, data: new Uint8Array(0) }, hardReset);
  }

  /** Judges and sends every route again: after the export policy has changed its mind. */
  resend(): void {
    this.#established?.announcer.resend();
  }

  /** Asks the peer for its routes again (RFC 2918); they are counted and dropped as ever. False when it cannot. */
  requestRefresh(family: AddressFamily): boolean {
    const { negotiated, connection } = this.#established ?? {};
    if (!connection || !negotiated?.routeRefresh || !negotiated.families.includes(family)) return false;
    connection.send(messageType.routeRefresh, encodeRouteRefresh(family, 'request'));
    return true;
  }

  /**
   * Resolves when the session is established; at once when it is.
   * @throws the signal's reason; BgpOptionsError when it was removed, or its speaker closed
   */
  async whenEstablished(signal?: AbortSignal): Promise<void> {
    await this.#conditions.when(() => this.#established !== undefined, signal);
  }

  /**
   * Resolves when the peer was sent every route there is.
   * @throws the signal's reason; BgpOptionsError when it was removed, or its speaker closed
   */
  async whenInStep(signal?: AbortSignal): Promise<void> {
    await this.#conditions.when(() => this.isInStep, signal);
  }

  /**
   * Takes traffic away, then ends the session: the routes are announced again with GRACEFUL_SHUTDOWN (RFC 8326), after a
   * while withdrawn, then Cease/2. Called again while under way, gives the same promise.
   * @throws the signal's reason; the session has ended all the same. BgpOptionsError; then nothing was done
   */
  drain(options: DrainOptions = {}): Promise<void> {
    this.#drain ??= drain(
      {
        isEstablished: () => this.#established !== undefined,
        isInStep: () => this.isInStep,
        resend: (mode) => this.#established?.announcer.resend(mode),
        stop: () => this.stop(options),
        onStep: (step) => this.#host.emit({ type: 'drain', peer: this.name, step }),
        conditions: this.#conditions,
      },
      options,
    ).finally(() => {
      this.#drain = undefined;
    });
    return this.#drain;
  }

  /** Takes a connection that the peer made. */
  accept(socket: Socket): void {
    this.#wasConnected = true;
    this.#driver.accept(socket);
  }

  /** It is one of the speaker's from now on. */
  added(): void {
    this.#reports.added();
  }

  removed(): void {
    this.#reports.removed();
    this.end();
  }

  /** It was removed, or its speaker closes: it never starts again, and nobody waits for it. */
  end(): void {
    this.#isOver = true;
    this.#conditions.end(isOver());
  }

  /** Resolves when no connection is left. */
  gone(): Promise<void> {
    return this.#driver.gone();
  }

  /** True when there may be something to send. */
  get isBehind(): boolean {
    return this.#established?.announcer.isBehind ?? false;
  }

  /** Sends what the peer takes, in slices of a turn. */
  pump(): void {
    this.#established?.announcer.pump();
  }

  #stop(notification: Notification): void {
    this.#driver.step({ type: 'stop', notification: this.#final(notification) });
  }

  #reset(notification: Notification, isHard: boolean): void {
    this.#driver.step({ type: 'reset', notification: isHard ? this.#final(notification) : notification });
  }

  /** Where graceful restart would hold the routes, a hard reset has them dropped (RFC 8538 section 3). */
  #final(notification: Notification): Notification {
    const keeps = this.#established?.negotiated.gracefulRestart?.notification ?? false;
    return keeps ? hardReset(notification) : notification;
  }

  #up(connection: PeerConnection, negotiated: Negotiated): void {
    const { routes, turns, isComplete } = this.#host;
    const announcer = new Announcer({
      connection: connection.stream,
      negotiated,
      peer: outboundPeer(this.options, this.address, connection.stream.localAddress, negotiated),
      routes,
      turns,
      isComplete,
      send: ({ type, bytes }) => connection.send(type, bytes),
      onEndOfRib: (family, all) => this.#endOfRibSent(family, all),
      onUnsendable: (unsendable) => this.#reports.unsendable(unsendable),
      onSlice: () => this.#conditions.look(),
    });
    this.#established = { connection, negotiated, announcer };
    this.#received.begin();
    this.#reports.established(negotiated);
    // The KEEPALIVE that answers the peer's OPEN is written; the routes follow it.
    this.pump();
  }

  #down(reason: DownReason, detail: string): void {
    this.#established?.announcer.close();
    this.#established = undefined;
    this.#reports.down(reason, detail);
    this.#conditions.look();
  }

  #endOfRibSent(family: AddressFamily, all: boolean): void {
    if (all) this.#restartBit.routesSent();
    this.#host.emit({ type: 'end-of-rib', peer: this.name, family, direction: 'out' });
  }

  #refreshAsked({ kind, family }: RouteRefresh): void {
    if (kind !== 'request' || !family || !this.#established) return;
    this.#reports.refreshRequested(family);
    this.#established.announcer.refresh(family);
  }

  #settled(): void {
    this.#conditions.look();
    const { state } = this.#driver;
    if (state.phase === 'stopped') this.#location.stop();
    else this.#failures = state.failures;
    const isIdle =
      state.phase === 'stopped' || (state.phase === 'running' && !state.dialling && state.connections.length === 0);
    if (this.options.dynamic && isIdle && this.#wasConnected) this.#host.onIdle(this);
  }
}

function isOver(): BgpOptionsError {
  return new BgpOptionsError([{ field: 'session', text: 'it was removed, or its speaker is closed' }]);
}
