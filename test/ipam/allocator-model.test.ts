import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type AllocatablePool, type AllocationRequest, Allocator } from '../../src/ipam/index.ts';
import { Address, AddressRange, type Family } from '../../src/net/index.ts';

/**
 * The allocator against a naive model that keeps every address in a set: random requests, releases, restarts and pool
 * edits over pools so small that they are full most of the time.
 */
interface Model {
  pools: AllocatablePool[];
  /** Holder -> its recorded addresses. */
  statuses: Map<string, string[]>;
  requests: Map<string, AllocationRequest>;
}

const poolShapes: Record<string, string[][]> = {
  a: [['192.0.2.1-192.0.2.3'], ['192.0.2.2-192.0.2.3', '2001:db8::1-2001:db8::2'], [], ['192.0.2.1']],
  b: [['198.51.100.255-198.51.101.1'], ['198.51.100.255-198.51.101.1', '2001:db8:b::/127'], ['2001:db8:b::1']],
};
const poolsOf = (choice: { a: number; b: number; avoid: boolean; auto: boolean }): AllocatablePool[] =>
  (['a', 'b'] as const).flatMap((name) => {
    const shape = poolShapes[name]?.[choice[name]];
    if (!shape) return [];
    const ranges = shape.map((text) => AddressRange.parse(text));
    return [{ name, ranges, autoAssign: name === 'a' || choice.auto, avoidBuggyIPs: name === 'b' && choice.avoid }];
  });

const holder = fc.constantFrom('s1', 's2', 's3', 's4', 's5');
const wanted = fc
  .record({
    shape: fc.constantFrom('4', '6', 'prefer', 'require', 'prefer64'),
    address: fc.option(fc.constantFrom('192.0.2.1', '192.0.2.2', '198.51.100.255', '2001:db8::1', '203.0.113.9'), {
      freq: 2,
      nil: undefined,
    }),
    pool: fc.option(fc.constantFrom('a', 'b', 'nope'), { freq: 2, nil: undefined }),
  })
  .map(({ shape, address, pool }): AllocationRequest => {
    const families: Family[] = shape === '4' ? [4] : shape === '6' ? [6] : shape === 'prefer64' ? [6, 4] : [4, 6];
    const asked = address === undefined ? [] : [Address.parse(address)];
    return {
      families,
      policy: families.length === 1 ? 'SingleStack' : shape === 'require' ? 'RequireDualStack' : 'PreferDualStack',
      addresses: asked.filter(({ family }) => families.includes(family)),
      pool,
    };
  });
const poolChoice = fc.record({ a: fc.nat(4), b: fc.nat(3), avoid: fc.boolean(), auto: fc.boolean() });
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('request' as const), holder, wanted }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('again' as const), holder }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const), holder }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pools' as const), choice: poolChoice }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

describe('allocator against a naive model', () => {
  test('no double use, no change without cause, nothing refused that is free, nothing leaked', () => {
    fc.assert(
      fc.property(poolChoice, fc.array(action, { maxLength: 40 }), (first, actions) => {
        const model: Model = { pools: poolsOf(first), statuses: new Map(), requests: new Map() };
        const origins = new Map<string, readonly string[]>();
        const met = new Set<string>();
        let allocator = new Allocator();
        allocator.setPools(model.pools);

        const decide = (name: string, asks: AllocationRequest) => {
          const before = model.statuses.get(name) ?? [];
          const repeated = model.requests.get(name) === asks && met.has(name);
          const decision = allocator.allocate(name, asks);
          const after = decision.addresses.map(({ address }) => String(address));
          // The same question gets the same answer.
          expect(allocator.allocate(name, asks)).toEqual(decision);
          // One address a family, in the order of the families, and only families of the Service.
          const families = decision.addresses.map(({ address }) => address.family);
          expect(asks.families.filter((family) => families.includes(family))).toEqual(families);
          // A request that was met stays met with the same addresses, whatever happened to the pools.
          if (repeated) {
            for (const text of before) expect(after).toContain(text);
          }
          // What is refused really cannot be had.
          if (!decision.satisfied) {
            for (const text of before) {
              if (asks.families.includes(Address.parse(text).family)) expect(after).toContain(text);
            }
            expect(isPossible(model, name, asks)).toBe(false);
          }
          if (decision.reason === 'Allocated') {
            for (const address of asks.addresses) expect(after).toContain(String(address));
            expect(after).toHaveLength(asks.families.length);
          }
          allocator.settle(name);
          model.requests.set(name, asks);
          if (decision.satisfied) met.add(name);
          else met.delete(name);
          if (after.length > 0) model.statuses.set(name, after);
          else model.statuses.delete(name);
          origins.set(name, decision.allocatedFrom);
        };

        for (const step of actions) {
          switch (step.kind) {
            case 'request':
              decide(step.holder, step.wanted);
              break;
            case 'again': {
              const asks = model.requests.get(step.holder);
              if (asks) decide(step.holder, asks);
              break;
            }
            case 'release':
              expect(allocator.release(step.holder).map(String).sort()).toEqual(
                [...(model.statuses.get(step.holder) ?? [])].sort(),
              );
              model.statuses.delete(step.holder);
              model.requests.delete(step.holder);
              origins.delete(step.holder);
              break;
            case 'pools':
              model.pools = poolsOf(step.choice);
              allocator.setPools(model.pools);
              expect(allocator.setPools(model.pools)).toEqual([]);
              break;
            case 'restart': {
              allocator = new Allocator();
              allocator.setPools(model.pools);
              for (let times = 0; times < 2; times++) {
                for (const [name, texts] of model.statuses) {
                  const held = texts.map((text) => Address.parse(text));
                  expect(allocator.adopt(name, held, origins.get(name))).toEqual([]);
                }
              }
              break;
            }
          }
          const all = [...model.statuses.values()].flat();
          expect(new Set(all).size).toBe(all.length);
          expect([...allocator.holders()].sort()).toEqual([...model.statuses.keys()].sort());
          for (const [name, texts] of model.statuses) {
            expect(allocator.addressesOf(name).map(String)).toEqual(texts);
            for (const text of texts) expect(allocator.holderOf(Address.parse(text))).toBe(name);
          }
          expect(allocator.usage().map(flatUsage)).toEqual(model.pools.map((pool) => naiveUsage(model, pool)));
        }

        for (const name of model.statuses.keys()) allocator.release(name);
        for (const usage of allocator.usage()) expect(usage.assigned).toEqual({ 4: 0, 6: 0 });
      }),
      { numRuns: 500 },
    );
  });
});

function* addressesOf(pool: AllocatablePool): Iterable<Address> {
  for (const range of pool.ranges) {
    for (let value = range.first.value; value <= range.last.value; value++) yield Address.of(range.family, value);
  }
}

const excluded = (pool: AllocatablePool, address: Address) =>
  pool.avoidBuggyIPs && address.family === 4 && [0n, 255n].includes(address.value & 255n);

/** Whether a naive search finds what is asked for, given who has what. Assumes the Service keeps nothing it has. */
function isPossible(model: Model, name: string, asks: AllocationRequest): boolean {
  const taken = new Set([...model.statuses].filter(([other]) => other !== name).flatMap(([, texts]) => texts));
  const own = new Set(model.statuses.get(name));
  const free = (pool: AllocatablePool, family: Family) =>
    [...addressesOf(pool)].some(
      (address) =>
        address.family === family &&
        !excluded(pool, address) &&
        !taken.has(String(address)) &&
        !own.has(String(address)),
    );
  return asks.families.every((family) => {
    const address = asks.addresses.find((candidate) => candidate.family === family);
    if (address) {
      if (own.has(String(address)) && asks.pool === undefined) return true;
      const pool = model.pools.find((candidate) => candidate.ranges.some((range) => range.contains(address)));
      const poolFits = pool && (asks.pool === undefined || asks.pool === pool.name) && !excluded(pool, address);
      return poolFits && !taken.has(String(address));
    }
    return model.pools.some(
      (pool) => (asks.pool === undefined ? pool.autoAssign : pool.name === asks.pool) && free(pool, family),
    );
  });
}

function naiveUsage(model: Model, pool: AllocatablePool): string {
  const held = new Set([...model.statuses.values()].flat());
  const all = [...addressesOf(pool)];
  const count = (family: Family, test: (address: Address) => boolean) =>
    all.filter((address) => address.family === family && test(address)).length;
  const isHeld = (address: Address) => held.has(String(address));
  const isFree = (address: Address) => !isHeld(address) && !excluded(pool, address);
  return `${pool.name} ${count(4, isHeld)} ${count(6, isHeld)} ${count(4, isFree)} ${count(6, isFree)}`;
}

function flatUsage({ name, assigned, available }: ReturnType<Allocator['usage']>[number]): string {
  return `${name} ${assigned[4]} ${assigned[6]} ${available[4]} ${available[6]}`;
}
