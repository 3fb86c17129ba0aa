/**
 * Route netlink messages about links and addresses (RFC 3549; linux/netlink.h, rtnetlink.h, if_link.h, if_addr.h).
 *
 *   datagram  = message *( padding to 4, message )
 *   message   = u32 length (with header), u16 type, u16 flags, u32 sequence, u32 port, payload
 *   link      = u8 family, u8 pad, u16 hardware type, i32 index, u32 flags, u32 change, attributes
 *   address   = u8 family, u8 prefix length, u8 flags, u8 scope, u32 index, attributes
 *   attribute = u16 length (with header), u16 type, value, padding to 4
 *
 * All in the machine's byte order, which here is little-endian. Every length is checked; malformed input gives
 * RawSocketError `Malformed` and nothing else.
 */
import { RawSocketError } from './errors.ts';

export interface LinkFlags {
  /** Set by the administrator. */
  up: boolean;
  /** Up and able to work (IFF_RUNNING). */
  running: boolean;
  broadcast: boolean;
  loopback: boolean;
  pointToPoint: boolean;
  /** Does no ARP. */
  noArp: boolean;
  multicast: boolean;
}

/** RFC 2863 operational state, as the kernel numbers it. */
export type OperationalState = 'unknown' | 'not-present' | 'down' | 'lower-layer-down' | 'testing' | 'dormant' | 'up';

/** A network interface. */
export interface Link {
  index: number;
  name: string;
  /** The driver's kind for virtual devices ("veth", "bridge", "vlan", "bond", ...), undefined for a physical one. */
  kind?: string;
  flags: LinkFlags;
  /** The wire carries a signal (IFF_LOWER_UP). False while the interface is administratively down. */
  carrier: boolean;
  operationalState: OperationalState;
  /** Hardware address; 6 bytes for Ethernet, empty when it has none. */
  mac: Uint8Array;
  /** True for ARPHRD_ETHER: frames with Ethernet headers. */
  ethernet: boolean;
  mtu: number;
  /** The bridge, bond or VRF that this interface belongs to. */
  masterIndex?: number;
  /** The interface below a VLAN or macvlan (or the other end of a veth, in the peer's numbering). */
  lowerIndex?: number;
}

/** An address on an interface. */
export interface InterfaceAddress {
  index: number;
  /** 4 or 16 bytes, network order. */
  address: Uint8Array;
  /** 0-32 or 0-128. */
  prefixLength: number;
  scope: 'global' | 'site' | 'link' | 'host' | 'nowhere';
  /** Duplicate address detection is still running or has failed: not usable yet. */
  tentative: boolean;
}

/** `interrupted`: part of a dump during which the tables changed, so that the dump must be repeated. */
export type RouteMessage = { sequence: number; interrupted: boolean } & (
  | { type: 'link'; link: Link }
  | { type: 'link-gone'; index: number }
  | { type: 'address'; address: InterfaceAddress }
  | { type: 'address-gone'; address: InterfaceAddress }
  /** End of a dump. */
  | { type: 'done' }
  /** Answer to a request; errno 0 is an acknowledgement. */
  | { type: 'error'; errno: number }
);

const messageHeader = 16;
const linkHeader = 16;
const addressHeader = 8;
const dumpInterrupted = 0x10; // NLM_F_DUMP_INTR

/** The messages in one datagram that concern links and addresses; others are skipped. @throws RawSocketError */
export function decodeRouteMessages(datagram: Uint8Array): RouteMessage[] {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  const messages: RouteMessage[] = [];
  for (let at = 0; at + messageHeader <= datagram.length; ) {
    const length = view.getUint32(at, true);
    if (length < messageHeader || length > datagram.length - at) {
      throw malformed(`a message of ${length} bytes where ${datagram.length - at} are left`);
    }
    const message = decodeMessage(datagram.subarray(at, at + length));
    if (message !== undefined) messages.push(message);
    at += align(length);
  }
  return messages;
}

function decodeMessage(bytes: Uint8Array): RouteMessage | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const envelope = {
    sequence: view.getUint32(8, true),
    interrupted: (view.getUint16(6, true) & dumpInterrupted) !== 0,
  };
  const payload = bytes.subarray(messageHeader);
  switch (view.getUint16(4, true)) {
    case 2:
      if (payload.length < 4) throw malformed('an error message without its number');
      return { ...envelope, type: 'error', errno: -view.getInt32(messageHeader, true) };
    case 3: {
      const errno = payload.length < 4 ? 0 : -view.getInt32(messageHeader, true);
      return errno > 0 ? { ...envelope, type: 'error', errno } : { ...envelope, type: 'done' };
    }
    case 16: {
      const link = decodeLink(payload);
      return link && { ...envelope, type: 'link', link };
    }
    case 17: {
      const index = deletedIndex(payload);
      return index === undefined ? undefined : { ...envelope, type: 'link-gone', index };
    }
    case 20:
    case 21: {
      const address = decodeAddress(payload);
      const type = view.getUint16(4, true) === 20 ? 'address' : 'address-gone';
      return address && { ...envelope, type, address };
    }
    default:
      return undefined;
  }
}

const operationalStates: readonly OperationalState[] = [
  'unknown',
  'not-present',
  'down',
  'lower-layer-down',
  'testing',
  'dormant',
  'up',
];

/**
 * Undefined for messages of another family: a bridge speaks of its ports with family AF_BRIDGE, and there "deleted"
 * means that the port left the bridge, not that the interface is gone.
 */
function decodeLink(bytes: Uint8Array): Link | undefined {
  const view = checkedHeader(bytes, linkHeader, 'link');
  if (view.getUint8(0) !== 0) return undefined;
  const flags = view.getUint32(8, true);
  const has = (bit: number) => (flags & bit) !== 0;
  const link: Link = {
    index: view.getInt32(4, true),
    name: '',
    flags: {
      up: has(0x1),
      broadcast: has(0x2),
      loopback: has(0x8),
      pointToPoint: has(0x10),
      running: has(0x40),
      noArp: has(0x80),
      multicast: has(0x1000),
    },
    carrier: has(0x10000),
    operationalState: 'unknown',
    mac: new Uint8Array(0),
    ethernet: view.getUint16(2, true) === 1,
    mtu: 0,
  };
  forEachAttribute(bytes.subarray(linkHeader), (type, value) => {
    if (type === 1) link.mac = Uint8Array.from(value);
    else if (type === 3) link.name = textOf(value);
    else if (type === 4) link.mtu = uint32Of(value, 'IFLA_MTU');
    else if (type === 5) link.lowerIndex = uint32Of(value, 'IFLA_LINK');
    else if (type === 10) link.masterIndex = uint32Of(value, 'IFLA_MASTER');
    else if (type === 16) link.operationalState = operationalStates[value[0] ?? 0] ?? 'unknown';
    else if (type === 18) {
      forEachAttribute(value, (inner, kind) => {
        if (inner === 1) link.kind = textOf(kind);
      });
    }
  });
  if (link.name === '') throw malformed(`link ${link.index} without a name`);
  return link;
}

function deletedIndex(bytes: Uint8Array): number | undefined {
  const view = checkedHeader(bytes, linkHeader, 'link');
  return view.getUint8(0) === 0 ? view.getInt32(4, true) : undefined;
}

const scopes: Readonly<Record<number, InterfaceAddress['scope']>> = {
  200: 'site',
  253: 'link',
  254: 'host',
  255: 'nowhere',
};
const tentativeOrFailed = 0x40 | 0x08;

function decodeAddress(bytes: Uint8Array): InterfaceAddress | undefined {
  const view = checkedHeader(bytes, addressHeader, 'address');
  const family = view.getUint8(0);
  if (family !== 2 && family !== 10) return undefined;
  const length = family === 2 ? 4 : 16;
  let address: Uint8Array | undefined;
  let local: Uint8Array | undefined;
  let flags = view.getUint8(2);
  forEachAttribute(bytes.subarray(addressHeader), (type, value) => {
    if (type === 1) address = Uint8Array.from(value);
    else if (type === 2) local = Uint8Array.from(value);
    else if (type === 8) flags = uint32Of(value, 'IFA_FLAGS');
  });
  // On point-to-point links IFA_ADDRESS is the peer's; IFA_LOCAL, where present, is ours.
  const own = local ?? address;
  const prefixLength = view.getUint8(1);
  if (own?.length !== length || prefixLength > length * 8) throw malformed('an address of the wrong length');
  return {
    index: view.getUint32(4, true),
    address: own,
    prefixLength,
    scope: scopes[view.getUint8(3)] ?? 'global',
    tentative: (flags & tentativeOrFailed) !== 0,
  };
}

function checkedHeader(bytes: Uint8Array, length: number, what: string): DataView {
  if (bytes.length < length) throw malformed(`a ${what} message of ${bytes.length} bytes`);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function forEachAttribute(bytes: Uint8Array, visit: (type: number, value: Uint8Array) => void): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || length > bytes.length - at) {
      throw malformed(`an attribute of ${length} bytes where ${bytes.length - at} are left`);
    }
    visit(view.getUint16(at + 2, true) & 0x3fff, bytes.subarray(at + 4, at + length));
    at += align(length);
  }
}

/** A request for a dump: RTM_GETLINK (18, without counters) or RTM_GETADDR (22). */
export function encodeDumpRequest(type: 18 | 22, sequence: number): Uint8Array {
  const length = messageHeader + linkHeader + (type === 18 ? 8 : 0);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, 0x301, true); // REQUEST | ROOT | MATCH
  view.setUint32(8, sequence, true);
  if (type === 18) {
    const at = messageHeader + linkHeader;
    view.setUint16(at, 8, true);
    view.setUint16(at + 2, 29, true); // IFLA_EXT_MASK
    view.setUint32(at + 4, 8, true); // RTEXT_FILTER_SKIP_STATS
  }
  return bytes;
}

const align = (length: number) => (length + 3) & ~3;
const malformed = (what: string) => new RawSocketError('Malformed', `netlink: ${what}`);
const decoder = new TextDecoder();

function textOf(value: Uint8Array): string {
  const end = value.indexOf(0);
  return decoder.decode(end < 0 ? value : value.subarray(0, end));
}

function uint32Of(value: Uint8Array, name: string): number {
  if (value.length < 4) throw malformed(`${name} of ${value.length} bytes`);
  return new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true);
}
