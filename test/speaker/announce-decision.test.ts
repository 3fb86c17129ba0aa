import { describe, expect, test } from '@jest/globals';
import type { L2Advertisement } from '../../src/api/index.ts';
import { buildConfig, type Config } from '../../src/config/index.ts';
import type { EndpointSlice, Node, Service } from '../../src/kube/objects.ts';
import { decideAnnouncements } from '../../src/speaker/announce-decision.ts';

const node = (
  name: string,
  labels: Record<string, string> = {},
  conditions: [string, 'True' | 'False'][] = [],
): Node => ({
  metadata: { name, labels },
  status: { conditions: conditions.map(([type, status]) => ({ type, status })) },
});
const nodes = [node('a'), node('b'), node('c')];

function service(spec: Partial<Service['spec']> = {}, ips = ['10.77.0.100']): Service {
  return {
    metadata: { namespace: 'web', name: 'shop' },
    spec: { type: 'LoadBalancer', ...spec },
    status: { loadBalancer: { ingress: ips.map((ip) => ({ ip })) } },
  };
}

type State = 'ready' | 'draining' | 'notReady';
function slice(endpoints: [node: string | undefined, state: State][]): EndpointSlice {
  return {
    metadata: { namespace: 'web', name: 'shop-x' },
    addressType: 'IPv4',
    ports: [{ name: '', protocol: 'TCP', port: 8080 }],
    endpoints: endpoints.map(([nodeName, state], index) => ({
      addresses: [`10.16.0.${index + 2}`],
      conditions: { ready: state === 'ready', serving: state !== 'notReady', terminating: state === 'draining' },
      ...(nodeName === undefined ? {} : { nodeName }),
    })),
  };
}

const everywhere: L2Advertisement = { metadata: { name: 'all' }, spec: {} };
function config(l2Advertisements: L2Advertisement[] = [everywhere]): Config {
  const pool = (name: string, range: string) => ({ metadata: { name }, spec: { addresses: [range] } });
  const ipAddressPools = [pool('default', '10.77.0.0/24'), pool('other', '10.78.0.0/24')];
  return buildConfig({ ipAddressPools, l2Advertisements });
}

function only(...args: Parameters<typeof decideAnnouncements>) {
  const decisions = decideAnnouncements(...args);
  expect(decisions).toHaveLength(1);
  return decisions[0];
}

describe('decideAnnouncements', () => {
  test('policy Cluster: every node may announce while any endpoint is ready', () => {
    expect(only(service(), [slice([['b', 'ready']])], nodes, config())).toMatchObject({
      address: '10.77.0.100',
      service: 'web/shop',
      eligibleNodes: ['a', 'b', 'c'],
      interfaces: [],
      reason: { code: 'Eligible' },
    });
  });

  test.each<[string, [string | undefined, State][], string[], string]>([
    [
      'a ready one each',
      [
        ['b', 'ready'],
        ['c', 'ready'],
      ],
      ['b', 'c'],
      'Eligible',
    ],
    [
      'draining counts where nothing is ready on that node',
      [
        ['b', 'ready'],
        ['c', 'draining'],
      ],
      ['b', 'c'],
      'Eligible',
    ],
    [
      'not ready does not count',
      [
        ['b', 'ready'],
        ['c', 'notReady'],
      ],
      ['b'],
      'Eligible',
    ],
    ['endpoints without a node attract nothing', [[undefined, 'ready']], [], 'NoLocalEndpoints'],
    ['none', [['b', 'notReady']], [], 'NoEndpoints'],
  ])('policy Local: %s', (_, endpoints, eligible, code) => {
    const decision = only(service({ externalTrafficPolicy: 'Local' }), [slice(endpoints)], nodes, config());
    expect(decision).toMatchObject({ eligibleNodes: eligible, reason: { code } });
  });

  test('without endpoints nobody answers, and a missing slice list is the same', () => {
    expect(only(service(), [], nodes, config())?.reason.code).toBe('NoEndpoints');
    expect(only(service(), [slice([['a', 'draining']])], nodes, config())?.eligibleNodes).toEqual(['a', 'b', 'c']);
  });

  test('only endpoints of the family of the address count', () => {
    const local = service({ externalTrafficPolicy: 'Local' });
    const six = slice([['c', 'ready']]);
    six.addressType = 'IPv6';
    six.endpoints = (six.endpoints ?? []).map((endpoint) => ({ ...endpoint, addresses: ['2001:db8::2'] }));
    expect(only(local, [slice([['b', 'ready']]), six], nodes, config())?.eligibleNodes).toEqual(['b']);
    expect(only(service(), [six], nodes, config())?.reason).toMatchObject({
      code: 'NoEndpoints',
      message: expect.stringContaining('no ready IPv4 endpoint'),
    });
  });

  test('no advertisement for the pool, or an address outside every pool', () => {
    const other = config([{ ...everywhere, spec: { ipAddressPools: ['other'] } }]);
    const slices = [slice([['a', 'ready']])];
    expect(only(service(), slices, nodes, other)?.reason).toEqual({
      code: 'NotAdvertised',
      message: 'no L2Advertisement covers pool default; create one that names the pool',
    });
    const outside = only(service({}, ['192.0.2.1']), slices, nodes, config());
    expect(outside?.reason.message).toContain('192.0.2.1, which no pool holds');
  });

  test('advertisements add up: nodes and interfaces are unions, and one without interfaces means all', () => {
    const labelled = [node('a', { rack: '1' }), node('b', { rack: '2' }), node('c')];
    const rack = (value: string, interfaces: string[]): L2Advertisement => ({
      metadata: { name: `rack-${value}` },
      spec: { ipAddressPools: ['default'], interfaces, nodeSelectors: [{ matchLabels: { rack: value } }] },
    });
    const slices = [slice([['a', 'ready']])];
    const two = only(service(), slices, labelled, config([rack('1', ['eth1']), rack('2', ['eth0'])]));
    expect(two).toMatchObject({ eligibleNodes: ['a', 'b'], interfaces: ['eth0', 'eth1'] });
    const open = only(service(), slices, labelled, config([rack('1', ['eth1']), rack('2', [])]));
    expect(open?.interfaces).toEqual([]);
  });

  test('nodes that are excluded, leaving or without network are named when none is left', () => {
    const bad = [
      node('a', { 'node.kubernetes.io/exclude-from-external-load-balancers': '' }),
      node('b', {}, [['NetworkUnavailable', 'True']]),
      { ...node('c'), metadata: { name: 'c', deletionTimestamp: '2026-01-01T00:00:00Z' } },
    ];
    const decision = only(service(), [slice([['a', 'ready']])], bad, config());
    expect(decision?.reason.code).toBe('NoEligibleNode');
    expect(decision?.reason.message).toMatch(/a has the label .*; b reports NetworkUnavailable; c is being deleted/);
    const reIncluded = node('a', { 'node.kubernetes.io/exclude-from-external-load-balancers': 'false' });
    expect(only(service(), [slice([['a', 'ready']])], [reIncluded], config())?.eligibleNodes).toEqual(['a']);
  });

  test('a Service being deleted, without status or with a hostname only, announces nothing', () => {
    const deleted = {
      ...service(),
      metadata: { namespace: 'web', name: 'shop', deletionTimestamp: '2026-01-01T00:00:00Z' },
    };
    expect(only(deleted, [slice([['a', 'ready']])], nodes, config())).toMatchObject({
      eligibleNodes: [],
      reason: { code: 'ServiceDeleted' },
    });
    const { status: _, ...bare } = service();
    expect(decideAnnouncements(bare, [], nodes, config())).toEqual([]);
    const named = { ...service(), status: { loadBalancer: { ingress: [{ hostname: 'x' }] } } };
    expect(decideAnnouncements(named, [], nodes, config())).toEqual([]);
  });
});
