/** Builds netlink messages byte by byte, apart from the code under test. */
const u16 = (n: number) => [n & 0xff, (n >> 8) & 0xff];
export const u32 = (n: number) => [...u16(n & 0xffff), ...u16((n >>> 16) & 0xffff)];
export const text = (value: string) => [...Buffer.from(value, 'utf8'), 0];

/** struct nlattr with its padding */
export function attribute(type: number, value: number[]): number[] {
  const padding = new Array<number>((4 - (value.length % 4)) % 4).fill(0);
  return [...u16(4 + value.length), ...u16(type), ...value, ...padding];
}

/** struct nlmsghdr with a payload */
export function message(type: number, payload: number[], { sequence = 0, flags = 0 } = {}): number[] {
  const padding = new Array<number>((4 - (payload.length % 4)) % 4).fill(0);
  return [
    ...u32(16 + payload.length),
    ...u16(type),
    ...u16(flags),
    ...u32(sequence),
    ...u32(0),
    ...payload,
    ...padding,
  ];
}

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;

export interface LinkBytes {
  family?: number;
  index: number;
  hardware?: number;
  flags?: number;
  attributes?: number[][];
}

/** struct ifinfomsg and attributes */
export function link({ family = 0, index, hardware = 1, flags = 0x11043, attributes = [] }: LinkBytes): number[] {
  return [family, 0, ...u16(hardware), ...u32(index), ...u32(flags), ...u32(0), ...attributes.flat()];
}

/** struct ifaddrmsg and attributes */
export function address(
  family: number,
  prefix: number,
  scope: number,
  index: number,
  attributes: number[][],
  flags = 0,
): number[] {
  return [family, prefix, flags, scope, ...u32(index), ...attributes.flat()];
}

export const named = (index: number, name: string): number[] => link({ index, attributes: [attribute(3, text(name))] });
export const ipv4 = (index: number, ...bytes: number[]): number[] =>
  address(2, 24, 0, index, [attribute(1, bytes), attribute(2, bytes)]);
export const done = (sequence: number, flags = 0): number[] => message(NLMSG_DONE, u32(0), { sequence, flags });
