/** Frames built byte by byte, apart from any code under test. Each ends in its own number, to be told by. */
const u16 = (n: number) => [(n >> 8) & 0xff, n & 0xff];

const macA = [2, 0, 0, 0, 0, 0x0a];
export const macB = [2, 0, 0, 0, 0, 0x0b];
export const broadcast = [255, 255, 255, 255, 255, 255];

export function ethernet(type: number, payload: number[], { to = macB, tags = [] as number[][] } = {}): number[] {
  return [...to, ...macA, ...tags.flat(), ...u16(type), ...payload];
}

export const vlan = (id: number, type = 0x8100): number[] => [...u16(type), ...u16(id)];

export function arp({ operation = 1, hardware = 1, protocol = 0x0800, lengths = [6, 4] } = {}): number[] {
  return [
    ...u16(hardware),
    ...u16(protocol),
    ...lengths,
    ...u16(operation),
    ...[...macA, 10, 0, 0, 1],
    ...[0, 0, 0, 0, 0, 0, 10, 0, 0, 2],
  ];
}

export interface Ipv4 {
  ttl?: number;
  protocol?: number;
  fragment?: number;
  options?: number[];
  to?: number[];
  payload: number[];
}

export function ipv4({
  ttl = 255,
  protocol = 17,
  fragment = 0,
  options = [],
  to = [224, 0, 0, 18],
  payload,
}: Ipv4): number[] {
  const header = [
    0x40 | (5 + options.length / 4),
    ...[0xc0, ...u16(20 + options.length + payload.length)],
    ...[0, 1, ...u16(fragment)],
    ...[ttl, protocol, 0, 0],
    ...[10, 0, 0, 1],
    ...to,
    ...options,
  ];
  let sum = 0;
  for (let i = 0; i < header.length; i += 2) sum += ((header[i] ?? 0) << 8) | (header[i + 1] ?? 0);
  sum = (sum & 0xffff) + (sum >> 16);
  const check = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
  return [...header.slice(0, 10), ...u16(check), ...header.slice(12), ...payload];
}

export const groupOfAllNodes = [0xff, 2, ...new Array<number>(13).fill(0), 1];

export function ipv6({
  hopLimit = 255,
  next = 58,
  to = groupOfAllNodes,
  payload,
}: {
  hopLimit?: number;
  next?: number;
  to?: number[];
  payload: number[];
}): number[] {
  return [
    0x60,
    0,
    0,
    0,
    ...u16(payload.length),
    next,
    hopLimit,
    0xfe,
    0x80,
    ...new Array<number>(13).fill(0),
    9,
    ...to,
    ...payload,
  ];
}

export function udp(port: number, payload: number[]): number[] {
  return [...u16(40000), ...u16(port), ...u16(8 + payload.length), 0, 0, ...payload];
}

export const icmp6 = (type: number): number[] => [type, 0, 0, 0, ...new Array<number>(20).fill(0)];

/** The frames as sent: each padded to 60 bytes at least, and its place in the list as last byte. */
export function numbered(frames: Record<string, number[]>): { name: string; bytes: Uint8Array }[] {
  return Object.entries(frames).map(([name, frame], i) => {
    const bytes = new Uint8Array(Math.max(60, frame.length + 1));
    bytes.set(frame);
    bytes[bytes.length - 1] = i + 1;
    return { name, bytes };
  });
}
