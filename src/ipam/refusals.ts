import { requestAnnotations } from '../api/index.ts';
import type { Address, Family } from '../net/index.ts';
import { listNames, type Refusal } from './decision.ts';
import type { PoolSet, PoolSpace } from './pool-set.ts';

/**
 * Why a Service cannot have the very address it asks for; undefined when it can.
 *
 * @param blocker the other Service that has the address
 */
export function refuseRequested(
  pools: PoolSet,
  address: Address,
  poolName: string | undefined,
  blocker: string | undefined,
): Refusal | undefined {
  const refuse = (reason: Refusal['reason'], message: string): Refusal => ({
    family: address.family,
    reason,
    message,
    explicit: true,
  });
  if (poolName !== undefined && !pools.named(poolName)) return refuse('UnknownPool', unknownPool(poolName));
  const pool = pools.of(address);
  if (!pool) {
    return refuse('AddressNotInPools', `${address} is in no IPAddressPool; add it to one or ask for another address`);
  }
  if (poolName !== undefined && pool.name !== poolName) {
    return refuse(
      'AddressNotInRequestedPool',
      `${address} is in pool "${pool.name}", not in the pool "${poolName}" asked for; change one of the two requests`,
    );
  }
  if (pool.excludes(address)) {
    return refuse(
      'AddressExcluded',
      `${address} is left out of pool "${pool.name}" by spec.avoidBuggyIPs; ask for another address`,
    );
  }
  if (blocker !== undefined) {
    return refuse('AddressInUse', `${address} is in use by Service "${blocker}"; ask for another address`);
  }
  return undefined;
}

/**
 * Why no free address of a family was found.
 *
 * @param candidates the pools that were looked at
 * @param poolName the pool asked for
 */
export function refuseAutomatic(
  pools: PoolSet,
  candidates: readonly PoolSpace[],
  family: Family,
  poolName: string | undefined,
): Refusal {
  const refuse = (reason: Refusal['reason'], message: string): Refusal => ({
    family,
    reason,
    message,
    explicit: false,
  });
  if (poolName !== undefined) {
    const pool = pools.named(poolName);
    if (!pool) return refuse('UnknownPool', unknownPool(poolName));
    if (pool.ranges.length === 0) {
      return refuse('PoolNotReady', `pool "${poolName}" has no usable range; see its condition Ready`);
    }
    if (!pool.hasFamily(family)) {
      return refuse(
        'FamilyNotInPool',
        `pool "${poolName}" holds no IPv${family} addresses; add a range of that family`,
      );
    }
    return refuse('PoolExhausted', `pool "${poolName}" has no free IPv${family} address; add a range to it`);
  }
  if (candidates.length === 0) {
    const hint = `name a pool with the annotation ${requestAnnotations.addressPool[0]}`;
    return refuse(
      'NoPool',
      pools.all.length === 0
        ? 'there is no IPAddressPool; create one'
        : `no IPAddressPool has spec.autoAssign true; create one or ${hint}`,
    );
  }
  if (candidates.every((pool) => pool.ranges.length === 0)) {
    const names = listNames(candidates.map(({ name }) => name).sort());
    return refuse('PoolNotReady', `no usable range in pool ${names}; see the condition Ready of the pool`);
  }
  const holding = candidates.filter((pool) => pool.hasFamily(family));
  if (holding.length === 0) {
    const names = listNames(candidates.map(({ name }) => name).sort());
    return refuse('FamilyNotInPool', `no IPv${family} addresses in pool ${names}; add a range of that family`);
  }
  const names = listNames(holding.map(({ name }) => name).sort());
  return refuse('PoolExhausted', `no free IPv${family} address in pool ${names}; add a range`);
}

function unknownPool(name: string): string {
  return `there is no IPAddressPool "${name}"; create it or ask for another pool`;
}
