import type { IPAddressPool, PoolReason } from '../api/index.ts';
import { type Address, AddressRange, Cidr, compareAddresses, ParseError } from '../net/index.ts';
import type { Pool, Problem } from './config.ts';
import { DisjointRanges } from './disjoint-ranges.ts';

/** Addresses that are never a Service's: a pool that touches them is a slip of the pen. */
const unusable = [
  ['0.0.0.0/8', 'means "this network"'],
  ['127.0.0.0/8', 'is loopback'],
  ['224.0.0.0/4', 'is multicast'],
  ['255.255.255.255/32', 'is the limited broadcast address'],
  ['::/127', 'is unspecified or loopback'],
  ['ff00::/8', 'is multicast'],
].map(([text = '', what = '']) => ({ range: AddressRange.ofCidr(Cidr.parse(text)), text, what }));

/**
 * Pools sorted by name. Of two ranges that overlap, the one of the older pool (creation time, then name) counts, within
 * a pool the one written first; the other is left out and becomes usable by itself when the first goes.
 */
export function buildPools(objects: readonly IPAddressPool[]): Pool[] {
  const taken = new DisjointRanges<{ pool: string; entry: string }>();
  return [...objects]
    .sort(olderFirst)
    .map((object) => buildPool(object, taken))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function olderFirst(a: IPAddressPool, b: IPAddressPool): number {
  const [timeA, timeB] = [a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? ''];
  if (timeA !== timeB) return timeA < timeB ? -1 : 1;
  return a.metadata.name < b.metadata.name ? -1 : 1;
}

function buildPool(object: IPAddressPool, taken: DisjointRanges<{ pool: string; entry: string }>): Pool {
  const { name } = object.metadata;
  const ranges: AddressRange[] = [];
  const problems: Problem<PoolReason>[] = [];
  for (const [index, entry] of (object.spec?.addresses ?? []).entries()) {
    const field = `spec.addresses[${index}]`;
    const parsed = parseEntry(entry);
    if (typeof parsed === 'string') {
      problems.push({ reason: 'InvalidRange', field, message: `${field}: ${parsed}` });
      continue;
    }
    const other = taken.claim(parsed, { pool: name, entry });
    if (other === undefined) {
      ranges.push(parsed);
    } else if (other.pool === name) {
      const message = `${field}: "${entry}" overlaps "${other.entry}" of the same pool; remove one of them`;
      problems.push({ reason: 'OverlapsRange', field, message });
    } else {
      const message = `${field}: "${entry}" overlaps "${other.entry}" of the older pool "${other.pool}"; change one of them`;
      problems.push({ reason: 'OverlapsPool', field, message });
    }
  }
  return Object.freeze({
    name,
    generation: object.metadata.generation,
    ranges: Object.freeze(ranges.sort((a, b) => compareAddresses(a.first, b.first))),
    autoAssign: object.spec?.autoAssign ?? true,
    avoidBuggyIPs: object.spec?.avoidBuggyIPs ?? false,
    problems: Object.freeze(problems),
  });
}

/** The range, or what is wrong with the text. */
function parseEntry(entry: unknown): AddressRange | string {
  if (typeof entry !== 'string') return `${JSON.stringify(entry)} is not a text`;
  let range: AddressRange;
  try {
    range = AddressRange.parse(entry);
  } catch (thrown) {
    if (thrown instanceof ParseError) return thrown.message;
    throw thrown;
  }
  const bad = unusable.find((candidate) => candidate.range.overlaps(range));
  return bad ? `"${entry}" touches ${bad.text}, which ${bad.what}` : range;
}

/** The pool that holds an address now. */
export function poolOf(pools: readonly Pool[], address: Address): Pool | undefined {
  return pools.find((pool) => pool.ranges.some((range) => range.contains(address)));
}
