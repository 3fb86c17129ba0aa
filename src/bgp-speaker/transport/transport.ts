/** What a session needs of TCP: connections to a peer and from it. The protocol above knows nothing of sockets. */
import type { Socket } from 'node:net';
import type { Address, Cidr } from '../../net/index.ts';

/** TCP-AO keys of a peer (RFC 5925); the first one signs what is sent. */
export interface AuthenticationKey {
  /** 1-80 bytes; text is taken as UTF-8. */
  key: string | Uint8Array;
  algorithm?: 'hmac(sha1)' | 'cmac(aes128)' | 'hmac(sha256)';
  /** 0-255. */
  sendId: number;
  /** 0-255. */
  receiveId: number;
}

/** How TCP connections with a peer are made, whoever opens them. */
export interface ConnectionOptions {
  /** The source address of connections made; default: the kernel chooses. A peer may connect to another of ours. */
  localAddress?: Address;
  /** Only through this interface or VRF (SO_BINDTODEVICE); required for a link-local peer. */
  interface?: string;
  /** RFC 2385, 1-80 bytes. Exclusive with `authenticationKeys`. */
  password?: string | Uint8Array;
  /** RFC 5925. */
  authenticationKeys?: readonly AuthenticationKey[];
  /** RFC 5082: the peer is at most this many hops away, 1-254. Exclusive with `multihop`. */
  ttlSecurityHops?: number;
  /**
   * TTL of what is sent, 1-255; default 255. TCP does not know who is external: for an external peer on the same
   * network the session gives 1.
   */
  multihop?: number;
  /** Unacknowledged data, or an unanswered SYN, ends the connection after this, ms (TCP_USER_TIMEOUT). Default: none. */
  userTimeoutMs?: number;
}

/** The far end of a connection to be made or that was taken. */
export interface PeerEndpoint {
  address: Address;
  /** Default 179. */
  port?: number;
  /** Of a connection that was taken: through which interface, when the address is link-local. Not for `dial`. */
  interface?: string;
}

/**
 * Takes connections.
 *
 * What the kernel does: a segment from an address or prefix with a key is answered only when it is signed with that key;
 * the longest prefix counts. A SYN from anywhere else is answered unsigned, whoever sends it. What this does on top: a
 * connection is given out only when its peer is admitted and its SYN was signed if that peer has a key and came with
 * enough TTL if it has `ttlSecurityHops`; all others are reset before a byte is read. So a connection that was opened
 * before its peer got a key is not given out after it.
 */
export interface PeerListener {
  readonly port: number;
  /**
   * Whose connections are wanted and how they are made; a prefix stands for every address in it, and the longest prefix
   * that holds an address counts. Again for the same prefix: replaces; connections already given out stay as they are.
   * Link-local peers are told apart by `interface` as well.
   * @throws BgpOptionsError; BgpTransportError `Listen` with the reason of the kernel; then nothing has changed
   */
  admit(peers: Cidr, options: ConnectionOptions): void;
  /** Connections already given out stay. `interface` as it was for `admit`, where that was link-local. */
  dismiss(peers: Cidr, options?: Pick<ConnectionOptions, 'interface'>): void;
  /** Connections already given out stay. Idempotent. */
  close(): Promise<void>;
}

export interface ListenOptions {
  /** Default: every address of its family. */
  address: Address;
  /** 0 lets the kernel choose; default 179. */
  port?: number;
  interface?: string;
  /**
   * The socket reads nothing until it is listened to, and ends quietly when nobody listens to its errors.
   * Connections of peers that nobody admitted are closed without a word and counted by `onRefused`.
   */
  onConnection(socket: Socket, from: PeerEndpoint): void;
  onRefused(from: PeerEndpoint, reason: RefusalReason): void;
  /** The listener has closed itself because it cannot go on, e.g. its interface is gone. */
  onError(error: Error): void;
}

/** Why a connection was refused: nobody admitted its peer, or it came unsigned, from too far or another interface. */
export type RefusalReason = 'not-admitted' | 'unsigned' | 'too-far' | 'interface' | 'failed';

export interface Transport {
  /**
   * The socket has sent and read nothing, and ends quietly when nobody listens to its errors.
   * @throws BgpOptionsError; BgpTransportError `Connect` with the reason of the kernel; the signal's reason when aborted
   */
  dial(peer: PeerEndpoint, options: ConnectionOptions, signal: AbortSignal): Promise<Socket>;
  /** @throws BgpTransportError `Listen` with the reason of the kernel */
  listen(options: ListenOptions): Promise<PeerListener>;
}
