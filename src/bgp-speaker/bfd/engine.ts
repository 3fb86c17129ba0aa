/**
 * All BFD sessions of a thread: opens their sockets, gives each packet to its session, counts the others. Put it on a
 * thread whose timers hold, as `startBfd` does or in a worker of one's own.
 */
import { randomInt } from 'node:crypto';
import { type Clock, OvenbirdError, type Random, systemClock, type Timer } from '../../base/index.ts';
import { Address } from '../../net/index.ts';
import { bfdPacketBytes, decodeBfdPacket, isTtlAcceptable } from './control-packet.ts';
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
import type { BfdDatagram, BfdReceiver, BfdSender, BfdTransport } from './transport.ts';

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
const anyInterface = 0;

interface SharedReceiver {
  readonly key: string;
  readonly socket: BfdReceiver;
  readonly multihop: boolean;
  readonly interfaceIndex: number;
  minimumTtl: number;
  readonly users: Set<Entry>;
}

interface Entry {
  readonly key: string;
  readonly options: ResolvedBfdSession;
  readonly session: RunningSession;
  /** Bytes of the local address, when the session has one. */
  readonly local: Uint8Array | undefined;
  receiver: SharedReceiver | undefined;
  sender: BfdSender | undefined;
  sourceKey: string | undefined;
  lastPort: number;
  /** Being removed: the peer is told. */
  removal: PromiseWithResolvers<void> | undefined;
}

export class BfdEngine {
  readonly #transport: BfdTransport;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #discriminator: () => number;
  readonly #entries = new Map<string, Entry>();
  /** Removed, and still telling their peers. */
  readonly #leaving = new Set<Entry>();
  readonly #byDiscriminator = new Map<number, Entry>();
  readonly #bySource = new Map<string, Entry[]>();
  readonly #receivers = new Map<string, SharedReceiver>();
  readonly #discarded = noDrops();
  #droppedBefore = 0;
  #repairTimer: Timer | undefined;
  #isClosed = false;

  constructor(options: BfdEngineOptions) {
    this.#transport = options.transport;
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
      key,
      options,
      session,
      local: options.localAddress === undefined ? undefined : Address.parse(options.localAddress).toBytes(),
      receiver: undefined,
      sender: undefined,
      sourceKey: undefined,
      lastPort: 0,
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
    let droppedByKernel = this.#droppedBefore;
    for (const { socket } of this.#receivers.values()) droppedByKernel += socket.dropped();
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
      this.#closeSockets(entry);
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
      this.#discard(decoded.reason, this.#findBySource(receiver, datagram));
      return;
    }
    const { packet } = decoded;
    const entry =
      packet.yourDiscriminator === 0
        ? this.#findBySource(receiver, datagram)
        : this.#byDiscriminator.get(packet.yourDiscriminator);
    if (entry === undefined) {
      if (packet.yourDiscriminator === 0) this.#discard('no-session', undefined);
      else this.#discard('your-discriminator', this.#findBySource(receiver, datagram));
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

  #findBySource(receiver: SharedReceiver, { source, destination }: BfdDatagram): Entry | undefined {
    const { multihop, interfaceIndex } = receiver;
    const onInterface = this.#bySource.get(sourceKey(multihop, interfaceIndex, source));
    // A session that is for any interface hears its peer also where others have a socket of their own.
    const anywhere =
      interfaceIndex === anyInterface ? undefined : this.#bySource.get(sourceKey(multihop, anyInterface, source));
    return best(onInterface, destination) ?? best(anywhere, destination);
  }

  // ---- sockets ---------------------------------------------------------------------------------------------------

  #open(entry: Entry): void {
    const { options, session } = entry;
    try {
      const interfaceIndex = this.#interfaceIndex(options);
      entry.receiver = this.#acquire(entry, interfaceIndex);
      entry.sender = this.#transport.openSender(options, entry.lastPort);
      entry.lastPort = entry.sender.port;
      entry.sourceKey = sourceKey(options.multihop, interfaceIndex, Address.parse(options.peer).toBytes());
      const others = this.#bySource.get(entry.sourceKey);
      if (others) others.push(entry);
      else this.#bySource.set(entry.sourceKey, [entry]);
      session.setProblem(undefined);
    } catch (thrown) {
      this.#closeSockets(entry);
      if (!(thrown instanceof OvenbirdError)) throw thrown;
      session.setProblem(thrown);
    }
  }

  #interfaceIndex({ interface: name }: ResolvedBfdSession): number {
    if (name === undefined) return anyInterface;
    const index = this.#transport.interfaceIndex(name);
    if (index !== undefined) return index;
    throw new OvenbirdError('NoSuchInterface', `there is no interface ${name} in this network namespace`);
  }

  #acquire(entry: Entry, interfaceIndex: number): SharedReceiver {
    const { family, multihop, minimumTtl, interface: name } = entry.options;
    const key = `${family} ${multihop} ${interfaceIndex}`;
    const shared = this.#receivers.get(key);
    if (shared) {
      shared.users.add(entry);
      lowerMinimumTtl(shared);
      return shared;
    }
    const receiver: SharedReceiver = {
      key,
      multihop,
      interfaceIndex,
      minimumTtl,
      users: new Set([entry]),
      socket: this.#transport.openReceiver({
        family,
        multihop,
        interface: name,
        minimumTtl,
        onDatagram: (datagram) => this.#onDatagram(receiver, datagram),
      }),
    };
    this.#receivers.set(key, receiver);
    return receiver;
  }

  #closeSockets(entry: Entry): void {
    const { receiver, sender } = entry;
    entry.receiver = undefined;
    entry.sender = undefined;
    sender?.close();
    const others = entry.sourceKey === undefined ? undefined : this.#bySource.get(entry.sourceKey);
    if (others && entry.sourceKey !== undefined) {
      others.splice(others.indexOf(entry), 1);
      if (others.length === 0) this.#bySource.delete(entry.sourceKey);
    }
    entry.sourceKey = undefined;
    if (receiver === undefined) return;
    receiver.users.delete(entry);
    if (receiver.users.size > 0) {
      lowerMinimumTtl(receiver);
      return;
    }
    this.#receivers.delete(receiver.key);
    this.#droppedBefore += receiver.socket.dropped();
    receiver.socket.close();
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
      const { options, receiver } = entry;
      if (receiver && options.interface !== undefined) {
        const index = this.#transport.interfaceIndex(options.interface);
        if (index === receiver.interfaceIndex) continue;
        this.#closeSockets(entry);
      }
      if (entry.receiver === undefined) this.#open(entry);
    }
  }
}

const notOpen = new OvenbirdError('NotOpen', 'the sockets of this BFD session are not open');

/** Why a packet for this session is not taken: RFC 5881 section 5, RFC 5883. */
function pathProblem(entry: Entry, receiver: SharedReceiver, { ttl }: BfdDatagram): BfdDropReason | undefined {
  const { options } = entry;
  const isOnPath =
    options.interface === undefined
      ? options.multihop === receiver.multihop && familyOf(receiver) === options.family
      : receiver === entry.receiver;
  if (!isOnPath) return 'wrong-path';
  return isTtlAcceptable(ttl, options.minimumTtl) ? undefined : 'ttl';
}

function familyOf({ key }: SharedReceiver): 4 | 6 {
  return key.startsWith('4') ? 4 : 6;
}

/** The session of this local address, else one that has none. */
function best(entries: readonly Entry[] | undefined, destination: Uint8Array): Entry | undefined {
  let any: Entry | undefined;
  for (const entry of entries ?? []) {
    if (entry.local === undefined) any = entry;
    else if (isSameAddress(entry.local, destination)) return entry;
  }
  return any;
}

function isSameAddress(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function sourceKey(multihop: boolean, interfaceIndex: number, source: Uint8Array): string {
  return `${multihop ? 'm' : 's'} ${interfaceIndex} ${source.join('.')}`;
}

/** The kernel drops what no session on this socket would take; the rest is looked at for each session. */
function lowerMinimumTtl(receiver: SharedReceiver): void {
  let least = 255;
  for (const { options } of receiver.users) least = Math.min(least, options.minimumTtl);
  if (least === receiver.minimumTtl) return;
  receiver.minimumTtl = least;
  receiver.socket.setMinimumTtl(least);
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0
  );
}
