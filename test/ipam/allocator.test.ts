import { describe, expect, test } from '@jest/globals';
import { type AllocatablePool, type AllocationRequest, Allocator } from '../../src/ipam/index.ts';
import { Address, AddressRange, compareAddresses } from '../../src/net/index.ts';

const pool = (name: string, ranges: string[], extra: Partial<AllocatablePool> = {}): AllocatablePool => ({
  name,
  ranges: ranges.map((text) => AddressRange.parse(text)).sort((a, b) => compareAddresses(a.first, b.first)),
  autoAssign: true,
  avoidBuggyIPs: false,
  ...extra,
});
const request = (
  extra: Partial<Omit<AllocationRequest, 'addresses'>> & { addresses?: string[] } = {},
): AllocationRequest => {
  const { addresses = [], ...rest } = extra;
  return {
    families: [4],
    policy: 'SingleStack',
    pool: undefined,
    ...rest,
    addresses: addresses.map((text) => Address.parse(text)),
  };
};
const dual = { families: [4, 6] as const, policy: 'RequireDualStack' as const };
const preferred = { families: [4, 6] as const, policy: 'PreferDualStack' as const };
const withPools = (...pools: AllocatablePool[]) => {
  const allocator = new Allocator();
  allocator.setPools(pools);
  return allocator;
};
const given = (allocator: Allocator, holder: string, wanted = request()) => {
  const decision = allocator.allocate(holder, wanted);
  return decision.addresses.map(({ address }) => String(address));
};
const addresses = (...texts: string[]) => texts.map((text) => Address.parse(text));

describe('choice of an address', () => {
  test('the lowest free address of the first pool by name', () => {
    const allocator = withPools(pool('b', ['192.0.2.0/30']), pool('a', ['198.51.100.9', '198.51.100.1-198.51.100.2']));
    expect(['1', '2', '3', '4'].map((holder) => given(allocator, holder)[0])).toEqual([
      '198.51.100.1',
      '198.51.100.2',
      '198.51.100.9',
      '192.0.2.0',
    ]);
  });

  test('a freed address comes back last, the one freed longest ago first', () => {
    const allocator = withPools(pool('a', ['192.0.2.1-192.0.2.4']));
    for (const holder of ['1', '2', '3']) allocator.allocate(holder, request());
    expect(allocator.release('2').map(String)).toEqual(['192.0.2.2']);
    expect(allocator.release('1').map(String)).toEqual(['192.0.2.1']);
    expect(['5', '6', '7'].map((holder) => given(allocator, holder)[0])).toEqual([
      '192.0.2.4',
      '192.0.2.2',
      '192.0.2.1',
    ]);
  });

  test('a freed address that is asked for is given', () => {
    const allocator = withPools(pool('a', ['192.0.2.1-192.0.2.4']));
    allocator.allocate('1', request());
    allocator.release('1');
    expect(given(allocator, '2', request({ addresses: ['192.0.2.1'] }))).toEqual(['192.0.2.1']);
    expect(given(allocator, '3')).toEqual(['192.0.2.2']);
  });

  test('an IPv6 /64 is never enumerated', () => {
    const allocator = withPools(pool('a', ['2001:db8::/64', '2001:db8:1::/48']));
    const v6 = request({ families: [6], addresses: ['2001:db8:0:0:8000::'] });
    expect(given(allocator, '1', v6)).toEqual(['2001:db8:0:0:8000::']);
    expect(given(allocator, '2', request({ families: [6] }))).toEqual(['2001:db8::']);
    expect(allocator.usage()).toEqual([
      { name: 'a', assigned: { 4: 0, 6: 2 }, available: { 4: 0n, 6: (1n << 64n) + (1n << 80n) - 2n } },
    ]);
  });

  test('avoidBuggyIPs leaves out .0 and .255, also when asked for by name', () => {
    const allocator = withPools(pool('a', ['192.0.2.254-192.0.3.1'], { avoidBuggyIPs: true }));
    expect(allocator.usage()[0]?.available[4]).toBe(2n);
    expect(['1', '2', '3'].map((holder) => given(allocator, holder)[0])).toEqual([
      '192.0.2.254',
      '192.0.3.1',
      undefined,
    ]);
    expect(allocator.allocate('4', request({ addresses: ['192.0.2.255'] }))).toMatchObject({
      reason: 'AddressExcluded',
      addresses: [],
    });
    expect(allocator.usage()[0]?.available[4]).toBe(0n);
  });

  test('a pool without autoAssign serves only those that name it or its address', () => {
    const allocator = withPools(pool('a', ['192.0.2.1-192.0.2.9'], { autoAssign: false }));
    expect(allocator.allocate('1', request())).toMatchObject({ reason: 'NoPool', waiting: true, satisfied: false });
    expect(given(allocator, '2', request({ pool: 'a' }))).toEqual(['192.0.2.1']);
    expect(given(allocator, '3', request({ addresses: ['192.0.2.7'] }))).toEqual(['192.0.2.7']);
  });
});

describe('two families', () => {
  test('both from one pool where one has both', () => {
    const allocator = withPools(
      pool('a', ['192.0.2.1']),
      pool('b', ['198.51.100.1', '2001:db8:b::1']),
      pool('c', ['2001:db8:c::1']),
    );
    const decision = allocator.allocate('1', request(dual));
    expect(decision).toMatchObject({
      reason: 'Allocated',
      message: '198.51.100.1 and 2001:db8:b::1 from pool "b"',
      allocatedFrom: ['b'],
    });
    expect(allocator.allocate('2', request(dual))).toMatchObject({
      message: '192.0.2.1 from pool "a", 2001:db8:c::1 from pool "c"',
      allocatedFrom: ['a', 'c'],
    });
  });

  test('the order of the families is the order of the addresses', () => {
    const allocator = withPools(pool('a', ['192.0.2.1', '2001:db8::1']));
    expect(given(allocator, '1', request({ ...dual, families: [6, 4] }))).toEqual(['2001:db8::1', '192.0.2.1']);
  });

  test('RequireDualStack gets both or none', () => {
    const allocator = withPools(pool('a', ['192.0.2.1']));
    expect(allocator.allocate('1', request(dual))).toMatchObject({
      reason: 'FamilyNotInPool',
      addresses: [],
      satisfied: false,
      message: 'no IPv6 addresses in pool "a"; add a range of that family',
    });
    expect(given(allocator, '2')).toEqual(['192.0.2.1']);
  });

  test('RequireDualStack on a Service that has one address keeps it', () => {
    const allocator = withPools(pool('a', ['192.0.2.1']));
    allocator.allocate('1', request());
    expect(allocator.allocate('1', request(dual))).toMatchObject({
      reason: 'FamilyNotInPool',
      satisfied: false,
      message: expect.stringMatching(/; keeps 192\.0\.2\.1 from pool "a" meanwhile$/),
    });
    expect(given(allocator, '1', request(dual))).toEqual(['192.0.2.1']);
  });

  test('PreferDualStack takes what there is and the rest later', () => {
    const allocator = withPools(pool('a', ['192.0.2.1-192.0.2.2']));
    expect(allocator.allocate('1', request(preferred))).toMatchObject({
      reason: 'AllocatedPartially',
      satisfied: true,
      waiting: true,
      addresses: [{ pool: 'a' }],
    });
    allocator.setPools([pool('a', ['192.0.2.1-192.0.2.2', '2001:db8::/64'])]);
    expect(allocator.allocate('1', request(preferred))).toMatchObject({ reason: 'Allocated', waiting: false });
    expect(given(allocator, '1', request(preferred))).toEqual(['192.0.2.1', '2001:db8::']);
  });

  test('a family that is removed from the Service is given back, one that is added is added', () => {
    const allocator = withPools(pool('a', ['192.0.2.1', '2001:db8::1']));
    allocator.allocate('1', request(dual));
    expect(given(allocator, '1', request())).toEqual(['192.0.2.1']);
    expect(allocator.settle('1').map(String)).toEqual(['2001:db8::1']);
    expect(given(allocator, '1', request(dual))).toEqual(['192.0.2.1', '2001:db8::1']);
  });

  test('one address asked for, the other family comes from the same pool', () => {
    const allocator = withPools(
      pool('a', ['192.0.2.1', '2001:db8:a::1']),
      pool('b', ['198.51.100.1', '2001:db8:b::1']),
    );
    expect(given(allocator, '1', request({ ...dual, addresses: ['198.51.100.1'] }))).toEqual([
      '198.51.100.1',
      '2001:db8:b::1',
    ]);
  });

  test('an address asked for in vain: no address of the other family either', () => {
    const allocator = withPools(pool('a', ['192.0.2.1', '2001:db8::1']));
    allocator.allocate('other', request());
    const decision = allocator.allocate('1', request({ ...preferred, addresses: ['192.0.2.1'] }));
    expect(decision).toMatchObject({ reason: 'AddressInUse', addresses: [], satisfied: false });
    expect(allocator.usage()[0]?.assigned[6]).toBe(0);
  });
});

describe('refusals name what is in the way', () => {
  const allocator = withPools(
    pool('a', ['192.0.2.1-192.0.2.2']),
    pool('b', ['198.51.100.0/30']),
    pool('empty', []),
    pool('six', ['2001:db8::1']),
  );
  allocator.allocate('ns/holder', request({ addresses: ['192.0.2.1'] }));
  allocator.allocate('ns/second', request({ pool: 'a' }));
  test.each([
    [
      { addresses: ['192.0.2.1'] },
      'AddressInUse',
      '192.0.2.1 is in use by Service "ns/holder"; ask for another address',
    ],
    [
      { addresses: ['203.0.113.1'] },
      'AddressNotInPools',
      '203.0.113.1 is in no IPAddressPool; add it to one or ask for another address',
    ],
    [
      { addresses: ['192.0.2.1'], pool: 'b' },
      'AddressNotInRequestedPool',
      '192.0.2.1 is in pool "a", not in the pool "b" asked for; change one of the two requests',
    ],
    [{ pool: 'nope' }, 'UnknownPool', 'there is no IPAddressPool "nope"; create it or ask for another pool'],
    [{ pool: 'a' }, 'PoolExhausted', 'pool "a" has no free IPv4 address; add a range to it'],
    [{ pool: 'empty' }, 'PoolNotReady', 'pool "empty" has no usable range; see its condition Ready'],
    [{ pool: 'six' }, 'FamilyNotInPool', 'pool "six" holds no IPv4 addresses; add a range of that family'],
  ])('%j: %s', (wanted, reason, message) => {
    expect(allocator.allocate('ns/new', request(wanted))).toEqual({
      addresses: [],
      allocatedFrom: [],
      satisfied: false,
      waiting: true,
      reason,
      message,
    });
    expect([...allocator.holders()]).not.toContain('ns/new');
  });

  test('no pool at all, and every pool full', () => {
    expect(withPools().allocate('x', request())).toMatchObject({ reason: 'NoPool' });
    expect(withPools(pool('e', [])).allocate('x', request())).toMatchObject({ reason: 'PoolNotReady' });
    const full = withPools(pool('a', ['192.0.2.1']), pool('b', ['192.0.2.2']), pool('six', ['2001:db8::/64']));
    full.allocate('1', request());
    full.allocate('2', request());
    expect(full.allocate('3', request())).toMatchObject({
      reason: 'PoolExhausted',
      message: 'no free IPv4 address in pool "a", "b"; add a range',
    });
  });
});

describe('nobody moves without asking', () => {
  test('a pool that shrinks, goes, or changes hands leaves addresses alone', () => {
    const allocator = withPools(pool('a', ['192.0.2.1-192.0.2.9']));
    for (const holder of ['auto', 'named']) {
      allocator.allocate(holder, request(holder === 'named' ? { pool: 'a' } : {}));
    }
    const named = request({ pool: 'a' });
    const before = [given(allocator, 'auto'), given(allocator, 'named', named)];

    expect(allocator.setPools([pool('a', ['192.0.2.5-192.0.2.9'])])).toEqual(['auto', 'named']);
    expect(allocator.allocate('named', named)).toMatchObject({
      reason: 'OutsidePools',
      satisfied: true,
      allocatedFrom: ['a'],
      message: '192.0.2.2; no pool holds 192.0.2.2 any more, the Service keeps it until it asks for another',
    });
    expect([given(allocator, 'auto'), given(allocator, 'named', named)]).toEqual(before);

    allocator.setPools([]);
    expect([given(allocator, 'auto'), given(allocator, 'named', named)]).toEqual(before);

    // The range comes back under another pool; the one that asked for "a" by name still stays, again and again.
    expect(allocator.setPools([pool('a', ['203.0.113.1']), pool('b', ['192.0.2.1-192.0.2.9'])])).toEqual([
      'auto',
      'named',
    ]);
    for (let i = 0; i < 3; i++) expect([given(allocator, 'auto'), given(allocator, 'named', named)]).toEqual(before);
    expect(allocator.setPools([pool('a', ['203.0.113.1']), pool('b', ['192.0.2.1-192.0.2.9'])])).toEqual([]);
  });

  test('asking for another address or pool moves, and the old address is kept until the move is recorded', () => {
    const allocator = withPools(pool('a', ['192.0.2.1-192.0.2.2']), pool('b', ['198.51.100.1']));
    allocator.allocate('1', request());
    expect(given(allocator, '1', request({ pool: 'b' }))).toEqual(['198.51.100.1']);
    expect(allocator.allocate('2', request({ addresses: ['192.0.2.1'] }))).toMatchObject({ reason: 'AddressInUse' });
    expect(allocator.settle('1').map(String)).toEqual(['192.0.2.1']);
    expect(allocator.settle('1')).toEqual([]);
    expect(given(allocator, '2', request({ addresses: ['192.0.2.1'] }))).toEqual(['192.0.2.1']);
    expect(given(allocator, '1', request())).toEqual(['198.51.100.1']);
    expect(given(allocator, '2', request({ addresses: ['192.0.2.2'] }))).toEqual(['192.0.2.2']);
    // Changed its mind before the move was recorded.
    expect(given(allocator, '2', request({ addresses: ['192.0.2.1'] }))).toEqual(['192.0.2.1']);
    expect(allocator.settle('2').map(String)).toEqual(['192.0.2.2']);
  });

  test('a move that cannot be made leaves everything as it was', () => {
    const allocator = withPools(pool('a', ['192.0.2.1-192.0.2.2', '2001:db8::/64']), pool('b', ['198.51.100.1']));
    allocator.allocate('1', request(preferred));
    for (const wanted of [{ pool: 'b' }, { pool: 'nope' }, { addresses: ['203.0.113.1'] }]) {
      const decision = allocator.allocate('1', request({ ...preferred, ...wanted }));
      expect(decision).toMatchObject({ satisfied: false, waiting: true });
      expect(decision.message).toMatch(/; keeps 192\.0\.2\.1 and 2001:db8:: from pool "a" meanwhile$/);
      expect(decision.addresses.map(({ address }) => String(address))).toEqual(['192.0.2.1', '2001:db8::']);
      expect(allocator.settle('1')).toEqual([]);
    }
    expect(given(allocator, '2', request({ pool: 'b' }))).toEqual(['198.51.100.1']);
  });

  test('asking for a pool beside the address of another pool is refused and keeps the address', () => {
    const allocator = withPools(pool('a', ['192.0.2.1']), pool('b', ['198.51.100.1']));
    allocator.allocate('1', request({ addresses: ['192.0.2.1'] }));
    expect(allocator.allocate('1', request({ addresses: ['192.0.2.1'], pool: 'b' }))).toMatchObject({
      reason: 'AddressNotInRequestedPool',
      addresses: [{ pool: 'a' }],
    });
  });
});

test('a request that cannot be read changes nothing', () => {
  const allocator = withPools(pool('a', ['192.0.2.1']));
  const fault = { reason: 'InvalidRequest' as const, message: 'nonsense' };
  expect(allocator.keep('1', fault)).toEqual({
    ...fault,
    addresses: [],
    allocatedFrom: [],
    satisfied: false,
    waiting: false,
  });
  expect([...allocator.holders()]).toEqual([]);
  allocator.allocate('1', request());
  expect(allocator.keep('1', fault)).toMatchObject({
    addresses: [{ pool: 'a' }],
    allocatedFrom: ['a'],
    message: 'nonsense; keeps 192.0.2.1 from pool "a" meanwhile',
  });
});

describe('adoption', () => {
  test('adopted addresses are kept, in a pool or not, and given to nobody else', () => {
    const allocator = withPools(pool('a', ['192.0.2.1-192.0.2.2']));
    expect(allocator.adopt('1', addresses('192.0.2.1'))).toEqual([]);
    expect(allocator.adopt('2', addresses('203.0.113.7'), ['gone'])).toEqual([]);
    expect(given(allocator, '3')).toEqual(['192.0.2.2']);
    expect(given(allocator, '1')).toEqual(['192.0.2.1']);
    expect(allocator.allocate('2', request())).toMatchObject({ reason: 'OutsidePools', allocatedFrom: ['gone'] });
    expect(given(allocator, '2', request({ pool: 'gone' }))).toEqual(['203.0.113.7']);
  });

  test('of two Services with one address in their status the first adopted keeps it', () => {
    const allocator = withPools(pool('a', ['192.0.2.1-192.0.2.2']));
    allocator.adopt('older', addresses('192.0.2.1'));
    expect(allocator.adopt('newer', addresses('192.0.2.1')).map(String)).toEqual(['192.0.2.1']);
    expect([...allocator.holders()]).toEqual(['older']);
    expect(given(allocator, 'newer')).toEqual(['192.0.2.2']);
  });

  test('adopting before there are pools is as good as after', () => {
    const before = new Allocator();
    before.adopt('1', addresses('192.0.2.1'));
    before.setPools([pool('a', ['192.0.2.1-192.0.2.2'])]);
    expect(given(before, '2')).toEqual(['192.0.2.2']);
    expect(before.usage()).toEqual([{ name: 'a', assigned: { 4: 2, 6: 0 }, available: { 4: 0n, 6: 0n } }]);
  });

  test('two addresses of one family in a status: one is kept, the other freed', () => {
    const allocator = withPools(pool('a', ['192.0.2.1-192.0.2.9']));
    allocator.adopt('1', addresses('192.0.2.3', '192.0.2.4'));
    expect(given(allocator, '1')).toEqual(['192.0.2.3']);
    expect(allocator.settle('1').map(String)).toEqual(['192.0.2.4']);
  });
});
