import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  checkDynamicPrefixes,
  type DynamicNeighbourConfig,
  endingNeighbours,
  judgeNeighbour,
  type LiveNeighbour,
  neighbourKey,
} from '../../../src/bgp-speaker/transport/dynamic-neighbours.ts';
import { Address, Cidr } from '../../../src/net/index.ts';

const address = (text: string) => Address.parse(text);
const cidr = (text: string) => Cidr.parse(text);
const from = (text: string) => ({ address: address(text), port: 40_000 });
const live = (text: string, prefix: string, sinceMs = 0, isEstablished = true): LiveNeighbour => ({
  address: address(text),
  prefix: cidr(prefix),
  sinceMs,
  isEstablished,
});
const racks: DynamicNeighbourConfig = {
  configured: [{ address: address('10.1.0.7') }],
  prefixes: [
    { peers: cidr('10.0.0.0/8'), maximumPeers: 3 },
    { peers: cidr('10.1.0.0/16'), maximumPeers: 2 },
  ],
};

describe('a connection from a prefix that is listened to', () => {
  test('the longest prefix that holds the address admits it', () => {
    expect(judgeNeighbour(racks, [], from('10.1.2.3'), 5)).toEqual({
      outcome: 'new',
      neighbour: live('10.1.2.3', '10.1.0.0/16', 5, false),
    });
    expect(judgeNeighbour(racks, [], from('10.2.2.3'), 5)).toMatchObject({ neighbour: { prefix: cidr('10.0.0.0/8') } });
    expect(judgeNeighbour(racks, [], from('11.0.0.1'), 5)).toEqual({ outcome: 'refused', reason: 'unknown' });
    expect(judgeNeighbour(racks, [], from('2001:db8::1'), 5)).toEqual({ outcome: 'refused', reason: 'unknown' });
  });

  test('a configured peer is no dynamic one, whatever the prefixes say', () => {
    expect(judgeNeighbour(racks, [], from('10.1.0.7'), 5)).toEqual({
      outcome: 'configured',
      neighbour: { address: address('10.1.0.7') },
    });
  });

  test('a second connection of a dynamic peer needs no room', () => {
    const peers = [live('10.1.0.1', '10.1.0.0/16'), live('10.1.0.2', '10.1.0.0/16')];
    expect(judgeNeighbour(racks, peers, from('10.1.0.2'), 5)).toEqual({ outcome: 'known', neighbour: peers[1] });
  });

  test('a full prefix refuses, although a shorter one has room', () => {
    const peers = [live('10.1.0.1', '10.1.0.0/16'), live('10.1.0.2', '10.1.0.0/16')];
    expect(judgeNeighbour(racks, peers, from('10.1.0.3'), 99_999)).toEqual({
      outcome: 'refused',
      reason: 'full',
      prefix: cidr('10.1.0.0/16'),
      maximumPeers: 2,
    });
    expect(judgeNeighbour(racks, peers, from('10.2.0.3'), 5).outcome).toBe('new');
  });

  test('at the cap the oldest connection without a session gives way, after the grace', () => {
    const peers = [live('10.1.0.1', '10.1.0.0/16', 1000, false), live('10.1.0.2', '10.1.0.0/16', 500, false)];
    expect(judgeNeighbour(racks, peers, from('10.1.0.3'), 10_499).outcome).toBe('refused');
    expect(judgeNeighbour(racks, peers, from('10.1.0.3'), 10_500)).toMatchObject({ outcome: 'new', evict: peers[1] });
    expect(judgeNeighbour({ ...racks, openingGraceMs: 1 }, peers, from('10.1.0.3'), 1001)).toMatchObject({
      evict: peers[1],
    });
  });

  test('a lowered cap is not kept full by evictions', () => {
    const peers = ['10.1.0.1', '10.1.0.2', '10.1.0.3'].map((text) => live(text, '10.1.0.0/16', 0, false));
    expect(judgeNeighbour(racks, peers, from('10.1.0.4'), 99_999)).toMatchObject({
      outcome: 'refused',
      reason: 'full',
    });
  });

  test('link-local neighbours with one address on two interfaces are two', () => {
    const config = {
      configured: [{ address: address('fe80::1'), interface: 'eth0' }],
      prefixes: [{ peers: cidr('fe80::/64') }],
    };
    const via = (name: string) => judgeNeighbour(config, [], { address: address('fe80::1'), interface: name }, 0);
    expect(via('eth0').outcome).toBe('configured');
    expect(via('eth1')).toMatchObject({ outcome: 'new', neighbour: { interface: 'eth1' } });
  });
});

describe('dynamic peers under a new configuration', () => {
  const peers = [live('10.1.0.9', '10.1.0.0/16'), live('10.1.0.7', '10.1.0.0/16'), live('10.2.0.1', '10.0.0.0/8')];

  test('those stay whom the same prefix would admit again', () => {
    expect(endingNeighbours(racks, peers)).toEqual([{ neighbour: peers[1], reason: 'configured' }]);
    const capped = racks.prefixes.map((prefix) => ({ ...prefix, maximumPeers: 1 }));
    expect(endingNeighbours({ configured: [], prefixes: capped }, peers)).toEqual([]);
  });

  test('those end whose prefix has gone or counts no more', () => {
    const finer = { configured: [], prefixes: [...racks.prefixes, { peers: cidr('10.2.0.0/24') }] };
    expect(endingNeighbours(finer, peers)).toEqual([{ neighbour: peers[2], reason: 'prefix' }]);
    expect(endingNeighbours({ configured: [], prefixes: [] }, peers).map(({ neighbour }) => neighbour)).toEqual([
      peers[1],
      peers[0],
      peers[2],
    ]);
  });
});

test('prefixes that are wrong are named', () => {
  const prefixes = [{ peers: cidr('10.0.0.0/8'), maximumPeers: 0 }, { peers: cidr('10.0.0.0/8') }];
  expect(() => checkDynamicPrefixes(prefixes)).toThrow(
    'maximumPeers: 0 is not a whole number from 1 to 100000 (for 10.0.0.0/8); peers: 10.0.0.0/8 is given twice',
  );
  checkDynamicPrefixes(racks.prefixes);
});

/** A caller that keeps the table as it is told to. */
test('whatever happens, no prefix holds more than its cap, and no session ends for a newcomer', () => {
  const base = address('10.0.0.0').value;
  const anyAddress = fc.nat(15).map((host) => Address.of(4, base + BigInt(host)));
  const anyPrefix = fc.record({
    host: fc.nat(15),
    length: fc.integer({ min: 28, max: 31 }),
    cap: fc.integer({ min: 1, max: 3 }),
  });
  const anyConfig = fc
    .record({
      prefixes: fc.uniqueArray(anyPrefix, {
        maxLength: 4,
        selector: ({ host, length }) => `${host >> (32 - length)}/${length}`,
      }),
      configured: fc.array(anyAddress, { maxLength: 2 }),
    })
    .map(({ prefixes, configured }) => ({
      prefixes: prefixes.map(({ host, length, cap }) => ({
        peers: Cidr.containing(Address.of(4, base + BigInt(host)), length),
        maximumPeers: cap,
      })),
      configured: configured.map((each) => ({ address: each })),
      openingGraceMs: 3,
    }));
  const anyEvent = fc.record({ address: anyAddress, kind: fc.constantFrom('connect', 'connect', 'establish', 'end') });
  fc.assert(
    fc.property(anyConfig, fc.array(anyEvent, { maxLength: 40 }), (config, events) => {
      checkDynamicPrefixes(config.prefixes);
      const peers = new Map<string, LiveNeighbour>();
      events.forEach((event, nowMs) => {
        const key = neighbourKey(event);
        const peer = peers.get(key);
        if (event.kind === 'end') peers.delete(key);
        else if (event.kind === 'establish') {
          if (peer) peers.set(key, { ...peer, isEstablished: true });
        } else {
          const verdict = judgeNeighbour(config, [...peers.values()], event, nowMs);
          const held = config.prefixes.filter(({ peers: prefix }) => prefix.contains(event.address));
          const longest = held.sort((a, b) => b.peers.prefixLength - a.peers.prefixLength)[0];
          const isConfigured = config.configured.some((each) => each.address.equals(event.address));
          expect(verdict.outcome === 'configured').toBe(isConfigured);
          if (verdict.outcome === 'new') {
            expect(verdict.neighbour.prefix).toEqual(longest?.peers);
            if (verdict.evict) {
              expect(verdict.evict.isEstablished).toBe(false);
              expect(peers.delete(neighbourKey(verdict.evict))).toBe(true);
            }
            peers.set(key, verdict.neighbour);
          }
          if (verdict.outcome === 'refused') expect(verdict.reason).toBe(longest ? 'full' : 'unknown');
        }
        for (const { peers: prefix, maximumPeers } of config.prefixes) {
          const count = [...peers.values()].filter((each) => String(each.prefix) === String(prefix)).length;
          expect(count).toBeLessThanOrEqual(maximumPeers);
        }
      });
      expect(endingNeighbours(config, [...peers.values()])).toEqual([]);
    }),
  );
});
