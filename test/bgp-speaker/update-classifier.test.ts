import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { classifyUpdate, type UpdateSender } from '../../src/bgp-speaker/message/update-classifier.ts';
import {
  asPath,
  attribute,
  globalHop,
  hex,
  join,
  localPreference,
  mpReach,
  mpUnreach,
  nextHop,
  origin,
  prefix4,
  toHex,
  type UpdateParts,
  update,
} from './wire-bytes.ts';

const external: UpdateSender = { internal: false, fourOctetAs: true, ipv4NextHopOverIpv6: false };
const internal: UpdateSender = { ...external, internal: true };
const twoOctets: UpdateSender = { ...external, fourOctetAs: false };
const overIpv6: UpdateSender = { ...external, ipv4NextHopOverIpv6: true };
const nlri = [prefix4('198.51.100.0/24'), prefix4('203.0.113.7/32')];

/** "accept", "discard", "withdraw" or "reset 3/1". */
function outcome(body: Uint8Array, sender = external): string {
  const verdict = classifyUpdate(body, sender);
  if (verdict.action === 'session-reset') return `reset ${verdict.notification?.code}/${verdict.notification?.subcode}`;
  expect(verdict.notification).toBeUndefined();
  return { accept: 'accept', 'attribute-discard': 'discard', 'treat-as-withdraw': 'withdraw' }[verdict.action];
}

type Attribute = readonly number[];

/** A good IPv4 announcement in which attributes of the same type are replaced, and others added. */
function announcing(...changes: Attribute[]): Uint8Array {
  return update({ attributes: changed([origin, asPath, nextHop], changes), nlri });
}

function changed(base: readonly Attribute[], changes: readonly Attribute[]): Attribute[] {
  const replaced = base.map((one) => changes.find((change) => change[1] === one[1]) ?? one);
  return [...replaced, ...changes.filter((change) => !base.some((one) => one[1] === change[1]))];
}

const path = (...octets: number[]) => attribute(0x40, 2, octets);
const as4 = (...numbers: number[]) => numbers.flatMap((n) => [n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255]);

describe('good UPDATEs', () => {
  test.each<[string, Uint8Array, UpdateSender]>([
    ['IPv4 routes', announcing(), external],
    ['from an internal peer', announcing(localPreference), internal],
    ['an empty AS path', announcing(path()), external],
    ['an AS_SET', announcing(path(1, 2, ...as4(1, 2))), external],
    ['two segments', announcing(path(2, 1, ...as4(1), 2, 1, ...as4(2))), external],
    ['two-byte AS numbers', announcing(path(2, 1, 0xfd, 0xe9)), twoOctets],
    [
      'AS4_PATH from a two-byte peer',
      announcing(path(2, 1, 0x5b, 0xa0), attribute(0xc0, 17, [2, 1, 0, 1, 0, 0])),
      twoOctets,
    ],
    ['the long length though short', announcing(attribute(0x50, 1, [0])), external],
    [
      'an AS path of 2040 numbers',
      announcing(
        attribute(
          0x50,
          2,
          Array.from({ length: 8 }, () => [2, 255, ...as4(...new Array<number>(255).fill(65001))]).flat(),
        ),
      ),
      external,
    ],
    ['the partial bit', announcing(attribute(0xe0, 8, as4(1))), external],
    ['the partial bit on an unknown one', announcing(attribute(0xe0, 99, [1, 2, 3])), external],
    [
      'communities of all kinds',
      announcing(
        attribute(0xc0, 8, as4(1, 2)),
        attribute(0xc0, 16, as4(1, 2)),
        attribute(0xc0, 25, as4(1, 2, 3, 4, 5)),
        attribute(0xc0, 32, as4(1, 2, 3)),
      ),
      external,
    ],
    ['aggregator', announcing(attribute(0x40, 6, []), attribute(0xc0, 7, as4(65001, 1))), external],
    ['aggregator of two bytes', announcing(path(2, 1, 0, 1), attribute(0xc0, 7, [0xfd, 0xe9, 1, 1, 1, 1])), twoOctets],
    ['reflected', announcing(localPreference, attribute(0x80, 9, as4(1)), attribute(0x80, 10, as4(1, 2))), internal],
    ['only to customer', announcing(attribute(0xc0, 35, as4(65001))), external],
    ['IPv6 routes', update({ attributes: [mpReach, origin, asPath] }), external],
    ['IPv6 routes, attribute last', update({ attributes: [origin, asPath, mpReach] }), external],
    [
      'IPv6 with two next hops',
      update({ attributes: [attribute(0x80, 14, [0, 2, 1, 32, ...globalHop, ...globalHop, 0, 0]), origin, asPath] }),
      external,
    ],
    [
      'IPv4 in MP_REACH_NLRI',
      update({ attributes: [attribute(0x80, 14, [0, 1, 1, 4, 192, 0, 2, 1, 0, 0]), origin, asPath] }),
      external,
    ],
    [
      'IPv4 over IPv6',
      update({ attributes: [attribute(0x80, 14, [0, 1, 1, 16, ...globalHop, 0, 0]), origin, asPath] }),
      overIpv6,
    ],
    [
      'every field at once',
      update({ withdrawn: [prefix4('192.0.2.0/24')], attributes: [mpReach, mpUnreach, origin, asPath, nextHop], nlri }),
      external,
    ],
    [
      'a family nobody announced',
      update({ attributes: [attribute(0x80, 14, [0, 25, 70, 3, 1, 2, 3, 0, 255, 255]), origin, asPath] }),
      external,
    ],
    ['a withdrawal from it', update({ attributes: [attribute(0x80, 15, [0, 25, 70, 255])] }), external],
    ['withdrawals', update({ withdrawn: nlri }), external],
    ['IPv6 withdrawals', update({ attributes: [mpUnreach] }), external],
    ['only an unknown attribute', update({ attributes: [attribute(0xc0, 99, [1])] }), external],
    [
      'a useless NEXT_HOP beside IPv6 routes',
      update({ attributes: [mpReach, origin, asPath, attribute(0x40, 3, [0, 0, 0, 0])] }),
      external,
    ],
  ])('%s', (_, body, sender) => {
    const verdict = classifyUpdate(body, sender);
    expect(verdict.problems).toEqual([]);
    expect(verdict.action).toBe('accept');
  });

  test('prefixes are counted by family', () => {
    const body = update({
      withdrawn: [prefix4('192.0.2.0/24')],
      attributes: [mpReach, mpUnreach, origin, asPath, nextHop],
      nlri,
    });
    const { announced, withdrawn, endOfRib } = classifyUpdate(body, external);
    expect(announced).toEqual({ 'ipv4-unicast': 2, 'ipv6-unicast': 1 });
    expect(withdrawn).toEqual({ 'ipv4-unicast': 1, 'ipv6-unicast': 1 });
    expect(endOfRib).toBeUndefined();
  });

  test('routes of families that were not negotiated are neither counted nor judged', () => {
    const body = update({
      withdrawn: [prefix4('192.0.2.0/24')],
      attributes: [mpReach, mpUnreach, origin, asPath, nextHop],
      nlri,
    });
    const only4 = { ...external, families: ['ipv4-unicast'] as const };
    const only6 = { ...external, families: ['ipv6-unicast'] as const };
    const counts = (sender: UpdateSender) => {
      const { announced, withdrawn } = classifyUpdate(body, sender);
      return [announced, withdrawn].map((one) => [one['ipv4-unicast'], one['ipv6-unicast']]);
    };
    expect([counts(only4), counts(only6)]).toEqual([
      [
        [2, 0],
        [1, 0],
      ],
      [
        [0, 1],
        [0, 1],
      ],
    ]);
    const badHop = attribute(0x80, 14, [0, 2, 1, 7, 1, 2, 3, 4, 5, 6, 7, 0]);
    const badPrefix = attribute(0x80, 15, [0, 2, 1, 129]);
    expect(outcome(update({ attributes: [badHop, origin, asPath, nextHop], nlri }), only4)).toBe('accept');
    expect(outcome(update({ attributes: [badPrefix] }), only4)).toBe('accept');
    expect(outcome(update({ attributes: [badPrefix] }), only6)).toBe('reset 3/9');
    // Classic routes without NEXT_HOP, which nobody takes.
    expect(outcome(update({ attributes: [mpReach, origin, asPath], nlri }), only6)).toBe('accept');
    expect(outcome(update({ attributes: [], nlri: [[33, 1, 2, 3, 4, 5]] }), only6)).toBe('reset 3/10');
    expect(classifyUpdate(update({}), only6).endOfRib).toBeUndefined();
    expect(classifyUpdate(update({ attributes: [attribute(0x80, 15, [0, 2, 1])] }), only4).endOfRib).toBeUndefined();
    expect(classifyUpdate(update({ attributes: [attribute(0x80, 15, [0, 2, 1])] }), only6).endOfRib).toBe(
      'ipv6-unicast',
    );
  });

  const emptyUnreach = (afi: number) => attribute(0x80, 15, [0, afi, 1]);
  test.each<[string, Uint8Array, string | undefined]>([
    ['IPv4', update({}), 'ipv4-unicast'],
    ['IPv4 as an attribute', update({ attributes: [emptyUnreach(1)] }), 'ipv4-unicast'],
    ['IPv6', update({ attributes: [emptyUnreach(2)] }), 'ipv6-unicast'],
    ['another family', update({ attributes: [emptyUnreach(25)] }), undefined],
    ['with other attributes', update({ attributes: [emptyUnreach(2), origin] }), undefined],
    ['with withdrawals', update({ withdrawn: nlri, attributes: [emptyUnreach(2)] }), undefined],
    ['IPv4 as an attribute, with withdrawals', update({ withdrawn: nlri, attributes: [emptyUnreach(1)] }), undefined],
    ['with routes', update({ attributes: [emptyUnreach(2), origin, asPath, nextHop], nlri }), undefined],
  ])('End-of-RIB: %s', (_, body, family) => {
    expect(classifyUpdate(body, external).endOfRib).toBe(family);
  });
});

describe('RFC 7606: the message', () => {
  test.each<[string, Uint8Array, string]>([
    ['nothing', new Uint8Array(0), 'reset 3/1'],
    ['three bytes', hex('000000'), 'reset 3/1'],
    ['withdrawn routes beyond the message', hex('0001 0000'), 'reset 3/1'],
    ['withdrawn routes beyond the message, much', hex('ffff 0000'), 'reset 3/1'],
    ['withdrawn routes over the next length', hex('0002 0000'), 'reset 3/1'],
    ['attributes beyond the message', hex('0000 0001'), 'reset 3/1'],
    ['attributes beyond the message, much', hex('0000 ffff 400101'), 'reset 3/1'],
    ['a withdrawn /33', update({ withdrawn: [[33, 1, 2, 3, 4, 5]] }), 'reset 3/10'],
    ['a withdrawn prefix cut', update({ withdrawn: [[24, 1, 2]] }), 'reset 3/10'],
    ['a /33', update({ attributes: [origin, asPath, nextHop], nlri: [[33, 1, 2, 3, 4, 5]] }), 'reset 3/10'],
    ['a /255', update({ attributes: [origin, asPath, nextHop], nlri: [[255]] }), 'reset 3/10'],
    ['a prefix cut', update({ attributes: [origin, asPath, nextHop], nlri: [[24, 1, 2]] }), 'reset 3/10'],
    ['a prefix cut to its length', update({ attributes: [origin, asPath, nextHop], nlri: [[8]] }), 'reset 3/10'],
    [
      'an IPv6 /129',
      update({
        attributes: [
          attribute(0x80, 14, [0, 2, 1, 16, ...globalHop, 0, 129, ...new Array<number>(17).fill(0)]),
          origin,
          asPath,
        ],
      }),
      'reset 3/9',
    ],
    [
      'an IPv6 prefix cut',
      update({ attributes: [attribute(0x80, 14, [0, 2, 1, 16, ...globalHop, 0, 128, 1]), origin, asPath] }),
      'reset 3/9',
    ],
    [
      'a withdrawn IPv6 /129',
      update({ attributes: [attribute(0x80, 15, [0, 2, 1, 129, ...new Array<number>(17).fill(0)])] }),
      'reset 3/9',
    ],
    ['a withdrawn IPv6 prefix cut', update({ attributes: [attribute(0x80, 15, [0, 2, 1, 32, 1])] }), 'reset 3/9'],
  ])('%s', (_, body, expected) => {
    expect(outcome(body)).toBe(expected);
  });
});

describe('RFC 7606: the list of attributes', () => {
  const emptyReach = attribute(0x80, 14, [0, 2, 1, 16, ...globalHop, 0]);
  test.each<[string, UpdateParts, string]>([
    ['one byte left', { attributes: [origin, asPath, nextHop, [0x40]], nlri }, 'withdraw'],
    ['two bytes left', { attributes: [origin, asPath, nextHop, [0xc0, 8]], nlri }, 'withdraw'],
    ['three bytes left of a long one', { attributes: [origin, asPath, nextHop, [0xd0, 8, 0]], nlri }, 'withdraw'],
    [
      'an attribute beyond the list',
      { attributes: [origin, asPath, nextHop, [0xc0, 8, 4, 1, 2, 3]], nlri },
      'withdraw',
    ],
    ['a long one beyond the list', { attributes: [origin, asPath, nextHop, [0xd0, 8, 255, 255]], nlri }, 'withdraw'],
    ['beyond the list, after IPv6 routes', { attributes: [mpReach, origin, asPath, [0xc0, 8, 4, 1]] }, 'withdraw'],
    ['beyond the list, without routes', { attributes: [[0xc0, 8, 4, 1]] }, 'reset 3/1'],
    ['MP_REACH_NLRI beyond the list', { attributes: [[0x80, 14, 200, 0, 2, 1]] }, 'reset 3/1'],
    ['MP_REACH_NLRI twice', { attributes: [mpReach, mpReach, origin, asPath] }, 'reset 3/1'],
    ['MP_UNREACH_NLRI twice', { attributes: [mpUnreach, mpUnreach] }, 'reset 3/1'],
    ['ORIGIN twice', { attributes: [origin, asPath, nextHop, origin], nlri }, 'discard'],
    ['the second ORIGIN bad', { attributes: [origin, asPath, nextHop, attribute(0x40, 1, [9, 9])], nlri }, 'discard'],
    ['the first ORIGIN bad', { attributes: [attribute(0x40, 1, [9]), asPath, nextHop, origin], nlri }, 'withdraw'],
    [
      'an unknown optional attribute twice',
      { attributes: [origin, asPath, nextHop, attribute(0xc0, 99, []), attribute(0xc0, 99, [])], nlri },
      'discard',
    ],
    ['without ORIGIN', { attributes: [asPath, nextHop], nlri }, 'withdraw'],
    ['without AS_PATH', { attributes: [origin, nextHop], nlri }, 'withdraw'],
    ['without NEXT_HOP', { attributes: [origin, asPath], nlri }, 'withdraw'],
    ['without any attribute', { nlri }, 'withdraw'],
    ['IPv6 without ORIGIN', { attributes: [mpReach, asPath] }, 'withdraw'],
    ['IPv6 without AS_PATH', { attributes: [mpReach, origin] }, 'withdraw'],
    ['attributes, an error, no routes', { attributes: [attribute(0x40, 1, [9]), asPath, nextHop] }, 'reset 3/6'],
    ['the same beside a withdrawal', { withdrawn: nlri, attributes: [attribute(0x40, 1, [9])] }, 'reset 3/6'],
    ['the same beside MP_UNREACH_NLRI', { attributes: [mpUnreach, attribute(0x40, 1, [9])] }, 'reset 3/6'],
    ['MP_UNREACH_NLRI alone with wrong flags', { attributes: [attribute(0xc0, 15, [0, 2, 1, 0])] }, 'reset 3/9'],
    ['an error beside an MP_REACH_NLRI of no routes', { attributes: [emptyReach, asPath] }, 'reset 3/3'],
    ['nothing wrong with an MP_REACH_NLRI of no routes', { attributes: [emptyReach, origin, asPath] }, 'accept'],
    ['an error to discard, no routes', { attributes: [attribute(0x40, 6, [1])] }, 'discard'],
  ])('%s', (_, parts, expected) => {
    expect(outcome(update(parts))).toBe(expected);
  });

  test('an internal peer must send LOCAL_PREF', () => {
    expect(outcome(announcing(), internal)).toBe('withdraw');
    expect(outcome(update({ attributes: [mpReach, origin, asPath] }), internal)).toBe('withdraw');
  });
});

describe('RFC 7606: flags', () => {
  const good: readonly [number, number, readonly number[]][] = [
    [1, 0x40, [0]],
    [2, 0x40, [2, 1, 0, 0, 0, 1]],
    [3, 0x40, [192, 0, 2, 1]],
    [4, 0x80, [0, 0, 0, 1]],
    [8, 0xc0, [0, 0, 0, 1]],
    [16, 0xc0, new Array<number>(8).fill(0)],
    [25, 0xc0, new Array<number>(20).fill(0)],
    [32, 0xc0, new Array<number>(12).fill(0)],
    [35, 0xc0, [0, 0, 0, 1]],
  ];
  const wrong = good.flatMap(([type, flags, value]) => {
    return [0x00, 0x40, 0x80, 0xc0].filter((other) => other !== flags).map((other) => [type, other, value] as const);
  });
  test.each(wrong)('attribute %i with flags %i is treated as a withdrawal', (type, flags, value) => {
    expect(outcome(announcing(attribute(flags, type, value)))).toBe('withdraw');
    expect(outcome(announcing(attribute(flags | 0x10, type, value)))).toBe('withdraw');
  });

  test.each([
    [6, 0x80, []],
    [6, 0xc0, []],
    [7, 0x40, as4(1, 1)],
    [7, 0x80, as4(1, 1)],
  ])('attribute %i with flags %i is discarded', (type, flags, value) => {
    expect(outcome(announcing(attribute(flags, type, value)))).toBe('discard');
  });

  test.each([0x40, 0xc0, 0x00])('MP_REACH_NLRI and MP_UNREACH_NLRI with flags %i end the session', (flags) => {
    expect(outcome(update({ attributes: [[flags, ...mpReach.slice(1)], origin, asPath] }))).toBe('reset 3/9');
    expect(outcome(announcing([flags, ...mpUnreach.slice(1)]))).toBe('reset 3/9');
  });

  test('an unknown attribute that is not optional ends the session and is shown', () => {
    for (const flags of [0x00, 0x40, 0x50, 0x60]) {
      const unknown = attribute(flags, 200, [1, 2]);
      const { notification } = classifyUpdate(announcing(unknown), external);
      expect(notification).toEqual({ code: 3, subcode: 2, data: Uint8Array.from(unknown) });
    }
  });
});

describe('RFC 7606: values', () => {
  test.each<[string, Attribute, string, UpdateSender?]>([
    ['ORIGIN of no bytes', attribute(0x40, 1, []), 'withdraw'],
    ['ORIGIN of two bytes', attribute(0x40, 1, [0, 0]), 'withdraw'],
    ['ORIGIN 3', attribute(0x40, 1, [3]), 'withdraw'],
    ['ORIGIN 255', attribute(0x40, 1, [255]), 'withdraw'],
    ['AS_PATH segment type 0', path(0, 1, ...as4(1)), 'withdraw'],
    ['AS_PATH segment type 5', path(5, 1, ...as4(1)), 'withdraw'],
    ['AS_PATH of a confederation', path(3, 1, ...as4(1)), 'withdraw'],
    ['AS_PATH with an empty segment', path(2, 0), 'withdraw'],
    ['AS_PATH ending in an empty segment', path(2, 1, ...as4(1), 2, 0), 'withdraw'],
    ['AS_PATH of one byte', path(2), 'withdraw'],
    ['AS_PATH with one byte left', path(2, 1, ...as4(1), 2), 'withdraw'],
    ['AS_PATH overrun', path(2, 2, ...as4(1)), 'withdraw'],
    ['AS_PATH overrun by a byte', path(2, 1, 0, 0, 1), 'withdraw'],
    ['AS_PATH with AS 0', path(2, 2, ...as4(1, 0)), 'withdraw'],
    ['AS_PATH of two-byte numbers from a four-byte peer', path(2, 1, 0xfd, 0xe9), 'withdraw'],
    ['AS_PATH of zeros', path(0, 0, 0, 0), 'withdraw'],
    ['NEXT_HOP of no bytes', attribute(0x40, 3, []), 'withdraw'],
    ['NEXT_HOP of three bytes', attribute(0x40, 3, [1, 1, 1]), 'withdraw'],
    ['NEXT_HOP of sixteen bytes', attribute(0x40, 3, globalHop), 'withdraw'],
    ['NEXT_HOP 0.0.0.0', attribute(0x40, 3, [0, 0, 0, 0]), 'withdraw'],
    ['NEXT_HOP 0.1.2.3', attribute(0x40, 3, [0, 1, 2, 3]), 'withdraw'],
    ['NEXT_HOP 127.0.0.1', attribute(0x40, 3, [127, 0, 0, 1]), 'withdraw'],
    ['NEXT_HOP 224.0.0.1', attribute(0x40, 3, [224, 0, 0, 1]), 'withdraw'],
    ['NEXT_HOP 255.255.255.255', attribute(0x40, 3, [255, 255, 255, 255]), 'withdraw'],
    ['NEXT_HOP 223.255.255.1', attribute(0x40, 3, [223, 255, 255, 1]), 'accept'],
    ['MED of no bytes', attribute(0x80, 4, []), 'withdraw'],
    ['MED of three bytes', attribute(0x80, 4, [0, 0, 1]), 'withdraw'],
    ['MED of five bytes', attribute(0x80, 4, [0, 0, 0, 0, 1]), 'withdraw'],
    ['LOCAL_PREF from outside', localPreference, 'discard'],
    ['LOCAL_PREF from outside, of three bytes', attribute(0x40, 5, [0, 0, 1]), 'discard'],
    ['LOCAL_PREF of three bytes', attribute(0x40, 5, [0, 0, 1]), 'withdraw', internal],
    ['LOCAL_PREF of no bytes', attribute(0x40, 5, []), 'withdraw', internal],
    ['ATOMIC_AGGREGATE of one byte', attribute(0x40, 6, [0]), 'discard'],
    ['AGGREGATOR of no bytes', attribute(0xc0, 7, []), 'discard'],
    ['AGGREGATOR of five bytes', attribute(0xc0, 7, [0, 0, 0, 0, 1]), 'discard'],
    ['AGGREGATOR of six bytes from a four-byte peer', attribute(0xc0, 7, [0, 1, 1, 1, 1, 1]), 'discard'],
    ['AGGREGATOR of seven bytes', attribute(0xc0, 7, [0, 0, 0, 1, 1, 1, 1]), 'discard'],
    ['AGGREGATOR of nine bytes', attribute(0xc0, 7, [0, 0, 0, 1, 1, 1, 1, 1, 1]), 'discard'],
    ['AGGREGATOR with AS 0', attribute(0xc0, 7, as4(0, 1)), 'discard'],
    ['COMMUNITIES of no bytes', attribute(0xc0, 8, []), 'withdraw'],
    ['COMMUNITIES of five bytes', attribute(0xc0, 8, [1, 2, 3, 4, 5]), 'withdraw'],
    ['ORIGINATOR_ID from outside', attribute(0x80, 9, as4(1)), 'discard'],
    ['CLUSTER_LIST from outside, malformed', attribute(0x40, 10, [1]), 'discard'],
    ['EXTENDED COMMUNITIES of no bytes', attribute(0xc0, 16, []), 'withdraw'],
    ['EXTENDED COMMUNITIES of nine bytes', attribute(0xc0, 16, new Array<number>(9).fill(0)), 'withdraw'],
    ['AS4_PATH from a four-byte peer', attribute(0xc0, 17, [2, 1, ...as4(1)]), 'discard'],
    ['AS4_AGGREGATOR from a four-byte peer', attribute(0xc0, 18, as4(1, 1)), 'discard'],
    ['IPv6 EXTENDED COMMUNITIES of 19 bytes', attribute(0xc0, 25, new Array<number>(19).fill(0)), 'withdraw'],
    ['IPv6 EXTENDED COMMUNITIES of no bytes', attribute(0xc0, 25, []), 'withdraw'],
    ['LARGE_COMMUNITY of no bytes', attribute(0xc0, 32, []), 'withdraw'],
    ['LARGE_COMMUNITY of 13 bytes', attribute(0xc0, 32, new Array<number>(13).fill(0)), 'withdraw'],
    ['ONLY_TO_CUSTOMER of three bytes', attribute(0xc0, 35, [0, 0, 1]), 'withdraw'],
    ['MP_REACH_NLRI of four bytes', attribute(0x80, 14, [0, 2, 1, 0]), 'reset 3/9'],
    ['MP_REACH_NLRI of no bytes', attribute(0x80, 14, []), 'reset 3/9'],
    ['MP_REACH_NLRI with no next hop', attribute(0x80, 14, [0, 2, 1, 0, 0, 0]), 'reset 3/9'],
    [
      'MP_REACH_NLRI with 15 bytes of next hop',
      attribute(0x80, 14, [0, 2, 1, 15, ...globalHop.slice(1), 0, 0]),
      'reset 3/9',
    ],
    ['MP_REACH_NLRI with 4 bytes of IPv6 next hop', attribute(0x80, 14, [0, 2, 1, 4, 1, 1, 1, 1, 0, 0]), 'reset 3/9'],
    ['MP_REACH_NLRI with a next hop beyond it', attribute(0x80, 14, [0, 2, 1, 200, ...globalHop, 0]), 'reset 3/9'],
    ['MP_REACH_NLRI with a next hop to its end', attribute(0x80, 14, [0, 2, 1, 16, ...globalHop]), 'reset 3/9'],
    ['IPv4 over IPv6 that was not agreed', attribute(0x80, 14, [0, 1, 1, 16, ...globalHop, 0, 0]), 'reset 3/9'],
    ['MP_UNREACH_NLRI of two bytes', attribute(0x80, 15, [0, 2]), 'reset 3/9'],
    ['MP_UNREACH_NLRI of no bytes', attribute(0x80, 15, []), 'reset 3/9'],
    ['attribute 99, of 2010', attribute(0xe0, 99, new Array<number>(250).fill(0xff)), 'accept'],
    ['attribute 28, of 2023', attribute(0xf0, 28, [0, 0, 0, 0]), 'accept'],
    ['attribute 40, all zero, of 2025', attribute(0xc0, 40, new Array<number>(40).fill(0)), 'accept'],
    ['attribute 23, corrupt (VU#347067)', attribute(0xc0, 23, [0xff, 0xff, 0xff]), 'accept'],
    [
      'an AS path of 2048 numbers and more, overrun',
      attribute(0x50, 2, [
        ...Array.from({ length: 9 }, () => [2, 255, ...as4(...new Array<number>(255).fill(1))]).flat(),
        2,
      ]),
      'withdraw',
    ],
  ])('%s', (_, change, expected, sender = external) => {
    const more = sender.internal && change[1] !== 5 ? [localPreference] : [];
    expect(outcome(announcing(change, ...more), sender)).toBe(expected);
  });

  test.each<[string, Attribute, string]>([
    ['AS4_PATH segment type 0', attribute(0xc0, 17, [0, 1, ...as4(1)]), 'discard'],
    ['AS4_PATH overrun', attribute(0xc0, 17, [2, 2, ...as4(1)]), 'discard'],
    ['AS4_AGGREGATOR of seven bytes', attribute(0xc0, 18, [0, 0, 1, 1, 1, 1, 1]), 'discard'],
    ['AS4_AGGREGATOR with AS 0', attribute(0xc0, 18, as4(0, 1)), 'discard'],
    ['AGGREGATOR of eight bytes', attribute(0xc0, 7, as4(1, 1)), 'discard'],
    ['AGGREGATOR with AS 0', attribute(0xc0, 7, [0, 0, 1, 1, 1, 1]), 'discard'],
    ['AS_PATH with AS 0', path(2, 1, 0, 0), 'withdraw'],
    ['AS4_PATH before AS_PATH', attribute(0xc0, 17, [2, 1, ...as4(70000)]), 'accept'],
  ])('from a two-byte peer: %s', (_, change, expected) => {
    const rest = [origin, path(2, 1, 0xfd, 0xe9), nextHop].filter((one) => one[1] !== change[1]);
    expect(outcome(update({ attributes: [change, ...rest], nlri }), twoOctets)).toBe(expected);
  });

  test.each<[string, Attribute]>([
    ['ORIGINATOR_ID of five bytes', attribute(0x80, 9, [1, 1, 1, 1, 1])],
    ['CLUSTER_LIST of five bytes', attribute(0x80, 10, [1, 1, 1, 1, 1])],
    ['CLUSTER_LIST of no bytes', attribute(0x80, 10, [])],
  ])('from an internal peer: %s', (_, change) => {
    expect(outcome(announcing(change, localPreference), internal)).toBe('withdraw');
  });
});

describe('several errors', () => {
  const discarded = attribute(0x40, 6, [1]);
  const withdrawn = attribute(0x80, 4, [1]);
  const reset = attribute(0x40, 77, []);
  test('the strongest stands, whatever the order', () => {
    expect(outcome(announcing(discarded, withdrawn))).toBe('withdraw');
    expect(outcome(announcing(withdrawn, discarded))).toBe('withdraw');
    expect(outcome(announcing(withdrawn, reset, discarded))).toBe('reset 3/2');
  });

  test('the list of problems does not grow without end', () => {
    const many = Array.from({ length: 200 }, () => attribute(0xc0, 99, []));
    const { problems, action } = classifyUpdate(
      update({ attributes: [origin, asPath, nextHop, ...many], nlri }),
      external,
    );
    expect(problems).toHaveLength(8);
    expect(action).toBe('attribute-discard');
  });

  test('routes to be withdrawn are counted', () => {
    const verdict = classifyUpdate(announcing(withdrawn), external);
    expect(verdict.announced['ipv4-unicast']).toBe(2);
    expect(verdict.problems.map(({ action }) => action)).toEqual(['treat-as-withdraw']);
  });

  test('what the peer is shown is a copy of the attribute', () => {
    const body = announcing(attribute(0x80, 14, [0, 2, 1]));
    const { notification } = classifyUpdate(body, external);
    body.fill(0);
    expect(toHex(notification?.data ?? new Uint8Array(0))).toBe('800e03000201');
  });
});

describe('anything at all', () => {
  const seeds = [
    announcing(
      localPreference,
      attribute(0xc0, 8, as4(1, 2)),
      attribute(0xc0, 7, as4(65001, 1)),
      attribute(0xc0, 32, as4(1, 2, 3)),
    ),
    update({ withdrawn: [prefix4('192.0.2.0/24')], attributes: [mpReach, mpUnreach, origin, asPath, nextHop], nlri }),
    update({ attributes: [attribute(0x90, 15, [0, 2, 1, 128, ...globalHop])] }),
  ];
  const mutated = fc
    .record({
      seed: fc.constantFrom(...seeds),
      changes: fc.array(fc.tuple(fc.nat(10_000), fc.nat(255)), { maxLength: 4 }),
      cut: fc.option(fc.nat(10_000), { nil: undefined, freq: 4 }),
    })
    .map(({ seed, changes, cut }) => {
      const bytes = changes.reduce((before, [at, value]) => before.with(at % before.length, value), seed);
      return cut === undefined ? bytes : bytes.slice(0, cut % bytes.length);
    });
  const sender = fc.record({ internal: fc.boolean(), fourOctetAs: fc.boolean(), ipv4NextHopOverIpv6: fc.boolean() });

  test('gives a verdict within what was sent', () => {
    fc.assert(
      fc.property(
        fc.oneof({ weight: 3, arbitrary: mutated }, fc.uint8Array({ maxLength: 200 })),
        sender,
        (body, from) => {
          const before = toHex(body);
          const verdict = classifyUpdate(body, from);
          expect(toHex(body)).toBe(before);
          const { announced, withdrawn } = verdict;
          const counted = [...Object.values(announced), ...Object.values(withdrawn)].reduce(
            (sum, count) => sum + count,
            0,
          );
          expect(counted).toBeLessThanOrEqual(body.length);
          expect(verdict.notification !== undefined).toBe(verdict.action === 'session-reset');
          expect(verdict.problems.length > 0).toBe(verdict.action !== 'accept');
          if (verdict.notification) expect(verdict.notification.code).toBe(3);
        },
      ),
      { numRuns: 5000 },
    );
  });

  test('every truncation of a good message ends the session or is accepted whole', () => {
    for (const seed of seeds) {
      for (let cut = 0; cut < seed.length; cut++) {
        expect(outcome(seed.slice(0, cut))).toMatch(/^(reset 3\/(1|10)|withdraw|discard|accept)$/);
      }
    }
  });

  test('random optional attributes never end a session', () => {
    const known = new Set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 25, 32, 35]);
    const type = fc.nat(255).filter((one) => !known.has(one));
    const flags = fc.constantFrom(0x80, 0xc0, 0xe0, 0xa0);
    fc.assert(
      fc.property(
        fc.uniqueArray(type, { maxLength: 6 }),
        flags,
        fc.uint8Array({ maxLength: 60 }),
        (types, bits, value) => {
          expect(outcome(announcing(...types.map((one) => attribute(bits, one, value))))).toBe('accept');
        },
      ),
    );
  });

  test('the longest message of smallest parts takes time in proportion', () => {
    const body = join(hex('0000 0000'), new Uint8Array(65_000));
    expect(classifyUpdate(body, external).announced['ipv4-unicast']).toBe(65_000);
    const empty = join([0, 0, 0xfd, 0xe8], ...Array.from({ length: 21_666 }, () => [0xc0, 99, 0]), [0xc0, 98]);
    expect(classifyUpdate(empty, external).action).toBe('session-reset');
  });
});
