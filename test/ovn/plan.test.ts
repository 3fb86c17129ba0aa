import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  desiredRows,
  discoverTopology,
  groupName,
  type NorthboundView,
  type OvnService,
  type Plan,
  plan,
  planRemoval,
  type RealisedRow,
} from '../../src/ovn/index.ts';
import { applyOperations, kubeOvnView } from './northbound-simulation.ts';
import { newCapabilities, port, service } from './service-fixtures.ts';

function rows(services: OvnService[], clusterId = 'lab') {
  return desiredRows({ services, nodes: [], mode: 'full', clusterId, capabilities: newCapabilities }).rows;
}

function planFor(view: NorthboundView, services: OvnService[], mayDelete = true): Plan {
  const topology = discoverTopology(view);
  return plan({
    clusterId: 'lab',
    rows: rows(services),
    view,
    attachments: 'attachments' in topology ? topology.attachments : [],
    mayDelete: (orphans) => new Set(mayDelete ? orphans.map(({ uuid }) => uuid) : []),
  });
}

function converge(view: NorthboundView, services: OvnService[]): NorthboundView {
  const result = planFor(view, services).batches.reduce(applyOperations, view);
  expect(planFor(result, services).batches).toEqual([]);
  return result;
}

function groupMembers(view: NorthboundView, reach: 'every' | 'hosts'): string[] {
  const group = [...view.groups.values()].find(({ name }) => name === groupName('lab', reach));
  return (group?.loadBalancers ?? []).map((uuid) => view.loadBalancers.get(uuid)?.name ?? '?').sort();
}

function attached(view: NorthboundView): string[] {
  const name = (uuid: string) => view.groups.get(uuid)?.name;
  return [...view.switches.values()].flatMap((row) => row.groups.map((uuid) => `${row.name} ${name(uuid)}`)).sort();
}

const stranger: RealisedRow = {
  uuid: 'foreign',
  name: 'foreign',
  protocol: 'tcp',
  vips: new Map([['10.77.0.100:80', '10.16.0.9:80']]),
  selectionFields: [],
  options: new Map(),
  externalIds: new Map(),
};

const many = Array.from({ length: 1200 }, (_, i) =>
  service({
    name: `s${String(i).padStart(4, '0')}`,
    clusterIPs: [`10.96.${i >> 8}.${i & 255}`],
    externalAddresses: [],
  }),
);

describe('plan', () => {
  test('an empty database gets groups, attachments and rows; then nothing', () => {
    const view = converge(kubeOvnView(), [
      service(),
      service({ name: 'shut', sourceRestricted: true, externalAddresses: ['10.77.0.101'], clusterIPs: [] }),
    ]);
    expect(groupMembers(view, 'every')).toEqual([
      'ovenbird/default/web/tcp/cluster-ip',
      'ovenbird/default/web/tcp/external',
    ]);
    expect(groupMembers(view, 'hosts')).toEqual(['ovenbird/default/shut/tcp/external']);
    expect(attached(view)).toEqual(['join ovenbird-lab', 'join ovenbird-lab-hosts', 'ovn-default ovenbird-lab']);
  });

  test('one changed backend is one update of the columns that differ', () => {
    const view = converge(kubeOvnView(), [service({ externalAddresses: [] })]);
    const moved = service({
      externalAddresses: [],
      ports: [port({ endpoints: [{ address: '10.16.0.7', port: 8080 }] })],
    });
    const { batches } = planFor(view, [moved]);
    expect(batches.flat()).toHaveLength(1);
    expect(batches.flat()[0]).toMatchObject({
      op: 'update',
      row: { vips: new Map([['10.96.0.10:80', '10.16.0.7:8080']]) },
    });
    expect(batches.flat().flatMap((one) => ('row' in one ? Object.keys(one.row) : []))).toEqual([
      'vips',
      'external_ids',
    ]);
  });

  test('all rows deleted by somebody else come back in the groups that stayed', () => {
    const view = converge(kubeOvnView(), many);
    const emptied = applyOperations(
      view,
      [...view.loadBalancers.keys()].map((uuid) => ({ op: 'delete', table: 'Load_Balancer', uuid })),
    );
    const repair = planFor(emptied, many);
    expect(repair.inserted).toBe(1200);
    expect(repair.batches.length).toBe(3);
    for (const batch of repair.batches) expect(batch.length).toBeLessThanOrEqual(501);
    expect(repair.batches.reduce(applyOperations, emptied)).toEqual(view);
  });

  test('rows of others are neither changed nor deleted, also inside our group', () => {
    const wired = converge(kubeOvnView(), [service()]);
    const group = [...wired.groups.values()].find(({ name }) => name === 'ovenbird-lab');
    const withForeign = {
      ...wired,
      loadBalancers: new Map([...wired.loadBalancers, ['foreign', stranger]]),
      groups: new Map(
        [...wired.groups].map(([uuid, row]) => [
          uuid,
          row === group ? { ...row, loadBalancers: [...row.loadBalancers, 'foreign'] } : row,
        ]),
      ),
    };
    const { batches, strangers } = planFor(withForeign, []);
    expect(strangers).toEqual(['foreign']);
    expect(JSON.stringify(batches)).not.toContain('foreign');
    const removed = planRemoval({ clusterId: 'lab', view: withForeign }).reduce(applyOperations, withForeign);
    expect([...removed.loadBalancers.keys()]).toEqual(['foreign']);
    expect([...removed.groups.values()].map(({ name }) => name)).toEqual(['ovenbird-lab']);
  });

  test('a row of ours that was altered is set right; lost memberships and attachments are restored', () => {
    const good = converge(kubeOvnView(), [service()]);
    const broken: NorthboundView = {
      ...good,
      loadBalancers: new Map(
        [...good.loadBalancers].map(([uuid, row]) => [
          uuid,
          { ...row, protocol: 'udp', options: new Map(), externalIds: new Map() },
        ]),
      ),
      groups: new Map([...good.groups].map(([uuid, row]) => [uuid, { ...row, loadBalancers: [] }])),
      switches: new Map([...good.switches].map(([uuid, row]) => [uuid, { ...row, groups: [] }])),
    };
    expect(converge(broken, [service()])).toEqual(good);
  });

  test('a group somebody made with our name is used as it is', () => {
    const view = { ...kubeOvnView(), groups: new Map([['g', { uuid: 'g', name: 'ovenbird-lab', loadBalancers: [] }]]) };
    expect(converge(view, [service()]).groups.get('g')?.loadBalancers).toHaveLength(2);
  });

  test('orphans wait for permission, what a successor replaces does not', () => {
    const view = converge(kubeOvnView(), [
      service(),
      service({ name: 'old', clusterIPs: ['10.96.0.11'], externalAddresses: [] }),
    ]);
    const reborn = service({ uid: 'reborn' });
    const { batches, withheld, deleted } = planFor(view, [reborn], false);
    expect(withheld.map(({ name }) => name)).toEqual(['ovenbird/default/old/tcp/cluster-ip']);
    expect(deleted).toBe(2);
    expect(batches).toHaveLength(1);
    const taken = service({ name: 'new', clusterIPs: [], externalAddresses: ['10.77.0.100'] });
    expect(
      planFor(view, [taken], false)
        .withheld.map(({ name }) => name)
        .sort(),
    ).toEqual(['ovenbird/default/old/tcp/cluster-ip', 'ovenbird/default/web/tcp/cluster-ip']);
  });

  test('the operations of one Service are never split', () => {
    const view = converge(kubeOvnView(), many);
    const reborn = many.map((one) => ({ ...one, uid: `${one.uid}-2` }));
    for (const batch of planFor(view, reborn).batches) {
      const inserted = batch.filter(({ op }) => op === 'insert').length;
      expect(batch.filter(({ op }) => op === 'delete')).toHaveLength(inserted);
    }
  });

  test('rows of another cluster in the same database are foreign', () => {
    const view = converge(kubeOvnView(), [service()]);
    const other = plan({ clusterId: 'two', rows: [], view, attachments: [], mayDelete: () => new Set() });
    expect(other.withheld).toEqual([]);
    expect(other.batches.flat().map(({ op }) => op)).toEqual(['insert', 'insert']);
  });

  test('removal leaves no trace', () => {
    const before = kubeOvnView();
    const view = converge(before, many);
    expect(planRemoval({ clusterId: 'lab', view }).reduce(applyOperations, view)).toEqual(before);
    expect(planRemoval({ clusterId: 'lab', view: before })).toEqual([]);
  });
});

test('from any state to any other in one pass, then silence', () => {
  const anyService = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    uid: fc.constantFrom('1', '2'),
    clusterIPs: fc.subarray(['10.96.0.1', '10.96.0.2', 'fd00::1']),
    externalAddresses: fc.subarray(['10.77.0.1', '10.77.0.2']),
    sourceRestricted: fc.boolean(),
    sessionAffinity: fc.constantFrom('None' as const, 'ClientIP' as const),
    ports: fc.subarray([port(), port({ name: 'u', protocol: 'UDP' }), port({ name: 'x', port: 81, endpoints: [] })]),
  });
  const services = fc
    .uniqueArray(anyService, { selector: ({ name }) => name, maxLength: 4 })
    .map((list) => list.map((over) => service(over)));
  fc.assert(
    fc.property(services, services, (before, after) => {
      const view = converge(converge(kubeOvnView(), before), after);
      const fresh = converge(kubeOvnView(), after);
      expect(new Map([...view.loadBalancers].sort())).toEqual(new Map([...fresh.loadBalancers].sort()));
      expect(groupMembers(view, 'every')).toEqual(groupMembers(fresh, 'every'));
      expect(groupMembers(view, 'hosts')).toEqual(groupMembers(fresh, 'hosts'));
    }),
    { numRuns: 150 },
  );
});
