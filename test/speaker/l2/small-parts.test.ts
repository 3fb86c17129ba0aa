import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Address, Cidr } from '../../../src/net/index.ts';
import { AnnouncementSchedule } from '../../../src/speaker/l2/announcement-schedule.ts';
import { DeadlineQueue } from '../../../src/speaker/l2/deadline-queue.ts';
import { chooseInterfaces, type InterfaceFacts, isExcluded } from '../../../src/speaker/l2/interface-choice.ts';
import { LatenessHistogram } from '../../../src/speaker/l2/lateness-histogram.ts';
import { OwnedDigest } from '../../../src/speaker/l2/owned-digest.ts';
import { hashText, rendezvousWeight } from '../../../src/speaker/l2/rendezvous.ts';
import { ReplayWindow } from '../../../src/speaker/l2/replay-window.ts';
import { timingOf } from '../../../src/speaker/l2/timing.ts';

describe('replay window', () => {
  test('lets each number in once, late ones as far back as 31', () => {
    const window = new ReplayWindow(100);
    expect(window.accept(100)).toBe('replayed');
    expect(window.accept(99)).toBe('replayed');
    expect(window.accept(103)).toBe('newest');
    expect(window.accept(102)).toBe('late');
    expect(window.accept(102)).toBe('replayed');
    expect(window.accept(101)).toBe('late');
    expect(window.accept(200)).toBe('newest');
    expect(window.accept(169)).toBe('late');
    expect(window.accept(168)).toBe('replayed');
    expect(window.accept(2 ** 47)).toBe('newest');
    expect(window.accept(200)).toBe('replayed');
  });

  test('agrees with a set that remembers everything', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 200 })), (numbers) => {
        const window = new ReplayWindow(0);
        const seen = new Set<number>();
        let highest = 0;
        for (const number of numbers) {
          const fresh = !seen.has(number) && number > highest - 32 && number > 0;
          expect(window.accept(number) !== 'replayed').toBe(fresh);
          if (fresh) seen.add(number);
          highest = Math.max(highest, number);
        }
      }),
    );
  });
});

describe('deadline queue', () => {
  test('gives what is due, earliest first', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 100 })), fc.integer({ min: 0, max: 100 }), (times, now) => {
        const queue = new DeadlineQueue<number>();
        for (const time of times) queue.push(time, time);
        const out: number[] = [];
        for (let item = queue.popDue(now); item; item = queue.popDue(now)) out.push(item.value);
        const sorted = times.toSorted((a, b) => a - b);
        expect(out).toEqual(sorted.filter((time) => time <= now));
        expect(queue.nextMs).toBe(sorted.find((time) => time > now) ?? Number.POSITIVE_INFINITY);
        expect(queue.size).toBe(times.length - out.length);
      }),
    );
  });
});

describe('rendezvous hashing', () => {
  const nodes = Array.from({ length: 10 }, (_, i) => `node-${i}`);
  const order = (address: string, among: readonly string[]) => {
    const weights = new Map(among.map((name) => [name, rendezvousWeight(hashText(address), hashText(name))]));
    return among.toSorted((a, b) => (weights.get(b) ?? 0) - (weights.get(a) ?? 0));
  };
  const addresses = Array.from({ length: 1_000 }, (_, i) => `192.0.${2 + (i >> 8)}.${i & 255}`);

  test('spreads first places and second places evenly', () => {
    for (const place of [0, 1]) {
      const counts = new Map<string, number>();
      for (const address of addresses) {
        const name = order(address, nodes)[place] ?? '';
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
      for (const name of nodes) {
        expect(counts.get(name)).toBeGreaterThan(65);
        expect(counts.get(name)).toBeLessThan(140);
      }
    }
  });

  test('a node that goes changes the order of no others', () => {
    for (const address of addresses.slice(0, 100)) {
      const all = order(address, nodes);
      expect(order(address, nodes.slice(1))).toEqual(all.filter((name) => name !== nodes[0]));
    }
  });
});

test('the digest of a set does not depend on the order, and shows every difference', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.ipV4(), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 1, max: 9 }),
      (set, epoch) => {
        const forwards = new OwnedDigest();
        const backwards = new OwnedDigest();
        for (const address of set) forwards.toggle(address, epoch);
        for (const address of set.toReversed()) backwards.toggle(address, epoch);
        expect(backwards.equals(forwards.high, forwards.low)).toBe(true);
        backwards.toggle(set[0] ?? '', epoch);
        expect(backwards.equals(forwards.high, forwards.low)).toBe(false);
        backwards.toggle(set[0] ?? '', epoch + 1);
        expect(backwards.equals(forwards.high, forwards.low)).toBe(false);
      },
    ),
  );
});

describe('announcement schedule', () => {
  /** Times, relative to the start, at which an address is announced. */
  function timesOf(schedule: AnnouncementSchedule, address: string, untilMs: number, budget = 100): number[] {
    const times: number[] = [];
    for (let ms = 0; ms <= untilMs; ms = Math.max(ms + 10, Math.min(schedule.nextMs, untilMs + 1))) {
      if (schedule.take(ms, budget).includes(address)) times.push(ms);
    }
    return times;
  }

  test('announces five times within three seconds, then every 60 to 100 s', () => {
    const early = new AnnouncementSchedule(() => 0);
    early.start('a', 0);
    expect(timesOf(early, 'a', 130_000)).toEqual([0, 100, 400, 1_200, 3_000, 63_000, 123_000]);
    const late = new AnnouncementSchedule(() => 0.999999);
    late.start('a', 0);
    const times = timesOf(late, 'a', 130_000);
    expect(times[5]).toBeGreaterThan(102_000);
    expect(times[5]).toBeLessThanOrEqual(103_000);
  });

  test('stops when told, starts over when told', () => {
    const schedule = new AnnouncementSchedule(() => 0);
    schedule.start('a', 0);
    expect(schedule.take(0, 9)).toEqual(['a']);
    schedule.start('a', 50);
    expect(schedule.take(50, 9)).toEqual(['a']);
    expect(schedule.take(100, 9)).toEqual([]);
    expect(schedule.take(150, 9)).toEqual(['a']);
    schedule.stop('a');
    expect(schedule.take(100_000, 9)).toEqual([]);
    expect(schedule.size).toBe(0);
  });

  test('never gives more than the budget, and first announcements before repetitions', () => {
    const schedule = new AnnouncementSchedule(() => 0.5);
    for (let i = 0; i < 10; i++) schedule.start(`old-${i}`, 0);
    expect(schedule.take(0, 100)).toHaveLength(10);
    for (let i = 0; i < 10; i++) schedule.start(`new-${i}`, 100);
    expect(schedule.take(100, 8)).toEqual(Array.from({ length: 8 }, (_, i) => `new-${i}`));
    const rest = schedule.take(110, 8);
    expect(rest.slice(0, 2)).toEqual(['new-8', 'new-9']);
    expect(rest).toHaveLength(8);
  });
});

describe('choice of interfaces', () => {
  const link = (name: string, more: Partial<InterfaceFacts> & { net?: string } = {}): InterfaceFacts => ({
    index: name.length,
    name,
    ethernet: true,
    up: true,
    broadcast: true,
    loopback: false,
    noArp: false,
    enslaved: false,
    subnets: more.net === undefined ? [] : [Cidr.parse(more.net)],
    ...more,
  });
  const all = [
    link('lo', { loopback: true, net: '127.0.0.0/8' }),
    link('eth0', { net: '192.0.2.0/24' }),
    link('eth1', { net: '198.51.100.0/24' }),
    link('eth2'),
    link('eth3', { up: false }),
    link('bond-slave', { enslaved: true, net: '192.0.2.0/24' }),
    link('cali123', { net: '192.0.2.0/24' }),
    link('dummy0', { noArp: true, net: '192.0.2.0/24' }),
    link('wg0', { ethernet: false, net: '192.0.2.0/24' }),
  ];
  const choose = (address: string, named?: string[], from = all) => {
    const choice = chooseInterfaces(Address.parse(address), named, from);
    return choice.kind === 'chosen' ? choice.interfaces.map(({ name }) => name) : choice.message;
  };

  test.each([
    ['the one whose subnet holds it', '192.0.2.100', undefined, ['eth0']],
    ['all usable ones that are up when none has the subnet', '203.0.113.1', undefined, ['eth0', 'eth1', 'eth2']],
    ['those that are named, whatever their subnet', '192.0.2.100', ['eth2', 'eth1'], ['eth1', 'eth2']],
    ['one that is named though its name is excluded', '192.0.2.100', ['cali123'], ['cali123']],
    ['those of the named that can', '192.0.2.100', ['eth1', 'wg0', 'nope'], ['eth1']],
    ['any when the list of names is empty', '192.0.2.100', [], ['eth0']],
  ])('%s', (_what, address, named, expected) => {
    expect(choose(address, named)).toEqual(expected);
  });

  test('a subnet whose interface is down keeps its addresses', () => {
    expect(choose('192.0.2.1', undefined, [link('eth0', { up: false, net: '192.0.2.0/24' }), link('eth1')])).toEqual([
      'eth0',
    ]);
  });

  test('when nothing fits, says which and why', () => {
    expect(choose('192.0.2.1', ['wg0', 'lo', 'nope'])).toBe(
      'the L2Advertisement names interfaces that cannot announce: lo is a loopback; nope does not exist; wg0 is no Ethernet interface',
    );
    expect(choose('192.0.2.1', undefined, [])).toMatch(/no interface of this node can announce 192\.0\.2\.1/);
  });

  test.each([
    'eth0',
    'ens1f0',
    'bond0',
    'bond0.100',
    'br0',
    'br-ex',
    'br-mgmt',
    'fabric0',
    'vlan10',
    'team0',
    'enp3s0',
  ])('%s is a candidate', (name) => expect(isExcluded(name)).toBe(false));

  test.each([
    ...[
      'veth1a2b',
      'cali1',
      'cni0',
      'lxc1',
      'docker0',
      'br-0123456789ab',
      'br-int',
      'ovn0',
      'ovn-k8s-mp0',
      'ovs-system',
    ],
    ...[
      'genev_sys_6081',
      'kube-ipvs0',
      'nodelocaldns',
      'flannel.1',
      'tunl0',
      'virbr0',
      'mirror0',
      'cilium_host',
      '0123456789ab_h',
    ],
  ])('%s is not', (name) => expect(isExcluded(name)).toBe(true));
});

test('lateness is counted by how late', () => {
  const histogram = new LatenessHistogram();
  for (const ms of [0, 1, 1.5, 7, 5_000]) histogram.add(ms);
  expect(histogram.report()).toEqual({ counts: [2, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1], maximumMs: 5_000 });
});

test('the intervals fit together, whatever the heartbeat', () => {
  for (const heartbeatMs of [20, 50, 100, 200, 1_000, 5_000]) {
    const timing = timingOf(heartbeatMs);
    const window = timing.probeCount * timing.probeIntervalMs;
    expect(window).toBeLessThan(timing.holdMs);
    expect(timing.rankDelayMs).toBeGreaterThan(window);
    expect(timing.gateMarginMs).toBeLessThan(timing.holdMs - 2 * heartbeatMs + 1);
    expect(timing.holdMs).toBeLessThan(65_536);
  }
});
