import { OvenbirdError } from '../../base/index.ts';
import { Address } from '../../net/index.ts';
import { isTtlAcceptable } from './control-packet.ts';
import type { BfdDropReason } from './session-events.ts';
import type { ResolvedBfdSession } from './session-options.ts';
import type { BfdDatagram, BfdReceiver, BfdSender, BfdTransport } from './transport.ts';

const anyInterface = 0;

/** A socket on which several sessions listen: those of a family, a kind of path and an interface. */
export interface SharedReceiver {
  readonly key: string;
  readonly socket: BfdReceiver;
  readonly multihop: boolean;
  readonly interfaceIndex: number;
  minimumTtl: number;
  readonly users: Set<SocketUser>;
}

/** A session, with its sockets while they are open. */
export interface SocketUser {
  readonly options: ResolvedBfdSession;
  /** Bytes of the local address, when the session has one. */
  readonly local: Uint8Array | undefined;
  receiver: SharedReceiver | undefined;
  sender: BfdSender | undefined;
  sourceKey: string | undefined;
  /** A session keeps its source port (RFC 5881 section 4). */
  lastPort: number;
}

/** Without sockets. */
export function newSocketUser(options: ResolvedBfdSession): SocketUser {
  return {
    options,
    local: options.localAddress === undefined ? undefined : Address.parse(options.localAddress).toBytes(),
    receiver: undefined,
    sender: undefined,
    sourceKey: undefined,
    lastPort: 0,
  };
}

/** The sockets of sessions: receivers are shared, and sessions found by where a packet comes from. */
export class SessionSockets<User extends SocketUser> {
  readonly #transport: BfdTransport;
  readonly #onDatagram: (receiver: SharedReceiver, datagram: BfdDatagram) => void;
  readonly #bySource = new Map<string, User[]>();
  readonly #receivers = new Map<string, SharedReceiver>();
  #droppedBefore = 0;

  constructor(transport: BfdTransport, onDatagram: (receiver: SharedReceiver, datagram: BfdDatagram) => void) {
    this.#transport = transport;
    this.#onDatagram = onDatagram;
  }

  /** Datagrams for which the kernel had no room. */
  get droppedByKernel(): number {
    let dropped = this.#droppedBefore;
    for (const { socket } of this.#receivers.values()) dropped += socket.dropped();
    return dropped;
  }

  /** @throws OvenbirdError when they cannot be opened; then none is */
  open(user: User): void {
    const { options } = user;
    try {
      const interfaceIndex = this.#interfaceIndex(options);
      user.receiver = this.#acquire(user, interfaceIndex);
      user.sender = this.#transport.openSender(options, user.lastPort);
      user.lastPort = user.sender.port;
      user.sourceKey = sourceKey(options.multihop, interfaceIndex, Address.parse(options.peer).toBytes());
      const others = this.#bySource.get(user.sourceKey);
      if (others) others.push(user);
      else this.#bySource.set(user.sourceKey, [user]);
    } catch (thrown) {
      this.close(user);
      throw thrown;
    }
  }

  /** Idempotent. */
  close(user: User): void {
    const { receiver, sender } = user;
    user.receiver = undefined;
    user.sender = undefined;
    sender?.close();
    const others = user.sourceKey === undefined ? undefined : this.#bySource.get(user.sourceKey);
    if (others && user.sourceKey !== undefined) {
      others.splice(others.indexOf(user), 1);
      if (others.length === 0) this.#bySource.delete(user.sourceKey);
    }
    user.sourceKey = undefined;
    if (receiver === undefined) return;
    receiver.users.delete(user);
    if (receiver.users.size > 0) {
      lowerMinimumTtl(receiver);
      return;
    }
    this.#receivers.delete(receiver.key);
    this.#droppedBefore += receiver.socket.dropped();
    receiver.socket.close();
  }

  /** Its sockets are on an interface that is gone, or came back as another. */
  isElsewhere({ options, receiver }: User): boolean {
    if (receiver === undefined || options.interface === undefined) return false;
    return this.#transport.interfaceIndex(options.interface) !== receiver.interfaceIndex;
  }

  /** Whose peer it is that sends from there. */
  findBySource(receiver: SharedReceiver, { source, destination }: BfdDatagram): User | undefined {
    const { multihop, interfaceIndex } = receiver;
    const onInterface = this.#bySource.get(sourceKey(multihop, interfaceIndex, source));
    // A session that is for any interface hears its peer also where others have a socket of their own.
    const anywhere =
      interfaceIndex === anyInterface ? undefined : this.#bySource.get(sourceKey(multihop, anyInterface, source));
    return best(onInterface, destination) ?? best(anywhere, destination);
  }

  #interfaceIndex({ interface: name }: ResolvedBfdSession): number {
    if (name === undefined) return anyInterface;
    const index = this.#transport.interfaceIndex(name);
    if (index !== undefined) return index;
    throw new OvenbirdError('NoSuchInterface', `there is no interface ${name} in this network namespace`);
  }

  #acquire(user: User, interfaceIndex: number): SharedReceiver {
    const { family, multihop, minimumTtl, interface: name } = user.options;
    const key = `${family} ${multihop} ${interfaceIndex}`;
    const shared = this.#receivers.get(key);
    if (shared) {
      shared.users.add(user);
      lowerMinimumTtl(shared);
      return shared;
    }
    const receiver: SharedReceiver = {
      key,
      multihop,
      interfaceIndex,
      minimumTtl,
      users: new Set([user]),
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
}

/** Why a packet for this session is not taken: RFC 5881 section 5, RFC 5883. */
export function pathProblem(
  user: SocketUser,
  receiver: SharedReceiver,
  { ttl }: BfdDatagram,
): BfdDropReason | undefined {
  const { options } = user;
  const isOnPath =
    options.interface === undefined
      ? options.multihop === receiver.multihop && familyOf(receiver) === options.family
      : receiver === user.receiver;
  if (!isOnPath) return 'wrong-path';
  return isTtlAcceptable(ttl, options.minimumTtl) ? undefined : 'ttl';
}

function familyOf({ key }: SharedReceiver): 4 | 6 {
  return key.startsWith('4') ? 4 : 6;
}

/** The session of this local address, else one that has none. */
function best<User extends SocketUser>(users: readonly User[] | undefined, destination: Uint8Array): User | undefined {
  let any: User | undefined;
  for (const user of users ?? []) {
    if (user.local === undefined) any = user;
    else if (isSameAddress(user.local, destination)) return user;
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
