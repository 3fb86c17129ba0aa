import type { AdvertisementReason, L2Advertisement, LabelSelector } from '../api/index.ts';
import type { Address } from '../net/index.ts';
import { poolOf } from './build-pools.ts';
import type { Config, L2Announcement, Problem } from './config.ts';
import { selectorFault } from './label-selector.ts';

/** L2 announcements sorted by name. @param poolNames every pool there is, also those without a usable range */
export function buildAdvertisements(
  objects: readonly L2Advertisement[],
  poolNames: ReadonlySet<string>,
): L2Announcement[] {
  return objects.map((object) => buildAdvertisement(object, poolNames)).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function buildAdvertisement(object: L2Advertisement, poolNames: ReadonlySet<string>): L2Announcement {
  const { ipAddressPools = [], interfaces = [], nodeSelectors = [] } = object.spec ?? {};
  const problems: Problem<AdvertisementReason>[] = [];
  for (const [index, pool] of ipAddressPools.entries()) {
    if (poolNames.has(pool)) continue;
    const field = `spec.ipAddressPools[${index}]`;
    const message = `${field}: there is no IPAddressPool "${pool}"; create it or remove the name`;
    problems.push({ reason: 'UnknownPool', field, message });
  }
  const usable: LabelSelector[] = [];
  for (const [index, selector] of nodeSelectors.entries()) {
    const fault = selectorFault(selector);
    if (fault === undefined) {
      usable.push(selector);
      continue;
    }
    const field = `spec.nodeSelectors[${index}]${fault.field}`;
    problems.push({ reason: 'InvalidSelector', field, message: `${field}: ${fault.message}` });
  }
  return Object.freeze({
    name: object.metadata.name,
    generation: object.metadata.generation,
    pools: ipAddressPools.length === 0 ? undefined : Object.freeze([...new Set(ipAddressPools)].sort()),
    interfaces: Object.freeze([...new Set(interfaces)].sort()),
    nodeSelectors: nodeSelectors.length === 0 ? undefined : Object.freeze(usable),
    problems: Object.freeze(problems),
  });
}

/**
 * The L2 announcements of an address: those that name its pool, or no pool at all.
 *
 * @param allocatedFrom the pool the address was taken from, for an address that its pool has lost since: it is still
 * announced as that pool's. An address of no pool that came from nowhere known is not announced.
 */
export function l2AdvertisementsOf(config: Config, address: Address, allocatedFrom?: string): L2Announcement[] {
  const pool = poolOf(config.pools, address)?.name ?? allocatedFrom;
  if (pool === undefined) return [];
  return config.l2Advertisements.filter(({ pools }) => pools === undefined || pools.includes(pool));
}
