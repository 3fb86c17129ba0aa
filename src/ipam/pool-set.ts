import type { Address, AddressRange, Family } from '../net/index.ts';
import { countBuggy, FreeAddresses, isBuggy } from './free-addresses.ts';

/** What the allocator needs of a pool. Ranges are sorted, disjoint here and with those of other pools. */
export interface AllocatablePool {
  readonly name: string;
  readonly ranges: readonly AddressRange[];
  readonly autoAssign: boolean;
  readonly avoidBuggyIPs: boolean;
}

const never = () => false;

/** A pool and what is free in it. */
export class PoolSpace {
  readonly name: string;
  readonly autoAssign: boolean;
  readonly ranges: readonly AddressRange[];
  readonly avoidsBuggyIPs: boolean;
  readonly #free: Record<Family, FreeAddresses>;

  constructor({ name, ranges, autoAssign, avoidBuggyIPs }: AllocatablePool) {
    this.name = name;
    this.autoAssign = autoAssign;
    this.ranges = ranges;
    this.avoidsBuggyIPs = avoidBuggyIPs;
    this.#free = {
      4: new FreeAddresses(4, ranges, avoidBuggyIPs ? isBuggy : never),
      6: new FreeAddresses(6, ranges, never),
    };
  }

  free(family: Family): FreeAddresses {
    return this.#free[family];
  }

  excludes(address: Address): boolean {
    return this.avoidsBuggyIPs && address.family === 4 && isBuggy(address.value);
  }

  hasFamily(family: Family): boolean {
    return this.ranges.some((range) => range.family === family);
  }

  /** Number of addresses that may be given out, used ones included. */
  capacity(family: Family): bigint {
    let sum = 0n;
    for (const range of this.ranges) {
      if (range.family !== family) continue;
      sum += range.size - (this.avoidsBuggyIPs && family === 4 ? countBuggy(range) : 0n);
    }
    return sum;
  }
}

/** All pools, by name and by address. */
export class PoolSet {
  /** Sorted by name. */
  readonly all: readonly PoolSpace[];
  readonly #byName: ReadonlyMap<string, PoolSpace>;
  readonly #byRange: Record<Family, { range: AddressRange; pool: PoolSpace }[]> = { 4: [], 6: [] };

  constructor(pools: Iterable<AllocatablePool>) {
    this.all = [...pools].map((pool) => new PoolSpace(pool)).sort((a, b) => (a.name < b.name ? -1 : 1));
    this.#byName = new Map(this.all.map((pool) => [pool.name, pool]));
    for (const pool of this.all) for (const range of pool.ranges) this.#byRange[range.family].push({ range, pool });
    for (const list of Object.values(this.#byRange)) {
      list.sort((a, b) => (a.range.first.value < b.range.first.value ? -1 : 1));
    }
  }

  named(name: string): PoolSpace | undefined {
    return this.#byName.get(name);
  }

  /** The pool that holds an address. */
  of(address: Address): PoolSpace | undefined {
    const list = this.#byRange[address.family];
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const entry = list[middle];
      if (entry && entry.range.last.value < address.value) low = middle + 1;
      else high = middle;
    }
    const entry = list[low];
    return entry?.range.contains(address) ? entry.pool : undefined;
  }
}
