import { Address, type Family, familyBits, ParseError } from './address.ts';

/** An IP prefix (RFC 4632) without host bits. */
export class Cidr {
  readonly address: Address;
  readonly prefixLength: number;

  private constructor(address: Address, prefixLength: number) {
    this.address = address;
    this.prefixLength = prefixLength;
  }

  /** @throws ParseError when the length is out of range or host bits are set */
  static of(address: Address, prefixLength: number): Cidr {
    const bits = familyBits(address.family);
    if (!Number.isInteger(prefixLength) || prefixLength < 0 || prefixLength > bits) {
      throw new ParseError(`"${address}/${prefixLength}": the prefix length of IPv${address.family} is 0 to ${bits}`);
    }
    const hostMask = (1n << BigInt(bits - prefixLength)) - 1n;
    if ((address.value & hostMask) !== 0n) {
      const network = Address.of(address.family, address.value & ~hostMask);
      throw new ParseError(
        `"${address}/${prefixLength}" has host bits set; did you mean "${network}/${prefixLength}"?`,
      );
    }
    return new Cidr(address, prefixLength);
  }

  /** @throws ParseError */
  static parse(text: string): Cidr {
    const slash = text.indexOf('/');
    const length = text.slice(slash + 1);
    if (slash < 0 || !/^(0|[1-9][0-9]{0,2})$/.test(length)) {
      throw new ParseError(`"${text}" is not a prefix; write ADDRESS/LENGTH, as in "192.0.2.0/24"`);
    }
    return Cidr.of(Address.parse(text.slice(0, slash)), Number(length));
  }

  /** The prefix of this length that holds the address: host bits are cleared. */
  static containing(address: Address, prefixLength: number): Cidr {
    const hostBits = BigInt(familyBits(address.family) - prefixLength);
    return Cidr.of(Address.of(address.family, (address.value >> hostBits) << hostBits), prefixLength);
  }

  get family(): Family {
    return this.address.family;
  }

  contains(address: Address): boolean {
    const hostBits = BigInt(familyBits(this.family) - this.prefixLength);
    return address.family === this.family && address.value >> hostBits === this.address.value >> hostBits;
  }

  toString(): string {
    return `${this.address}/${this.prefixLength}`;
  }

  toJSON(): string {
    return this.toString();
  }
}
