import { announcing, as4, type MalformedUpdate, mp14, mp15, nlri, path, row, zeros } from './update-cases.ts';
import { asPath, attribute, hex, mpUnreach, nextHop, origin, update } from './wire-bytes.ts';

/** Incidents and advisories: what brought others down, and what is right. */
export const lessons: readonly MalformedUpdate[] = [
  ...row('2010: an experiment with attribute 99', 'accept', [
    '250 bytes',
    announcing(attribute(0xe0, 99, new Array<number>(250).fill(255))),
  ]),
  ...row('2023: a corrupt entropy label attribute', 'accept', ['28', announcing(attribute(0xf0, 28, zeros(4)))]),
  ...row(
    'CVE-2023-38802, -38283, -4481, VU#347067: a corrupt tunnel attribute ends no session',
    'accept',
    ['23, overrun within', announcing(attribute(0xc0, 23, [0, 7, 0, 4, 1, 255]))],
    ['23, cut', announcing(attribute(0xc0, 23, [0, 7, 0]))],
    ['23, of no bytes', announcing(attribute(0xc0, 23, []))],
  ),
  ...row('2025: a prefix SID of zeros', 'accept', ['40', announcing(attribute(0xc0, 40, zeros(40)))]),
  ...row('CVE-2024-31948: a prefix SID whose TLV overruns', 'accept', [
    '40',
    announcing(attribute(0xc0, 40, [1, 0, 255, 0, 0, 0])),
  ]),
  ...row(
    'CVE-2023-31490: a prefix SID with a service TLV that has no room for its reserved byte',
    'accept',
    ['40, of no bytes', announcing(attribute(0xc0, 40, [5, 0, 0]))],
    ['40, cut', announcing(attribute(0xc0, 40, [5, 0, 4, 0, 1, 0]))],
  ),
  ...row('CVE-2023-41358: prefixes beside no attributes at all', 'withdraw', ['', update({ nlri })]),
  ...row(
    'CVE-2023-41359: an AIGP attribute too short for its TLV',
    'accept',
    ...[[], [1], [1, 0], [1, 0, 2], [1, 0, 0], [1, 0, 255, 0]].map((value): [string, Uint8Array] => [
      `26, of ${value.length} bytes ${value.join(' ')}`,
      announcing(attribute(0x80, 26, value)),
    ]),
  ),
  ...row(
    'CVE-2024-44070: a tunnel attribute whose TLV is longer than what is left',
    'accept',
    ['23, by a byte', announcing(attribute(0xc0, 23, [0, 8, 0, 3, 1, 0]))],
    ['23, by 65,535', announcing(attribute(0xc0, 23, [0, 8, 255, 255]))],
  ),
  ...row(
    'TLVs of no bytes, one after another, end at the end of the attribute',
    'accept',
    ...[23, 26, 29, 40, 128].map((type): [string, Uint8Array] => [
      `${type}`,
      announcing(attribute(0xd0, type, zeros(2000))),
    ]),
  ),
  ...row('CVE-2026-37462: lengths that leave less than nothing for prefixes', 'reset 3/1', [
    'withdrawn routes and attributes, each all of it',
    hex('0004 18c63364 0004 400101'),
  ]),
  ...row(
    'CVE-2026-30405: a NEXT_HOP of less than four bytes',
    'withdraw',
    ...[1, 2, 3].map((count): [string, Uint8Array] => [
      `${count}`,
      announcing(attribute(0x40, 3, [192, 0, 2].slice(0, count))),
    ]),
  ),
  ...row('CVE-2023-46753: an UPDATE of one unknown attribute', 'accept', [
    '99',
    update({ attributes: [attribute(0xc0, 99, [1])] }),
  ]),
  ...row('CVE-2023-46752: a malformed MP_REACH_NLRI alone', 'reset 3/9', [
    'cut',
    update({ attributes: [mp14(0, 2, 1, 16)] }),
  ]),
  ...row('CVE-2023-47235: End-of-RIB with a malformed attribute', 'reset 3/6', [
    'MP_UNREACH_NLRI empty, ORIGIN 9',
    update({ attributes: [mp15(0, 2, 1), attribute(0x40, 1, [9])] }),
  ]),
  ...row('CVE-2023-47234: MP_UNREACH_NLRI beside missing mandatory attributes is a withdrawal', 'accept', [
    'no others',
    update({ attributes: [mpUnreach] }),
  ]),
  ...row('CVE-2026-41642: an unknown attribute that claims to be well-known', 'reset 3/2', [
    '250',
    announcing(attribute(0x40, 250, [])),
  ]),
  ...row('CVE-2026-41643: AS4_PATH before AS_PATH', 'discard', [
    'first of all',
    update({ attributes: [attribute(0xc0, 17, [2, 1, ...as4(70000)]), origin, asPath, nextHop], nlri }),
  ]),
  ...row('CVE-2026-42285: a length that leaves no attribute parsed', 'withdraw', [
    'the very first overruns',
    update({ attributes: [[0x40, 1, 255, 0]], nlri }),
  ]),
  ...row('CVE-2026-37461: IPv6 extended communities, cut', 'withdraw', [
    '13 bytes',
    announcing(attribute(0xc0, 25, zeros(13))),
  ]),
  ...row('GHSA-4p9m: NEXT_HOP of no bytes', 'withdraw', ['3', announcing(attribute(0x40, 3, []))]),
  ...row('GHSA-frrj: AS_PATH of zeros', 'withdraw', ['2', announcing(path(zeros(4)))]),
  ...row('GoBGP 3392: ORIGIN that claims to be optional', 'withdraw', ['1', announcing(attribute(0xc0, 1, [0]))]),
  ...row('CVE-2026-49943: an AS_PATH of many segments, here of 765 numbers', 'withdraw', [
    'overrun at its end',
    announcing(
      attribute(0x50, 2, [
        ...Array.from({ length: 3 }, () => [2, 255, ...as4(...new Array<number>(255).fill(1))]).flat(),
        2,
      ]),
    ),
  ]),
  ...row(
    'CVE-2025-43972: flowspec, which nobody announced, of less than two bytes',
    'accept',
    ['none', update({ attributes: [mp14(0, 1, 133, 0, 0), origin, asPath] })],
    ['one', update({ attributes: [mp14(0, 1, 133, 0, 0, 255), origin, asPath] })],
    ['one, withdrawn', update({ attributes: [mp15(0, 1, 133, 255)] })],
  ),
];
