import { describe, expect, test } from '@jest/globals';
import {
  decideMode,
  defaultTopologyOptions,
  discoverTopology,
  emptyView,
  type NorthboundView,
  type RealisedRow,
  type SwitchRow,
  type Topology,
} from '../../src/ovn/index.ts';
import { kubeOvnView } from './northbound-simulation.ts';

const kube = kubeOvnView();

function withSwitch(view: NorthboundView, over: Partial<SwitchRow> & { uuid: string; name: string }): NorthboundView {
  const row = { externalIds: new Map(), ports: [], loadBalancers: [], groups: [], ...over };
  return { ...view, switches: new Map([...view.switches, [row.uuid, row]]) };
}

function withPort(view: NorthboundView, uuid: string, type: string, peer?: string): NorthboundView {
  const port = { uuid, name: uuid, type, options: new Map(peer === undefined ? [] : [['router-port', peer]]) };
  return { ...view, switchPorts: new Map([...view.switchPorts, [uuid, port]]) };
}

function withLoadBalancer(view: NorthboundView, name: string, externalIds: [string, string][] = []): NorthboundView {
  const row: RealisedRow = {
    uuid: name,
    name,
    protocol: 'tcp',
    vips: new Map(),
    selectionFields: [],
    options: new Map(),
    externalIds: new Map(externalIds),
  };
  return { ...view, loadBalancers: new Map([...view.loadBalancers, [name, row]]) };
}

const vendor = new Map([['vendor', 'kube-ovn']]);

function names(topology: Topology): string[] {
  return 'attachments' in topology ? topology.attachments.map(({ name, side }) => `${name}:${side}`) : [topology.kind];
}

describe('Kube-OVN', () => {
  test('join is where hosts send from, switches of the cluster router are where pods do', () => {
    expect(discoverTopology(kube)).toMatchObject({ kind: 'kube-ovn', ownsClusterIps: false, missing: [] });
    expect(names(discoverTopology(kube))).toEqual(['join:hosts', 'ovn-default:pods']);
  });

  test('switches of other VPCs, with a wire, or of somebody else are left alone', () => {
    let view = withSwitch(kube, { uuid: 'vpc', name: 'tenant', externalIds: vendor, ports: ['p-tenant'] });
    view = withPort(view, 'p-tenant', 'router', 'tenant-vpc-tenant');
    view = withSwitch(view, { uuid: 'wire', name: 'external', externalIds: vendor, ports: ['p-ext', 'p-net'] });
    view = withPort(withPort(view, 'p-ext', 'router', 'ovn-cluster-external'), 'p-net', 'localnet');
    view = withSwitch(view, { uuid: 'mine', name: 'mine', ports: ['port-join-ovn-cluster'] });
    view = {
      ...view,
      routerPorts: new Map([...view.routerPorts, ['x', { uuid: 'x', name: 'ovn-cluster-external', gateway: true }]]),
      routers: new Map([...view.routers].map(([uuid, row]) => [uuid, { ...row, ports: [...row.ports, 'x'] }])),
    };
    expect(names(discoverTopology(view))).toEqual(['join:hosts', 'ovn-default:pods']);
  });

  test('an operator may have named router and node switch differently', () => {
    const renamed = { ...kube, routers: new Map([['r', { ...row(kube.routers, 'r'), name: 'main' }]]) };
    expect(discoverTopology(renamed)).toMatchObject({
      missing: expect.arrayContaining([expect.stringContaining('"ovn-cluster"')]),
    });
    const options = { kubeOvn: { router: 'main', nodeSwitch: 'ovn-default' } };
    expect(names(discoverTopology(renamed, options))).toEqual(['join:pods', 'ovn-default:hosts']);
  });

  test('half of the wiring: attach to what is there and say what is missing', () => {
    const half = { ...kube, switches: new Map([['s-join', row(kube.switches, 's-join')]]) };
    const topology = discoverTopology(half);
    expect(names(topology)).toEqual(['join:hosts']);
    expect(topology).toMatchObject({ missing: [expect.stringContaining('no pod switch')] });
  });

  test('its own load balancers mean that it balances ClusterIPs', () => {
    const owning = withLoadBalancer(kube, 'cluster-tcp-loadbalancer', [['vendor', 'kube-ovn']]);
    expect(discoverTopology(owning)).toMatchObject({ ownsClusterIps: true });
    expect(discoverTopology(withLoadBalancer(kube, 'something-else'))).toMatchObject({ ownsClusterIps: false });
  });
});

describe('others', () => {
  test.each([
    [
      'ovn-kubernetes',
      withSwitch(emptyView, { uuid: 'a', name: 'n', externalIds: new Map([['k8s.ovn.org/network', 'x']]) }),
    ],
    [
      'openstack',
      withSwitch(kube, { uuid: 'a', name: 'neutron-1', externalIds: new Map([['neutron:network_name', 'x']]) }),
    ],
  ])('%s is only announced for', (kind, view) => {
    const topology = discoverTopology(view);
    expect(topology.kind).toBe(kind);
    for (const requested of ['auto', 'full', 'external'] as const)
      expect(decideMode(requested, topology).mode).toBe('never');
  });

  test('bare OVN: switches with a router, and routers where a load balancer works', () => {
    let view = withSwitch(emptyView, { uuid: 'a', name: 'sw0', ports: ['p'] });
    view = withSwitch(withPort(view, 'p', 'router', 'lr0-sw0'), { uuid: 'b', name: 'island' });
    const bare = { externalIds: new Map(), options: new Map(), loadBalancers: [], groups: [] };
    view = {
      ...view,
      routerPorts: new Map([
        ['lrp', { uuid: 'lrp', name: 'lr0-sw0', gateway: false }],
        ['dgp', { uuid: 'dgp', name: 'lr1-out', gateway: true }],
      ]),
      routers: new Map([
        ['r0', { ...bare, uuid: 'r0', name: 'lr0', ports: ['lrp'] }],
        ['r1', { ...bare, uuid: 'r1', name: 'lr1', ports: ['dgp'] }],
        ['r2', { ...bare, uuid: 'r2', name: 'gr', ports: [], options: new Map([['chassis', 'c1']]) }],
      ]),
    };
    const topology = discoverTopology(view);
    expect(names(topology)).toEqual(['sw0:pods', 'gr:pods', 'lr1:pods']);
    expect(topology).toMatchObject({ kind: 'bare', missing: [expect.stringContaining('"island"')] });
    const attachTo = { switches: ['island', 'nowhere'], routers: [] };
    const told = discoverTopology(view, { ...defaultTopologyOptions, attachTo });
    expect(names(told)).toEqual(['island:pods']);
    expect(told).toMatchObject({ missing: ['logical switch "nowhere" does not exist'] });
  });
});

describe('mode', () => {
  const owning = discoverTopology(withLoadBalancer(kube, 'cluster-udp-loadbalancer'));
  const free = discoverTopology(kube);
  const empty = discoverTopology(emptyView);
  const half = discoverTopology({ ...kube, switches: new Map() });

  test.each([
    ['auto', owning, undefined, 'external'],
    ['auto', free, undefined, 'external'],
    ['full', owning, undefined, 'full'],
    ['external', free, undefined, 'external'],
    ['off', owning, 'full', 'off'],
    ['auto', empty, undefined, 'wait'],
    ['auto', empty, 'external', 'external'],
    ['full', empty, undefined, 'full'],
    ['auto', half, undefined, 'wait'],
    ['auto', half, 'external', 'external'],
  ] as const)('%s on %j after %s is %s', (requested, topology, previous, mode) => {
    expect(decideMode(requested, topology, previous).mode).toBe(mode);
  });
});

function row<Row>(rows: ReadonlyMap<string, Row>, uuid: string): Row {
  const found = rows.get(uuid);
  if (!found) throw new Error(`no ${uuid}`);
  return found;
}
