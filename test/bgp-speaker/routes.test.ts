import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BgpArgumentError } from '../../src/bgp-speaker/errors.ts';
import type { AddressFamily } from '../../src/bgp-speaker/message/assigned-numbers.ts';
import type { PathAttributes, RouteAttributes } from '../../src/bgp-speaker/message/path-attributes.ts';
import type { RoutePolicy } from '../../src/bgp-speaker/rib/route-groups.ts';
import { RouteReader, type UnsendableRoutes } from '../../src/bgp-speaker/rib/route-reader.ts';
import { Routes } from '../../src/bgp-speaker/rib/routes.ts';
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

/** Everything as it is. */
const plain: RoutePolicy = { isByAttributes: true, apply: (attributes) => complete(attributes) };

function complete({ asPath = [], nextHop = hop, ...rest }: RouteAttributes): PathAttributes {
  return { ...rest, asPath, nextHop };
}

/** A peer that reads what the library sends, with a decoder of its own for just these messages. */
class Peer {
  readonly table = new Map<string, number>();
  /** Every announcement there was, as "PREFIX METRIC". */
  readonly announced: string[] = [];
  readonly unsendable: UnsendableRoutes[] = [];
  readonly reader: RouteReader;
  messages = 0;

  constructor(routes: Routes, policy = plain, wanted = families) {
    const onUnsendable = (some: UnsendableRoutes) => this.unsendable.push(some);
    this.reader = new RouteReader({ routes, families: wanted, context, policy, onUnsendable });
  }

  /** Takes at most so many messages of each family. */
  take(most = Number.POSITIVE_INFINITY): void {
    for (const family of this.reader.families) {
      for (let count = 0; count < most; count++) {
        const message = this.reader.next(family);
        if (!message || message === 'later') break;
        this.read(message);
      }
    }
  }

  read(message: Uint8Array): void {
    const bytes = Buffer.from(message);
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
    for (const prefix of this.#prefixes(value.subarray(5 + 16), width)) {
      this.table.set(prefix, med);
      this.announced.push(`${prefix} ${med}`);
    }
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

const isEven = (prefix: Cidr) => prefix.prefixLength % 16 === 0;

/** Lets through prefixes of some lengths, each a little changed. */
const choosy: RoutePolicy = {
  isByAttributes: false,
  apply: (attributes, _family, prefix) =>
    prefix && isEven(prefix) ? { ...complete(attributes), asPath: [65001, 65001] } : undefined,
};

describe('Routes', () => {
  test('whatever changes while peers read at their own pace, in the end each has what it should', () => {
    const prefix = fc.constantFrom(...prefixes);
    const operation = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('announce' as const), prefix, med: fc.nat(3) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('withdraw' as const), prefix }) },
      fc.record({
        kind: fc.constant('replaceAll' as const),
        routes: fc.array(fc.tuple(prefix, fc.nat(3)), { maxLength: 8 }),
      }),
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('publish' as const) }) },
      {
        weight: 4,
        arbitrary: fc.record({ kind: fc.constant('take' as const), peer: fc.nat(2), messages: fc.nat(2) }),
      },
      fc.record({ kind: fc.constantFrom('resend' as const, 'reconnect' as const), peer: fc.nat(2) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const routes = new Routes();
        const newPeer = (index: number) => new Peer(routes, index === 2 ? choosy : plain);
        const peers = [newPeer(0), newPeer(1), newPeer(2)];
        const model = new Map<string, number>();
        for (const step of operations) {
          switch (step.kind) {
            case 'announce':
              routes.announce(step.prefix, metric(step.med));
              model.set(step.prefix.toString(), step.med);
              break;
            case 'withdraw':
              routes.withdraw(step.prefix);
              model.delete(step.prefix.toString());
              break;
            case 'replaceAll':
              routes.replaceAll(step.routes.map(([one, med]) => [one, metric(med)] as const));
              model.clear();
              for (const [one, med] of step.routes) model.set(one.toString(), med);
              break;
            case 'publish':
              routes.publish();
              break;
            case 'take':
              peers[step.peer]?.take(step.messages);
              break;
            case 'resend':
              for (const family of families) peers[step.peer]?.reader.resend(family);
              break;
            case 'reconnect':
              peers[step.peer]?.reader.close();
              peers[step.peer] = newPeer(step.peer);
          }
        }
        routes.publish();
        for (const [index, peer] of peers.entries()) {
          peer.take();
          const wanted = [...model].filter(([text]) => index !== 2 || isEven(Cidr.parse(text)));
          expect([...peer.table].sort()).toEqual(wanted.sort());
          expect(peer.reader.prefixes).toBe(wanted.length);
          expect(peer.unsendable).toEqual([]);
          const before = peer.messages;
          peer.take();
          expect([peer.messages, peer.reader.isBehind]).toEqual([before, false]);
        }
        expect(routes.size).toBe(model.size);
        expect([...routes].map(([one]) => one.toString()).sort()).toEqual([...model.keys()].sort());
        expect(routes.attributeSets).toBe(new Set(model.values()).size);
        for (const family of families) {
          const table = routes.table(family);
          const wanted = [...model.keys()].filter((text) => text.includes(':') === (family === 'ipv6-unicast'));
          expect(table.size).toBe(wanted.length);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('a change and its opposite send nothing', () => {
    const routes = new Routes();
    const peer = new Peer(routes);
    const [first = Cidr.parse('10.0.0.0/8'), second = first] = prefixes;
    routes.announce(first, metric(1));
    routes.publish();
    peer.take();
    routes.announce(first, metric(2));
    routes.announce(first, metric(1));
    routes.announce(second, metric(1));
    routes.withdraw(second);
    routes.publish();
    peer.take();
    expect(peer.messages).toBe(1);
    expect(routes.size).toBe(1);
  });

  test('routes are packed by attribute set however they came', () => {
    const routes = new Routes();
    const peer = new Peer(routes);
    for (let index = 0; index < 600; index++) {
      routes.announce(Cidr.of(Address.of(4, BigInt(index)), 32), metric(index % 3));
    }
    routes.publish();
    peer.take();
    expect(peer.messages).toBe(3);
    expect(peer.table.size).toBe(600);
  });

  test('a policy may give a new object each time and its routes are packed all the same', () => {
    const routes = new Routes();
    const peer = new Peer(routes, choosy);
    for (let index = 0; index < 600; index++) {
      routes.announce(Cidr.of(Address.of(4, BigInt(index)), 32), metric(index % 3));
    }
    routes.publish();
    peer.take();
    expect(peer.messages).toBe(3);
    expect(peer.table.size).toBe(600);
  });

  test('a peer that reads nothing holds back the slots of what it was told, and nothing else', () => {
    const routes = new Routes();
    const stuck = new Peer(routes);
    const prefix = (index: number) => Cidr.of(Address.of(4, BigInt(index)), 32);
    for (let index = 0; index < 1000; index++) routes.announce(prefix(index), metric(1));
    routes.publish();
    stuck.take();
    const table = routes.table('ipv4-unicast');
    for (let index = 0; index < 1000; index++) routes.withdraw(prefix(index));
    routes.publish();
    expect([routes.size, table.size]).toEqual([0, 1000]);
    // Churn of prefixes that it never saw.
    for (let round = 0; round < 20; round++) {
      for (let index = 0; index < 100; index++) routes.announce(prefix(5000 + round * 100 + index), metric(1));
      routes.publish();
      for (let index = 0; index < 100; index++) routes.withdraw(prefix(5000 + round * 100 + index));
      routes.publish();
    }
    stuck.reader.close();
    routes.publish();
    expect([routes.size, table.size, routes.attributeSets]).toEqual([0, 0, 0]);
  });

  test('what changes while a message is on its way is sent as it is then, never as it was', () => {
    const routes = new Routes();
    const peer = new Peer(routes);
    const prefix = (index: number) => Cidr.of(Address.of(4, BigInt(index)), 32);
    for (let index = 0; index < 2000; index++) routes.announce(prefix(index), metric(1));
    routes.publish();
    peer.take(1);
    expect(peer.table.size).toBeLessThan(1500);
    routes.withdraw(prefix(1500));
    routes.announce(prefix(1600), metric(2));
    routes.publish();
    peer.take();
    expect(peer.announced.filter((text) => /^0\.0\.(5\.220|6\.64)\/32/.test(text))).toEqual(['0.0.6.64/32 2']);
    expect(peer.table.size).toBe(1999);
  });

  test('a change taken back before it was published is as if it had never been, also for a peer that looked', () => {
    const routes = new Routes();
    const prefix = Cidr.parse('10.0.0.0/8');
    routes.announce(prefix, metric(1));
    routes.publish();
    const peer = new Peer(routes);
    routes.announce(prefix, metric(2));
    peer.take();
    expect(peer.messages).toBe(0);
    routes.announce(prefix, metric(1));
    routes.publish();
    peer.take();
    expect([...peer.table]).toEqual([['10.0.0.0/8', 1]]);
  });

  test('families not negotiated are not read', () => {
    const routes = new Routes();
    for (const prefix of prefixes) routes.announce(prefix, metric(1));
    routes.publish();
    const peer = new Peer(routes, plain, ['ipv4-unicast']);
    peer.take();
    expect([...peer.table.keys()].some((prefix) => prefix.includes(':'))).toBe(false);
    routes.announce(Cidr.parse('2001:db8:5::/48'), metric(1));
    routes.publish();
    expect(peer.reader.isBehind).toBe(false);
  });

  test('two families taken in turns do not mix', () => {
    const routes = new Routes();
    const peer = new Peer(routes);
    for (let index = 0; index < 3000; index++) {
      routes.announce(Cidr.of(Address.of(4, BigInt(index)), 32), metric(1));
      routes.announce(Cidr.of(Address.of(6, BigInt(index)), 128), metric(1));
    }
    routes.publish();
    for (let round = 0; round < 40; round++) peer.take(1);
    expect(peer.table.size).toBe(6000);
  });

  test('what this peer cannot take is told, and withdrawn if it had another route', () => {
    const routes = new Routes();
    const peer = new Peer(routes);
    const prefix = Cidr.parse('2001:db8::/32');
    const settle = () => {
      routes.publish();
      peer.take();
    };
    routes.announce(prefix, metric(1));
    settle();
    const wrong = { ...metric(1), nextHop: Address.parse('192.0.2.1') };
    routes.announce(prefix, wrong);
    settle();
    const [unsendable] = peer.unsendable;
    expect(unsendable).toMatchObject({ family: 'ipv6-unicast', attributes: wrong, prefixes: 1 });
    expect(unsendable?.error.message).toMatch(/^nextHop 192\.0\.2\.1/);
    expect([peer.table.size, peer.reader.prefixes]).toEqual([0, 0]);
    routes.announce(prefix, metric(2));
    settle();
    expect(peer.unsendable).toHaveLength(1);
    expect(peer.table.get('2001:db8::/32')).toBe(2);
    routes.announce(prefix, wrong);
    settle();
    routes.withdraw(prefix);
    settle();
    expect([routes.size, routes.attributeSets, peer.table.size]).toEqual([0, 0, 0]);
  });

  test('attributes that nobody could take change nothing', () => {
    const routes = new Routes();
    const bad = { ...metric(1), communities: [-1] };
    const prefix = Cidr.parse('10.0.0.0/8');
    routes.announce(prefix, metric(1));
    expect(() => routes.announce(prefix, bad)).toThrow(/^communities/);
    expect(() =>
      routes.replaceAll([
        [Cidr.parse('192.0.2.0/24'), metric(2)],
        [prefix, bad],
      ]),
    ).toThrow(/^communities/);
    expect(routes.attributeSets).toBe(1);
    routes.publish();
    const peer = new Peer(routes);
    peer.take();
    expect([...peer.table]).toEqual([['10.0.0.0/8', 1]]);
  });

  const addresses = (text: string) => ({ nextHop: Address.parse(text) });
  test.each<[string, object]>([
    ['origin', { origin: 'IGP' }],
    ['asPath', { asPath: [65001, 0] }],
    ['asPath', { asPath: [2 ** 32] }],
    ['asPath', { asPath: '65001' }],
    ['multiExitDiscriminator', { multiExitDiscriminator: -1 }],
    ['localPreference', { localPreference: Number.NaN }],
    ['communities', { communities: [1.5] }],
    ['extendedCommunities', { extendedCommunities: [1n << 64n] }],
    ['extendedCommunities', { extendedCommunities: [1] }],
    ['largeCommunities', { largeCommunities: [[1, 2]] }],
    ['largeCommunities', { largeCommunities: [[1, 2, -3]] }],
    ['nextHop', { nextHop: '192.0.2.1' }],
    ...['0.0.0.0', '0.1.2.3', '127.0.0.1', '224.0.0.1', '240.0.0.1', '255.255.255.255', '::', '::1', 'ff02::1'].map(
      (text) => ['nextHop', addresses(text)] as [string, object],
    ),
    ['linkLocalNextHop', { ...addresses('2001:db8::1'), linkLocalNextHop: Address.parse('2001:db8::2') }],
  ])('%s that nobody could take is refused at once: %j', (field, change) => {
    const routes = new Routes();
    expect(() => routes.announce(Cidr.parse('10.0.0.0/8'), change)).toThrow(new RegExp(`^${field}\\b`));
    expect([routes.size, routes.attributeSets, routes.hasChanges]).toEqual([0, 0, false]);
  });

  test.each(['1.0.0.1', '126.255.255.255', '128.0.0.1', '223.255.255.255', '::2', 'fe80::1', 'fec0::1'])(
    'a next hop of %s is taken',
    (text) => {
      new Routes().announce(Cidr.parse('10.0.0.0/8'), addresses(text));
    },
  );

  test('a policy that fails for every prefix costs no more than one that does not, and is told once', () => {
    const count = 16_384;
    const routes = new Routes();
    for (let index = 0; index < count; index++) {
      routes.announce(Cidr.of(Address.of(4, BigInt(index)), 32), metric(index % 2));
    }
    routes.publish();
    let looks = 0;
    const fail = (reason: (prefix: Cidr | undefined) => string) =>
      new Peer(routes, {
        isByAttributes: false,
        apply: (_attributes, _family, prefix) => {
          const error = new BgpArgumentError('');
          const message = reason(prefix);
          const get = () => {
            looks += 1;
            return message;
          };
          throw Object.defineProperty(error, 'message', { get });
        },
      });
    const alike = fail(() => 'oops');
    alike.take();
    expect(alike.unsendable.map(({ prefixes, first }) => [prefixes, String(first)])).toEqual([
      [count / 2, '0.0.0.0/32'],
      [count / 2, '0.0.0.1/32'],
    ]);
    const each = fail((prefix) => `oops at ${prefix}`);
    each.take();
    expect(each.unsendable).toHaveLength(count);
    expect([alike.messages, each.messages]).toEqual([0, 0]);
    // None is compared with all the others.
    expect(looks).toBeLessThanOrEqual(10 * count);
  });

  describe('a reader whose time is over', () => {
    const count = 5000;
    const many = (routes: Routes) => {
      for (let index = 0; index < count; index++) {
        routes.announce(Cidr.of(Address.of(4, BigInt(index)), 32), metric(index % 7));
      }
      routes.publish();
    };

    /** Reads with time for one look at the clock a call, and says what happened in between. */
    function readInParts(peer: Peer, between: (part: number) => void): number {
      let parts = 0;
      for (;;) {
        const message = peer.reader.next('ipv4-unicast', () => true);
        if (message === undefined) return parts;
        if (message === 'later') between(parts++);
        else peer.read(message);
      }
    }

    test('says so after a few questions to the policy, and goes on where it was', () => {
      const routes = new Routes();
      many(routes);
      let asked = 0;
      const peer = new Peer(routes, {
        isByAttributes: false,
        apply: (attributes) => {
          asked += 1;
          return complete(attributes);
        },
      });
      const askedInPart: number[] = [];
      const parts = readInParts(peer, () => {
        expect(peer.reader.isBehind).toBe(true);
        askedInPart.push(asked);
        asked = 0;
      });
      expect(parts).toBeGreaterThan(count / 20);
      expect(Math.max(...askedInPart)).toBeLessThanOrEqual(16);
      expect([peer.table.size, peer.reader.prefixes, peer.messages]).toEqual([count, count, 7]);
    });

    test('sends what is changed meanwhile as it is then, with numbers of sets used again', () => {
      const routes = new Routes();
      many(routes);
      const peer = new Peer(routes);
      const prefix = (index: number) => Cidr.of(Address.of(4, BigInt(index)), 32);
      const parts = readInParts(peer, (part) => {
        if (part > 2) return;
        // Every set goes, and its number to another.
        for (let index = 0; index < count; index++) {
          if (index % 5 === part) routes.withdraw(prefix(index));
          else routes.announce(prefix(index), metric(100 + 10 * part + (index % 7)));
        }
        routes.publish();
      });
      expect(parts).toBeGreaterThan(3);
      expect(new Set(peer.announced.map((text) => Number(text.split(' ')[1]) >= 120))).toEqual(new Set([true]));
      expect([peer.table.size, peer.reader.prefixes]).toEqual([count * 0.8, count * 0.8]);
      for (const [text, med] of peer.table) {
        const index = Number(Cidr.parse(text).address.value);
        expect([text, med]).toEqual([text, 120 + (index % 7)]);
      }
    });
  });

  test.each([4, 6] as const)('IPv%i prefixes are found after others have gone', (family) => {
    const routes = new Routes();
    const peer = new Peer(routes);
    const settle = () => {
      routes.publish();
      peer.take();
    };
    const all = Array.from({ length: 3000 }, (_, index) => {
      return Cidr.of(Address.of(family, BigInt(index) * 7919n), family === 4 ? 32 : 128);
    });
    for (const prefix of all) routes.announce(prefix, metric(1));
    settle();
    const stays = all.filter((_, index) => (index * 31) % 7 < 4);
    const gone = all.filter((prefix) => !stays.includes(prefix));
    for (const prefix of gone) routes.withdraw(prefix);
    settle();
    const { messages } = peer;
    for (const prefix of stays) routes.announce(prefix, metric(1));
    settle();
    expect([routes.size, peer.table.size, peer.messages]).toEqual([stays.length, stays.length, messages]);
    for (const prefix of all) routes.announce(prefix, metric(2));
    settle();
    expect([routes.size, peer.table.size]).toEqual([all.length, all.length]);
  });

  test.each([
    ['IPv4', 4, 32, 60_000],
    ['IPv4, just after the index grew', 4, 32, 52_430],
    ['IPv6', 6, 128, 60_000],
    ['IPv6, just after the index grew', 6, 128, 52_430],
  ] as const)('%s: at most 40 bytes a prefix with four peers, and slots are used again', (_, family, length, count) => {
    const routes = new Routes();
    const attributes = metric(1);
    const peers = Array.from({ length: 4 }, () => new Peer(routes));
    const settle = () => {
      routes.publish();
      for (const { reader } of peers) for (const one of families) while (reader.next(one));
    };
    const prefix = (index: number) => Cidr.of(Address.of(family, BigInt(index) * 7919n), length);
    for (let index = 0; index < count; index++) routes.announce(prefix(index), attributes);
    settle();
    const full = routes.memoryBytes;
    const ofPeers = peers.reduce((sum, { reader }) => sum + reader.memoryBytes, 0);
    expect((full + ofPeers) / count).toBeLessThanOrEqual(40);
    for (let index = 0; index < count; index++) routes.withdraw(prefix(index));
    settle();
    expect([routes.size, routes.attributeSets]).toEqual([0, 0]);
    for (let index = 0; index < count; index++) routes.announce(prefix(count + index), attributes);
    expect(routes.memoryBytes).toBe(full);
  });
});
