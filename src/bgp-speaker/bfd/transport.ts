/** What BFD needs of UDP, so that the engine can be tested without sockets. */
import type { OvenbirdError } from '../../base/index.ts';
import type { ResolvedBfdSession } from './session-options.ts';

/** UDP destination ports (RFC 5881 section 4, RFC 5883 section 5). */
export const bfdPorts = { singleHop: 3784, multihop: 4784 } as const;
/** The source port of a session is in this range and stays the same. */
export const bfdSourcePorts = { least: 49_152, most: 65_535 } as const;

/** One received datagram, overwritten when the callback has returned. */
export interface BfdDatagram {
  /** Its buffer, of at least 24 bytes: only the first `length` are of this datagram. */
  readonly bytes: Uint8Array;
  readonly length: number;
  /** TTL or hop limit as received; -1 when it is not known. */
  readonly ttl: number;
  /** 4 or 16 bytes. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

export interface BfdReceiverOptions {
  family: 4 | 6;
  multihop: boolean;
  /** Undefined: any. */
  interface: string | undefined;
  /** The least TTL that any session on it takes: the kernel may drop the others. */
  minimumTtl: number;
  onDatagram(datagram: BfdDatagram): void;
}

export interface BfdReceiver {
  /** Delivers what is queued, in this call. */
  drain(): void;
  setMinimumTtl(minimumTtl: number): void;
  dropped(): number;
  close(): void;
}

export interface BfdSender {
  readonly port: number;
  /** Undefined when the kernel took it. */
  send(packet: Uint8Array): OvenbirdError | undefined;
  close(): void;
}

export interface BfdTransport {
  /** The index of an interface, undefined when there is none of this name. */
  interfaceIndex(name: string): number | undefined;
  /** @throws OvenbirdError; trying again later may succeed */
  openReceiver(options: BfdReceiverOptions): BfdReceiver;
  /** `port` is preferred when it is not 0. @throws OvenbirdError; trying again later may succeed */
  openSender(session: ResolvedBfdSession, port: number): BfdSender;
}
