import { Address, type AddressRange, type Family } from '../net/index.ts';

interface Interval {
  first: bigint;
  last: bigint;
}

/** How many returned addresses are remembered in the order of their return; beyond it the oldest count as never used. */
const defaultMemory = 4096;

/**
 * The free addresses of one family of one pool, as intervals: an IPv6 /64 costs as much as a single address.
 *
 * The lowest address that was never used comes first; an address that was given back comes only when no such address is
 * left, the one given back longest ago first. So what still points at a Service that is gone (caches, firewalls,
 * clients) rarely meets another Service.
 */
export class FreeAddresses {
  readonly #family: Family;
  readonly #isExcluded: (value: bigint) => boolean;
  readonly #memory: number;
  /** Sorted, disjoint, not touching. May hold excluded addresses; they are skipped when they come to the front. */
  readonly #fresh: Interval[] = [];
  /** In the order in which they were given back. */
  readonly #returned = new Set<bigint>();

  /** @param ranges sorted and disjoint @param isExcluded addresses that are never given out */
  constructor(
    family: Family,
    ranges: readonly AddressRange[],
    isExcluded: (value: bigint) => boolean,
    memory = defaultMemory,
  ) {
    this.#family = family;
    this.#isExcluded = isExcluded;
    this.#memory = memory;
    for (const range of ranges) {
      if (range.family !== family) continue;
      const before = this.#fresh.at(-1);
      if (before && before.last + 1n === range.first.value) before.last = range.last.value;
      else this.#fresh.push({ first: range.first.value, last: range.last.value });
    }
  }

  /** The address `takeNext` would take. */
  peek(): Address | undefined {
    let front = this.#fresh[0];
    while (front && this.#isExcluded(front.first)) {
      if (front.first === front.last) this.#fresh.shift();
      else front.first += 1n;
      front = this.#fresh[0];
    }
    if (front) return Address.of(this.#family, front.first);
    for (const value of this.#returned) return Address.of(this.#family, value);
    return undefined;
  }

  /** Takes exactly this address. Does nothing when it is not free. */
  take({ value }: Address): void {
    if (this.#returned.delete(value)) return;
    const index = this.#indexOf(value);
    const interval = this.#fresh[index];
    if (!interval || interval.first > value) return;
    const parts: Interval[] = [];
    if (interval.first < value) parts.push({ first: interval.first, last: value - 1n });
    if (value < interval.last) parts.push({ first: value + 1n, last: interval.last });
    this.#fresh.splice(index, 1, ...parts);
  }

  /** Gives an address of the pool back; it is re-used last. */
  giveBack({ value }: Address): void {
    if (this.#isExcluded(value)) return;
    this.#returned.add(value);
    if (this.#returned.size <= this.#memory) return;
    for (const oldest of this.#returned) {
      this.#returned.delete(oldest);
      this.#insert(oldest);
      return;
    }
  }

  /** Addresses that were given back and are still free, the oldest first. */
  *returned(): Iterable<Address> {
    for (const value of this.#returned) yield Address.of(this.#family, value);
  }

  /** Index of the first interval that ends at or after the value. */
  #indexOf(value: bigint): number {
    let low = 0;
    let high = this.#fresh.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#fresh[middle]?.last ?? value) < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #insert(value: bigint): void {
    const index = this.#indexOf(value);
    const before = this.#fresh[index - 1];
    const after = this.#fresh[index];
    const joinsBefore = before?.last === value - 1n;
    const joinsAfter = after?.first === value + 1n;
    if (joinsBefore && joinsAfter) {
      before.last = after.last;
      this.#fresh.splice(index, 1);
    } else if (joinsBefore) {
      before.last = value;
    } else if (joinsAfter) {
      after.first = value;
    } else {
      this.#fresh.splice(index, 0, { first: value, last: value });
    }
  }
}

/** IPv4 addresses ending in .0 or .255. */
export function isBuggy(value: bigint): boolean {
  const last = value & 0xffn;
  return last === 0n || last === 0xffn;
}

/** How many addresses of an IPv4 range end in .0 or .255. */
export function countBuggy(range: AddressRange): bigint {
  const upTo = (end: bigint) => (end < 0n ? 0n : (end >> 8n) + 1n + ((end + 1n) >> 8n));
  return upTo(range.last.value) - upTo(range.first.value - 1n);
}
