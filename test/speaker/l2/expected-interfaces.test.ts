import { describe, expect, test } from '@jest/globals';
import { Cidr } from '../../../src/net/index.ts';
import { type Expectation, expectedInterfaces, type InterfaceFacts } from '../../../src/speaker/l2/interface-choice.ts';

const usual = { ethernet: true, up: true, broadcast: true, loopback: false, noArp: false, enslaved: false };
const facts = (index: number, name: string, ...subnets: string[]): InterfaceFacts => ({
  ...usual,
  index,
  name,
  subnets: subnets.map((text) => Cidr.parse(text)),
});
const all = [
  facts(1, 'fabric0', '10.77.0.0/24'),
  facts(2, 'mgmt0', '172.31.40.0/24'),
  facts(3, 'tun0'),
  facts(4, 'ovn0', '100.64.0.0/16'),
  { ...facts(5, 'down0', '10.79.0.0/24'), up: false },
];

describe('expectedInterfaces', () => {
  test.each<[string, Expectation | undefined, number[]]>([
    ['nothing is known: every usual one with a subnet', undefined, [1, 2]],
    ['no advertisement: none', { named: [], ranges: [] }, []],
    [
      'named ones, with or without a subnet, excluded by name or not',
      { named: ['tun0', 'ovn0', 'no0'], ranges: [] },
      [3, 4],
    ],
    ['a range goes where its subnet is', { named: [], ranges: ['10.77.0.100-10.77.0.199'] }, [1]],
    ['a range that touches no subnet may go anywhere', { named: [], ranges: ['192.0.2.0-192.0.2.9'] }, [1, 2]],
    ['a range stays with its subnet while the link is down', { named: [], ranges: ['10.79.0.1-10.79.0.2'] }, [5]],
    ['both', { named: ['mgmt0'], ranges: ['10.77.0.1'] }, [1, 2]],
  ])('%s', (_, expectation, indexes) => {
    expect([...expectedInterfaces(expectation, all)].sort()).toEqual(indexes);
  });
});
