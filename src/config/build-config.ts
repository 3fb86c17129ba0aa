import { buildAdvertisements } from './build-advertisements.ts';
import { buildPools } from './build-pools.ts';
import type { Config, ConfigResources } from './config.ts';

/**
 * Turns the custom resources into the one validated Config that controller, speaker and commands share.
 *
 * Pure and total: it never throws. What is wrong with an object is kept with that object, and only the part that is
 * wrong is left out. The result depends on the objects alone, not on their order.
 */
export function buildConfig(resources: ConfigResources): Config {
  const pools = buildPools([...resources.ipAddressPools]);
  const names = new Set(pools.map((pool) => pool.name));
  return Object.freeze({
    pools: Object.freeze(pools),
    l2Advertisements: Object.freeze(buildAdvertisements([...resources.l2Advertisements], names)),
  });
}
