/**
 * Sockets by descriptor, with the options that `net` and `dgram` do not offer. A descriptor made here is handed to Node:
 *
 *   TCP client   new net.Socket({ fd, manualStart: true }).connect(port, address), in the same tick as createSocket;
 *                a later connect, or a `data` listener attached before it, ends in ENOTCONN
 *   TCP server   net.createServer().listen({ fd }); keys for more peers can be added to the same descriptor later
 *   UDP          dgram.createSocket(...).bind({ fd }, listening); the event comes before bind returns
 *
 * From then on Node closes it. A descriptor that is handed to nobody is closed with closeFd.
 */
import { addon } from './addon.ts';
import { attempt, RawSocketError } from './errors.ts';
import { AF_INET, AF_INET6, encodeSocketAddress } from './socket-address.ts';

const SOL_SOCKET = 1;
const IPPROTO_IP = 0;
const IPPROTO_TCP = 6;
const IPPROTO_IPV6 = 41;

export interface SocketKind {
  /** IP version. */
  family: 4 | 6;
  type: 'tcp' | 'udp';
  /** IPv6 only: do not accept IPv4 on the same socket. Default true. */
  ipv6Only?: boolean;
}

/** A non-blocking, close-on-exec socket. @throws RawSocketError */
export function createSocket({ family, type, ipv6Only = true }: SocketKind): number {
  const doing = `create a ${type} socket for IPv${family}`;
  const fd = attempt(doing, () => addon().socketCreate(family === 4 ? AF_INET : AF_INET6, type === 'tcp' ? 1 : 2, 0));
  if (family === 6 && ipv6Only) closingOnFailure(fd, () => setInt(fd, doing, IPPROTO_IPV6, 26, 1));
  return fd;
}

/** Runs `set` and closes the descriptor when it throws: for setting a socket up in one expression. */
export function closingOnFailure<T>(fd: number, set: () => T): T {
  try {
    return set();
  } catch (thrown) {
    closeFd(fd);
    throw thrown;
  }
}

/** Only for descriptors that were not handed to Node. @throws RawSocketError `Closed` */
export function closeFd(fd: number): void {
  attempt(`close descriptor ${fd}`, () => addon().socketClose(fd));
}

export interface BindOptions {
  /** Interface index, needed with a link-local IPv6 address. */
  scopeId?: number;
  /** Bind although another socket left the port in TIME_WAIT; for UDP, share it. Default false. */
  reuseAddress?: boolean;
  /** Several sockets on one port, e.g. one for each interface (SO_REUSEPORT). Default false. */
  reusePort?: boolean;
  /** Bind although no interface has the address yet (IP_FREEBIND). Default false. */
  freeBind?: boolean;
}

/** Chooses the source address; port 0 lets the kernel choose one. @throws RawSocketError `AddressNotAvailable`, ... */
export function bindAddress(fd: number, address: string, port: number, options: BindOptions = {}): void {
  const doing = `bind to ${address} port ${port}`;
  if (options.reuseAddress === true) setInt(fd, doing, SOL_SOCKET, 2, 1);
  if (options.reusePort === true) setInt(fd, doing, SOL_SOCKET, 15, 1);
  if (options.freeBind === true) {
    const six = address.includes(':');
    setInt(fd, doing, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? 78 : 15, 1);
  }
  const bytes = encodeSocketAddress(address, port, options.scopeId ?? 0);
  attempt(doing, () => addon().socketBind(fd, bytes));
}

/**
 * Receives and sends only through this interface or VRF (SO_BINDTODEVICE). Needs NET_RAW once the socket is bound to a
 * device. @throws RawSocketError `NoSuchInterface`
 */
export function bindToDevice(fd: number, name: string): void {
  const bytes = new TextEncoder().encode(`${name}\0`);
  attempt(`bind to device ${name}`, () => addon().socketSetOption(fd, SOL_SOCKET, 25, bytes));
}

/** Routing mark of what is sent (SO_MARK). Needs NET_ADMIN. */
export function setMark(fd: number, mark: number): void {
  setInt(fd, `set mark ${mark}`, SOL_SOCKET, 36, mark);
}

/** TTL (IPv4) or hop limit (IPv6) of what is sent, 1-255. */
export function setTtl(fd: number, family: 4 | 6, ttl: number): void {
  const doing = `set TTL ${ttl}`;
  const value = checkedByte(doing, ttl, 1);
  if (family === 4) setInt(fd, doing, IPPROTO_IP, 2, value);
  else setInt(fd, doing, IPPROTO_IPV6, 16, value);
}

/** TTL or hop limit of multicast datagrams sent, 0-255. */
export function setMulticastTtl(fd: number, family: 4 | 6, ttl: number): void {
  const doing = `set multicast TTL ${ttl}`;
  const value = checkedByte(doing, ttl, 0);
  if (family === 4) setInt(fd, doing, IPPROTO_IP, 33, value);
  else setInt(fd, doing, IPPROTO_IPV6, 18, value);
}

/**
 * TCP: drops packets with a lower TTL or hop limit (RFC 5082; IP_MINTTL, IPV6_MINHOPCOUNT), 1-255. For UDP, where the
 * kernel does not look at it, attach `receivedTtlFilter`.
 */
export function setMinimumTtl(fd: number, family: 4 | 6, ttl: number): void {
  const doing = `set minimum TTL ${ttl}`;
  const value = checkedByte(doing, ttl, 1);
  if (family === 4) setInt(fd, doing, IPPROTO_IP, 21, value);
  else setInt(fd, doing, IPPROTO_IPV6, 73, value);
}

/** DSCP and ECN bits of what is sent, 0-255; class selector 6 (network control) is 0xc0. */
export function setTrafficClass(fd: number, family: 4 | 6, value: number): void {
  const doing = `set traffic class ${value}`;
  const byte = checkedByte(doing, value, 0);
  if (family === 4) setInt(fd, doing, IPPROTO_IP, 1, byte);
  else setInt(fd, doing, IPPROTO_IPV6, 67, byte);
}

/** Queueing priority on this host (SO_PRIORITY), 0-6 without NET_ADMIN. */
export function setPriority(fd: number, priority: number): void {
  setInt(fd, `set priority ${priority}`, SOL_SOCKET, 12, priority);
}

/** TCP: how long sent data may stay unacknowledged before the connection is given up, ms (TCP_USER_TIMEOUT). */
export function setUserTimeout(fd: number, milliseconds: number): void {
  setInt(fd, `set user timeout ${milliseconds} ms`, IPPROTO_TCP, 18, milliseconds);
}

/** TCP: largest segment, bytes (TCP_MAXSEG). */
export function setMaximumSegment(fd: number, bytes: number): void {
  setInt(fd, `set maximum segment ${bytes}`, IPPROTO_TCP, 2, bytes);
}

/** TCP, listening: keep the SYN of each connection for `savedSyn` (TCP_SAVE_SYN). */
export function saveSyn(fd: number): void {
  setInt(fd, 'keep the SYN', IPPROTO_TCP, 27, 1);
}

/**
 * TCP, accepted by a listener with `saveSyn`: the IP and TCP headers with which the peer opened the connection. Only the
 * first call gives them; empty when the kernel kept none, as when it answers a flood with SYN cookies.
 */
export function savedSyn(fd: number): Uint8Array {
  return attempt('read the saved SYN', () => addon().socketGetOption(fd, IPPROTO_TCP, 28, 256));
}

/** TCP, accepted: the index of the interface through which the connection was opened. */
export function arrivalInterface(fd: number, family: 4 | 6): number {
  // The kernel notes it where a socket has its interface for multicast; IPv4 shows that only in a control message.
  if (family === 6) return getIntegerOption(fd, IPPROTO_IPV6, 17);
  const doing = 'ask for the interface of a connection';
  setInt(fd, doing, IPPROTO_IP, 8, 1);
  // struct cmsghdr {u64 length, i32 level, i32 type}, struct in_pktinfo {i32 interface index, ...}
  const control = attempt(doing, () => addon().socketGetOption(fd, IPPROTO_IP, 9, 64));
  if (control.length < 20) throw new RawSocketError('Unsupported', `${doing}: the kernel does not say`);
  return new DataView(control.buffer, control.byteOffset).getInt32(16, true);
}

/** TCP: the interface or VRF that the socket is bound to, by index; 0 when none. */
export function boundDevice(fd: number): number {
  return getIntegerOption(fd, SOL_SOCKET, 62);
}

/** Kernel receive buffer, bytes; the kernel doubles the number and caps it at net.core.rmem_max. */
export function setReceiveBuffer(fd: number, bytes: number): void {
  setInt(fd, `set receive buffer ${bytes}`, SOL_SOCKET, 8, bytes);
}

/** Classic BPF on what is received; see bpf.ts. A socket has one filter, a second call replaces it. */
export function attachFilter(fd: number, program: Uint8Array): void {
  attempt(`attach a filter to descriptor ${fd}`, () => addon().socketAttachFilter(fd, program));
}

/** An integer option as the kernel has it, for diagnosis. */
export function getIntegerOption(fd: number, level: number, option: number): number {
  const bytes = attempt(`read option ${option}`, () => addon().socketGetOption(fd, level, option, 4));
  if (bytes.length !== 4) throw new RawSocketError('BadArgument', `option ${option} is not an integer`);
  return new DataView(bytes.buffer).getInt32(0, true);
}

/** Sets any option from its bytes. @throws RawSocketError `Unsupported` when this kernel does not know it */
export function setOption(fd: number, doing: string, level: number, option: number, value: Uint8Array): void {
  attempt(doing, () => addon().socketSetOption(fd, level, option, value));
}

function setInt(fd: number, doing: string, level: number, option: number, value: number): void {
  if (!Number.isInteger(value) || value < -(2 ** 31) || value >= 2 ** 32) {
    throw new RawSocketError('BadArgument', `${doing}: not an integer of 32 bits`);
  }
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value >>> 0, true);
  setOption(fd, doing, level, option, bytes);
}

function checkedByte(doing: string, value: number, least: number): number {
  if (Number.isInteger(value) && value >= least && value <= 255) return value;
  throw new RawSocketError('BadArgument', `${doing}: not in ${least}-255`);
}
