/** Two bytes in network order. The caller has checked that they are there; bytes outside read as zero. */
export function readUint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

/** Four bytes in network order, unsigned; as `readUint16`. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return ((readUint16(bytes, at) << 16) | readUint16(bytes, at + 2)) >>> 0;
}

/** A list of bytes that grows; for messages written rarely. */
export class OctetWriter {
  readonly #octets: number[] = [];

  uint8(value: number): this {
    this.#octets.push(value & 0xff);
    return this;
  }

  uint16(value: number): this {
    return this.uint8(value >>> 8).uint8(value);
  }

  uint24(value: number): this {
    return this.uint8(value >>> 16).uint16(value);
  }

  uint32(value: number): this {
    return this.uint16(value >>> 16).uint16(value);
  }

  bytes(value: Iterable<number>): this {
    for (const octet of value) this.uint8(octet);
    return this;
  }

  get length(): number {
    return this.#octets.length;
  }

  toBytes(): Uint8Array {
    return Uint8Array.from(this.#octets);
  }
}
