import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BgpArgumentError } from '../../src/bgp-speaker/errors.ts';
import type { AddressFamily } from '../../src/bgp-speaker/message/assigned-numbers.ts';
import {
  attributesKey,
  type PathAttributes,
  type UpdateContext,
} from '../../src/bgp-speaker/message/path-attributes.ts';
import { classifyUpdate } from '../../src/bgp-speaker/message/update-classifier.ts';
import { encodeEndOfRib, UpdatePacker } from '../../src/bgp-speaker/message/update-packer.ts';
import { Address, Cidr } from '../../src/net/index.ts';
import { hex, join, message, toHex, update } from './wire-bytes.ts';

const modern: UpdateContext = { fourOctetAs: true, ipv4NextHopOverIpv6: true, maximumLength: 4096 };
const plain: PathAttributes = { asPath: [65001], nextHop: Address.parse('192.0.2.1') };
const plain6: PathAttributes = { asPath: [65001], nextHop: Address.parse('2001:db8::1') };

function packed(
  family: AddressFamily,
  attributes: PathAttributes | 'withdraw',
  prefixes: readonly string[],
  context: UpdateContext = modern,
): Uint8Array[] {
  const messages: Uint8Array[] = [];
  const packer = new UpdatePacker(context, (bytes) => messages.push(bytes));
  if (attributes === 'withdraw') packer.withdraw(family);
  else packer.announce(family, attributes);
  for (const prefix of prefixes) packer.addCidr(Cidr.parse(prefix));
  packer.finish();
  return messages;
}

function bodyHex(attributes: PathAttributes, context = modern, family: AddressFamily = 'ipv4-unicast'): string {
  const prefix = family === 'ipv4-unicast' ? '198.51.100.0/24' : '2001:db8::/32';
  const [only] = packed(family, attributes, [prefix], context);
  return toHex(only?.subarray(19) ?? new Uint8Array(0));
}

const host4 = (index: number) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}/32`;
const host6 = (index: number) => `2001:db8::${(index + 1).toString(16)}/128`;
const hosts = (count: number, host: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => host(index));

/** Bytes of all the Uint8Arrays that are made meanwhile; views of the same memory count again. */
function bytesTakenBy(run: () => void): number {
  const Original = Uint8Array;
  let taken = 0;
  globalThis.Uint8Array = class extends Original {
    constructor(...given: [number]) {
      super(...given);
      taken += this.length;
    }
  } as typeof Uint8Array;
  try {
    run();
  } finally {
    globalThis.Uint8Array = Original;
  }
  return taken;
}

describe('UpdatePacker', () => {
  test('an IPv4 announcement, byte by byte', () => {
    const all: PathAttributes = {
      origin: 'incomplete',
      asPath: [65001, 4_200_000_001],
      nextHop: Address.parse('192.0.2.1'),
      multiExitDiscriminator: 10,
      localPreference: 200,
      communities: [0xffffff01, 0xfde80001],
      extendedCommunities: [0x0002fde800000064n],
      largeCommunities: [[65001, 1, 2]],
    };
    const attributes = hex(`
      400101 02  40020a 02 02 0000fde9 fa56ea01  400304 c0000201  800404 0000000a  400504 000000c8
      c00808 fde80001 ffffff01  c01008 0002fde800000064  c0200c 0000fde9 00000001 00000002`);
    const expected = message(
      2,
      join([0, 0, 0, attributes.length], attributes, hex('18 c63364 00'), hex('20 cb007101')),
    );
    expect(packed('ipv4-unicast', all, ['198.51.100.0/24', '0.0.0.0/0', '203.0.113.1/32'])).toEqual([expected]);
  });

  test('an IPv6 announcement: MP_REACH_NLRI first, no NEXT_HOP', () => {
    const attributes = hex(`
      900e 002b 0002 01 10 20010db8000000000000000000000001 00 20 20010db8 7f 20010db8000100000000000000000002`);
    const rest = hex('400101 00  400206 0201 0000fde9');
    const body = join([0, 0, 0, attributes.length + rest.length], attributes, rest);
    expect(packed('ipv6-unicast', plain6, ['2001:db8::/32', '2001:db8:1::2/127'])).toEqual([message(2, body)]);
  });

  test('IPv4 prefixes with an IPv6 next hop, global and link-local (RFC 8950)', () => {
    const attributes = { ...plain6, linkLocalNextHop: Address.parse('fe80::1') };
    const mp =
      '900e0029000101' +
      '20' +
      '20010db8000000000000000000000001' +
      'fe800000000000000000000000000001' +
      '00' +
      '18c63364';
    expect(bodyHex(attributes)).toBe(`0000003a${mp}4001010040020602010000fde9`);
    expect(() => bodyHex(plain6, { ...modern, ipv4NextHopOverIpv6: false })).toThrow(/RFC 8950/);
    expect(() => bodyHex({ ...plain6, linkLocalNextHop: Address.parse('2001:db8::2') })).toThrow(/^linkLocalNextHop/);
  });

  test('a two-byte peer gets AS_TRANS and AS4_PATH, and AS4_PATH only when needed (RFC 6793)', () => {
    const old = { ...modern, fourOctetAs: false };
    expect(bodyHex({ ...plain, asPath: [65001, 65536] }, old)).toContain('400206' + '0202fde95ba0');
    expect(bodyHex({ ...plain, asPath: [65001, 65536] }, old)).toContain('c0110a' + '02020000fde900010000');
    expect(bodyHex(plain, old)).toContain('400204' + '0201fde9');
    expect(bodyHex(plain, old)).not.toContain('c011');
  });

  test('an AS path above 255 numbers is cut into segments; an empty one has none', () => {
    const long = bodyHex({ ...plain, asPath: new Array<number>(256).fill(65001) });
    expect(long).toContain(`50020404${'02ff'}${'0000fde9'.repeat(255)}0201${'0000fde9'}`);
    expect(bodyHex({ ...plain, asPath: [] })).toContain('400200');
  });

  test('communities are sorted and sent once; more than 255 bytes take the long length', () => {
    const body = bodyHex({
      ...plain,
      communities: [3, 1, 2, 1, 0xffffffff],
      extendedCommunities: [2n, 1n, 2n],
      largeCommunities: [
        [2, 0, 0],
        [1, 2, 3],
        [1, 2, 3],
        [1, 2, 0],
      ],
    });
    expect(body).toContain('c00810' + '000000010000000200000003ffffffff');
    expect(body).toContain('c01010' + '00000000000000010000000000000002');
    expect(body).toContain(
      'c02024' + '000000010000000200000000' + '000000010000000200000003' + '000000020000000000000000',
    );
    const many = bodyHex({ ...plain, communities: Array.from({ length: 64 }, (_, index) => index) });
    expect(many).toContain('d0080100' + '0000000000000001');
  });

  test.each([
    ['asPath', { asPath: [0] }],
    ['asPath', { asPath: [2 ** 32] }],
    ['multiExitDiscriminator', { multiExitDiscriminator: -1 }],
    ['localPreference', { localPreference: 1.5 }],
    ['communities', { communities: [2 ** 32] }],
    ['extendedCommunities', { extendedCommunities: [1n << 64n] }],
    ['largeCommunities', { largeCommunities: [[1, 2, -3]] as const }],
  ])('%s is named when it cannot be sent: %j', (field, change) => {
    expect(() => bodyHex({ ...plain, ...change } as PathAttributes)).toThrow(new RegExp(`^${field}`));
  });

  test('810 host routes and 814 withdrawals fill a message, one more starts another', () => {
    expect(packed('ipv4-unicast', plain, hosts(810, host4)).map((bytes) => bytes.length)).toEqual([4093]);
    expect(packed('ipv4-unicast', plain, hosts(811, host4)).map((bytes) => bytes.length)).toEqual([4093, 48]);
    expect(packed('ipv4-unicast', 'withdraw', hosts(814, host4)).map((bytes) => bytes.length)).toEqual([4093]);
    expect(packed('ipv4-unicast', 'withdraw', hosts(815, host4))).toHaveLength(2);
  });

  test('a message may be filled to its last byte', () => {
    // 43 bytes around the prefixes, 810 of 5 bytes, one of 3.
    const [only, ...more] = packed('ipv4-unicast', plain, [...hosts(810, host4), '192.168.0.0/16']);
    expect(only).toHaveLength(4096);
    expect(more).toEqual([]);
  });

  test('withdrawals, byte by byte', () => {
    expect(packed('ipv4-unicast', 'withdraw', ['198.51.100.0/24'])).toEqual([message(2, hex('0004 18c63364 0000'))]);
    expect(packed('ipv6-unicast', 'withdraw', ['2001:db8::/32'])).toEqual([
      message(2, hex('0000 000c 900f0008 0002 01 20 20010db8')),
    ]);
  });

  test('groups of one packer stay apart, empty ones send nothing', () => {
    const messages: string[] = [];
    const packer = new UpdatePacker(modern, (bytes) => messages.push(toHex(bytes.subarray(19))));
    packer.withdraw('ipv6-unicast');
    packer.announce('ipv4-unicast', plain);
    packer.addCidr(Cidr.parse('198.51.100.0/24'));
    expect(() => packer.addCidr(Cidr.parse('2001:db8::/32'))).toThrow(BgpArgumentError);
    packer.withdraw('ipv4-unicast');
    packer.addCidr(Cidr.parse('203.0.113.0/24'));
    packer.finish();
    packer.finish();
    expect(messages).toEqual([bodyHex(plain), '000418cb00710000']);
  });

  test('attributes that leave no room for a prefix are refused before anything is sent', () => {
    const communities = Array.from({ length: 1020 }, (_, index) => index);
    expect(() => packed('ipv4-unicast', { ...plain, communities }, [])).toThrow(/the peer takes 4096/);
    const room = { ...modern, maximumLength: 65_535 };
    expect(packed('ipv4-unicast', { ...plain, communities }, ['198.51.100.0/24'], room)).toHaveLength(1);
  });

  test.each([
    [4096, 1],
    [65_535, 1],
    [65_535, 200],
    [65_535, 2000],
    [65_535, 20_000],
  ])('up to %i bytes a message, %i prefixes take memory by their own size', (maximumLength, count) => {
    const prefixes = hosts(count, host4).map((text) => Cidr.parse(text));
    let sent = 0;
    const packer = new UpdatePacker({ ...modern, maximumLength }, (bytes) => {
      sent += bytes.length;
      expect(bytes.buffer.byteLength).toBeLessThanOrEqual(2 * bytes.length);
    });
    packer.announce('ipv4-unicast', plain);
    const taken = bytesTakenBy(() => {
      for (const prefix of prefixes) packer.addCidr(prefix);
      packer.finish();
    });
    expect(taken).toBeLessThanOrEqual(10 * sent + 512);
  });

  test('whatever is packed is accepted, counted in full and within the limit', () => {
    const arbitrary = fc.record({
      family: fc.constantFrom<AddressFamily>('ipv4-unicast', 'ipv6-unicast'),
      count: fc.nat(1200),
      withdraw: fc.boolean(),
      overIpv6: fc.boolean(),
      asPath: fc.array(fc.integer({ min: 1, max: 0xffff_ffff }), { maxLength: 300 }),
      communities: fc.array(fc.nat(0xffff_ffff), { maxLength: 80 }),
      fourOctetAs: fc.boolean(),
      extended: fc.boolean(),
    });
    fc.assert(
      fc.property(arbitrary, ({ family, count, withdraw, overIpv6, asPath, communities, fourOctetAs, extended }) => {
        const context = { fourOctetAs, ipv4NextHopOverIpv6: true, maximumLength: extended ? 65_535 : 4096 };
        const base = overIpv6 || family === 'ipv6-unicast' ? plain6 : plain;
        const attributes = withdraw ? 'withdraw' : { ...base, asPath, communities };
        const prefixes = hosts(count, family === 'ipv4-unicast' ? host4 : host6);
        let counted = 0;
        for (const bytes of packed(family, attributes, prefixes, context)) {
          expect(bytes.length).toBeLessThanOrEqual(context.maximumLength);
          const verdict = classifyUpdate(bytes.subarray(19), {
            internal: false,
            fourOctetAs,
            ipv4NextHopOverIpv6: true,
          });
          expect(verdict.problems).toEqual([]);
          counted += withdraw ? verdict.withdrawn[family] : verdict.announced[family];
        }
        expect(counted).toBe(count);
      }),
      { numRuns: 40 },
    );
  });
});

test('End-of-RIB has 23 bytes for IPv4 and 29 for IPv6', () => {
  expect(encodeEndOfRib('ipv4-unicast')).toEqual(message(2, update({})));
  expect(encodeEndOfRib('ipv6-unicast')).toEqual(message(2, hex('0000 0006 800f03 0002 01')));
  expect(encodeEndOfRib('ipv4-unicast')).toHaveLength(23);
  expect(encodeEndOfRib('ipv6-unicast')).toHaveLength(29);
});

test('attribute sets are equal whatever the order of their communities', () => {
  const key = attributesKey({
    ...plain,
    communities: [1, 2, 2],
    largeCommunities: [
      [1, 1, 1],
      [0, 0, 0],
    ],
  });
  expect(
    attributesKey({
      ...plain,
      communities: [2, 1],
      largeCommunities: [
        [0, 0, 0],
        [1, 1, 1],
      ],
    }),
  ).toBe(key);
  expect(attributesKey({ ...plain, communities: [2] })).not.toBe(key);
  expect(attributesKey({ ...plain, origin: 'igp' })).toBe(attributesKey(plain));
  expect(attributesKey({ ...plain, multiExitDiscriminator: 0 })).not.toBe(attributesKey(plain));
});
