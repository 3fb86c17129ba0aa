import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { IPAddressPool, L2Advertisement } from '../../src/api/index.ts';
import { buildConfig, l2AdvertisementsOf, matchesLabels, poolOf } from '../../src/config/index.ts';
import { Address, AddressRange } from '../../src/net/index.ts';

const pool = (
  name: string,
  addresses: string[],
  extra: { created?: string; autoAssign?: boolean; avoidBuggyIPs?: boolean } = {},
): IPAddressPool => {
  const { created = '2026-01-01T00:00:00Z', ...spec } = extra;
  return { metadata: { name, creationTimestamp: created }, spec: { addresses, ...spec } };
};
const advertisement = (name: string, spec: L2Advertisement['spec'] = {}): L2Advertisement => ({
  metadata: { name },
  spec,
});
const build = (ipAddressPools: IPAddressPool[], l2Advertisements: L2Advertisement[] = []) =>
  buildConfig({ ipAddressPools, l2Advertisements });
const rangesOf = (config: ReturnType<typeof build>, name: string) =>
  config.pools.find((candidate) => candidate.name === name)?.ranges.map(String);

describe('pools', () => {
  test('defaults are filled in and ranges sorted', () => {
    const config = build([pool('a', ['192.0.2.9', '192.0.2.0/30', '2001:db8::/64', '192.0.2.5 - 192.0.2.6'])]);
    expect(config.pools).toMatchObject([{ name: 'a', autoAssign: true, avoidBuggyIPs: false, problems: [] }]);
    expect(rangesOf(config, 'a')).toEqual([
      '192.0.2.0-192.0.2.3',
      '192.0.2.5-192.0.2.6',
      '192.0.2.9',
      '2001:db8::-2001:db8::ffff:ffff:ffff:ffff',
    ]);
  });

  test.each([
    ['192.0.2.20-192.0.2.10', /spec\.addresses\[1\].*write it as "192\.0\.2\.10-192\.0\.2\.20"/],
    ['192.0.2.5/24', /did you mean "192\.0\.2\.0\/24"/],
    ['192.0.2', /not an IPv4 or IPv6 address/],
    ['192.0.2.1-2001:db8::1', /one family/],
    ['224.0.0.0/24', /multicast/],
    ['0.0.0.0/0', /this network/],
    ['127.0.0.1', /loopback/],
    ['::/0', /loopback/],
    ['', /not an IPv4 or IPv6 address/],
  ])('the bad range %j is left out, the other range of the pool stays', (bad, message) => {
    const config = build([pool('a', ['192.0.2.1', bad]), pool('b', ['192.0.2.2'])]);
    expect(config.pools[0]?.problems).toEqual([
      { reason: 'InvalidRange', field: 'spec.addresses[1]', message: expect.stringMatching(message) },
    ]);
    expect(rangesOf(config, 'a')).toEqual(['192.0.2.1']);
    expect(rangesOf(config, 'b')).toEqual(['192.0.2.2']);
  });

  test('an object that no API server has checked does not throw', () => {
    const broken = [
      { metadata: { name: 'a' } },
      { metadata: { name: 'b' }, spec: { addresses: [7] } },
      { metadata: { name: 'c' }, spec: {} },
    ] as unknown as IPAddressPool[];
    const config = build(broken, [{ metadata: { name: 'x' } } as unknown as L2Advertisement]);
    expect(config.pools.map(({ ranges, problems }) => [ranges.length, problems.length])).toEqual([
      [0, 0],
      [0, 1],
      [0, 0],
    ]);
  });

  test('of two pools that overlap the newer one yields, and heals when the older goes', () => {
    const older = pool('z-older', ['192.0.2.0/25'], { created: '2026-01-01T00:00:00Z' });
    const newer = pool('a-newer', ['192.0.2.100-192.0.2.200', '198.51.100.0/28'], { created: '2026-01-01T00:00:01Z' });
    const config = build([newer, older]);
    expect(rangesOf(config, 'z-older')).toEqual(['192.0.2.0-192.0.2.127']);
    expect(rangesOf(config, 'a-newer')).toEqual(['198.51.100.0-198.51.100.15']);
    expect(config.pools.map(({ problems }) => problems)).toEqual([
      [
        {
          reason: 'OverlapsPool',
          field: 'spec.addresses[0]',
          message:
            'spec.addresses[0]: "192.0.2.100-192.0.2.200" overlaps "192.0.2.0/25" of the older pool "z-older"; change one of them',
        },
      ],
      [],
    ]);
    expect(rangesOf(build([newer]), 'a-newer')).toEqual(['192.0.2.100-192.0.2.200', '198.51.100.0-198.51.100.15']);
  });

  test('of pools as old as each other the name decides', () => {
    const config = build([pool('b', ['192.0.2.0/30']), pool('a', ['192.0.2.0/30'])]);
    expect(rangesOf(config, 'a')).toHaveLength(1);
    expect(rangesOf(config, 'b')).toEqual([]);
  });

  test('a range refused for one overlap takes nothing from a third pool', () => {
    const config = build([
      pool('a', ['192.0.2.0/30'], { created: '2026-01-01T00:00:01Z' }),
      pool('b', ['192.0.2.0-192.0.2.9'], { created: '2026-01-01T00:00:02Z' }),
      pool('c', ['192.0.2.8-192.0.2.9'], { created: '2026-01-01T00:00:03Z' }),
    ]);
    expect(rangesOf(config, 'b')).toEqual([]);
    expect(rangesOf(config, 'c')).toEqual(['192.0.2.8-192.0.2.9']);
  });

  test('a range twice in one pool counts once and is named', () => {
    const config = build([pool('a', ['192.0.2.0/30', '192.0.2.2'])]);
    expect(rangesOf(config, 'a')).toEqual(['192.0.2.0-192.0.2.3']);
    expect(config.pools[0]?.problems).toMatchObject([{ reason: 'OverlapsRange', field: 'spec.addresses[1]' }]);
  });

  test('no address is in two pools, nothing usable is lost, and the order of the objects does not matter', () => {
    const entry = fc
      .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 6 }))
      .map(([first, more]) => `192.0.2.${first}-192.0.2.${first + more}`);
    const objects = fc.uniqueArray(
      fc.record({
        name: fc.constantFrom('a', 'b', 'c', 'd'),
        second: fc.nat(3),
        addresses: fc.array(entry, { maxLength: 4 }),
      }),
      { selector: ({ name }) => name },
    );
    fc.assert(
      fc.property(objects, (specs) => {
        const pools = specs.map(({ name, second, addresses }) =>
          pool(name, addresses, { created: `2026-01-01T00:00:0${second}Z` }),
        );
        const config = build(pools);
        expect(build(pools.toReversed())).toEqual(config);
        const ranges = config.pools.flatMap((candidate) => candidate.ranges);
        for (let last = 1; last <= 50; last++) {
          const address = Address.parse(`192.0.2.${last}`);
          expect(ranges.filter((range) => range.contains(address)).length).toBeLessThanOrEqual(1);
        }
        // Every entry is either in use or has a problem, and a refused one does overlap something in use.
        for (const object of pools) {
          const built = config.pools.find(({ name }) => name === object.metadata.name);
          expect((built?.ranges.length ?? 0) + (built?.problems.length ?? 0)).toBe(object.spec.addresses.length);
          for (const { field } of built?.problems ?? []) {
            const refused = AddressRange.parse(object.spec.addresses[Number(/\d+/.exec(field)?.[0])] ?? '');
            expect(ranges.some((range) => range.overlaps(refused))).toBe(true);
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('L2 advertisements', () => {
  test('an unknown pool is a problem of the advertisement alone', () => {
    const config = build(
      [pool('a', ['192.0.2.1'])],
      [advertisement('x', { ipAddressPools: ['a', 'nope'] }), advertisement('all')],
    );
    expect(config.l2Advertisements.map(({ name, problems }) => [name, problems.map(({ message }) => message)])).toEqual(
      [
        ['all', []],
        ['x', ['spec.ipAddressPools[1]: there is no IPAddressPool "nope"; create it or remove the name']],
      ],
    );
    expect(l2AdvertisementsOf(config, Address.parse('192.0.2.1')).map(({ name }) => name)).toEqual(['all', 'x']);
  });

  test('an address outside all pools is announced as the pool it came from', () => {
    const config = build(
      [pool('a', ['192.0.2.1'])],
      [advertisement('of-gone', { ipAddressPools: ['gone'] }), advertisement('of-a', { ipAddressPools: ['a'] })],
    );
    const stray = Address.parse('198.51.100.1');
    expect(l2AdvertisementsOf(config, stray)).toEqual([]);
    expect(l2AdvertisementsOf(config, stray, 'gone').map(({ name }) => name)).toEqual(['of-gone']);
    expect(l2AdvertisementsOf(config, Address.parse('192.0.2.1'), 'gone').map(({ name }) => name)).toEqual(['of-a']);
    expect(poolOf(config.pools, stray)).toBeUndefined();
  });

  test('a selector that means nothing matches no node, and does not become "all nodes"', () => {
    const config = build(
      [],
      [advertisement('x', { nodeSelectors: [{ matchExpressions: [{ key: 'a', operator: 'In' }] }] })],
    );
    expect(config.l2Advertisements[0]?.nodeSelectors).toEqual([]);
    expect(config.l2Advertisements[0]?.problems).toMatchObject([
      { reason: 'InvalidSelector', field: 'spec.nodeSelectors[0].matchExpressions[0]' },
    ]);
  });
});

describe('label selectors', () => {
  const labels = { zone: 'a', gpu: '' };
  test.each([
    [{}, true],
    [{ matchLabels: { zone: 'a' } }, true],
    [{ matchLabels: { zone: 'b' } }, false],
    [{ matchLabels: { toString: 'x' } }, false],
    [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['a', 'b'] }] }, true],
    [{ matchExpressions: [{ key: 'none', operator: 'In', values: ['a'] }] }, false],
    [{ matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['a'] }] }, false],
    [{ matchExpressions: [{ key: 'none', operator: 'NotIn', values: ['a'] }] }, true],
    [{ matchExpressions: [{ key: 'gpu', operator: 'Exists' }] }, true],
    [{ matchExpressions: [{ key: 'constructor', operator: 'Exists' }] }, false],
    [{ matchExpressions: [{ key: 'gpu', operator: 'DoesNotExist' }] }, false],
    [{ matchLabels: { zone: 'a' }, matchExpressions: [{ key: 'gpu', operator: 'DoesNotExist' }] }, false],
  ] as const)('%j: %s', (selector, expected) => {
    expect(matchesLabels(selector as unknown as Parameters<typeof matchesLabels>[0], labels)).toBe(expected);
  });
});
