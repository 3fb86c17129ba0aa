/**
 * Keys for TCP segments: MD5 (RFC 2385; tcp(7) TCP_MD5SIG_EXT) and TCP-AO (RFC 5925; linux/tcp.h, Linux 6.7). Both need
 * NET_ADMIN. For a listening socket the key belongs to a peer or a prefix of peers; set it before connect or listen, so
 * that no unsigned segment is ever taken.
 */
import { RawSocketError } from './errors.ts';
import { addressBytes, encodeSocketAddress } from './socket-address.ts';
import { setOption } from './socket-options.ts';

const IPPROTO_TCP = 6;
const TCP_MD5SIG_EXT = 32;
const TCP_AO_ADD_KEY = 38;
const TCP_AO_DEL_KEY = 39;
const longestKey = 80;
const socketAddressBytes = 128;

/** Whom a key is for. */
export interface KeyedPeer {
  /** Text form, without zone. */
  address: string;
  /** The key is for every peer in this prefix; default the one address. */
  prefixLength?: number;
  /** The key is for this interface or VRF only (its index). */
  interfaceIndex?: number;
}

/**
 * Sets, changes (a second call for the same peer) or, with an empty key, removes the MD5 key of a peer.
 * The key has 1-80 bytes; text is taken as UTF-8.
 * @throws RawSocketError `NotPermitted`, `BadArgument`, `Unsupported`, `SystemCall` ENOENT (removing what is not there)
 */
export function setTcpMd5Key(fd: number, peer: KeyedPeer & { key: string | Uint8Array }): void {
  setOption(fd, `set the MD5 key for ${peer.address}`, IPPROTO_TCP, TCP_MD5SIG_EXT, encodeMd5Key(peer));
}

/** struct tcp_md5sig */
export function encodeMd5Key(peer: KeyedPeer & { key: string | Uint8Array }): Uint8Array {
  const key = keyBytes(peer.key);
  const bytes = new Uint8Array(socketAddressBytes + 8 + longestKey);
  const view = new DataView(bytes.buffer);
  bytes.set(encodeSocketAddress(peer.address, 0));
  // Without the prefix flag the kernel takes the whole address.
  const flags = (peer.prefixLength === undefined ? 0 : 1) | (peer.interfaceIndex === undefined ? 0 : 2);
  view.setUint8(socketAddressBytes, flags);
  view.setUint8(socketAddressBytes + 1, peer.prefixLength === undefined ? 0 : prefixOf(peer));
  view.setUint16(socketAddressBytes + 2, key.length, true);
  view.setInt32(socketAddressBytes + 4, peer.interfaceIndex ?? 0, true);
  bytes.set(key, socketAddressBytes + 8);
  return bytes;
}

export interface TcpAoKey extends KeyedPeer {
  /** 1-80 bytes; text is taken as UTF-8. */
  key: string | Uint8Array;
  /** The kernel's name of the MAC algorithm; RFC 5926 requires the two named here. Default "hmac(sha1)". */
  algorithm?: 'hmac(sha1)' | 'cmac(aes128)' | 'hmac(sha256)';
  /** KeyID put into segments sent, 0-255. */
  sendId: number;
  /** KeyID expected in segments received, 0-255. */
  receiveId: number;
  /** Length of the MAC in the segment; default 12 (RFC 5926). */
  macLength?: number;
  /** Leave the other TCP options out of the MAC. Default false. */
  excludeOptions?: boolean;
  /** Send with this key from now on. */
  setCurrent?: boolean;
  /** Ask the peer to use this key. */
  setNext?: boolean;
}

/**
 * Adds a master key tuple. @throws RawSocketError `Unsupported` when the kernel was built without TCP-AO,
 * `SystemCall` EEXIST (the key identifiers are taken), ENOENT (algorithm unknown)
 */
export function addTcpAoKey(fd: number, key: TcpAoKey): void {
  setOption(fd, `add TCP-AO key ${key.sendId} for ${key.address}`, IPPROTO_TCP, TCP_AO_ADD_KEY, encodeAoKey(key));
}

/** struct tcp_ao_add */
export function encodeAoKey(key: TcpAoKey): Uint8Array {
  const secret = keyBytes(key.key);
  if (secret.length === 0) throw new RawSocketError('BadArgument', 'a TCP-AO key has 1-80 bytes');
  const bytes = new Uint8Array(288);
  const view = new DataView(bytes.buffer);
  bytes.set(encodeSocketAddress(key.address, 0));
  bytes.set(new TextEncoder().encode(key.algorithm ?? 'hmac(sha1)'), 128);
  view.setInt32(192, key.interfaceIndex ?? 0, true);
  view.setUint32(196, (key.setCurrent === true ? 1 : 0) | (key.setNext === true ? 2 : 0), true);
  view.setUint8(202, prefixOf(key));
  view.setUint8(203, identifier(key.sendId));
  view.setUint8(204, identifier(key.receiveId));
  view.setUint8(205, key.macLength ?? 0);
  view.setUint8(206, (key.interfaceIndex === undefined ? 0 : 1) | (key.excludeOptions === true ? 2 : 0));
  view.setUint8(207, secret.length);
  bytes.set(secret, 208);
  return bytes;
}

/** Removes a master key tuple. @throws RawSocketError `Unsupported`, `SystemCall` ENOENT */
export function deleteTcpAoKey(fd: number, key: KeyedPeer & { sendId: number; receiveId: number }): void {
  setOption(fd, `delete TCP-AO key ${key.sendId} for ${key.address}`, IPPROTO_TCP, TCP_AO_DEL_KEY, encodeAoDelete(key));
}

/** struct tcp_ao_del */
export function encodeAoDelete(key: KeyedPeer & { sendId: number; receiveId: number }): Uint8Array {
  const bytes = new Uint8Array(144);
  const view = new DataView(bytes.buffer);
  bytes.set(encodeSocketAddress(key.address, 0));
  view.setInt32(128, key.interfaceIndex ?? 0, true);
  view.setUint8(138, prefixOf(key));
  view.setUint8(139, identifier(key.sendId));
  view.setUint8(140, identifier(key.receiveId));
  view.setUint8(143, key.interfaceIndex === undefined ? 0 : 1);
  return bytes;
}

function prefixOf(peer: KeyedPeer): number {
  const width = addressBytes(peer.address).length * 8;
  const length = peer.prefixLength ?? width;
  if (Number.isInteger(length) && length >= 0 && length <= width) return length;
  throw new RawSocketError('BadArgument', `a prefix of ${peer.address} has 0-${width} bits, not ${length}`);
}

function keyBytes(key: string | Uint8Array): Uint8Array {
  const bytes = typeof key === 'string' ? new TextEncoder().encode(key) : key;
  if (bytes.length <= longestKey) return bytes;
  throw new RawSocketError('BadArgument', `a key has at most ${longestKey} bytes, not ${bytes.length}`);
}

function identifier(id: number): number {
  if (Number.isInteger(id) && id >= 0 && id <= 255) return id;
  throw new RawSocketError('BadArgument', `a key identifier is 0-255, not ${id}`);
}
