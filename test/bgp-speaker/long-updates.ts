/** RFC 8654 and RFC 7606. */
import { announcing, as4, type MalformedUpdate, nlri, octets, row, zeros } from './update-cases.ts';
import { asPath, attribute, globalHop, nextHop, origin, update } from './wire-bytes.ts';

const sequences = (count: number, numbers = 255) =>
  Array.from({ length: count }, () => [2, numbers, ...as4(...new Array<number>(numbers).fill(65_001))]).flat();
const hosts = (count: number) => Array.from({ length: count }, (_, index) => [32, 10, 0, index >> 8, index & 255]);

/** Of more than 4096 bytes, so from a peer with extended messages (RFC 8654). */
export const longUpdates: readonly MalformedUpdate[] = [
  ...row(
    'CVE-2026-49943: an AS_PATH of more than 2,000 numbers',
    'accept',
    ['2,295 numbers, 9 KB', announcing(attribute(0x50, 2, sequences(9)))],
    ['16,065 numbers, 64 KB', announcing(attribute(0x50, 2, sequences(63)))],
    ['5,000 segments of one number', announcing(attribute(0x50, 2, sequences(5000, 1)))],
  ),
  ...row(
    'CVE-2026-49943: and malformed',
    'withdraw',
    ['2,295 numbers, overrun at the end', announcing(attribute(0x50, 2, [...sequences(9), 2]))],
    ['2,295 numbers, the last cut', announcing(attribute(0x50, 2, sequences(9).slice(0, -1)))],
    ['2,040 numbers, then an empty segment', announcing(attribute(0x50, 2, [...sequences(8), 2, 0]))],
    ['16,065 numbers, the last AS 0', announcing(attribute(0x50, 2, [...sequences(63).slice(0, -4), ...as4(0)]))],
  ),
  ...row(
    'long attributes',
    'accept',
    ['COMMUNITIES of 60,000 bytes', announcing(attribute(0xd0, 8, zeros(60_000)))],
    ['an unknown one of 65,000 bytes', announcing(attribute(0xd0, 99, zeros(65_000)))],
    ['12,000 prefixes', update({ attributes: [origin, asPath, nextHop], nlri: hosts(12_000) })],
    ['12,000 withdrawals', update({ withdrawn: hosts(12_000) })],
  ),
  ...row('7.8: long communities', 'withdraw', ['60,001 bytes', announcing(attribute(0xd0, 8, zeros(60_001)))]),
  ...row('4: a long overrun', 'withdraw', [
    'after 60,000 bytes of another',
    update({ attributes: [origin, asPath, nextHop, attribute(0xd0, 99, zeros(60_000)), [0xd0, 8, 255, 255]], nlri }),
  ]),
  ...row('5.3: the last of many prefixes', 'reset 3/9', [
    'MP_REACH_NLRI of 48,000 bytes, then /129',
    announcing(
      attribute(0x90, 14, [
        ...octets(0, 2, 1, 16, globalHop, 0),
        ...Array.from({ length: 9600 }, () => [32, 0x20, 1, 0xd, 0xb8]).flat(),
        129,
        ...zeros(17),
      ]),
    ),
  ]),
];
