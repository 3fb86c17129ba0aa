/** Builds messages byte by byte for tests, sharing no code with the library. */

export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(/\s+/g, ''), 'hex'));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

export function join(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const two = (value: number) => [Math.floor(value / 256) % 256, value % 256];

export function message(type: number, body: Uint8Array | readonly number[] = []): Uint8Array {
  return join(new Uint8Array(16).fill(0xff), two(19 + body.length), [type], body);
}

/** `text` is ADDRESS/LENGTH with an IPv4 address. */
export function prefix4(text: string): number[] {
  const [address = '', length = ''] = text.split('/');
  return [
    Number(length),
    ...address
      .split('.')
      .map(Number)
      .slice(0, Math.ceil(Number(length) / 8)),
  ];
}

export function attribute(flags: number, type: number, value: Uint8Array | readonly number[]): number[] {
  const length = (flags & 0x10) !== 0 ? two(value.length) : [value.length];
  return [flags, type, ...length, ...value];
}

export interface UpdateParts {
  withdrawn?: readonly (readonly number[])[];
  attributes?: readonly (readonly number[])[];
  nlri?: readonly (readonly number[])[];
}

/** The body of an UPDATE. */
export function update({ withdrawn = [], attributes = [], nlri = [] }: UpdateParts): Uint8Array {
  return join(
    two(withdrawn.flat().length),
    withdrawn.flat(),
    two(attributes.flat().length),
    attributes.flat(),
    nlri.flat(),
  );
}

export const origin = attribute(0x40, 1, [0]);
/** 65001, in four bytes. */
export const asPath = attribute(0x40, 2, [2, 1, 0, 0, 0xfd, 0xe9]);
export const nextHop = attribute(0x40, 3, [192, 0, 2, 1]);
export const localPreference = attribute(0x40, 5, [0, 0, 0, 100]);
export const globalHop = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/** 2001:db8::/32 by way of 2001:db8::1. */
export const mpReach = attribute(0x80, 14, [0, 2, 1, 16, ...globalHop, 0, 32, 0x20, 1, 0xd, 0xb8]);
export const mpUnreach = attribute(0x80, 15, [0, 2, 1, 32, 0x20, 1, 0xd, 0xb8]);
