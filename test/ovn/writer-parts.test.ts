import { describe, expect, test } from '@jest/globals';
import { capabilitiesOf } from '../../src/ovn/capabilities.ts';
import { ChassisLag } from '../../src/ovn/chassis-lag.ts';
import { desiredRows, foreignVips, type LoadBalancerRow } from '../../src/ovn/index.ts';
import { RefusedRows } from '../../src/ovn/refused-rows.ts';
import { OvsdbError, TransactionError } from '../../src/ovsdb-client/index.ts';
import { kubeOvnView } from './northbound-simulation.ts';
import { oldCapabilities, service } from './service-fixtures.ts';

const rows = desiredRows({
  services: [service(), service({ name: 'other', clusterIPs: ['10.96.0.11'], externalAddresses: [] })],
  nodes: [],
  mode: 'full',
  clusterId: 'lab',
  capabilities: oldCapabilities,
}).rows;

function insert({ uuid }: LoadBalancerRow) {
  return { op: 'insert' as const, table: 'Load_Balancer' as const, uuid, row: {} };
}

describe('rows the server refuses', () => {
  const batch = rows.map(insert);
  const refusal = (error: string, operation?: number) => new TransactionError('refused', error, { error, operation });

  test('the row that was named is left out until it changes', () => {
    const refused = new RefusedRows();
    refused.learn(refusal('constraint violation', 1), batch);
    expect([...refused.current(rows)]).toEqual([rows[1]?.uuid]);
    expect(refused.problems()).toMatchObject([
      { code: 'RefusedByDatabase', service: rows[1]?.service, blocking: true },
    ]);
    expect(refused.current(rows.map((row) => ({ ...row }))).size).toBe(0);
  });

  test('a refusal that names nobody: first every Service by itself, then the ones that fail', () => {
    const refused = new RefusedRows();
    refused.learn(refusal('constraint violation'), batch);
    expect(refused.careful).toBe(true);
    expect(refused.current(rows).size).toBe(0);
    refused.learn(new OvsdbError('InvalidRequest', 'name is too long'), batch.slice(0, 1));
    expect([...refused.current(rows)]).toEqual([rows[0]?.uuid]);
    refused.forget();
    expect(refused.current(rows).size).toBe(0);
  });

  test.each([
    new TransactionError('unknown', 'constraint violation', { error: 'constraint violation', operation: 0 }),
    new TransactionError('not-sent', 'no connection'),
    refusal('duplicate uuid', 0),
    refusal('timed out'),
    // What ovsdb-server says while it only follows another server, and to whom RBAC forbids the table.
    refusal('not allowed', 0),
    refusal('permission error', 1),
    refusal('resources exhausted', 0),
    new OvsdbError('ConnectionLost', 'gone'),
    new Error('other'),
  ])('nobody is blamed for %s', (thrown) => {
    const refused = new RefusedRows();
    refused.learn(thrown, batch);
    expect(refused.current(rows).size).toBe(0);
    expect(refused.careful).toBe(false);
  });
});

describe('lag', () => {
  const counters = (nbCfg: number, sbCfg: number, hvCfg: number) => ({ uuid: 'g', nbCfg, sbCfg, hvCfg });

  test('is not measured unless asked for', () => {
    expect(new ChassisLag(undefined).next(counters(0, 0, 0), true, 0)).toBeUndefined();
  });

  test('from a write to northd and to the last chassis, not more often than allowed', () => {
    const lag = new ChassisLag(1000);
    expect(lag.next(counters(5, 5, 5), false, 0)).toBeUndefined();
    expect(lag.next(counters(5, 5, 5), true, 100)).toMatchObject({ uuid: 'g' });
    expect(lag.next(counters(6, 5, 5), true, 110)).toBeUndefined();
    lag.next(counters(6, 6, 5), false, 130);
    expect(lag.measured).toEqual({ northdMs: 30, chassisMs: undefined });
    lag.next(counters(9, 7, 7), false, 180);
    expect(lag.measured).toEqual({ northdMs: 30, chassisMs: 80 });
    expect(lag.next(counters(9, 9, 9), true, 1100)).toMatchObject({ uuid: 'g' });
  });
});

describe('foreign VIPs', () => {
  test('count where they act, by switch or by group; ours and unattached ones do not', () => {
    const view = kubeOvnView();
    const balancer = (uuid: string, vip: string, owner?: string) => ({
      uuid,
      name: uuid,
      protocol: undefined,
      vips: new Map([[vip, '']]),
      selectionFields: [],
      options: new Map(),
      externalIds: new Map(owner === undefined ? [] : [['owner', owner]]),
    });
    const found = foreignVips(
      {
        ...view,
        loadBalancers: new Map(
          [
            balancer('direct', '1.1.1.1:1'),
            balancer('grouped', '2.2.2.2:2'),
            balancer('ours', '3.3.3.3:3', 'ovenbird.dev/lab'),
            balancer('loose', '4.4.4.4:4'),
          ].map((row) => [row.uuid, row]),
        ),
        groups: new Map([['g', { uuid: 'g', name: 'g', loadBalancers: ['grouped', 'ours'] }]]),
        switches: new Map(
          [...view.switches].map(([uuid, row]) => [
            uuid,
            { ...row, ...(row.name === 'join' ? { groups: ['g'] } : { loadBalancers: ['direct'] }) },
          ]),
        ),
      },
      [
        { table: 'Logical_Switch', uuid: 's-join', name: 'join', side: 'hosts' },
        { table: 'Logical_Switch', uuid: 's-pods', name: 'ovn-default', side: 'pods' },
      ],
      'lab',
    );
    expect([...found.onHostSwitches]).toEqual([['tcp 2.2.2.2:2', { name: 'grouped', uuid: 'grouped' }]]);
    expect([...found.onPodSwitches]).toEqual([['tcp 1.1.1.1:1', { name: 'direct', uuid: 'direct' }]]);
  });
});

test('capabilities are read from the schema', () => {
  const column = new Map([['load_balancer', {}]]);
  const schema = new Map([
    ['Load_Balancer_Group', column],
    ['Logical_Switch', new Map([['load_balancer_group', {}]])],
    ['Load_Balancer', new Map([['selection_fields', { keyEnum: ['ip_src'] }]])],
  ]);
  expect(capabilitiesOf(schema)).toEqual({ groups: true, selectionFields: new Set(['ip_src']) });
  expect(capabilitiesOf(new Map())).toEqual({ groups: false, selectionFields: new Set() });
});
