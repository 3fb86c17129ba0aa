import { Address, Cidr } from '../../net/index.ts';

/** Flags of a slot: it holds a prefix; its set changed since the last publication; it is in the set being replaced. */
export const slotFlag = { used: 1, dirty: 2, marked: 4 } as const;

/**
 * The prefixes of one family with a number each, in arrays: about 20 bytes for an IPv4 prefix and 33 for an IPv6 one,
 * where a Map of objects takes some 150. A prefix keeps its slot until it is removed.
 *
 * Slots are dense and grow by an eighth; an open-addressing index with linear probing, at most 4/5 full, finds them.
 */
export class PrefixTable {
  /** 32-bit words of an address: 1 or 4. */
  readonly words: 1 | 4;
  /** The attribute set of each slot, or 0. */
  sets: Uint32Array = new Uint32Array(0);
  flags: Uint8Array = new Uint8Array(0);
  #addresses: Uint32Array = new Uint32Array(0);
  #lengths: Uint8Array = new Uint8Array(0);
  /** Slot + 1, or 0. */
  #index: Uint32Array = new Uint32Array(16);
  readonly #free: number[] = [];
  #slots = 0;
  readonly #key: Uint32Array;

  constructor(words: 1 | 4) {
    this.words = words;
    this.#key = new Uint32Array(words);
  }

  /** Number of prefixes. */
  get size(): number {
    return this.#slots - this.#free.length;
  }

  /** Slots are 0 to this, exclusive; those without the flag `used` are empty. */
  get slotCount(): number {
    return this.#slots;
  }

  /** Memory of the arrays, bytes. */
  get memoryBytes(): number {
    const arrays = [this.sets, this.flags, this.#addresses, this.#lengths, this.#index];
    return arrays.reduce((sum, array) => sum + array.byteLength, 8 * this.#free.length);
  }

  /** The slot of a prefix, or -1. */
  find(prefix: Cidr): number {
    this.#readKey(prefix);
    return (this.#index[this.#probe(prefix.prefixLength)] ?? 0) - 1;
  }

  /** The slot of a prefix, which is made when there is none. */
  findOrAdd(prefix: Cidr): number {
    this.#readKey(prefix);
    const length = prefix.prefixLength;
    let at = this.#probe(length);
    const found = this.#index[at] ?? 0;
    if (found > 0) return found - 1;
    if ((this.size + 1) * 5 > this.#index.length * 4) {
      this.#reindex(this.#index.length * 2);
      at = this.#probe(length);
    }
    const slot = this.#free.pop() ?? this.#newSlot();
    this.#addresses.set(this.#key, slot * this.words);
    this.#lengths[slot] = length;
    this.flags[slot] = slotFlag.used;
    this.#index[at] = slot + 1;
    return slot;
  }

  /** Empties a slot, whose set must be 0. */
  remove(slot: number): void {
    this.#loadKey(slot);
    let hole = this.#probe(this.#lengths[slot] ?? 0);
    const mask = this.#index.length - 1;
    // Moves back what probed past the hole, so that no probe ends there too early.
    for (let at = (hole + 1) & mask; this.#index[at] !== 0; at = (at + 1) & mask) {
      const other = (this.#index[at] ?? 0) - 1;
      const home = this.#home(other);
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      this.#index[hole] = other + 1;
      hole = at;
    }
    this.#index[hole] = 0;
    this.flags[slot] = 0;
    this.#free.push(slot);
  }

  cidrAt(slot: number): Cidr {
    if (this.words === 1) return Cidr.of(Address.of(4, BigInt(this.wordAt(slot, 0))), this.lengthAt(slot));
    let value = 0n;
    for (let word = 0; word < 4; word++) value = (value << 32n) | BigInt(this.wordAt(slot, word));
    return Cidr.of(Address.of(6, value), this.lengthAt(slot));
  }

  lengthAt(slot: number): number {
    return this.#lengths[slot] ?? 0;
  }

  /** The `word`th 32 bits of the address, the highest first. */
  wordAt(slot: number, word: number): number {
    return word < this.words ? (this.#addresses[slot * this.words + word] ?? 0) : 0;
  }

  #newSlot(): number {
    if (this.#slots === this.flags.length) {
      const capacity = this.#slots + (this.#slots >> 3) + 16;
      const grow = (before: Uint32Array, length: number) => {
        const after = new Uint32Array(length);
        after.set(before);
        return after;
      };
      const growBytes = (before: Uint8Array) => {
        const after = new Uint8Array(capacity);
        after.set(before);
        return after;
      };
      this.sets = grow(this.sets, capacity);
      this.#addresses = grow(this.#addresses, capacity * this.words);
      this.flags = growBytes(this.flags);
      this.#lengths = growBytes(this.#lengths);
    }
    return this.#slots++;
  }

  #reindex(length: number): void {
    this.#index = new Uint32Array(length);
    const mask = length - 1;
    for (let slot = 0; slot < this.#slots; slot++) {
      if (this.flags[slot] === 0) continue;
      let at = this.#home(slot);
      while (this.#index[at] !== 0) at = (at + 1) & mask;
      this.#index[at] = slot + 1;
    }
  }

  #readKey(prefix: Cidr): void {
    const { value } = prefix.address;
    if (this.words === 1) {
      this.#key[0] = Number(value);
      return;
    }
    for (let word = 0; word < 4; word++) this.#key[word] = Number((value >> BigInt(96 - 32 * word)) & 0xffff_ffffn);
  }

  #loadKey(slot: number): void {
    for (let word = 0; word < this.words; word++) this.#key[word] = this.wordAt(slot, word);
  }

  /** Where the key of this length is in the index, or the empty place where it would be. */
  #probe(length: number): number {
    const mask = this.#index.length - 1;
    let hash = length;
    for (let word = 0; word < this.words; word++) hash = mix(hash, this.#key[word] ?? 0);
    let at = finish(hash) & mask;
    for (let entry = this.#index[at] ?? 0; entry !== 0; entry = this.#index[at] ?? 0) {
      if (this.#isKeyAt(entry - 1, length)) break;
      at = (at + 1) & mask;
    }
    return at;
  }

  #isKeyAt(slot: number, length: number): boolean {
    if (this.#lengths[slot] !== length) return false;
    for (let word = 0; word < this.words; word++) {
      if (this.#addresses[slot * this.words + word] !== this.#key[word]) return false;
    }
    return true;
  }

  #home(slot: number): number {
    let hash = this.#lengths[slot] ?? 0;
    for (let word = 0; word < this.words; word++) hash = mix(hash, this.wordAt(slot, word));
    return finish(hash) & (this.#index.length - 1);
  }
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e37_79b1);
  return mixed ^ (mixed >>> 15);
}

function finish(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}
