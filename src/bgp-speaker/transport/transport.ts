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
  /** The source address; default: the kernel chooses. */
  localAddress?: Address;
  /** Only through this interface or VRF (SO_BINDTODEVICE); required for a link-local peer. */
  interface?: string;
  /** RFC 2385, 1-80 bytes. Exclusive with `authenticationKeys`. */
  password?: string | Uint8Array;
  /** RFC 5925. */
  authenticationKeys?: readonly AuthenticationKey[];
  /** RFC 5082: the peer is at most this many hops away, 1-254. Exclusive with `multihop`. */
  ttlSecurityHops?: number;
  /** TTL of what is sent, 1-255. Default: 1 for an external peer, 255 for an internal one. */
  multihop?: number;
  /** Unacknowledged data ends the connection after this, ms (TCP_USER_TIMEOUT). Default: none. */
  userTimeoutMs?: number;
}

/** The far end of a connection to be made or that was taken. */
export interface PeerEndpoint {
  address: Address;
  /** Default 179. */
  port?: number;
}

/** Takes connections. Keys are there before the first segment of the peer they are for is answered. */
export interface PeerListener {
  readonly port: number;
  /** Whose connections are wanted and how they are made; a prefix stands for every address in it. */
  admit(peers: Cidr, options: ConnectionOptions): void;
  dismiss(peers: Cidr): void;
  close(): Promise<void>;
}

export interface ListenOptions {
  /** Default: every address of its family. */
  address: Address;
  /** 0 lets the kernel choose; default 179. */
  port?: number;
  interface?: string;
  /** Connections of peers that nobody admitted are closed without a word and counted by `onRefused`. */
  onConnection(socket: Socket, from: PeerEndpoint): void;
  onRefused(from: PeerEndpoint): void;
  /** The listener cannot go on, e.g. its interface is gone. */
  onError(error: Error): void;
}

export interface Transport {
  /** @throws BgpError `Connect` with the reason of the kernel; AbortError when aborted */
  dial(peer: PeerEndpoint, options: ConnectionOptions, signal: AbortSignal): Promise<Socket>;
  listen(options: ListenOptions): Promise<PeerListener>;
}
