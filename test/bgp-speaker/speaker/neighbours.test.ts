import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type ConfiguredPeer,
  type DynamicPeer,
  type DynamicRange,
  ownerOf,
} from '../../../src/bgp-speaker/speaker/neighbours.ts';
import { Address, Cidr } from '../../../src/net/index.ts';

const address = (text: string) => Address.parse(text);
const from = (text: string) => ({ address: address(text), port: 40_000 });
const session = (text?: string, link?: string): ConfiguredPeer => {
  const at = text === undefined ? undefined : address(text);
  return { address: at, options: { address: at, interface: link } };
};
/** A peer that was found, or not yet. */
const unnumbered = (link: string, found?: string): ConfiguredPeer => ({
  ...session(undefined, link),
  address: found === undefined ? undefined : address(found),
});
const live = (text: string, prefix: string, sinceMs = 0, isEstablished = true): DynamicPeer<ConfiguredPeer> => ({
  session: session(text),
  address: address(text),
  prefix: Cidr.parse(prefix),
  interface: undefined,
  sinceMs,
  isEstablished,
});
const range = (peers: string, maximumPeers: number, link?: string): DynamicRange => ({
  peers: Cidr.parse(peers),
  maximumPeers,
  interface: link,
});
const racks = [range('10.0.0.0/8', 3), range('10.1.0.0/16', 2)];

describe('a connection from a prefix that is listened to', () => {
  test('the longest prefix that holds the address admits it', () => {
    const admits = (text: string) => ownerOf(from(text), [], [], racks, 5);
    expect(admits('10.1.2.3')).toEqual({ kind: 'new', range: racks[1], evict: undefined });
    expect(admits('10.2.2.3')).toEqual({ kind: 'new', range: racks[0], evict: undefined });
    expect(admits('11.0.0.1')).toEqual({ kind: 'refused', reason: 'not-admitted' });
    expect(admits('2001:db8::1')).toEqual({ kind: 'refused', reason: 'not-admitted' });
  });

  test('a configured peer is no dynamic one, whatever the prefixes say', () => {
    const configured = session('10.1.0.7');
    const owner = ownerOf(from('10.1.0.7'), [configured], [live('10.1.0.7', '10.1.0.0/16')], racks, 5);
    expect(owner).toEqual({ kind: 'session', session: configured });
    if (owner.kind === 'session') expect(owner.session).toBe(configured);
  });

  test('a second connection of a dynamic peer needs no room', () => {
    const peers = [live('10.1.0.1', '10.1.0.0/16'), live('10.1.0.2', '10.1.0.0/16')];
    const owner = ownerOf(from('10.1.0.2'), [], peers, racks, 5);
    expect(owner).toEqual({ kind: 'session', session: peers[1]?.session });
  });

  test('a full prefix refuses, although a shorter one has room', () => {
    const peers = [live('10.1.0.1', '10.1.0.0/16'), live('10.1.0.2', '10.1.0.0/16')];
    expect(ownerOf(from('10.1.0.3'), [], peers, racks, 99_999)).toEqual({ kind: 'refused', reason: 'too-many' });
    expect(ownerOf(from('10.2.0.3'), [], peers, racks, 5)).toMatchObject({ kind: 'new', range: racks[0] });
  });

  test('at the cap the oldest connection without a session gives way, after the grace', () => {
    const peers = [live('10.1.0.1', '10.1.0.0/16', 1000, false), live('10.1.0.2', '10.1.0.0/16', 500, false)];
    expect(ownerOf(from('10.1.0.3'), [], peers, racks, 10_499).kind).toBe('refused');
    const owner = ownerOf(from('10.1.0.3'), [], peers, racks, 10_500);
    expect(owner).toEqual({ kind: 'new', range: racks[1], evict: peers[1]?.session });
    expect(ownerOf(from('10.1.0.3'), [], peers, racks, 11_000)).toEqual(owner);
  });

  test('a lowered cap is not kept full by evictions', () => {
    const peers = ['10.1.0.1', '10.1.0.2', '10.1.0.3'].map((text) => live(text, '10.1.0.0/16', 0, false));
    expect(ownerOf(from('10.1.0.4'), [], peers, racks, 99_999)).toEqual({ kind: 'refused', reason: 'too-many' });
  });
});

describe('link-local neighbours', () => {
  const via = (link: string, text = 'fe80::1') => ({ address: address(text), interface: link });

  test('with one address on two interfaces are two', () => {
    const configured = [session('fe80::1', 'eth0')];
    const ranges = [range('fe80::/64', 100, 'eth1')];
    expect(ownerOf(via('eth0'), configured, [], ranges, 0)).toEqual({ kind: 'session', session: configured[0] });
    expect(ownerOf(via('eth1'), configured, [], ranges, 0)).toMatchObject({ kind: 'new', range: ranges[0] });
    expect(ownerOf(via('eth2'), configured, [], ranges, 0)).toEqual({ kind: 'refused', reason: 'not-admitted' });
  });

  test('one on a link that is full takes no room on another', () => {
    const ranges = [range('fe80::/64', 1, 'eth0'), range('fe80::/64', 1, 'eth1')];
    const there = { ...live('fe80::1', 'fe80::/64'), interface: 'eth0' };
    expect(ownerOf(via('eth0', 'fe80::2'), [], [there], ranges, 0)).toEqual({ kind: 'refused', reason: 'too-many' });
    expect(ownerOf(via('eth1', 'fe80::2'), [], [there], ranges, 0)).toMatchObject({ kind: 'new', range: ranges[1] });
    expect(ownerOf(via('eth1'), [], [there], ranges, 0)).toMatchObject({ kind: 'new', range: ranges[1] });
  });

  test('an unnumbered peer is who was found on its link, unless that one has a session of its own', () => {
    const peers = [unnumbered('eth0', 'fe80::9'), unnumbered('eth1', 'fe80::1'), session('fe80::1', 'eth1')];
    const owner = (link: string, text: string) => ownerOf(via(link, text), peers, [], [], 0);
    expect(owner('eth0', 'fe80::9')).toEqual({ kind: 'session', session: peers[0] });
    expect(owner('eth1', 'fe80::1')).toEqual({ kind: 'session', session: peers[2] });
    const refused = { kind: 'refused', reason: 'not-admitted' };
    expect(owner('eth0', 'fe80::8')).toEqual(refused);
    expect(owner('eth1', 'fe80::9')).toEqual(refused);
    expect(owner('eth0', '2001:db8::9')).toEqual(refused);
    expect(ownerOf(via('eth0', 'fe80::9'), [unnumbered('eth0')], [], [], 0)).toEqual(refused);
  });
});

/** A caller that keeps the table as it is told to. */
test('whatever happens, no prefix holds more than its cap, and no session ends for a newcomer', () => {
  const base = address('10.0.0.0').value;
  const anyAddress = fc.nat(15).map((host) => Address.of(4, base + BigInt(host)));
  const anyRange = fc.record({
    host: fc.nat(15),
    length: fc.integer({ min: 28, max: 31 }),
    cap: fc.integer({ min: 1, max: 3 }),
  });
  const anyConfig = fc
    .record({
      ranges: fc.uniqueArray(anyRange, {
        maxLength: 4,
        selector: ({ host, length }) => `${host >> (32 - length)}/${length}`,
      }),
      configured: fc.array(anyAddress, { maxLength: 2 }),
    })
    .map(({ ranges, configured }) => ({
      ranges: ranges.map(({ host, length, cap }) => ({
        peers: Cidr.containing(Address.of(4, base + BigInt(host)), length),
        maximumPeers: cap,
        interface: undefined,
      })),
      configured: configured.map((each) => session(String(each))),
    }));
  const anyEvent = fc.record({ address: anyAddress, kind: fc.constantFrom('connect', 'connect', 'establish', 'end') });
  fc.assert(
    fc.property(anyConfig, fc.array(anyEvent, { maxLength: 40 }), ({ ranges, configured }, events) => {
      const peers = new Map<string, DynamicPeer<ConfiguredPeer>>();
      events.forEach((event, index) => {
        // Three events are the grace.
        const nowMs = index * 3_334;
        const key = String(event.address);
        const peer = peers.get(key);
        if (event.kind === 'end') peers.delete(key);
        else if (event.kind === 'establish') {
          if (peer) peers.set(key, { ...peer, isEstablished: true });
        } else {
          const owner = ownerOf(event, configured, [...peers.values()], ranges, nowMs);
          const held = ranges.filter(({ peers: prefix }) => prefix.contains(event.address));
          const longest = held.toSorted((a, b) => b.peers.prefixLength - a.peers.prefixLength)[0];
          const own = configured.find((each) => each.options.address?.equals(event.address));
          expect(owner.kind === 'session').toBe(own !== undefined || peer !== undefined);
          if (owner.kind === 'session') expect(owner.session).toBe(own ?? peer?.session);
          if (owner.kind === 'new') {
            expect(owner.range).toBe(longest);
            if (owner.evict) {
              const evicted = peers.get(String(owner.evict.options.address));
              expect(evicted).toMatchObject({ isEstablished: false, session: owner.evict });
              expect(nowMs - (evicted?.sinceMs ?? nowMs)).toBeGreaterThanOrEqual(10_000);
              peers.delete(String(evicted?.address));
            }
            peers.set(key, live(key, String(owner.range.peers), nowMs, false));
          }
          if (owner.kind === 'refused') expect(owner.reason).toBe(longest ? 'too-many' : 'not-admitted');
        }
        for (const { peers: prefix, maximumPeers } of ranges) {
          const count = [...peers.values()].filter((each) => String(each.prefix) === String(prefix)).length;
          expect(count).toBeLessThanOrEqual(maximumPeers);
        }
      });
    }),
  );
});
