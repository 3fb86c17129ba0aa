/**
 * Malformed UPDATEs and what RFC 7606 wants done with them, one list for the classifier and for real sessions. All are
 * from an external peer with four-byte AS numbers, both families, without RFC 8950. The bodies stand alone: what is
 * not named by the case is in order.
 */
import {
  announcing,
  as4,
  type MalformedUpdate,
  mp14,
  mp15,
  nlri,
  type Octets,
  path,
  row,
  zeros,
} from './update-cases.ts';
import {
  asPath,
  attribute,
  globalHop,
  hex,
  localPreference,
  mpReach,
  mpUnreach,
  nextHop,
  origin,
  prefix4,
  update,
} from './wire-bytes.ts';

/** Every encoding of the Optional and Transitive flags but the right one, with the short and the long length. */
function wrongFlags(type: number, right: number, value: Octets): Uint8Array[] {
  return [0x00, 0x40, 0x80, 0xc0]
    .filter((flags) => flags !== right)
    .flatMap((flags) => [flags, flags | 0x10])
    .map((flags) => announcing(attribute(flags, type, value)));
}

const lost = update({ attributes: [origin, asPath, nextHop] });

export const malformedUpdates: readonly MalformedUpdate[] = [
  ...row(
    '3 b',
    'reset 3/1',
    ['withdrawn routes beyond the message, by a byte', hex('0001 0000')],
    ['withdrawn routes beyond the message, by far', hex('ffff 0000')],
    ['attributes beyond the message, by a byte', hex('0000 0001')],
    ['attributes beyond the message, by far', hex('0000 ffff 400101')],
    ['both lengths fit alone, not together', hex('0002 0800 0004 400101')],
  ),
  ...row(
    '5.3 and RFC 4271 6.3',
    'reset 3/10',
    ['NLRI /33', update({ attributes: [origin, asPath, nextHop], nlri: [[33, 1, 2, 3, 4, 5]] })],
    ['NLRI /255', update({ attributes: [origin, asPath, nextHop], nlri: [[255]] })],
    ['NLRI cut within the prefix', update({ attributes: [origin, asPath, nextHop], nlri: [[24, 1, 2]] })],
    ['NLRI cut after its length', update({ attributes: [origin, asPath, nextHop], nlri: [[32]] })],
    ['withdrawn /33 (3 i)', update({ withdrawn: [[33, 1, 2, 3, 4, 5]] })],
    ['withdrawn prefix cut (3 i)', update({ withdrawn: [[24, 1, 2]] })],
    ['withdrawn prefix of which the end is missing (3 i)', update({ withdrawn: [prefix4('10.0.0.0/8'), [32, 1]] })],
  ),
  ...row(
    '4: the last attribute overruns the list, or its head does not fit',
    'withdraw',
    ['one byte left', update({ attributes: [origin, asPath, nextHop, [0x40]], nlri })],
    ['two bytes left', update({ attributes: [origin, asPath, nextHop, [0xc0, 8]], nlri })],
    ['three bytes left of a long one', update({ attributes: [origin, asPath, nextHop, [0xd0, 8, 0]], nlri })],
    ['overrun by a byte', update({ attributes: [origin, asPath, nextHop, [0xc0, 8, 4, 1, 2, 3]], nlri })],
    ['overrun by 65,535', update({ attributes: [origin, asPath, nextHop, [0xd0, 8, 255, 255]], nlri })],
    ['overrun after IPv6 routes', update({ attributes: [mpReach, origin, asPath, [0xc0, 8, 4, 1]] })],
    ['ORIGIN overruns, nothing else is read', update({ attributes: [[0x40, 1, 200, 0]], nlri })],
  ),
  ...row(
    '4 and 3 j: the last attribute overruns the list and has routes',
    'reset 3/1',
    ['MP_REACH_NLRI by a byte', update({ attributes: [origin, asPath, nextHop, mpReach.slice(0, -1)], nlri })],
    ['MP_REACH_NLRI by 65,535', update({ attributes: [origin, asPath, nextHop, [0x90, 14, 255, 255]], nlri })],
    ['MP_UNREACH_NLRI by a byte', update({ attributes: [origin, asPath, nextHop, mpUnreach.slice(0, -1)], nlri })],
    ['MP_UNREACH_NLRI, of which the head is cut', update({ attributes: [origin, asPath, nextHop, [0x80, 15]], nlri })],
  ),
  ...row(
    '3 g: MP attributes twice',
    'reset 3/1',
    ['MP_REACH_NLRI', update({ attributes: [mpReach, mpReach, origin, asPath] })],
    ['MP_UNREACH_NLRI', update({ attributes: [mpUnreach, mpUnreach] })],
    ['MP_REACH_NLRI, far apart', update({ attributes: [mpReach, origin, asPath, nextHop, mpReach], nlri })],
  ),
  ...row(
    '3 g: any other attribute twice',
    'discard',
    ['ORIGIN', update({ attributes: [origin, asPath, nextHop, origin], nlri })],
    ['ORIGIN, the second malformed', update({ attributes: [origin, asPath, nextHop, attribute(0x40, 1, [9])], nlri })],
    ['AS_PATH', update({ attributes: [origin, asPath, nextHop, asPath], nlri })],
    ['an unknown one', announcing(attribute(0xc0, 99, [1]), attribute(0xc0, 99, [2]))],
    ['an unknown one of no bytes', announcing(attribute(0xc0, 99, []), attribute(0xc0, 99, []))],
  ),
  ...row(
    '3 c: Optional and Transitive flags',
    'withdraw',
    ...(
      [
        ['ORIGIN', 1, 0x40, [0]],
        ['AS_PATH', 2, 0x40, [2, 1, 0, 0, 0xfd, 0xe9]],
        ['NEXT_HOP', 3, 0x40, [192, 0, 2, 1]],
        ['MULTI_EXIT_DISC', 4, 0x80, [0, 0, 0, 1]],
        ['COMMUNITIES', 8, 0xc0, [0, 0, 0, 1]],
        ['EXTENDED COMMUNITIES', 16, 0xc0, zeros(8)],
        ['IPv6 EXTENDED COMMUNITIES', 25, 0xc0, zeros(20)],
        ['LARGE_COMMUNITY', 32, 0xc0, zeros(12)],
        ['ONLY_TO_CUSTOMER', 35, 0xc0, [0, 0, 0, 1]],
      ] as const
    ).flatMap(([name, type, right, value]) =>
      wrongFlags(type, right, value).map((body, index): [string, Uint8Array] => [`${name}, way ${index + 1}`, body]),
    ),
  ),
  ...row(
    '3 f: flags of what is discarded',
    'discard',
    ...wrongFlags(6, 0x40, []).map((body, index): [string, Uint8Array] => [`ATOMIC_AGGREGATE, way ${index + 1}`, body]),
    ...wrongFlags(7, 0xc0, as4(65001, 1)).map((body, index): [string, Uint8Array] => [
      `AGGREGATOR, way ${index + 1}`,
      body,
    ]),
  ),
  ...row(
    '5.3: flags of MP attributes',
    'reset 3/9',
    ...[0x00, 0x40, 0xc0].flatMap((flags): [string, Uint8Array][] => [
      [`MP_REACH_NLRI ${flags}`, update({ attributes: [[flags, ...mpReach.slice(1)], origin, asPath] })],
      [`MP_UNREACH_NLRI ${flags}`, update({ attributes: [[flags, ...mpUnreach.slice(1)]] })],
    ]),
  ),
  ...row(
    '7.1 ORIGIN',
    'withdraw',
    ['no bytes', announcing(attribute(0x40, 1, []))],
    ['two bytes', announcing(attribute(0x40, 1, [0, 0]))],
    ['value 3', announcing(attribute(0x40, 1, [3]))],
    ['value 255', announcing(attribute(0x40, 1, [255]))],
  ),
  ...row(
    '7.2 AS_PATH',
    'withdraw',
    ['segment type 0', announcing(path(0, 1, as4(1)))],
    ['segment type 5', announcing(path(5, 1, as4(1)))],
    ['segment type 255', announcing(path(255, 1, as4(1)))],
    ['an empty segment', announcing(path(2, 0))],
    ['an empty segment after a full one', announcing(path(2, 1, as4(1), 2, 0))],
    ['one byte', announcing(path(2))],
    ['one byte left', announcing(path(2, 1, as4(1), 2))],
    ['overrun', announcing(path(2, 2, as4(1)))],
    ['overrun by a byte', announcing(path(2, 1, 0, 0, 1))],
    ['overrun by 255 numbers', announcing(path(2, 255, as4(1)))],
    ['two-byte numbers', announcing(path(2, 1, 0xfd, 0xe9))],
    ['AS 0 (RFC 7607)', announcing(path(2, 1, as4(0)))],
    ['confederation segments from outside (RFC 5065)', announcing(path(3, 1, as4(1)))],
  ),
  ...row(
    '7.3 NEXT_HOP, and RFC 4271 6.3',
    'withdraw',
    ['no bytes', announcing(attribute(0x40, 3, []))],
    ['three bytes', announcing(attribute(0x40, 3, [1, 1, 1]))],
    ['five bytes', announcing(attribute(0x40, 3, [1, 1, 1, 1, 1]))],
    ['sixteen bytes', announcing(attribute(0x40, 3, globalHop))],
    ['0.0.0.0', announcing(attribute(0x40, 3, [0, 0, 0, 0]))],
    ['127.0.0.1', announcing(attribute(0x40, 3, [127, 0, 0, 1]))],
    ['224.0.0.1', announcing(attribute(0x40, 3, [224, 0, 0, 1]))],
    ['240.0.0.1', announcing(attribute(0x40, 3, [240, 0, 0, 1]))],
  ),
  ...row(
    '7.4 MULTI_EXIT_DISC',
    'withdraw',
    ...[0, 3, 5].map((length): [string, Uint8Array] => [
      `${length} bytes`,
      announcing(attribute(0x80, 4, zeros(length))),
    ]),
  ),
  ...row(
    '7.5 LOCAL_PREF from outside',
    'discard',
    ['well-formed', announcing(localPreference)],
    ['three bytes', announcing(attribute(0x40, 5, [0, 0, 1]))],
    ['no bytes', announcing(attribute(0x40, 5, []))],
    ['wrong flags', announcing(attribute(0xc0, 5, as4(100)))],
  ),
  ...row(
    '7.6 ATOMIC_AGGREGATE',
    'discard',
    ['one byte', announcing(attribute(0x40, 6, [0]))],
    ['255 bytes', announcing(attribute(0x40, 6, zeros(255)))],
  ),
  ...row(
    '7.7 AGGREGATOR, RFC 7607',
    'discard',
    ...[0, 5, 6, 7, 9].map((length): [string, Uint8Array] => {
      return [`${length} bytes`, announcing(attribute(0xc0, 7, new Array<number>(length).fill(1)))];
    }),
    ['AS 0', announcing(attribute(0xc0, 7, as4(0, 1)))],
  ),
  ...row(
    '7.8, 7.14, 7.15 and RFC 8092: communities',
    'withdraw',
    ...(
      [
        ['COMMUNITIES', 8, [0, 1, 3, 5, 254]],
        ['EXTENDED COMMUNITIES', 16, [0, 7, 9, 12]],
        ['IPv6 EXTENDED COMMUNITIES', 25, [0, 8, 19, 21]],
        ['LARGE_COMMUNITY', 32, [0, 4, 11, 13, 20]],
      ] as const
    ).flatMap(([name, type, lengths]) =>
      lengths.map((length): [string, Uint8Array] => [
        `${name}, ${length} bytes`,
        announcing(attribute(0xc0, type, zeros(length))),
      ]),
    ),
  ),
  ...row(
    '7.9, 7.10: reflection from outside',
    'discard',
    ['ORIGINATOR_ID', announcing(attribute(0x80, 9, as4(1)))],
    ['ORIGINATOR_ID of five bytes', announcing(attribute(0x80, 9, zeros(5)))],
    ['CLUSTER_LIST', announcing(attribute(0x80, 10, as4(1)))],
    ['CLUSTER_LIST of no bytes', announcing(attribute(0x80, 10, []))],
  ),
  ...row(
    '7.11 MP_REACH_NLRI, RFC 4760 section 7',
    'reset 3/9',
    ['no bytes', announcing(mp14())],
    ['four bytes', announcing(mp14(0, 2, 1, 0))],
    ['a next hop of no bytes', announcing(mp14(0, 2, 1, 0, 0, 0))],
    ['a next hop of 9 bytes', announcing(mp14(0, 2, 1, 9, globalHop.slice(0, 9), 0, 0x40, globalHop.slice(0, 8)))],
    ['a next hop of 15 bytes', announcing(mp14(0, 2, 1, 15, globalHop.slice(1), 0, 0))],
    ['a next hop of 64 bytes in 17', announcing(mp14(0, 2, 1, 64, globalHop, 0))],
    ['a next hop cut', announcing(mp14(0, 2, 1, 16, globalHop.slice(8)))],
    ['a next hop to the very end', announcing(mp14(0, 2, 1, 16, globalHop))],
    ['an IPv4 next hop for IPv6', announcing(mp14(0, 2, 1, 4, 192, 0, 2, 1, 0, 0))],
    ['an IPv6 next hop for IPv4, not agreed', announcing(mp14(0, 1, 1, 16, globalHop, 0, 0))],
    ['/129', announcing(mp14(0, 2, 1, 16, globalHop, 0, 129, zeros(17)))],
    ['IPv4 /33', announcing(mp14(0, 1, 1, 4, 192, 0, 2, 1, 0, 33, zeros(5)))],
    ['a prefix cut', announcing(mp14(0, 2, 1, 16, globalHop, 0, 128, 1))],
  ),
  ...row(
    '5.3 MP_UNREACH_NLRI',
    'reset 3/9',
    ['no bytes', update({ attributes: [mp15()] })],
    ['two bytes', update({ attributes: [mp15(0, 2)] })],
    ['/129', update({ attributes: [mp15(0, 2, 1, 129, zeros(17))] })],
    ['a prefix cut', update({ attributes: [mp15(0, 2, 1, 64, 0x20, 1, 0xd, 0xb8)] })],
  ),
  ...row(
    '3 d: missing mandatory attributes',
    'withdraw',
    ['ORIGIN', update({ attributes: [asPath, nextHop], nlri })],
    ['AS_PATH', update({ attributes: [origin, nextHop], nlri })],
    ['NEXT_HOP', update({ attributes: [origin, asPath], nlri })],
    ['all of them', update({ nlri })],
    ['ORIGIN beside IPv6 routes', update({ attributes: [mpReach, asPath] })],
    ['AS_PATH beside IPv6 routes', update({ attributes: [mpReach, origin] })],
  ),
  ...row(
    'RFC 4271 6.3: unrecognized well-known attribute',
    'reset 3/2',
    ...[0x00, 0x40, 0x50, 0x60].map((flags): [string, Uint8Array] => {
      return [`flags ${flags}`, announcing(attribute(flags, 200, [1, 2]))];
    }),
  ),
  ...row(
    '5.2: an error without any route',
    'reset 3/6',
    ['ORIGIN 9 alone', update({ attributes: [attribute(0x40, 1, [9])] })],
    ['ORIGIN 9 beside a withdrawal', update({ withdrawn: nlri, attributes: [attribute(0x40, 1, [9])] })],
    ['ORIGIN 9 beside MP_UNREACH_NLRI', update({ attributes: [mpUnreach, attribute(0x40, 1, [9])] })],
  ),
  ...row('5.2: an error to discard, without any route', 'discard', [
    'ATOMIC_AGGREGATE of one byte',
    update({ attributes: [attribute(0x40, 6, [1])] }),
  ]),
  ...row('5.2: attributes without any route or error', 'accept', ['ORIGIN, AS_PATH, NEXT_HOP', lost]),
  ...row(
    '3 h: the strongest action',
    'withdraw',
    ['discard, then withdraw', announcing(attribute(0x40, 6, [1]), attribute(0x80, 4, [1]))],
    ['withdraw, then discard', announcing(attribute(0x80, 4, [1]), attribute(0x40, 6, [1]))],
  ),
  ...row('3 h: the strongest action of three', 'reset 3/2', [
    '',
    announcing(attribute(0x80, 4, [1]), attribute(0x40, 77, []), attribute(0x40, 6, [1])),
  ]),
  ...row(
    'RFC 6793 6: AS4 attributes from a four-byte peer',
    'discard',
    ['AS4_PATH', announcing(attribute(0xc0, 17, [2, 1, ...as4(1)]))],
    ['AS4_PATH, malformed', announcing(attribute(0xc0, 17, [0, 1, 0, 1, 0, 1]))],
    ['AS4_AGGREGATOR of seven bytes', announcing(attribute(0xc0, 18, zeros(7)))],
  ),
];
