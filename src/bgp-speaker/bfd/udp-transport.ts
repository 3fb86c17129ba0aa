import { randomInt } from 'node:crypto';
import {
  boottimeMs,
  type DatagramSocket,
  type DatagramSocketOptions,
  dropAllFilter,
  interfaceIndex,
  openDatagramSocket,
  RawSocketError,
  receivedTtlFilter,
  socketAddress,
} from '../../raw-socket/index.ts';
import type { ResolvedBfdSession } from './session-options.ts';
import {
  type BfdReceiver,
  type BfdReceiverOptions,
  type BfdSender,
  type BfdTransport,
  bfdPorts,
  bfdSourcePorts,
} from './transport.ts';

/** Class selector 6, network control (RFC 4594 section 3.2). */
const networkControl = 0xc0;
const networkControlPriority = 6;
/** Some thousand packets: what comes in a stall must not push out what came before. */
const receiveBufferBytes = 4 << 20;
/** The Length field says 255 at most. */
const maximumBytes = 256;
const sourcePortAttempts = 64;

/** BFD over the sockets of this network namespace. */
export class UdpTransport implements BfdTransport {
  readonly #receivers = new Map<string, Set<DatagramSocket>>();

  /** @throws RawSocketError `AddonMissing`, `AddonMismatch` */
  constructor() {
    boottimeMs();
  }

  interfaceIndex(name: string): number | undefined {
    try {
      return interfaceIndex(name);
    } catch (thrown) {
      if (thrown instanceof RawSocketError && thrown.code === 'NoSuchInterface') return undefined;
      throw thrown;
    }
  }

  openReceiver(options: BfdReceiverOptions): BfdReceiver {
    const { family, multihop } = options;
    const localPort = multihop ? bfdPorts.multihop : bfdPorts.singleHop;
    const key = `${family} ${localPort}`;
    const siblings = this.#receivers.get(key) ?? new Set();
    this.#receivers.set(key, siblings);
    const socket = openBeside(siblings, {
      family,
      localPort,
      filter: receivedTtlFilter(family, options.minimumTtl),
      receiveBufferBytes,
      maximumBytes,
      onDatagram: (datagram) => options.onDatagram(datagram),
      ...(options.interface === undefined ? {} : { interface: options.interface }),
    });
    siblings.add(socket);
    return {
      drain: () => void socket.drain(),
      setMinimumTtl: (minimumTtl) => socket.setFilter(receivedTtlFilter(family, minimumTtl)),
      dropped: () => socket.dropped(),
      close() {
        siblings.delete(socket);
        socket.close();
      },
    };
  }

  openSender(session: ResolvedBfdSession, port: number): BfdSender {
    const { family, multihop, localAddress } = session;
    const scopeId = session.interface === undefined ? 0 : interfaceIndex(session.interface);
    const to = socketAddress(session.peer, multihop ? bfdPorts.multihop : bfdPorts.singleHop, scopeId);
    const open = (localPort: number) =>
      openDatagramSocket({
        family,
        localPort,
        ttl: 255,
        trafficClass: networkControl,
        priority: networkControlPriority,
        // Nothing is read from it, so nothing may pile up in it.
        filter: dropAllFilter(),
        ...(localAddress === undefined ? {} : { localAddress, scopeId }),
        ...(session.interface === undefined ? {} : { interface: session.interface }),
      });
    const { socket, localPort } = firstFree(port, open);
    return { port: localPort, send: (packet) => socket.send(packet, to), close: () => socket.close() };
  }
}

/**
 * Binds beside sockets of our own on the same port (one for each interface, one for all others), but not beside those of
 * another BFD speaker on this host, and lets nobody else in afterwards.
 */
function openBeside(siblings: ReadonlySet<DatagramSocket>, options: DatagramSocketOptions): DatagramSocket {
  try {
    return openDatagramSocket(options);
  } catch (thrown) {
    if (!isInUse(thrown)) throw thrown;
    if (siblings.size === 0) throw inUse(options.localPort, thrown);
  }
  for (const sibling of siblings) sibling.shareAddress(true);
  try {
    const socket = openDatagramSocket({ ...options, reuseAddress: true });
    socket.shareAddress(false);
    return socket;
  } catch (thrown) {
    throw isInUse(thrown) ? inUse(options.localPort, thrown) : thrown;
  } finally {
    for (const sibling of siblings) sibling.shareAddress(false);
  }
}

/** A free source port, unlike the kernel's own choice in the range that RFC 5881 section 4 gives. */
function firstFree(preferred: number, open: (port: number) => DatagramSocket) {
  for (let attempt = 0; ; attempt++) {
    const first = attempt === 0 && preferred !== 0;
    const localPort = first ? preferred : randomInt(bfdSourcePorts.least, bfdSourcePorts.most + 1);
    try {
      return { socket: open(localPort), localPort };
    } catch (thrown) {
      if (!isInUse(thrown) || attempt >= sourcePortAttempts) throw thrown;
    }
  }
}

function isInUse(thrown: unknown): boolean {
  return thrown instanceof RawSocketError && thrown.code === 'AddressInUse';
}

function inUse(port: number, cause: unknown): RawSocketError {
  return new RawSocketError(
    'AddressInUse',
    `UDP port ${port} is taken: another BFD speaker runs in this network namespace; stop it, or use its sessions`,
    { cause, retryable: true },
  );
}
