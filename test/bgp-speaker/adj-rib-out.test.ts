import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { AddressFamily } from '../../src/bgp-speaker/message/assigned-numbers.ts';
import type { PathAttributes } from '../../src/bgp-speaker/message/path-attributes.ts';
import { UpdatePacker } from '../../src/bgp-speaker/message/update-packer.ts';
import { AdjRibOut } from '../../src/bgp-speaker/rib/adj-rib-out.ts';
import { Address, Cidr } from '../../src/net/index.ts';

const families: readonly AddressFamily[] = ['ipv4-unicast', 'ipv6-unicast'];
const context = { fourOctetAs: true, ipv4NextHopOverIpv6: true, maximumLength: 4096 };
const hop = Address.parse('2001:db8::1');

/** IPv4 and IPv6 alike by way of an IPv6 next hop; the metric tells sets apart. */
const metric = (multiExitDiscriminator: number): PathAttributes => ({
  asPath: [65001],
  nextHop: hop,
  multiExitDiscriminator,
});

/** A peer that reads what the library sends, with a decoder of its own for just these messages. */
class Peer {
  readonly table = new Map<string, number>();
  messages = 0;
  readonly packer = new UpdatePacker(context, (bytes) => this.#read(Buffer.from(bytes)));

  #read(bytes: Buffer): void {
    this.messages += 1;
    const withdrawn = bytes.readUInt16BE(19);
    for (const prefix of this.#prefixes(bytes.subarray(21, 21 + withdrawn), 4))
      expect(this.table.delete(prefix)).toBe(true);
    if (withdrawn > 0) return;
    const length = bytes.readUInt16BE(25);
    const value = bytes.subarray(27, 27 + length);
    const width = value[1] === 1 ? 4 : 16;
    if (bytes[24] === 15) {
      for (const prefix of this.#prefixes(value.subarray(3), width)) expect(this.table.delete(prefix)).toBe(true);
      return;
    }
    const med = bytes.subarray(27 + length).readUInt32BE(bytes.length - 27 - length - 4);
    for (const prefix of this.#prefixes(value.subarray(5 + 16), width)) this.table.set(prefix, med);
  }

  *#prefixes(bytes: Buffer, width: number): Generator<string> {
    for (let at = 0; at < bytes.length; ) {
      const length = bytes[at] ?? 0;
      const count = Math.ceil(length / 8);
      const address = Buffer.alloc(width);
      bytes.copy(address, 0, at + 1, at + 1 + count);
      yield `${Address.fromBytes(address)}/${length}`;
      at += 1 + count;
    }
  }
}

const prefixes = [
  '10.0.0.0/8',
  '10.0.0.0/16',
  '10.0.0.0/32',
  '10.0.0.1/32',
  '0.0.0.0/0',
  '198.51.100.0/24',
  '2001:db8::/32',
  '2001:db8::/64',
  '2001:db8::1/128',
  '2001:db8::2/128',
  '::/0',
].map((text) => Cidr.parse(text));

describe('AdjRibOut', () => {
  test('whatever is asked, after a flush the peer has what it should, and nothing is sent without need', () => {
    const prefix = fc.constantFrom(...prefixes);
    const operation = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('announce' as const), prefix, med: fc.nat(3) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('withdraw' as const), prefix }) },
      fc.record({
        kind: fc.constant('replaceAll' as const),
        routes: fc.array(fc.tuple(prefix, fc.nat(3)), { maxLength: 8 }),
      }),
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constantFrom('flush' as const, 'refresh' as const, 'down' as const) }),
      },
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        const rib = new AdjRibOut();
        let peer = new Peer();
        const model = new Map<string, number>();
        const settle = () => {
          expect(rib.flush(peer.packer, families)).toEqual([]);
          expect([...peer.table].sort()).toEqual([...model].sort());
          const before = peer.messages;
          rib.flush(peer.packer, families);
          expect(peer.messages).toBe(before);
          expect(rib.size).toBe(model.size);
          expect(rib.attributeSets).toBe(new Set(model.values()).size);
        };
        for (const step of operations) {
          switch (step.kind) {
            case 'announce':
              rib.announce(step.prefix, metric(step.med));
              model.set(step.prefix.toString(), step.med);
              break;
            case 'withdraw':
              rib.withdraw(step.prefix);
              model.delete(step.prefix.toString());
              break;
            case 'replaceAll':
              rib.replaceAll(step.routes.map(([one, med]) => [one, metric(med)] as const));
              model.clear();
              for (const [one, med] of step.routes) model.set(one.toString(), med);
              break;
            case 'down':
              rib.forgetSent();
              peer = new Peer();
              break;
            case 'refresh': {
              for (const family of families) rib.refresh(peer.packer, family);
              expect([...peer.table].sort()).toEqual([...model].sort());
              const other = new Peer();
              for (const family of families) rib.refresh(other.packer, family);
              expect([...other.table].sort()).toEqual([...model].sort());
              break;
            }
            case 'flush':
              settle();
          }
        }
        settle();
      }),
      { numRuns: 300 },
    );
  });

  test('a change and its opposite send nothing', () => {
    const rib = new AdjRibOut();
    const peer = new Peer();
    const [first = Cidr.parse('10.0.0.0/8'), second = first] = prefixes;
    rib.announce(first, metric(1));
    rib.flush(peer.packer, families);
    rib.announce(first, metric(2));
    rib.announce(first, metric(1));
    rib.announce(second, metric(1));
    rib.withdraw(second);
    rib.flush(peer.packer, families);
    expect(peer.messages).toBe(1);
    expect(rib.size).toBe(1);
  });

  test('routes are packed by attribute set however they came', () => {
    const rib = new AdjRibOut();
    const peer = new Peer();
    for (let index = 0; index < 600; index++) {
      rib.announce(Cidr.of(Address.of(4, BigInt(index)), 32), metric(index % 3));
    }
    rib.flush(peer.packer, families);
    expect(peer.messages).toBe(3);
    expect(peer.table.size).toBe(600);
  });

  test('families not negotiated wait', () => {
    const rib = new AdjRibOut();
    const peer = new Peer();
    for (const prefix of prefixes) rib.announce(prefix, metric(1));
    rib.flush(peer.packer, ['ipv4-unicast']);
    expect([...peer.table.keys()].some((prefix) => prefix.includes(':'))).toBe(false);
    expect(rib.hasChanges).toBe(true);
    rib.flush(peer.packer, families);
    expect(peer.table.size).toBe(prefixes.length);
  });

  test('what this peer cannot take is told, and withdrawn if it had another route', () => {
    const rib = new AdjRibOut();
    const peer = new Peer();
    const prefix = Cidr.parse('2001:db8::/32');
    rib.announce(prefix, metric(1));
    rib.flush(peer.packer, families);
    const wrong = { ...metric(1), nextHop: Address.parse('192.0.2.1') };
    rib.announce(prefix, wrong);
    const [unsendable] = rib.flush(peer.packer, families);
    expect(unsendable).toMatchObject({ family: 'ipv6-unicast', attributes: wrong, prefixes: 1 });
    expect(unsendable?.error.message).toMatch(/^nextHop 192\.0\.2\.1/);
    expect(peer.table.size).toBe(0);
    rib.announce(prefix, metric(2));
    expect(rib.flush(peer.packer, families)).toEqual([]);
    expect(peer.table.get('2001:db8::/32')).toBe(2);
    rib.announce(prefix, wrong);
    rib.flush(peer.packer, families);
    rib.withdraw(prefix);
    rib.flush(peer.packer, families);
    expect([rib.size, rib.attributeSets, peer.table.size]).toEqual([0, 0, 0]);
  });

  test('attributes that nobody could take change nothing', () => {
    const rib = new AdjRibOut();
    const bad = { ...metric(1), communities: [-1] };
    const prefix = Cidr.parse('10.0.0.0/8');
    rib.announce(prefix, metric(1));
    expect(() => rib.announce(prefix, bad)).toThrow(/^communities/);
    expect(() =>
      rib.replaceAll([
        [Cidr.parse('192.0.2.0/24'), metric(2)],
        [prefix, bad],
      ]),
    ).toThrow(/^communities/);
    expect(rib.attributeSets).toBe(1);
    const peer = new Peer();
    rib.flush(peer.packer, families);
    expect([...peer.table]).toEqual([['10.0.0.0/8', 1]]);
  });

  test.each([4, 6] as const)('IPv%i prefixes are found after others have gone', (family) => {
    const rib = new AdjRibOut();
    const peer = new Peer();
    const all = Array.from({ length: 3000 }, (_, index) => {
      return Cidr.of(Address.of(family, BigInt(index) * 7919n), family === 4 ? 32 : 128);
    });
    for (const prefix of all) rib.announce(prefix, metric(1));
    rib.flush(peer.packer, families);
    const stays = all.filter((_, index) => (index * 31) % 7 < 4);
    const gone = all.filter((prefix) => !stays.includes(prefix));
    for (const prefix of gone) rib.withdraw(prefix);
    rib.flush(peer.packer, families);
    const { messages } = peer;
    for (const prefix of stays) rib.announce(prefix, metric(1));
    rib.flush(peer.packer, families);
    expect([rib.size, peer.table.size, peer.messages]).toEqual([stays.length, stays.length, messages]);
    for (const prefix of all) rib.announce(prefix, metric(2));
    rib.flush(peer.packer, families);
    expect([rib.size, peer.table.size]).toEqual([all.length, all.length]);
  });

  test.each([
    ['IPv4', 4, 32, 60_000],
    ['IPv4, just after the index grew', 4, 32, 52_430],
    ['IPv6', 6, 128, 60_000],
    ['IPv6, just after the index grew', 6, 128, 52_430],
  ] as const)('%s: at most 40 bytes a prefix, and slots are used again', (_, family, length, count) => {
    const rib = new AdjRibOut();
    const attributes = metric(1);
    const packer = new UpdatePacker(context, () => {});
    const prefix = (index: number) => Cidr.of(Address.of(family, BigInt(index) * 7919n), length);
    for (let index = 0; index < count; index++) rib.announce(prefix(index), attributes);
    rib.flush(packer, families);
    const full = rib.memoryBytes;
    expect(full / count).toBeLessThanOrEqual(40);
    for (let index = 0; index < count; index++) rib.withdraw(prefix(index));
    rib.flush(packer, families);
    expect([rib.size, rib.attributeSets]).toEqual([0, 0]);
    for (let index = 0; index < count; index++) rib.announce(prefix(count + index), attributes);
    expect(rib.memoryBytes).toBe(full);
  });
});
