import { describe, expect, test } from '@jest/globals';
import { describeLab } from '../../lab/lab.ts';
import { nodeAnnotations } from '../../lab/ovn/annotate-node.ts';
import {
  ensureOperations,
  lookUp,
  macOfIpv4,
  podNameOf,
  podRows,
  portGroupOf,
  topologyRows,
} from '../../lab/ovn/northbound-topology.ts';
import {
  mapEntries,
  mapValue,
  OvsdbRefused,
  parseTransactReply,
  setMembers,
  transactCommand,
} from '../../lab/ovn/ovsdb.ts';

const lab = describeLab({ checkout: '/checkout', nodes: 2, ovn: 'full', router: 'bird' });
const rows = topologyRows(lab);

describe('the wanted topology', () => {
  test('has Kube-OVN’s policies, each node’s answers leaving through that node', () => {
    const policies = rows.filter(({ table }) => table === 'Logical_Router_Policy');
    expect(
      policies.map(({ key, columns }) => `${key.priority} ${key.match} ${columns.nexthops ?? columns.action}`),
    ).toEqual([
      '31000 ip4.dst == 10.16.0.0/16 allow',
      '31000 ip4.dst == 100.64.0.0/16 allow',
      '30000 ip4.dst == 172.31.40.21 100.64.0.2',
      '29000 ip4.src == $ovn.default.node.1_ip4 100.64.0.2',
      '30000 ip4.dst == 172.31.40.22 100.64.0.3',
      '29000 ip4.src == $ovn.default.node.2_ip4 100.64.0.3',
    ]);
  });

  test('has no load balancer: those are Ovenbird’s', () => {
    expect(rows.filter(({ table }) => table.startsWith('Load_Balancer'))).toEqual([]);
  });

  test('agrees with what the Node object is told', () => {
    const [node] = lab.nodes;
    if (!node) throw new Error('no node');
    const annotations = nodeAnnotations(node);
    const port = rows.find(({ key }) => key.name === annotations['ovn.kubernetes.io/port_name']);
    expect(port?.columns.addresses).toBe(
      `${annotations['ovn.kubernetes.io/mac_address']} ${annotations['ovn.kubernetes.io/ip_address']}`,
    );
    expect(port?.parent?.key).toEqual({ name: annotations['ovn.kubernetes.io/logical_switch'] });
  });
});

describe('operations', () => {
  test('an empty database gets every row, each inside its parent', () => {
    const operations = ensureOperations(
      rows,
      rows.map(() => false),
    );
    expect(operations.filter(({ op }) => op === 'insert')).toHaveLength(rows.length);
    expect(operations.filter(({ op }) => op === 'mutate')).toHaveLength(rows.filter(({ parent }) => parent).length);
    for (const [at, operation] of operations.entries()) {
      if (operation.op !== 'mutate') continue;
      const parentAt = operations.findIndex(
        (candidate) =>
          candidate.op === 'insert' && isFoundBy(candidate.row, operation.table, candidate.table, operation.where),
      );
      expect(parentAt).toBeGreaterThanOrEqual(0);
      expect(parentAt).toBeLessThan(at);
    }
  });

  test('a complete database is only written what is there already', () => {
    const operations = ensureOperations(
      rows,
      rows.map(() => true),
    );
    expect(new Set(operations.map(({ op }) => op))).toEqual(new Set(['update']));
  });

  test('one missing row is one insert, put into the parent that is there', () => {
    const at = rows.findIndex(({ key }) => key.name === 'node-node-2');
    const operations = ensureOperations(
      rows,
      rows.map((_, index) => index !== at),
    ).filter(({ op }) => op !== 'update');
    expect(operations).toMatchObject([
      { op: 'insert', table: 'Logical_Switch_Port', row: { name: 'node-node-2' } },
      { op: 'mutate', table: 'Logical_Switch', where: [['name', '==', 'join']] },
    ]);
  });

  test('a row is looked up by its whole key', () => {
    const policy = rows.find(({ key }) => key.priority === 30_000);
    expect(policy && lookUp(policy).where).toEqual([
      ['priority', '==', 30_000],
      ['match', '==', 'ip4.dst == 172.31.40.21'],
    ]);
  });

  test('a pod’s port is made with the addresses it had', () => {
    const pod = {
      name: 'web-1.a.shop',
      mac: '02:0c:0a:10:00:09',
      address: '10.16.0.9',
      portGroup: 'ovn.default.node.1',
      sandbox: 'c1',
    };
    const [row] = podRows([pod]);
    expect(row?.columns.addresses).toBe('02:0c:0a:10:00:09 10.16.0.9');
    expect(mapEntries(row?.columns.external_ids)).toMatchObject({ pod: 'shop/web-1.a', sandbox: 'c1' });
  });
});

describe('names', () => {
  test.each([
    ['10.16.0.5', '02:0c:0a:10:00:05'],
    ['100.64.255.254', '02:0c:64:40:ff:fe'],
  ])('MAC of %s', (address, mac) => {
    expect(macOfIpv4(address)).toBe(mac);
  });

  test('port groups have no dash, which an address set’s name must not have', () => {
    expect(portGroupOf('node-12')).toBe('ovn.default.node.12');
  });

  test('a pod’s name may have dots, its namespace has none', () => {
    expect(podNameOf('a.b.ns')).toBe('ns/a.b');
  });
});

describe('OVSDB in words', () => {
  test('a transaction is one argument, the database first', () => {
    const { args } = transactCommand('unix:/x', 'OVN_Northbound', [{ op: 'comment', comment: 'y' }], 3);
    expect(args).toEqual(['--timeout=3', 'transact', 'unix:/x', '["OVN_Northbound",{"op":"comment","comment":"y"}]']);
  });

  test('a refused operation is named, with its place', () => {
    const operations = [
      { op: 'wait', table: 'T' },
      { op: 'insert', table: 'U' },
    ];
    const refusal = catching(() =>
      parseTransactReply('[{},{"error":"constraint violation","details":"why"}]', operations),
    );
    expect(refusal).toBeInstanceOf(OvsdbRefused);
    expect(refusal).toMatchObject({
      reason: 'constraint violation',
      at: 1,
      message: 'insert U: constraint violation: why',
    });
  });

  test('a refused commit comes after the operations', () => {
    const reply = '[{"uuid":["uuid","a"]},{"error":"referential integrity violation"}]';
    expect(catching(() => parseTransactReply(reply, [{ op: 'insert', table: 'T' }]))).toMatchObject({ at: 1 });
  });

  test('sets of one are written bare, and operations after a failed one have no result', () => {
    expect(setMembers('a')).toEqual(['a']);
    expect(setMembers(['set', []])).toEqual([]);
    expect(setMembers(['uuid', 'x'])).toEqual([['uuid', 'x']]);
    expect(setMembers(undefined)).toEqual([]);
    expect(parseTransactReply('[{"count":1},null]', [])).toEqual([{ count: 1 }, {}]);
  });

  test('maps are written in the order of their keys', () => {
    expect(mapValue({ b: '2', a: '1' })).toEqual([
      'map',
      [
        ['a', '1'],
        ['b', '2'],
      ],
    ]);
  });
});

/** True when an inserted row is one that a mutation's `where` finds; the global tables are found by anything. */
function isFoundBy(row: unknown, table: unknown, insertedTable: unknown, where: unknown): boolean {
  if (table !== insertedTable) return false;
  return (where as [string, string, unknown][]).every(
    ([column, , value]) => (row as Record<string, unknown>)[column] === value,
  );
}

function catching(work: () => unknown): unknown {
  try {
    return work();
  } catch (thrown) {
    return thrown;
  }
}
