/**
 * Classic BPF (linux/filter.h, Documentation/networking/filter.rst): a tiny assembler and the programs that the
 * announcers need. A program is the encoded form that SO_ATTACH_FILTER takes: 8 bytes an instruction
 * {u16 code, u8 jump if true, u8 jump if false, u32 k}, little-endian.
 */
import { RawSocketError } from './errors.ts';

/** One line of a program; jumps name labels. */
export type Line =
  | { readonly kind: 'operation'; readonly code: number; readonly k: number }
  | {
      readonly kind: 'jump';
      readonly code: number;
      readonly k: number;
      readonly whenTrue: string;
      readonly whenFalse: string;
    }
  | { readonly kind: 'label'; readonly name: string };

/** The line after the jump. */
export const next = 'next';

const operation = (code: number, k: number): Line => ({ kind: 'operation', code, k: k >>> 0 });

/** SKF_NET_OFF: offsets from here count from the network header, also where the packet starts later (UDP sockets). */
export const networkHeader = -0x100000;
const ancillary = (offset: number): Line => operation(0x20, -0x1000 + offset);

/** Loads into the accumulator. Offsets are bytes from the start of the packet, or `networkHeader + n`. */
export const load = {
  word: (at: number): Line => operation(0x20, at),
  half: (at: number): Line => operation(0x28, at),
  byte: (at: number): Line => operation(0x30, at),
  /** Two bytes at X + `at`. */
  indexedHalf: (at: number): Line => operation(0x48, at),
  /** X = 4 * (low four bits of the byte at `at`): the length of an IPv4 header. */
  headerLength: (at: number): Line => operation(0xb1, at),
  /** The kernel's packet type (PACKET_HOST 0 ... PACKET_OTHERHOST 3). */
  packetType: (): Line => ancillary(4),
  /** 1 when the frame came with a VLAN tag. */
  vlanTagPresent: (): Line => ancillary(48),
};

/** accumulator &= mask */
export const and = (mask: number): Line => operation(0x54, mask);

const jumpWith = (code: number) => (k: number, whenTrue: string, whenFalse: string) =>
  ({ kind: 'jump', code, k: k >>> 0, whenTrue, whenFalse }) as const satisfies Line;

/** Compares the accumulator with a constant and goes to one of two labels (or `next`). */
export const jump = {
  equal: jumpWith(0x15),
  greater: jumpWith(0x25),
  greaterOrEqual: jumpWith(0x35),
  bits: jumpWith(0x45),
};

/** Ends the program: the packet is kept up to `bytes`, or dropped when 0. */
export const ret = (bytes: number): Line => operation(0x06, bytes);
export const label = (name: string): Line => ({ kind: 'label', name });

/** Encodes a program. @throws RawSocketError `BadArgument` for an unknown label or a jump backwards or beyond 255 */
export function assemble(lines: readonly Line[]): Uint8Array {
  const places = new Map<string, number>();
  let count = 0;
  for (const line of lines) {
    if (line.kind === 'label') places.set(line.name, count);
    else count += 1;
  }
  const bytes = new Uint8Array(count * 8);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const line of lines) {
    if (line.kind === 'label') continue;
    view.setUint16(at * 8, line.code, true);
    if (line.kind === 'jump') {
      view.setUint8(at * 8 + 2, distance(places, line.whenTrue, at));
      view.setUint8(at * 8 + 3, distance(places, line.whenFalse, at));
    }
    view.setUint32(at * 8 + 4, line.k, true);
    at += 1;
  }
  return bytes;
}

function distance(places: ReadonlyMap<string, number>, name: string, from: number): number {
  if (name === next) return 0;
  const place = places.get(name);
  const steps = (place ?? 0) - from - 1;
  if (place === undefined || steps < 0 || steps > 255) {
    throw new RawSocketError('BadArgument', `a jump to "${name}" is not possible: unknown, backwards or too far`);
  }
  return steps;
}

const keep = 0x40000;
const otherHost = 3;
/** All lines must fall through for the packet to be kept. */
const keepIf = (...checks: Line[]): Uint8Array => assemble([...checks, ret(keep), label('drop'), ret(0)]);
const equals = (loading: Line, value: number): Line[] => [loading, jump.equal(value, next, 'drop')];
const oneOf = (loading: Line, first: number, second: number): Line[] => [
  loading,
  jump.equal(first, 'matched', next),
  jump.equal(second, next, 'drop'),
  label('matched'),
];
/** For us and without VLAN tag: the addon checks this too, but here it costs no copy. */
const forUs: Line[] = [
  load.packetType(),
  jump.equal(otherHost, 'drop', next),
  load.vlanTagPresent(),
  jump.equal(0, next, 'drop'),
];

/** Packet sockets: ARP for IPv4 over Ethernet, requests and replies (RFC 826). */
export function arpFilter(): Uint8Array {
  return keepIf(
    ...forUs,
    ...equals(load.half(12), 0x0806),
    ...equals(load.word(14), 0x0001_0800),
    ...equals(load.half(18), 0x0604),
    ...oneOf(load.half(20), 1, 2),
  );
}

/**
 * Packet sockets: neighbour solicitations and advertisements directly behind the IPv6 header, hop limit 255 (RFC 4861,
 * 7.1). The ICMPv6 checksum is left to the receiver.
 */
export function neighbourDiscoveryFilter(): Uint8Array {
  return keepIf(
    ...forUs,
    ...equals(load.half(12), 0x86dd),
    ...equals(load.byte(20), 58),
    ...equals(load.byte(21), 255),
    ...oneOf(load.byte(54), 135, 136),
  );
}

/** Packet sockets: unfragmented UDP over IPv4 to `destination` (4 bytes) and `port`, TTL 255 (RFC 5082: one hop). */
export function ipv4UdpFilter(destination: Uint8Array, port: number): Uint8Array {
  const [address] = wordsOf(destination, 4);
  return keepIf(
    ...forUs,
    ...equals(load.half(12), 0x0800),
    ...equals(load.byte(23), 17),
    ...equals(load.byte(22), 255),
    load.half(20),
    jump.bits(0x3fff, 'drop', next),
    ...equals(load.word(30), address ?? 0),
    load.headerLength(14),
    ...equals(load.indexedHalf(16), checkedPort(port)),
  );
}

/** Packet sockets: UDP directly behind the IPv6 header to `destination` (16 bytes) and `port`, hop limit 255. */
export function ipv6UdpFilter(destination: Uint8Array, port: number): Uint8Array {
  return keepIf(
    ...forUs,
    ...equals(load.half(12), 0x86dd),
    ...equals(load.byte(20), 17),
    ...equals(load.byte(21), 255),
    ...wordsOf(destination, 16).flatMap((word, i) => equals(load.word(38 + 4 * i), word)),
    ...equals(load.half(56), checkedPort(port)),
  );
}

/**
 * UDP sockets: only packets of this IP version whose TTL or hop limit is at least `least` (1-255): the generalised TTL
 * security mechanism (RFC 5082) where IP_MINTTL does not reach. 255 means a directly connected sender.
 */
export function receivedTtlFilter(family: 4 | 6, least: number): Uint8Array {
  if (!Number.isInteger(least) || least < 1 || least > 255) {
    throw new RawSocketError('BadArgument', `a TTL is 1-255, not ${least}`);
  }
  return keepIf(
    load.byte(networkHeader),
    and(0xf0),
    jump.equal(family << 4, next, 'drop'),
    load.byte(networkHeader + (family === 4 ? 8 : 7)),
    jump.greaterOrEqual(least, next, 'drop'),
  );
}

/** Drops everything: keeps a socket quiet while it is being set up. */
export function dropAllFilter(): Uint8Array {
  return assemble([ret(0)]);
}

function wordsOf(address: Uint8Array, length: 4 | 16): number[] {
  if (address.length !== length) {
    throw new RawSocketError('BadArgument', `the address has ${address.length} bytes instead of ${length}`);
  }
  const view = new DataView(address.buffer, address.byteOffset, length);
  return Array.from({ length: length / 4 }, (_, i) => view.getUint32(4 * i));
}

function checkedPort(port: number): number {
  if (Number.isInteger(port) && port >= 1 && port <= 65535) return port;
  throw new RawSocketError('BadArgument', `a port is 1-65535, not ${port}`);
}
