import { describe, expect, test } from '@jest/globals';
import { addressing, describeLab, hostsOf, maximumNodes } from '../../lab/lab.ts';
import { table } from '../../lab/status.ts';
import { Address, AddressRange, Cidr, Mac } from '../../src/net/index.ts';

const lab = describeLab({ checkout: '/checkout', nodes: maximumNodes, ovn: 'full', router: 'bird' });

describe('the description of the lab', () => {
  test('no two NICs share an address, a MAC or a port, and Linux takes every name', () => {
    const nics = hostsOf(lab).flatMap((host) => host.nics);
    for (const pick of [nics.map((n) => n.mac), nics.map((n) => n.switchPort), nics.flatMap((n) => n.addresses)]) {
      expect(new Set(pick).size).toBe(pick.length);
    }
    for (const nic of nics) {
      expect(nic.switchPort.length).toBeLessThan(16);
      expect(Mac.parse(nic.mac).toString()).toBe(nic.mac);
    }
  });

  test('node-1 has the addresses that the documentation names', () => {
    expect(lab.nodes[0]).toMatchObject({
      name: 'node-1',
      fabricAddress: '10.77.0.21',
      fabricAddress6: 'fd77::21',
      mgmtAddress: '172.31.40.21',
      joinAddress: '100.64.0.2',
      dir: '/checkout/.lab/nodes/node-1',
    });
  });

  test('every address lies in its network, and no host has one of the pool', () => {
    const pool = AddressRange.parse(addressing.pool.range);
    for (const node of lab.nodes) {
      expect(Cidr.parse(addressing.fabric.cidr).contains(Address.parse(node.fabricAddress))).toBe(true);
      expect(Cidr.parse(addressing.mgmt.cidr).contains(Address.parse(node.mgmtAddress))).toBe(true);
      expect(Cidr.parse(addressing.tunnel.cidr).contains(Address.parse(node.tunnelAddress))).toBe(true);
      expect(Cidr.parse(addressing.join.cidr).contains(Address.parse(node.joinAddress))).toBe(true);
      expect(pool.contains(Address.parse(node.fabricAddress))).toBe(false);
    }
  });
});

test('a table is aligned, without blanks at the end of a line', () => {
  expect(
    table([
      ['HOST', 'NODE', 'PROCESSES'],
      ['switch', '-', ''],
      ['n', 'Ready', 'kubelet'],
    ]),
  ).toBe('HOST    NODE   PROCESSES\nswitch  -\nn       Ready  kubelet');
});
