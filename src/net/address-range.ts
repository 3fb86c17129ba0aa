import { Address, compareAddresses, type Family, familyBits, ParseError } from './address.ts';
import { Cidr } from './cidr.ts';

/** A closed range of addresses of one family: `first` <= `last`. */
export class AddressRange {
  readonly first: Address;
  readonly last: Address;

  private constructor(first: Address, last: Address) {
    this.first = first;
    this.last = last;
  }

  /** @throws ParseError when the ends differ in family or are reversed */
  static of(first: Address, last: Address): AddressRange {
    if (first.family !== last.family) {
      throw new ParseError(`"${first}-${last}" mixes IPv4 and IPv6; both ends must be of one family`);
    }
    if (compareAddresses(first, last) > 0) {
      throw new ParseError(`"${first}-${last}" is reversed; write it as "${last}-${first}"`);
    }
    return new AddressRange(first, last);
  }

  /** Every address of a prefix, network and broadcast address included. */
  static ofCidr(cidr: Cidr): AddressRange {
    const hostBits = BigInt(familyBits(cidr.family) - cidr.prefixLength);
    const last = Address.of(cidr.family, cidr.address.value | ((1n << hostBits) - 1n));
    return new AddressRange(cidr.address, last);
  }

  /**
   * Parses what a pool may hold: a prefix ("192.0.2.0/24"), a range ("192.0.2.10-192.0.2.20", blanks around the dash
   * allowed) or a single address. A prefix must have no host bits set.
   *
   * @throws ParseError
   */
  static parse(text: string): AddressRange {
    const trimmed = text.trim();
    if (trimmed.includes('/')) return AddressRange.ofCidr(Cidr.parse(trimmed));
    const dash = trimmed.indexOf('-');
    if (dash < 0) {
      const address = Address.parse(trimmed);
      return new AddressRange(address, address);
    }
    return AddressRange.of(Address.parse(trimmed.slice(0, dash).trim()), Address.parse(trimmed.slice(dash + 1).trim()));
  }

  get family(): Family {
    return this.first.family;
  }

  /** Number of addresses, at least 1. */
  get size(): bigint {
    return this.last.value - this.first.value + 1n;
  }

  contains(address: Address): boolean {
    return address.family === this.family && address.value >= this.first.value && address.value <= this.last.value;
  }

  overlaps(other: AddressRange): boolean {
    return other.family === this.family && other.first.value <= this.last.value && this.first.value <= other.last.value;
  }

  /** The fewest prefixes that together are exactly this range, in order. */
  toCidrs(): Cidr[] {
    const bits = BigInt(familyBits(this.family));
    const cidrs: Cidr[] = [];
    let next = this.first.value;
    while (next <= this.last.value) {
      let size = next === 0n ? 1n << bits : next & -next;
      while (next + size - 1n > this.last.value) size >>= 1n;
      cidrs.push(Cidr.of(Address.of(this.family, next), Number(bits) - (size.toString(2).length - 1)));
      next += size;
    }
    return cidrs;
  }

  /** "first-last", or the address alone when the range holds one. */
  toString(): string {
    return this.size === 1n ? this.first.toString() : `${this.first}-${this.last}`;
  }
}
