import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Address } from '../../src/net/index.ts';
import { type DesiredRowsInput, desiredRows, type OvnService, RowMemo } from '../../src/ovn/index.ts';
import { newCapabilities, oldCapabilities, port, service } from './service-fixtures.ts';

function rowsOf(services: OvnService[], over: Partial<DesiredRowsInput> = {}) {
  return desiredRows({ services, nodes: [], mode: 'full', clusterId: 'lab', capabilities: oldCapabilities, ...over });
}

function vipsOf(services: OvnService[], over: Partial<DesiredRowsInput> = {}) {
  return Object.fromEntries(rowsOf(services, over).rows.map((row) => [row.name, Object.fromEntries(row.vips)]));
}

const nodes = [
  { name: 'node-1', addresses: ['172.31.40.21'] },
  { name: 'node-2', addresses: ['172.31.40.22', 'fd00:40::22'] },
];

describe('desired rows', () => {
  test('a row is complete, owned and readable', () => {
    const { rows, problems } = rowsOf([service()], { mode: 'external' });
    expect(problems).toEqual([]);
    expect(rows).toHaveLength(1);
    const [row] = rows;
    expect(
      row && { ...row, vips: [...row.vips], options: [...row.options], externalIds: [...row.externalIds] },
    ).toEqual({
      uuid: '2b32e92e-4e94-5da4-9b9d-c09f981f73e3',
      name: 'ovenbird/default/web/tcp/external',
      protocol: 'tcp',
      vips: [['10.77.0.100:80', '10.16.0.2:8080']],
      selectionFields: [],
      options: [
        ['neighbor_responder', 'none'],
        ['reject', 'true'],
      ],
      externalIds: [
        ['generation', expect.stringMatching(/^[0-9a-f]{16}$/)],
        ['owner', 'ovenbird.dev/lab'],
        ['schema', '1'],
        ['scope', 'external'],
        ['service', 'default/web'],
        ['service-uid', 'uid-of-web'],
      ],
      reach: 'every',
      service: 'default/web',
    });
  });

  test('one row a protocol and scope; every port of it a VIP', () => {
    const dns = service({
      name: 'dns',
      ports: [
        port({ name: 'tcp', port: 53, nodePort: 30053 }),
        port({ name: 'metrics', port: 9153 }),
        port({ name: 'udp', protocol: 'UDP', port: 53 }),
        port({ name: 'sctp', protocol: 'SCTP', port: 53 }),
      ],
    });
    expect(vipsOf([dns], { nodes })).toEqual({
      'ovenbird/default/dns/sctp/cluster-ip': { '10.96.0.10:53': '10.16.0.2:8080' },
      'ovenbird/default/dns/sctp/external': { '10.77.0.100:53': '10.16.0.2:8080' },
      'ovenbird/default/dns/tcp/cluster-ip': { '10.96.0.10:53': '10.16.0.2:8080', '10.96.0.10:9153': '10.16.0.2:8080' },
      'ovenbird/default/dns/tcp/external': { '10.77.0.100:53': '10.16.0.2:8080', '10.77.0.100:9153': '10.16.0.2:8080' },
      'ovenbird/default/dns/tcp/node-port': {
        '172.31.40.21:30053': '10.16.0.2:8080',
        '172.31.40.22:30053': '10.16.0.2:8080',
        '[fd00:40::22]:30053': '',
      },
      'ovenbird/default/dns/udp/cluster-ip': { '10.96.0.10:53': '10.16.0.2:8080' },
      'ovenbird/default/dns/udp/external': { '10.77.0.100:53': '10.16.0.2:8080' },
    });
  });

  test('UDP rows flush connections to backends that are gone', () => {
    const { rows } = rowsOf([service({ ports: [port({ protocol: 'UDP' })] })]);
    expect(rows.map(({ options }) => options.get('ct_flush'))).toEqual(['true', 'true']);
    expect(rowsOf([service()]).rows.some(({ options }) => options.has('ct_flush'))).toBe(false);
  });

  test('the mode decides about ClusterIPs; off writes nothing', () => {
    expect(Object.keys(vipsOf([service()], { mode: 'external' }))).toEqual(['ovenbird/default/web/tcp/external']);
    expect(Object.keys(vipsOf([service()], { mode: 'full' }))).toHaveLength(2);
    expect(vipsOf([service()], { mode: 'off' })).toEqual({});
  });

  test('families never mix, and text is canonical', () => {
    const dual = service({
      clusterIPs: [],
      externalAddresses: ['2001:DB8:0::1', Address.parse('10.77.0.100')],
      ports: [
        port({
          endpoints: [
            { address: 'FD00::0:2', port: 8080 },
            { address: '10.16.0.2', port: 8080 },
          ],
        }),
      ],
    });
    expect(vipsOf([dual])).toEqual({
      'ovenbird/default/web/tcp/external': {
        '10.77.0.100:80': '10.16.0.2:8080',
        '[2001:db8::1]:80': '[fd00::2]:8080',
      },
    });
  });

  test('a Service without endpoints is refused, not swallowed', () => {
    const { rows } = rowsOf([service({ ports: [port({ endpoints: [] })] })], { mode: 'external' });
    expect(rows.map(({ vips, options }) => [...vips, options.get('reject')])).toEqual([
      [['10.77.0.100:80', ''], 'true'],
    ]);
  });

  test.each([
    ['010.1.1.1', 8080, 'not an address'],
    ['127.0.0.1', 8080, 'loopback'],
    ['224.0.0.1', 8080, 'multicast'],
    ['fe80::1', 8080, 'link-local'],
    ['10.16.0.9', 0, 'port 0'],
    ['10.16.0.9', 65536, 'port 65536'],
    ['10.16.0.9', 1.5, 'port 1.5'],
  ])('backend %s:%d is left out and reported, the VIP stays', (address, backendPort, why) => {
    const sick = service({ ports: [port({ endpoints: [...port().endpoints, { address, port: backendPort }] })] });
    expect(vipsOf([sick], { mode: 'external' })).toEqual({
      'ovenbird/default/web/tcp/external': { '10.77.0.100:80': '10.16.0.2:8080' },
    });
    const { problems } = rowsOf([sick], { mode: 'external' });
    expect(problems).toMatchObject([{ code: 'InvalidEndpoint', service: 'default/web', blocking: false }]);
    expect(problems[0]?.message).toContain(why);
  });

  test('a bad address or port costs only itself', () => {
    const sick = service({
      externalAddresses: ['10.77.0.100', 'not-an-ip', '127.0.0.1'],
      ports: [port(), port({ name: 'zero', port: 0 })],
    });
    const { rows, problems } = rowsOf([sick], { mode: 'external' });
    expect(rows.map(({ vips }) => [...vips.keys()])).toEqual([['10.77.0.100:80']]);
    expect(problems.map(({ code }) => code)).toEqual(['InvalidAddress', 'InvalidAddress', 'InvalidPort']);
  });

  test('the same VIP in two Services: the first keeps it, both are named', () => {
    const other = service({ name: 'zeta', ports: [port(), port({ name: 'more', port: 81 })] });
    const { rows, problems } = rowsOf([other, service()], { mode: 'external' });
    expect(rows.map(({ name, vips }) => [name, ...vips.keys()])).toEqual([
      ['ovenbird/default/web/tcp/external', '10.77.0.100:80'],
      ['ovenbird/default/zeta/tcp/external', '10.77.0.100:81'],
    ]);
    expect(problems).toMatchObject([{ code: 'DuplicateVip', service: 'default/zeta', blocking: true }]);
    expect(problems[0]?.message).toMatch(/TCP 10\.77\.0\.100:80.*default\/web.*default\/zeta/);
  });

  test('a NodePort with Local policy has only the endpoints of the node that is addressed', () => {
    const local = service({
      clusterIPs: [],
      externalAddresses: [],
      externalTrafficPolicy: 'Local',
      ports: [port({ nodePort: 30080 })],
    });
    expect(vipsOf([local], { nodes })).toEqual({
      'ovenbird/default/web/tcp/node-port': {
        '172.31.40.21:30080': '10.16.0.2:8080',
        '172.31.40.22:30080': '',
        '[fd00:40::22]:30080': '',
      },
    });
  });

  test('too many NodePort VIPs: none is written, and that is said', () => {
    const { rows, problems } = rowsOf([service({ ports: [port({ nodePort: 30080 })] })], {
      nodes,
      nodePortVipLimit: 2,
    });
    expect(rows.map(({ externalIds }) => externalIds.get('scope'))).toEqual(['cluster-ip', 'external']);
    expect(problems).toMatchObject([{ code: 'TooManyNodePortVips' }]);
  });

  test('two nodes with one address: one of them has it', () => {
    const shared = [
      { name: 'b', addresses: ['172.31.40.21'] },
      { name: 'a', addresses: ['172.31.40.21'] },
    ];
    const { problems } = rowsOf([service({ ports: [port({ nodePort: 30080 })] })], { nodes: shared });
    expect(problems).toMatchObject([{ code: 'NodeAddressShared', message: expect.stringContaining('go by a') }]);
  });

  test('session affinity chooses by client, as far as the schema can', () => {
    const sticky = service({ sessionAffinity: 'ClientIP', clusterIPs: ['10.96.0.10', 'fd00:96::10'] });
    const old = rowsOf([sticky]);
    expect(old.rows.map(({ selectionFields }) => selectionFields)).toEqual([['ip_src'], ['ip_src']]);
    expect(old.problems).toMatchObject([{ code: 'AffinityUnsupported', blocking: false }]);
    const current = rowsOf([sticky], { capabilities: newCapabilities });
    expect(current.rows.map(({ selectionFields }) => selectionFields)).toEqual([['ip_src', 'ipv6_src'], ['ip_src']]);
    expect(current.problems).toEqual([]);
    expect(current.rows.some(({ options }) => options.has('affinity_timeout'))).toBe(false);
  });

  test('limited sources: pods must come by way of their host, or not at all', () => {
    const closed = service({ sourceRestricted: true });
    expect(rowsOf([closed]).rows.map(({ name, reach }) => [name.split('/').at(-1), reach])).toEqual([
      ['cluster-ip', 'every'],
      ['external', 'hosts'],
    ]);
    const bare = rowsOf([closed], { hostSwitches: false });
    expect(bare.rows.map(({ name }) => name)).toEqual(['ovenbird/default/web/tcp/cluster-ip']);
    expect(bare.problems).toMatchObject([{ code: 'SourceRangesNotEnforceable', blocking: true }]);
  });

  describe('a foreign load balancer with our VIP', () => {
    const vip = new Map([['tcp 10.77.0.100:80', { name: 'cluster-tcp-loadbalancer', uuid: 'theirs' }]]);

    test('on pod switches: hosts are still served', () => {
      const { rows, problems } = rowsOf([service()], {
        mode: 'external',
        foreign: { onHostSwitches: new Map(), onPodSwitches: vip },
      });
      expect(rows.map(({ reach }) => reach)).toEqual(['hosts']);
      expect(problems).toMatchObject([{ code: 'ForeignVip', blocking: false }]);
    });

    test('our own row, from which somebody took our mark, is not foreign', () => {
      const uuid = rowsOf([service()], { mode: 'external' }).rows[0]?.uuid ?? '';
      const own = new Map([['tcp 10.77.0.100:80', { name: '', uuid }]]);
      const { rows, problems } = rowsOf([service()], {
        mode: 'external',
        foreign: { onHostSwitches: own, onPodSwitches: own },
      });
      expect(rows.map(({ reach }) => reach)).toEqual(['every']);
      expect(problems).toEqual([]);
    });

    test('on host switches: the VIP is left to it', () => {
      const { rows, problems } = rowsOf([service()], {
        mode: 'external',
        foreign: { onHostSwitches: vip, onPodSwitches: vip },
      });
      expect(rows).toEqual([]);
      expect(problems).toMatchObject([{ code: 'ForeignVip', blocking: true }]);
      expect(problems[0]?.message).toContain('cluster-tcp-loadbalancer');
    });
  });

  test('a Service made anew gets rows of its own; unrelated changes keep the uuid', () => {
    const uuids = (over: Partial<OvnService>, clusterId = 'lab') =>
      rowsOf([service(over)], { clusterId }).rows.map(({ uuid }) => uuid);
    expect(uuids({ ports: [port({ endpoints: [] })], externalAddresses: ['10.77.0.101'] })).toEqual(uuids({}));
    expect(uuids({ uid: 'another' })).not.toEqual(uuids({}));
    expect(uuids({}, 'other-cluster')).not.toEqual(uuids({}));
  });
});

describe('properties', () => {
  const address = fc.oneof(
    fc.integer({ min: 2, max: 250 }).map((n) => `10.16.0.${n}`),
    fc.integer({ min: 2, max: 250 }).map((n) => `fd00::${n.toString(16)}`),
    fc.constantFrom('', 'x', '127.0.0.1', '::', '10.16.0.300'),
  );
  const endpoint = fc.record({
    address,
    port: fc.constantFrom(0, 80, 8080, 65535, 70000),
    nodeName: fc.constant('node-1'),
  });
  const vip = fc.oneof(
    fc.integer({ min: 1, max: 4 }).map((n) => `10.77.0.${n}`),
    fc.integer({ min: 1, max: 4 }).map((n) => `fd77::${n}`),
    fc.constant('bad'),
  );
  const anyService = fc.record({
    namespace: fc.constantFrom('a', 'b'),
    name: fc.constantFrom('x', 'y', 'z'),
    uid: fc.uuid(),
    clusterIPs: fc.array(vip, { maxLength: 2 }),
    externalAddresses: fc.array(vip, { maxLength: 3 }),
    ports: fc.array(
      fc.record({
        name: fc.constantFrom('', 'p', 'q'),
        protocol: fc.constantFrom('TCP' as const, 'UDP' as const, 'SCTP' as const),
        port: fc.constantFrom(0, 53, 80, 443),
        nodePort: fc.constantFrom(30000, 30001),
        endpoints: fc.array(endpoint, { maxLength: 5 }),
      }),
      { maxLength: 3 },
    ),
    externalTrafficPolicy: fc.constantFrom('Cluster' as const, 'Local' as const),
    internalTrafficPolicy: fc.constant('Cluster' as const),
    sessionAffinity: fc.constantFrom('None' as const, 'ClientIP' as const),
    sourceRestricted: fc.boolean(),
  });
  const services = fc.uniqueArray(anyService, {
    maxLength: 5,
    selector: ({ namespace, name }) => `${namespace}/${name}`,
  });

  test('no VIP twice, no malformed backend, one family, order of input irrelevant', () => {
    fc.assert(
      fc.property(services, (given) => {
        const { rows, problems } = rowsOf(given, { nodes });
        const seen = new Set<string>();
        for (const { protocol, vips } of rows) {
          expect(vips.size).toBeGreaterThan(0);
          for (const [key, value] of vips) {
            expect(seen.has(`${protocol} ${key}`)).toBe(false);
            seen.add(`${protocol} ${key}`);
            for (const backend of value === '' ? [] : value.split(',')) {
              expect(backend.startsWith('[')).toBe(key.startsWith('['));
              expect(backend).toMatch(/^(10\.16\.0\.\d+|\[fd00::[0-9a-f]+\]):(80|8080|65535)$/);
            }
          }
        }
        expect(new Set(rows.map(({ uuid }) => uuid)).size).toBe(rows.length);
        expect(rowsOf(given.toReversed(), { nodes })).toEqual({ rows, problems });
      }),
      { numRuns: 150 },
    );
  });

  test('remembering changes nothing but the cost', () => {
    fc.assert(
      fc.property(services, services, (before, after) => {
        const memo = new RowMemo();
        const ask = (given: OvnService[], remembered?: RowMemo) =>
          desiredRows(
            { services: given, nodes, mode: 'full', clusterId: 'lab', capabilities: newCapabilities },
            remembered,
          );
        ask(before, memo);
        const mixed = [...after, ...before.filter(({ name }) => !after.some((one) => one.name === name))];
        const remembered = ask(mixed, memo);
        expect(remembered).toEqual(ask(mixed));
        const again = ask(mixed, memo);
        expect(again.rows.every((row, i) => row === remembered.rows[i])).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});
