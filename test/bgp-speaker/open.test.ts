import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BgpMessageError } from '../../src/bgp-speaker/errors.ts';
import type { Capabilities } from '../../src/bgp-speaker/message/capabilities.ts';
import { noCapabilities } from '../../src/bgp-speaker/message/capabilities.ts';
import { decodeOpen, encodeOpen, identifierNumber, type OpenMessage } from '../../src/bgp-speaker/message/open.ts';
import { Address } from '../../src/net/index.ts';
import { hex, join, message } from './wire-bytes.ts';

const identifier = Address.parse('192.0.2.1');
const fixed = (asNumber = 65001, hold = 90) => [4, asNumber >> 8, asNumber & 255, 0, hold, 192, 0, 2, 1];

/** The body of an OPEN with these capabilities in one parameter. */
function withCapabilities(...capabilities: (readonly number[] | Uint8Array)[]): Uint8Array {
  const value = join(...capabilities);
  return join(fixed(), [value.length + 2, 2, value.length], value);
}

function decoded(...capabilities: (readonly number[] | Uint8Array)[]): Capabilities {
  return decodeOpen(withCapabilities(...capabilities)).capabilities;
}

function refusal(body: Uint8Array): string {
  try {
    decodeOpen(body);
  } catch (thrown) {
    if (!(thrown instanceof BgpMessageError)) throw thrown;
    const { code, subcode, data } = thrown.notification;
    return `${code}/${subcode}${data.length > 0 ? ` ${[...data]}` : ''}`;
  }
  return 'accepted';
}

const everything: Capabilities = {
  families: ['ipv4-unicast', 'ipv6-unicast'],
  routeRefresh: true,
  enhancedRouteRefresh: true,
  extendedMessages: true,
  ipv4NextHopOverIpv6: true,
  fourOctetAs: 4_200_000_001,
  gracefulRestart: {
    restarted: true,
    notification: true,
    restartTimeSeconds: 30,
    families: [
      { family: 'ipv4-unicast', forwarding: true },
      { family: 'ipv6-unicast', forwarding: false },
    ],
  },
  longLivedGracefulRestart: [{ family: 'ipv6-unicast', forwarding: true, staleTimeSeconds: 86_400 }],
};

describe('encodeOpen', () => {
  test('every capability, byte by byte', () => {
    const open = { asNumber: 4_200_000_001, holdTimeSeconds: 90, identifier, capabilities: everything };
    const capabilities = hex(`
      0104 00010001  0104 00020001  0200  0506 000100010002  0600
      400a c01e 00010180 00020100  4104 fa56ea01  4600  4707 00020180 015180`);
    const body = join(
      [4, 0x5b, 0xa0, 0, 90, 192, 0, 2, 1],
      [capabilities.length + 2, 2, capabilities.length],
      capabilities,
    );
    expect(encodeOpen(open)).toEqual(message(1, body));
  });

  test('without capabilities', () => {
    const open = { asNumber: 65001, holdTimeSeconds: 0, identifier, capabilities: noCapabilities };
    expect(encodeOpen(open)).toEqual(message(1, [...fixed(65001, 0), 0]));
  });

  test('capabilities beyond 252 bytes take the extended form (RFC 9072)', () => {
    const longLived = Array.from({ length: 35 }, () => ({
      family: 'ipv4-unicast' as const,
      forwarding: false,
      staleTimeSeconds: 1,
    }));
    const capabilities: Capabilities = { ...everything, longLivedGracefulRestart: longLived };
    const encoded = encodeOpen({ asNumber: 1, holdTimeSeconds: 3, identifier, capabilities });
    const length = encoded.length - 32;
    expect([...encoded.subarray(28, 35)]).toEqual([
      255,
      255,
      length >> 8,
      length & 255,
      2,
      (length - 3) >> 8,
      (length - 3) & 255,
    ]);
    expect(decodeOpen(encoded.subarray(19)).capabilities.fourOctetAs).toBe(4_200_000_001);
  });

  test.each([
    ['asNumber', { asNumber: 0 }],
    ['asNumber', { asNumber: 2 ** 32 }],
    ['holdTimeSeconds', { holdTimeSeconds: 2 }],
    ['holdTimeSeconds', { holdTimeSeconds: 65_536 }],
    ['identifier', { identifier: Address.parse('0.0.0.0') }],
    ['identifier', { identifier: Address.parse('::1') }],
  ])('names %s when it cannot be sent: %j', (field, change) => {
    const open = { asNumber: 1, holdTimeSeconds: 90, identifier, capabilities: noCapabilities, ...change };
    expect(() => encodeOpen(open)).toThrow(new RegExp(`^${field}`));
  });

  test('what is encoded is decoded', () => {
    const family = fc.constantFrom('ipv4-unicast' as const, 'ipv6-unicast' as const);
    const arbitrary: fc.Arbitrary<OpenMessage> = fc.record({
      asNumber: fc.integer({ min: 1, max: 0xffff_ffff }),
      holdTimeSeconds: fc.oneof(fc.constant(0), fc.integer({ min: 3, max: 65_535 })),
      identifier: fc.bigInt({ min: 1n, max: 0xffff_ffffn }).map((value) => Address.of(4, value)),
      capabilities: fc.record({
        families: fc.subarray(['ipv4-unicast' as const, 'ipv6-unicast' as const]),
        routeRefresh: fc.boolean(),
        enhancedRouteRefresh: fc.boolean(),
        extendedMessages: fc.boolean(),
        ipv4NextHopOverIpv6: fc.boolean(),
        gracefulRestart: fc.record({
          restarted: fc.boolean(),
          notification: fc.boolean(),
          restartTimeSeconds: fc.nat(4095),
          families: fc.uniqueArray(fc.record({ family, forwarding: fc.boolean() }), {
            selector: (entry) => entry.family,
          }),
        }),
        longLivedGracefulRestart: fc.uniqueArray(
          fc.record({ family, forwarding: fc.boolean(), staleTimeSeconds: fc.nat(0xffffff) }),
          { selector: (entry) => entry.family },
        ),
      }),
    });
    fc.assert(
      fc.property(arbitrary, (open) => {
        const sent = { ...open, capabilities: { ...open.capabilities, fourOctetAs: open.asNumber } };
        expect(decodeOpen(encodeOpen(sent).subarray(19))).toEqual(sent);
      }),
    );
  });
});

describe('decodeOpen', () => {
  test.each([
    ['version 3', join([3], fixed().slice(1), [0]), '2/1 0,4'],
    ['AS 0', join(fixed(0), [0]), '2/2'],
    ['AS 0 in the capability (RFC 7607)', withCapabilities([65, 4, 0, 0, 0, 0]), '2/2'],
    ['identifier 0.0.0.0', join(fixed().slice(0, 5), [0, 0, 0, 0, 0]), '2/3'],
    ['hold time 1', join(fixed(1, 1), [0]), '2/6'],
    ['hold time 2', join(fixed(1, 2), [0]), '2/6'],
    ['hold time 3', join(fixed(1, 3), [0]), 'accepted'],
    ['hold time 0', join(fixed(1, 0), [0]), 'accepted'],
    ['an authentication parameter', join(fixed(), [2, 1, 0]), '2/4'],
    ['parameters longer than the message', join(fixed(), [3, 2, 0]), '2/0'],
    ['bytes after the parameters', join(fixed(), [2, 2, 0, 0]), '2/0'],
    ['a parameter longer than the parameters', join(fixed(), [2, 2, 1]), '2/0'],
    ['half a parameter head', join(fixed(), [1, 2]), '2/0'],
    ['an empty capabilities parameter', join(fixed(), [2, 2, 0]), 'accepted'],
    ['no parameter length', Uint8Array.from(fixed()), '2/0'],
    ['the extended form, empty', join(fixed(), [255, 255, 0, 0]), 'accepted'],
    ['the extended form though short', join(fixed(), [255, 255, 0, 7, 2, 0, 4, 2, 0, 70, 0]), 'accepted'],
    ['the extended form with another first length', join(fixed(), [4, 255, 0, 7, 2, 0, 4, 2, 0, 70, 0]), 'accepted'],
    ['the extended form cut in its length', join(fixed(), [255, 255, 0]), '2/0'],
    ['the extended form too long', join(fixed(), [255, 255, 0, 8, 2, 0, 4, 2, 0, 70, 0]), '2/0'],
    ['the extended form with a parameter too long', join(fixed(), [255, 255, 0, 7, 2, 0, 5, 2, 0, 70, 0]), '2/0'],
    ['the extended form cut in a parameter head', join(fixed(), [255, 255, 0, 2, 2, 0]), '2/0'],
  ])('%s', (_, body, outcome) => {
    expect(refusal(body)).toBe(outcome);
  });

  test.each([
    ['multiprotocol short', [1, 3, 0, 1, 0], '2/0'],
    ['multiprotocol beyond the parameter', [1, 4, 0, 1, 0], '2/0'],
    ['multiprotocol long', [1, 5, 0, 1, 0, 1, 0], '2/0'],
    ['AS4 short', [65, 3, 0, 0, 1], '2/0'],
    ['AS4 long', [65, 5, 0, 0, 0, 1, 0], '2/0'],
    ['AS4 empty, before another capability', [65, 0, 2, 0], '2/0'],
    ['graceful restart empty', [64, 0], '2/0'],
    ['graceful restart with half a family', [64, 4, 0, 30, 0, 1], '2/0'],
    ['graceful restart without families', [64, 2, 0, 30], 'accepted'],
    ['LLGR with half a family', [71, 8, 0, 1, 1, 0, 0, 0, 1, 0], '2/0'],
    ['LLGR empty', [71, 0], 'accepted'],
    ['route refresh with a value', [2, 1, 0], '2/0'],
    ['extended next hop cut', [5, 5, 0, 1, 0, 1, 0], '2/0'],
    ['half a capability head', [2], '2/0'],
    ['an unknown capability of no bytes', [75, 0], 'accepted'],
    ['a host name with lengths that lie', [73, 2, 200, 1], 'accepted'],
    ['ORF with lengths that lie', [3, 3, 255, 255, 255], 'accepted'],
  ])('capability: %s', (_, capability, outcome) => {
    expect(refusal(withCapabilities(capability))).toBe(outcome);
  });

  test('many capabilities in one parameter and one in each of many give the same', () => {
    const list = [
      [1, 4, 0, 1, 0, 1],
      [1, 4, 0, 2, 0, 1],
      [2, 0],
      [65, 4, 0, 1, 0, 0],
      [70, 0],
    ];
    const series = list.flatMap((capability) => [2, capability.length, ...capability]);
    const many = decodeOpen(join(fixed(), [series.length], series));
    expect(many).toEqual(decodeOpen(withCapabilities(...list)));
    expect(many.asNumber).toBe(65_536);
    expect(many.capabilities.families).toEqual(['ipv4-unicast', 'ipv6-unicast']);
  });

  test('what comes twice: families add up, the last number and restart stand', () => {
    const result = decoded(
      [1, 4, 0, 2, 0, 1],
      [1, 4, 0, 2, 0, 1],
      [1, 4, 0, 1, 0, 1],
      [65, 4, 0, 0, 0, 7],
      [65, 4, 0, 0, 0, 8],
      [64, 6, 0xc0, 60, 0, 1, 1, 0x80],
      [64, 10, 0, 30, 0, 2, 1, 0, 0, 2, 1, 0x80],
    );
    expect(result.families).toEqual(['ipv4-unicast', 'ipv6-unicast']);
    expect(result.fourOctetAs).toBe(8);
    expect(result.gracefulRestart).toEqual({
      restarted: false,
      notification: false,
      restartTimeSeconds: 30,
      families: [{ family: 'ipv6-unicast', forwarding: true }],
    });
  });

  test('families and codes that nobody speaks are skipped; 128 is route refresh', () => {
    const result = decoded(
      [1, 4, 0, 25, 0, 70],
      [64, 6, 0, 1, 0, 25, 70, 0x80],
      [128, 0],
      [199, 3, 1, 2, 3],
      [5, 6, 0, 1, 0, 4, 0, 2],
    );
    expect(result).toEqual({
      otherFamilies: true,
      ...noCapabilities,
      routeRefresh: true,
      gracefulRestart: { restarted: false, notification: false, restartTimeSeconds: 1, families: [] },
    });
  });

  test('identifiers compare as unsigned numbers', () => {
    expect(identifierNumber(Address.parse('200.0.0.1'))).toBeGreaterThan(identifierNumber(Address.parse('100.0.0.1')));
  });

  test('random and mutated bodies give an OPEN or a NOTIFICATION 2/x', () => {
    const seed = encodeOpen({ asNumber: 65001, holdTimeSeconds: 90, identifier, capabilities: everything }).subarray(
      19,
    );
    const mutated = fc
      .tuple(fc.array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { maxLength: 3 }), fc.nat(seed.length))
      .map(([changes, cut]) => changes.reduce((bytes, [at, value]) => bytes.with(at, value), seed).slice(0, cut + 1));
    const random = fc.uint8Array({ maxLength: 60 }).map((rest) => join(fixed(), rest));
    fc.assert(
      fc.property(fc.oneof(mutated, random), (body) => {
        expect(refusal(body)).toMatch(/^(accepted|2\/[0-9]+.*)$/);
      }),
      { numRuns: 1000 },
    );
  });
});
