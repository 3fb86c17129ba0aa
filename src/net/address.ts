import { isIPv4, isIPv6 } from 'node:net';

/** IP version. */
export type Family = 4 | 6;

/** Width of an address in bits. */
export function familyBits(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/** Text that is not an address, prefix, range or MAC. The message says what was wrong and shows the text. */
export class ParseError extends Error {
  readonly code = 'ParseError';
  constructor(message: string) {
    super(message);
    this.name = 'ParseError';
  }
}

/**
 * An IPv4 or IPv6 address; immutable, compared by `equals` or by its canonical text.
 *
 * Parsing is strict: no leading zeros, no shortened IPv4, no zone identifier, and an IPv4-mapped IPv6 address is
 * refused with a hint, as the API server's canonical form does (KEP-4858). Printing follows RFC 5952.
 */
export class Address {
  readonly family: Family;
  /** The address as an unsigned integer of 32 or 128 bits, network byte order. */
  readonly value: bigint;
  #text: string | undefined;

  private constructor(family: Family, value: bigint) {
    this.family = family;
    this.value = value;
  }

  /** @throws ParseError */
  static parse(text: string): Address {
    if (isIPv4(text)) return new Address(4, parseIPv4(text));
    if (text.includes('%')) throw new ParseError(`"${text}": an address here has no zone (the part from % on)`);
    if (!isIPv6(text)) throw new ParseError(`"${text}" is not an IPv4 or IPv6 address`);
    const value = parseIPv6(text);
    if (value >> 32n === 0xffffn) {
      throw new ParseError(`"${text}" is an IPv4-mapped IPv6 address; write the IPv4 address itself`);
    }
    return new Address(6, value);
  }

  /** The address for a text, or undefined when it is not one. */
  static tryParse(text: string): Address | undefined {
    try {
      return Address.parse(text);
    } catch {
      return undefined;
    }
  }

  /** @throws RangeError when the value does not fit the family */
  static of(family: Family, value: bigint): Address {
    if (value < 0n || value >> BigInt(familyBits(family)) !== 0n) {
      throw new RangeError(`${value} is outside IPv${family}`);
    }
    return new Address(family, value);
  }

  /** From 4 or 16 bytes in network order. @throws ParseError for another length */
  static fromBytes(bytes: Uint8Array): Address {
    if (bytes.length !== 4 && bytes.length !== 16) {
      throw new ParseError(`an address has 4 or 16 bytes, not ${bytes.length}`);
    }
    let value = 0n;
    for (const byte of bytes) value = (value << 8n) | BigInt(byte);
    return new Address(bytes.length === 4 ? 4 : 6, value);
  }

  /** 4 or 16 bytes in network order. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(familyBits(this.family) / 8);
    let rest = this.value;
    for (let i = bytes.length - 1; i >= 0; i--) {
      bytes[i] = Number(rest & 0xffn);
      rest >>= 8n;
    }
    return bytes;
  }

  equals(other: Address): boolean {
    return this.family === other.family && this.value === other.value;
  }

  /** Canonical text (RFC 5952); equal addresses have equal texts, so it serves as a map key. */
  toString(): string {
    this.#text ??= this.family === 4 ? printIPv4(this.value) : printIPv6(this.value);
    return this.#text;
  }

  toJSON(): string {
    return this.toString();
  }
}

/** Order for sorted output: IPv4 before IPv6, then by value. */
export function compareAddresses(a: Address, b: Address): number {
  if (a.family !== b.family) return a.family - b.family;
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

function parseIPv4(text: string): bigint {
  let value = 0n;
  for (const part of text.split('.')) value = (value << 8n) | BigInt(Number(part));
  return value;
}

function parseIPv6(text: string): bigint {
  let source = text;
  const lastColon = source.lastIndexOf(':');
  const tail = source.slice(lastColon + 1);
  if (tail.includes('.')) {
    const v4 = parseIPv4(tail);
    source = `${source.slice(0, lastColon + 1)}${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}`;
  }
  const [head = '', rest] = source.split('::') as [string, string?];
  const groups = (part: string) => (part === '' ? [] : part.split(':'));
  const before = groups(head);
  const after = rest === undefined ? [] : groups(rest);
  const zeros = rest === undefined ? [] : Array.from({ length: 8 - before.length - after.length }, () => '0');
  let value = 0n;
  for (const group of [...before, ...zeros, ...after]) value = (value << 16n) | BigInt(Number.parseInt(group, 16));
  return value;
}

function printIPv4(value: bigint): string {
  const n = Number(value);
  return `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}`;
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as "::". */
function printIPv6(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(112 - 16 * i)) & 0xffffn));
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.start < 0) return hex.join(':');
  return `${hex.slice(0, best.start).join(':')}::${hex.slice(best.start + best.length).join(':')}`;
}
