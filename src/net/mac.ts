import { ParseError } from './address.ts';

/** An EUI-48 MAC address; immutable. Printed as lower-case pairs with colons. */
export class Mac {
  static readonly broadcast = new Mac(Uint8Array.of(255, 255, 255, 255, 255, 255));
  static readonly zero = new Mac(new Uint8Array(6));
  readonly #bytes: Uint8Array;
  readonly #text: string;

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#text = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
  }

  /** Accepts six pairs of hexadecimal digits separated by ":" or "-". @throws ParseError */
  static parse(text: string): Mac {
    if (!/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(text)) {
      throw new ParseError(`"${text}" is not a MAC address; write it as "02:00:5e:00:53:01"`);
    }
    return new Mac(Uint8Array.from(text.split(/[:-]/), (pair) => Number.parseInt(pair, 16)));
  }

  /** From six bytes, which are copied. @throws ParseError for another length */
  static fromBytes(bytes: Uint8Array): Mac {
    if (bytes.length !== 6) throw new ParseError(`a MAC address has 6 bytes, not ${bytes.length}`);
    return new Mac(Uint8Array.from(bytes));
  }

  /** A copy of the six bytes. */
  toBytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  /** True for group addresses (broadcast and multicast): the lowest bit of the first byte. */
  get isGroup(): boolean {
    return ((this.#bytes[0] ?? 0) & 1) === 1;
  }

  equals(other: Mac): boolean {
    return this.#text === other.#text;
  }

  toString(): string {
    return this.#text;
  }

  toJSON(): string {
    return this.#text;
  }
}
