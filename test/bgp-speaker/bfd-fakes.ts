/** A network in memory for the BFD engine: receivers and senders without sockets, and a peer that says what it is told. */
import { type Clock, OvenbirdError } from '../../src/base/index.ts';
import { type BfdControlPacket, decodeBfdPacket, encodeBfdPacket } from '../../src/bgp-speaker/bfd/control-packet.ts';
import type { ResolvedBfdSession } from '../../src/bgp-speaker/bfd/session-options.ts';
import type {
  BfdDatagram,
  BfdReceiver,
  BfdReceiverOptions,
  BfdSender,
  BfdTransport,
} from '../../src/bgp-speaker/bfd/transport.ts';
import { Address } from '../../src/net/index.ts';

export interface Sent {
  atMs: number;
  peer: string;
  packet: BfdControlPacket;
}

interface OpenReceiver {
  options: BfdReceiverOptions;
  minimumTtl: number;
  queue: BfdDatagram[];
}

export interface Arrival {
  bytes: Uint8Array;
  from: string;
  to?: string;
  ttl?: number;
  multihop?: boolean;
  /** The socket of this interface, else the one of any. */
  interface?: string;
}

export class FakeTransport implements BfdTransport {
  readonly sent: Sent[] = [];
  readonly interfaces = new Map<string, number>([['eth0', 2]]);
  readonly receivers = new Set<OpenReceiver>();
  senders = 0;
  /** What opening a sender fails with. */
  openError: OvenbirdError | undefined;
  sendError: OvenbirdError | undefined;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  interfaceIndex(name: string): number | undefined {
    return this.interfaces.get(name);
  }

  openReceiver(options: BfdReceiverOptions): BfdReceiver {
    const receiver: OpenReceiver = { options, minimumTtl: options.minimumTtl, queue: [] };
    this.receivers.add(receiver);
    return {
      drain() {
        for (const datagram of receiver.queue.splice(0)) options.onDatagram(datagram);
      },
      setMinimumTtl(minimumTtl) {
        receiver.minimumTtl = minimumTtl;
      },
      dropped: () => 0,
      close: () => void this.receivers.delete(receiver),
    };
  }

  openSender(session: ResolvedBfdSession, port: number): BfdSender {
    if (this.openError) throw this.openError;
    this.senders += 1;
    return {
      port: port === 0 ? 50_000 : port,
      send: (bytes) => {
        if (this.sendError) return this.sendError;
        const decoded = decodeBfdPacket(Uint8Array.from(bytes));
        if (decoded.kind !== 'packet') throw new OvenbirdError('BadPacket', `sent what is ${decoded.reason}`);
        this.sent.push({ atMs: this.#clock.monotonicMs(), peer: session.peer, packet: decoded.packet });
        return undefined;
      },
      close: () => {
        this.senders -= 1;
      },
    };
  }

  /** A datagram comes in and is delivered; with `queued` it lies in the socket until somebody reads it. */
  arrive(
    { bytes, from, to = '10.0.0.1', ttl = 255, multihop = false, interface: name }: Arrival,
    queued = false,
  ): void {
    const source = Address.parse(from);
    const buffer = new Uint8Array(64);
    buffer.set(bytes.subarray(0, 64));
    const datagram: BfdDatagram = {
      bytes: buffer,
      length: bytes.length,
      ttl,
      source: source.toBytes(),
      destination: Address.parse(to).toBytes(),
    };
    const fitting = [...this.receivers].filter(
      ({ options }) => options.family === source.family && options.multihop === multihop,
    );
    const receiver =
      fitting.find(({ options }) => options.interface === name) ??
      fitting.find(({ options }) => options.interface === undefined);
    if (!receiver) return;
    if (queued) receiver.queue.push(datagram);
    else receiver.options.onDatagram(datagram);
  }

  /** What was sent since the last call. */
  take(): Sent[] {
    return this.sent.splice(0);
  }
}

/** A peer that has heard of us says this; only what differs need be given. */
export function said(change: Partial<BfdControlPacket> = {}): Uint8Array {
  return encodeBfdPacket({
    diagnostic: 0,
    state: 'down',
    poll: false,
    final: false,
    controlPlaneIndependent: false,
    demand: false,
    detectMultiplier: 3,
    myDiscriminator: 99,
    yourDiscriminator: 0,
    desiredMinTxMicroseconds: 50_000,
    requiredMinRxMicroseconds: 50_000,
    requiredMinEchoRxMicroseconds: 0,
    ...change,
  });
}
