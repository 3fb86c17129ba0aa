import { type Address, compareAddresses, type Family } from '../net/index.ts';
import {
  type AllocationRequest,
  type AssignedAddress,
  type Decision,
  describeAssigned,
  type Refusal,
} from './decision.ts';
import { type AllocatablePool, PoolSet, type PoolSpace } from './pool-set.ts';
import { refuseAutomatic, refuseRequested } from './refusals.ts';

/** How much of a pool is used. Counts are exact. */
export interface PoolUsage {
  readonly name: string;
  readonly assigned: Record<Family, number>;
  readonly available: Record<Family, bigint>;
}

interface Hold {
  /** The addresses decided on, at most one a family; after an adoption possibly more. */
  current: Address[];
  /** Addresses given up by a decision that has not been recorded yet: nobody else may have them until then. */
  retiring: Address[];
  /** Pool names an address was taken from, by family. Absent for adopted addresses of unknown origin. */
  origin: Map<Family, string>;
}

type Outcome = { kind: 'kept' | 'new'; assigned: AssignedAddress } | { kind: 'refused'; refusal: Refusal };

/**
 * Decides which Service has which address. Holds no more than what Service statuses say plus decisions on their way
 * there; does no I/O and knows no clock.
 *
 * Life of an address: `adopt` (found in a status) or `allocate` reserves it; a later `allocate` may decide to give it up,
 * then it stays reserved until `settle` says that the new decision is recorded; `release` gives everything up. Nobody's
 * address changes unless the request does.
 */
export class Allocator {
  #pools = new PoolSet([]);
  readonly #holds = new Map<string, Hold>();
  readonly #holderOf = new Map<string, string>();

  /**
   * Replaces the pools. Addresses in use stay with their holders whether or not a pool still holds them.
   *
   * @returns the holders whose addresses belong to another pool than before, or to none, or again to one; sorted
   */
  setPools(pools: Iterable<AllocatablePool>): string[] {
    const before = this.#pools;
    const after = new PoolSet(pools);
    for (const pool of before.all) {
      for (const family of [4, 6] as const) {
        for (const address of pool.free(family).returned()) this.#giveBack(after, address);
      }
    }
    const affected = new Set<string>();
    for (const [holder, hold] of this.#holds) {
      for (const address of [...hold.current, ...hold.retiring]) {
        const pool = after.of(address);
        pool?.free(address.family).take(address);
        if (pool?.name !== before.of(address)?.name) affected.add(holder);
      }
    }
    this.#pools = after;
    return [...affected].sort();
  }

  /**
   * Records that a holder has these addresses already. Adopting the same again changes nothing.
   *
   * @param allocatedFrom pool names the addresses were taken from, when known
   * @returns the addresses that another holder has, which are therefore not adopted
   */
  adopt(holder: string, addresses: readonly Address[], allocatedFrom: readonly string[] = []): Address[] {
    const hold = this.#hold(holder);
    const refused: Address[] = [];
    for (const address of addresses) {
      if (this.#blocker(address, holder) !== undefined) {
        refused.push(address);
        continue;
      }
      this.#reserve(holder, address);
      if (!hold.current.some((own) => own.equals(address))) hold.current.push(address);
      hold.retiring = hold.retiring.filter((own) => !own.equals(address));
      const origin = allocatedFrom.length === 1 ? allocatedFrom[0] : allocatedFrom[addresses.indexOf(address)];
      if (origin !== undefined) hold.origin.set(address.family, origin);
    }
    if (hold.current.length + hold.retiring.length === 0) this.#holds.delete(holder);
    return refused;
  }

  /** Decides what the holder gets and reserves it. */
  allocate(holder: string, request: AllocationRequest): Decision {
    const hold = this.#hold(holder);
    const outcomes = new Map<Family, Outcome>();
    for (const family of request.families) {
      const outcome = this.#fixed(holder, hold, request, family);
      if (outcome) outcomes.set(family, outcome);
    }
    this.#choose(hold, request, outcomes);
    return this.#conclude(holder, hold, request, outcomes);
  }

  /**
   * The decision for a request that cannot be read: the holder keeps what it has.
   *
   * @param fault why the request cannot be read
   */
  keep(holder: string, fault: { reason: Decision['reason']; message: string }): Decision {
    const hold = this.#holds.get(holder);
    const addresses = (hold?.current ?? []).map((address) => ({ address, pool: this.#pools.of(address)?.name }));
    const origins = addresses.flatMap(({ address }) => hold?.origin.get(address.family) ?? []);
    const keeps = addresses.length === 0 ? '' : `; keeps ${describeAssigned(addresses)} meanwhile`;
    const message = `${fault.message}${keeps}`;
    const { reason } = fault;
    return { addresses, allocatedFrom: [...new Set(origins)], satisfied: false, waiting: false, reason, message };
  }

  /**
   * The last decision for this holder is recorded in its status: what it gave up is free now.
   *
   * @returns the freed addresses, sorted
   */
  settle(holder: string): Address[] {
    const hold = this.#holds.get(holder);
    if (!hold) return [];
    const freed = hold.retiring;
    hold.retiring = [];
    for (const address of freed) this.#free(address);
    if (hold.current.length === 0) this.#holds.delete(holder);
    return freed.sort(compareAddresses);
  }

  /** The holder has nothing any more. @returns the freed addresses, sorted */
  release(holder: string): Address[] {
    const hold = this.#holds.get(holder);
    if (!hold) return [];
    hold.retiring.push(...hold.current);
    hold.current = [];
    return this.settle(holder);
  }

  holderOf(address: Address): string | undefined {
    return this.#holderOf.get(String(address));
  }

  /** Name of the pool that holds an address now. */
  poolOf(address: Address): string | undefined {
    return this.#pools.of(address)?.name;
  }

  /** The addresses decided on for a holder. */
  addressesOf(holder: string): readonly Address[] {
    return this.#holds.get(holder)?.current ?? [];
  }

  /** The addresses nobody else may have because of this holder: those decided on and those being given up. */
  reservedBy(holder: string): readonly Address[] {
    const hold = this.#holds.get(holder);
    return hold ? [...hold.current, ...hold.retiring] : [];
  }

  /** Holders of at least one address. */
  holders(): Iterable<string> {
    return this.#holds.keys();
  }

  /** How much of each pool is used, sorted by pool name. */
  usage(): PoolUsage[] {
    const assigned = new Map<PoolSpace, Record<Family, number>>();
    const excluded = new Map<PoolSpace, number>();
    for (const pool of this.#pools.all) assigned.set(pool, { 4: 0, 6: 0 });
    for (const hold of this.#holds.values()) {
      for (const address of [...hold.current, ...hold.retiring]) {
        const pool = this.#pools.of(address);
        const counts = pool && assigned.get(pool);
        if (!counts) continue;
        counts[address.family] += 1;
        if (pool.excludes(address)) excluded.set(pool, (excluded.get(pool) ?? 0) + 1);
      }
    }
    return [...assigned].map(([pool, counts]) => ({
      name: pool.name,
      assigned: counts,
      available: {
        4: pool.capacity(4) - BigInt(counts[4] - (excluded.get(pool) ?? 0)),
        6: pool.capacity(6) - BigInt(counts[6]),
      },
    }));
  }

  /** What is decided about a family before any free address is looked for. */
  #fixed(holder: string, hold: Hold, request: AllocationRequest, family: Family): Outcome | undefined {
    const held = hold.current.find((address) => address.family === family);
    const wanted = request.addresses.find((address) => address.family === family);
    if (wanted && !held?.equals(wanted)) {
      const refusal = refuseRequested(this.#pools, wanted, request.pool, this.#blocker(wanted, holder));
      if (refusal) return { kind: 'refused', refusal };
      return { kind: 'new', assigned: { address: wanted, pool: this.#pools.of(wanted)?.name } };
    }
    if (!held) return undefined;
    const pool = this.#pools.of(held)?.name;
    // The Service moves only when it asks for another pool than the one its address was taken from. That the address
    // is not in the pool it was taken from any more is the doing of whoever edited the pool.
    const origin = hold.origin.get(family) ?? pool;
    const moves =
      request.pool !== undefined && origin !== undefined && origin !== request.pool && pool !== request.pool;
    if (!moves) return { kind: 'kept', assigned: { address: held, pool } };
    const refusal = wanted && refuseRequested(this.#pools, wanted, request.pool, undefined);
    return refusal ? { kind: 'refused', refusal } : undefined;
  }

  /** Looks for free addresses for the families that have no outcome yet: all of them from one pool where possible. */
  #choose(hold: Hold, request: AllocationRequest, outcomes: Map<Family, Outcome>): void {
    const missing = request.families.filter((family) => !outcomes.has(family));
    if (missing.length === 0) return;
    const pools = this.#candidates(hold, request, outcomes);
    const whole = pools.find((pool) => missing.every((family) => pool.free(family).peek()));
    for (const family of missing) {
      const pool = whole ?? pools.find((candidate) => candidate.free(family).peek());
      const address = pool?.free(family).peek();
      if (pool && address) outcomes.set(family, { kind: 'new', assigned: { address, pool: pool.name } });
      else
        outcomes.set(family, { kind: 'refused', refusal: refuseAutomatic(this.#pools, pools, family, request.pool) });
    }
  }

  /** Pools an address may come from: the pool asked for, or those that the Service is in already, then by name. */
  #candidates(hold: Hold, request: AllocationRequest, outcomes: Map<Family, Outcome>): PoolSpace[] {
    if (request.pool !== undefined) {
      const pool = this.#pools.named(request.pool);
      return pool ? [pool] : [];
    }
    const home = new Set<string | undefined>();
    for (const [family, outcome] of outcomes) {
      if (outcome.kind !== 'refused') home.add(outcome.assigned.pool);
      if (outcome.kind === 'kept') home.add(hold.origin.get(family));
    }
    return [
      ...this.#pools.all.filter((pool) => home.has(pool.name)),
      ...this.#pools.all.filter((pool) => pool.autoAssign && !home.has(pool.name)),
    ];
  }

  #conclude(holder: string, hold: Hold, request: AllocationRequest, outcomes: ReadonlyMap<Family, Outcome>): Decision {
    const refusals = [...outcomes.values()].flatMap((outcome) => (outcome.kind === 'refused' ? [outcome.refusal] : []));
    const main = refusals.find(({ explicit }) => explicit) ?? refusals[0];
    const granted = request.families.length - refusals.length;
    const loses = refusals.some(({ family }) => hold.current.some((address) => address.family === family));
    const partial =
      main !== undefined && !main.explicit && !loses && request.policy === 'PreferDualStack' && granted > 0;
    const takesNew = main === undefined || partial;

    const assigned: AssignedAddress[] = [];
    for (const family of request.families) {
      const outcome = outcomes.get(family);
      if (outcome && outcome.kind !== 'refused' && (takesNew || outcome.kind === 'kept')) {
        assigned.push(outcome.assigned);
        continue;
      }
      // Refused, or held back because another family was: what the Service has, it keeps.
      const held = hold.current.find((address) => address.family === family);
      if (held) assigned.push({ address: held, pool: this.#pools.of(held)?.name });
    }
    this.#record(holder, hold, assigned, request.pool);
    const allocatedFrom = assigned.flatMap(({ address }) => hold.origin.get(address.family) ?? []);
    const base = { addresses: assigned, allocatedFrom: [...new Set(allocatedFrom)] };
    const what = describeAssigned(assigned);

    if (main) {
      if (partial) {
        const message = `${what}; no IPv${main.family} address yet: ${main.message}`;
        return { ...base, satisfied: true, waiting: true, reason: 'AllocatedPartially', message };
      }
      const message = assigned.length === 0 ? main.message : `${main.message}; keeps ${what} meanwhile`;
      return { ...base, satisfied: false, waiting: true, reason: main.reason, message };
    }
    const stray = assigned.filter(({ pool }) => pool === undefined);
    if (stray.length > 0) {
      const names = stray.map(({ address }) => String(address)).join(' and ');
      const message = `${what}; no pool holds ${names} any more, the Service keeps it until it asks for another`;
      return { ...base, satisfied: true, waiting: false, reason: 'OutsidePools', message };
    }
    return { ...base, satisfied: true, waiting: false, reason: 'Allocated', message: what };
  }

  /** Makes the assigned addresses the holder's current ones; what it had beside them retires. */
  #record(holder: string, hold: Hold, assigned: readonly AssignedAddress[], asked: string | undefined): void {
    const next = assigned.map(({ address }) => address);
    const isNext = (address: Address) => next.some((other) => other.equals(address));
    const before = new Map(hold.current.map((address) => [address.family, address]));
    hold.retiring = [...hold.retiring, ...hold.current].filter((address) => !isNext(address));
    hold.current = next;
    for (const { address, pool } of assigned) {
      this.#reserve(holder, address);
      const isKept = before.get(address.family)?.equals(address) ?? false;
      // An address whose pool was edited away stays of its origin as long as the Service asks for that pool by name.
      if (!isKept || (pool !== undefined && (asked === undefined || asked === pool))) {
        setOrDelete(hold.origin, address.family, pool);
      }
    }
    for (const family of [4, 6] as const) {
      if (!next.some((address) => address.family === family)) hold.origin.delete(family);
    }
    if (hold.current.length + hold.retiring.length === 0) this.#holds.delete(holder);
  }

  #hold(holder: string): Hold {
    let hold = this.#holds.get(holder);
    if (!hold) {
      hold = { current: [], retiring: [], origin: new Map() };
      this.#holds.set(holder, hold);
    }
    return hold;
  }

  /** The other holder that keeps this one from having the address. Sharing an address would be decided here. */
  #blocker(address: Address, holder: string): string | undefined {
    const other = this.#holderOf.get(String(address));
    return other === holder ? undefined : other;
  }

  #reserve(holder: string, address: Address): void {
    this.#holderOf.set(String(address), holder);
    this.#pools.of(address)?.free(address.family).take(address);
  }

  #free(address: Address): void {
    this.#holderOf.delete(String(address));
    this.#giveBack(this.#pools, address);
  }

  #giveBack(pools: PoolSet, address: Address): void {
    const free = pools.of(address)?.free(address.family);
    free?.take(address);
    free?.giveBack(address);
  }
}

function setOrDelete<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}
