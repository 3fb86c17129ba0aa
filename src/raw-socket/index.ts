/** Raw sockets for Linux: Ethernet frames, link events, and socket options that Node does not offer. See README.md. */
export {
  and,
  arpFilter,
  assemble,
  dropAllFilter,
  ipv4UdpFilter,
  ipv6UdpFilter,
  jump,
  type Line,
  label,
  load,
  neighbourDiscoveryFilter,
  networkHeader,
  next,
  receivedTtlFilter,
  ret,
} from './bpf.ts';
export {
  type Datagram,
  type DatagramSocket,
  type DatagramSocketOptions,
  openDatagramSocket,
  socketAddress,
} from './datagram-socket.ts';
export { RawSocketError, type RawSocketErrorCode } from './errors.ts';
export { createGate, type Gate } from './gate.ts';
export type { InterfaceAddress, Link, LinkFlags, OperationalState } from './link-messages.ts';
export type { LinkEvent } from './link-table.ts';
export { releaseFilePages } from './memory.ts';
export {
  type FrameInfo,
  openPacketSocket,
  type PacketSocket,
  type PacketSocketOptions,
  type PacketStatistics,
  type PacketType,
} from './packet-socket.ts';
export {
  arrivalInterface,
  attachFilter,
  type BindOptions,
  bindAddress,
  bindToDevice,
  boundDevice,
  closeFd,
  closingOnFailure,
  createSocket,
  getIntegerOption,
  type SocketKind,
  savedSyn,
  saveSyn,
  setMark,
  setMaximumSegment,
  setMinimumTtl,
  setMulticastTtl,
  setPriority,
  setReceiveBuffer,
  setTrafficClass,
  setTtl,
  setUserTimeout,
} from './socket-options.ts';
export { addTcpAoKey, deleteTcpAoKey, type KeyedPeer, setTcpMd5Key, type TcpAoKey } from './tcp-authentication.ts';
export { boottimeMs, interfaceIndex, setRealtimePriority } from './thread.ts';
export { type LinkWatcher, type LinkWatcherOptions, watchLinks } from './watch-links.ts';
