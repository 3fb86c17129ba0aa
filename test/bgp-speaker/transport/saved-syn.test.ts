import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readSavedSyn } from '../../../src/bgp-speaker/transport/saved-syn.ts';

const tcp = (options: number[] = []) => {
  const padded = [...options, ...Array.from({ length: (4 - (options.length % 4)) % 4 }, () => 0)];
  const header = Array.from({ length: 20 }, () => 0);
  header[12] = ((20 + padded.length) / 4) << 4;
  header[13] = 2;
  return [...header, ...padded];
};
const ipv4 = (ttl: number, segment: number[], ipOptions: number[] = []) => {
  const header = Array.from({ length: 20 }, () => 0);
  header[0] = 0x40 | (5 + ipOptions.length / 4);
  header[8] = ttl;
  return Uint8Array.from([...header, ...ipOptions, ...segment]);
};
const ipv6 = (hopLimit: number, segment: number[], extensions: { kind: number; words: number }[] = []) => {
  const header = Array.from({ length: 40 }, () => 0);
  header[0] = 0x60;
  header[6] = extensions[0]?.kind ?? 6;
  header[7] = hopLimit;
  const between = extensions.flatMap(({ words }, i) => {
    const bytes = Array.from({ length: 8 * (words + 1) }, () => 0);
    bytes[0] = extensions[i + 1]?.kind ?? 6;
    bytes[1] = words;
    return bytes;
  });
  return Uint8Array.from([...header, ...between, ...segment]);
};
const mss = [2, 4, 5, 180];
const md5 = [19, 18, ...Array.from({ length: 16 }, () => 7)];
const ao = [29, 16, 1, 1, ...Array.from({ length: 12 }, () => 7)];

describe('the segment that opened a connection', () => {
  test.each([
    ['IPv4', ipv4(255, tcp(mss)), { ttl: 255, signature: 'none' }],
    ['IPv4, MD5 behind others', ipv4(64, tcp([...mss, 1, 1, ...md5])), { ttl: 64, signature: 'md5' }],
    ['IPv4 with options, TCP-AO', ipv4(1, tcp(ao), [7, 7, 4, 0, 0, 0, 0, 0]), { ttl: 1, signature: 'ao' }],
    ['IPv6', ipv6(255, tcp()), { ttl: 255, signature: 'none' }],
    [
      'IPv6 with extension headers',
      ipv6(9, tcp(md5), [
        { kind: 0, words: 0 },
        { kind: 60, words: 2 },
      ]),
      { ttl: 9, signature: 'md5' },
    ],
    ['a signature behind the end of the options', ipv4(2, tcp([0, ...md5])), { ttl: 2, signature: 'none' }],
    ['a signature kind inside another option', ipv4(2, tcp([2, 4, 19, 18])), { ttl: 2, signature: 'none' }],
    ['an option of length 0', ipv4(2, tcp([3, 0, ...md5])), { ttl: 2, signature: 'none' }],
    ['an option without length', ipv4(2, tcp([1, 1, 1, 8])), { ttl: 2, signature: 'none' }],
  ])('%s', (_, bytes, expected) => expect(readSavedSyn(bytes)).toEqual(expected));

  test.each([
    ['nothing', Uint8Array.of()],
    ['another protocol behind IPv6', ipv6(9, tcp(), [{ kind: 44, words: 0 }])],
    ['an IP version that is none', Uint8Array.from([0x50, ...tcp()])],
    ['an IPv4 header of 4 words', Uint8Array.from([0x44, ...ipv4(1, tcp()).subarray(1)])],
    ['a TCP header of 4 words', ipv4(1, [...tcp().slice(0, 12), 0x40, ...tcp().slice(13)])],
  ])('gives nothing for %s', (_, bytes) => expect(readSavedSyn(bytes)).toBeUndefined());

  test('every truncation gives nothing', () => {
    for (const whole of [ipv4(255, tcp(md5)), ipv6(255, tcp(ao), [{ kind: 43, words: 1 }])]) {
      for (let length = 0; length < whole.length; length++) {
        expect(readSavedSyn(whole.subarray(0, length))).toBeUndefined();
      }
    }
  });

  test('no bytes make it throw or hang', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 160 }), (bytes) => void readSavedSyn(bytes)));
  });
});
