/**
 * All BFD sessions of a thread: opens their sockets, gives each packet to its session, counts the others. Put it on a
 * thread whose timers hold, as `startBfd` does or in a worker of one's own.
 */
import { randomInt } from 'node:crypto';
import { type Clock, OvenbirdError, type Random, systemClock, type Timer } from '../../base/index.ts';
import { bfdPacketBytes, decodeBfdPacket } from './control-packet.ts';
import { BfdError } from './errors.ts';
import { RunningSession } from './session.ts';
import {
  type BfdDropReason,
  type BfdEngineStatus,
  type BfdSessionEvent,
  type BfdSessionStatus,
  noDrops,
} from './session-events.ts';
import { type BfdTiming, bfdSessionKey, type ResolvedBfdSession } from './session-options.ts';
import { newSocketUser, pathProblem, SessionSockets, type SharedReceiver, type SocketUser } from './session-sockets.ts';
import type { BfdDatagram, BfdTransport } from './transport.ts';

export interface BfdEngineOptions {
  transport: BfdTransport;
  clock?: Clock;
  /** For jitter. */
  random?: Random;
  /** 1-4294967295; unique ones are asked for again. Default: from the system's random numbers. */
  discriminator?: () => number;
}

/** A session in the engine's own thread. */
export interface BfdEngineSession {
  status(): BfdSessionStatus;
  /** @throws BfdError `BadOptions` */
  configure(change: BfdTiming): void;
  setAdminDown(adminDown: boolean): void;
  /** Tells the peer that this is no failure; resolves when it has heard, or had the time to. Idempotent. */
  remove(): Promise<void>;
}

/** How often interfaces are looked at and sockets that could not be opened are tried again. */
const repairIntervalMs = 1000;

interface Entry extends SocketUser {
  readonly key: string;
  readonly session: RunningSession;
  /** Being removed: the peer is told. */
  removal: PromiseWithResolvers<void> | undefined;
}

export class BfdEngine {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #discriminator: () => number;
  readonly #entries = new Map<string, Entry>();
  /** Removed, and still telling their peers. */
  readonly #leaving = new Set<Entry>();
  readonly #byDiscriminator = new Map<number, Entry>();
  readonly #sockets: SessionSockets<Entry>;
  readonly #discarded = noDrops();
  #repairTimer: Timer | undefined;
  #isClosed = false;

  constructor(options: BfdEngineOptions) {
    this.#sockets = new SessionSockets(options.transport, (receiver, datagram) => this.#onDatagram(receiver, datagram));
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#discriminator = options.discriminator ?? (() => randomInt(1, 2 ** 32));
  }

  /**
   * Begins a session. Sockets that cannot be opened now (no such interface or address yet) are an event of type
   * `problem` and tried again every second.
   * @throws BfdError `DuplicateSession`, `Closed`
   */
  addSession(options: ResolvedBfdSession, onEvent: (event: BfdSessionEvent) => void): BfdEngineSession {
    if (this.#isClosed) throw new BfdError('Closed', 'the BFD engine is closed: it takes no more sessions');
    const key = bfdSessionKey(options);
    if (this.#entries.has(key)) {
      throw new BfdError('DuplicateSession', `there is a BFD session "${key}" already; use it, or remove it first`);
    }
    for (const leaving of this.#leaving) if (leaving.key === key) leaving.session.end();
    const session = new RunningSession(options, this.#freeDiscriminator(), {
      clock: this.#clock,
      random: this.#random,
      send: (packet) => (entry.sender ? entry.sender.send(packet) : notOpen),
      drain: () => entry.receiver?.socket.drain(),
      onEvent,
    });
    const entry: Entry = {
      ...newSocketUser(options),
      key,
      session,
      removal: undefined,
    };
    this.#entries.set(key, entry);
    this.#byDiscriminator.set(session.localDiscriminator, entry);
    this.#open(entry);
    session.start(options.adminDown);
    this.#scheduleRepair();
    return {
      status: () => session.status(entry.sender?.port ?? 0),
      configure: (change) => session.configure(change),
      setAdminDown: (adminDown) => session.setAdminDown(adminDown),
      remove: () => this.#remove(entry),
    };
  }

  status(): BfdEngineStatus {
    const { droppedByKernel } = this.#sockets;
    return { sessions: this.#entries.size, discarded: { ...this.#discarded }, droppedByKernel };
  }

  /** Removes every session and closes every socket; resolves when all peers were told. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#repairTimer?.cancel();
    this.#repairTimer = undefined;
    await Promise.all([...this.#entries.values(), ...this.#leaving].map((entry) => this.#remove(entry)));
  }

  #remove(entry: Entry): Promise<void> {
    if (entry.removal) return entry.removal.promise;
    const removal = Promise.withResolvers<void>();
    entry.removal = removal;
    this.#entries.delete(entry.key);
    this.#leaving.add(entry);
    entry.session.close(() => {
      this.#leaving.delete(entry);
      this.#byDiscriminator.delete(entry.session.localDiscriminator);
      this.#sockets.close(entry);
      removal.resolve();
    });
    return removal.promise;
  }

  #freeDiscriminator(): number {
    for (;;) {
      const discriminator = this.#discriminator();
      if (!this.#byDiscriminator.has(discriminator)) return discriminator;
    }
  }

  // ---- receiving -------------------------------------------------------------------------------------------------

  #onDatagram(receiver: SharedReceiver, datagram: BfdDatagram): void {
    const { bytes, length } = datagram;
    if (length >= bfdPacketBytes) {
      const known = this.#byDiscriminator.get(wordAt(bytes, 8));
      if (known?.session.isRepetition(bytes) && pathProblem(known, receiver, datagram) === undefined) {
        known.session.repeat();
        return;
      }
    }
    const decoded = decodeBfdPacket(bytes, length);
    if (decoded.kind === 'discard') {
      this.#discard(decoded.reason, this.#sockets.findBySource(receiver, datagram));
      return;
    }
    const { packet } = decoded;
    const entry =
      packet.yourDiscriminator === 0
        ? this.#sockets.findBySource(receiver, datagram)
        : this.#byDiscriminator.get(packet.yourDiscriminator);
    if (entry === undefined) {
      if (packet.yourDiscriminator === 0) this.#discard('no-session', undefined);
      else this.#discard('your-discriminator', this.#sockets.findBySource(receiver, datagram));
      return;
    }
    const problem = pathProblem(entry, receiver, datagram);
    if (problem !== undefined) {
      this.#discard(problem, entry);
      return;
    }
    if (entry.session.isAdminDown) this.#discard('admin-down', entry);
    entry.session.receive(packet, bytes);
  }

  #discard(reason: BfdDropReason, entry: Entry | undefined): void {
    this.#discarded[reason] += 1;
    entry?.session.noteDiscard(reason);
  }

  // ---- sockets ---------------------------------------------------------------------------------------------------

  #open(entry: Entry): void {
    try {
      this.#sockets.open(entry);
      entry.session.setProblem(undefined);
    } catch (thrown) {
      if (!(thrown instanceof OvenbirdError)) throw thrown;
      entry.session.setProblem(thrown);
    }
  }

  /** While a session has an interface, which may go and come back as another, or no sockets. */
  #scheduleRepair(): void {
    if (this.#repairTimer !== undefined || this.#isClosed) return;
    let isNeeded = false;
    for (const { options, sender } of this.#entries.values()) {
      if (options.interface !== undefined || sender === undefined) isNeeded = true;
    }
    if (!isNeeded) return;
    this.#repairTimer = this.#clock.setTimer(repairIntervalMs, () => {
      this.#repairTimer = undefined;
      this.#repair();
      this.#scheduleRepair();
    });
  }

  #repair(): void {
    for (const entry of this.#entries.values()) {
      if (this.#sockets.isElsewhere(entry)) this.#sockets.close(entry);
      if (entry.receiver === undefined) this.#open(entry);
    }
  }
}

const notOpen = new OvenbirdError('NotOpen', 'the sockets of this BFD session are not open');

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0
  );
}
