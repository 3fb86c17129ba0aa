import type { AddressRange } from '../net/index.ts';

/** Ranges of which no two share an address, each with an owner. */
export class DisjointRanges<Owner> {
  readonly #sorted: Record<4 | 6, { range: AddressRange; owner: Owner }[]> = { 4: [], 6: [] };

  /** Adds the range; or, when it shares an address with one that is there, returns that one's owner and adds nothing. */
  claim(range: AddressRange, owner: Owner): Owner | undefined {
    const list = this.#sorted[range.family];
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const entry = list[middle];
      if (entry && entry.range.last.value < range.first.value) low = middle + 1;
      else high = middle;
    }
    const next = list[low];
    if (next?.range.overlaps(range)) return next.owner;
    list.splice(low, 0, { range, owner });
    return undefined;
  }
}
