import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BgpMessageError, type Notification } from '../../src/bgp-speaker/errors.ts';
import { formatCommunity, parseCommunity } from '../../src/bgp-speaker/message/communities.ts';
import {
  ceaseWithText,
  decodeNotification,
  describeNotification,
  encodeNotification,
  hardReset,
  hardResetReason,
  shutdownText,
} from '../../src/bgp-speaker/message/notification.ts';
import { decodeRouteRefresh, encodeRouteRefresh } from '../../src/bgp-speaker/message/route-refresh.ts';
import { hex, join, message } from './wire-bytes.ts';

const cease = (subcode: number, data: readonly number[]): Notification => ({
  code: 6,
  subcode,
  data: Uint8Array.from(data),
});

describe('NOTIFICATION', () => {
  test('an administrative shutdown with text, byte by byte (RFC 9003)', () => {
    const encoded = encodeNotification(ceaseWithText(2, 'bis später'));
    expect(encoded).toEqual(message(3, hex('06 02 0b 62697320 7370c3a4746572')));
    const decoded = decodeNotification(encoded.subarray(19));
    expect(describeNotification(decoded)).toBe('cease (6/2): administrative shutdown "bis später"');
  });

  test('a text is cut at 255 bytes or less, never within a character', () => {
    expect(ceaseWithText(4, 'x'.repeat(300)).data).toHaveLength(256);
    const { data } = ceaseWithText(2, `${'x'.repeat(127)}ä`, 128);
    expect(data).toHaveLength(128);
    expect(shutdownText(cease(2, [...data]))).toBe('x'.repeat(127));
    expect(ceaseWithText(2, '').data).toHaveLength(0);
    expect(() => ceaseWithText(3, 'no')).toThrow(/only 2 and 4/);
  });

  test.each([
    ['no data', cease(2, []), undefined],
    ['length 0', cease(2, [0]), undefined],
    ['a length beyond the data', cease(2, [5, 0x61]), undefined],
    ['bytes after the text', cease(4, [1, 0x61, 0x62]), 'a'],
    ['another subcode', cease(3, [1, 0x61]), undefined],
    ['another code', { ...cease(2, [1, 0x61]), code: 3 }, undefined],
    ['not UTF-8', cease(2, [2, 0xff, 0x61]), '\ufffda'],
    ['control characters', cease(2, [4, 0x61, 0x1b, 0x0a, 0x62]), 'a\\u{1b}\\u{a}b'],
    ['all 255', cease(2, [255, ...new Array<number>(255).fill(0x61)]), 'a'.repeat(255)],
  ])('text with %s', (_, notification, text) => {
    expect(shutdownText(notification)).toBe(text);
  });

  test('a hard reset carries its reason (RFC 8538)', () => {
    const reset = hardReset(ceaseWithText(2, 'bye'));
    expect(encodeNotification(reset)).toEqual(message(3, hex('06 09 06 02 03 627965')));
    expect(hardResetReason(reset)).toEqual(ceaseWithText(2, 'bye'));
    expect(hardResetReason(cease(9, [6]))).toBeUndefined();
    expect(hardResetReason(cease(2, [6, 2]))).toBeUndefined();
    expect(describeNotification(reset)).toBe('cease (6/9): hard reset: cease (6/2): administrative shutdown "bye"');
    expect(describeNotification(hardReset(reset))).toBe('cease (6/9): hard reset: cease (6/9): hard reset');
    const escaped = hardReset(cease(4, [1, 0x1b]));
    expect(describeNotification(escaped)).toBe('cease (6/9): hard reset: cease (6/4): administrative reset "\\u{1b}"');
  });

  test('data that fits no message is cut; data is a copy', () => {
    expect(encodeNotification({ code: 1, subcode: 1, data: new Uint8Array(70_000) })).toHaveLength(4096);
    const body = Uint8Array.of(4, 0, 9);
    const decoded = decodeNotification(body);
    body.fill(0);
    expect(decoded).toEqual({ code: 4, subcode: 0, data: Uint8Array.of(9) });
    expect(describeNotification(decoded)).toBe('hold timer expired (4/0)');
    expect(describeNotification({ code: 99, subcode: 1, data: body })).toBe('unknown error (99/1)');
  });

  test('anything can be described', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 2, maxLength: 40 }), (body) => {
        expect(describeNotification(decodeNotification(body))).toMatch(/\([0-9]+\/[0-9]+\)/);
      }),
    );
  });
});

describe('ROUTE-REFRESH', () => {
  test('requests, begin and end, byte by byte', () => {
    expect(encodeRouteRefresh('ipv4-unicast', 'request')).toEqual(message(5, [0, 1, 0, 1]));
    expect(encodeRouteRefresh('ipv6-unicast', 'begin')).toEqual(message(5, [0, 2, 1, 1]));
    expect(encodeRouteRefresh('ipv6-unicast', 'end')).toEqual(message(5, [0, 2, 2, 1]));
  });

  test.each([
    ['a request', [0, 1, 0, 1], 'request ipv4-unicast'],
    ['BoRR', [0, 2, 1, 1], 'begin ipv6-unicast'],
    ['EoRR', [0, 2, 2, 1], 'end ipv6-unicast'],
    ['another family', [0, 25, 0, 70], 'request undefined'],
    ['an unknown subtype', [0, 1, 200, 1], 'unknown ipv4-unicast'],
    ['subtype 255 (reserved)', [0, 1, 255, 1], 'unknown ipv4-unicast'],
    ['filters that lie about their length', [0, 1, 0, 1, 1, 64, 255, 255], 'request ipv4-unicast'],
  ])('%s', (_, body, outcome) => {
    const { kind, family } = decodeRouteRefresh(message(5, body));
    expect(`${kind} ${family}`).toBe(outcome);
  });

  test.each([
    ['no body', [], 1, 2],
    ['three bytes', [0, 1, 0], 1, 2],
    ['BoRR of three bytes', [0, 1, 1], 7, 1],
    ['EoRR of five bytes', [0, 1, 2, 1, 0], 7, 1],
  ])('%s is refused', (_, body, code, subcode) => {
    const bytes = message(5, body);
    const data = code === 7 ? bytes : bytes.subarray(16, 18);
    try {
      decodeRouteRefresh(bytes);
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(BgpMessageError);
      expect((thrown as BgpMessageError).notification).toEqual({ code, subcode, data: join(data) });
      return;
    }
    throw new Error('it was accepted');
  });
});

describe('communities', () => {
  test.each([
    ['65000:1', { kind: 'standard', value: 65000 * 65536 + 1 }],
    ['no-export', { kind: 'standard', value: 0xffffff01 }],
    ['graceful-shutdown', { kind: 'standard', value: 0xffff0000 }],
    ['65000:1:2', { kind: 'large', value: [65000, 1, 2] }],
    ['large:4200000001:0:4294967295', { kind: 'large', value: [4200000001, 0, 4294967295] }],
    ['rt:65000:100', { kind: 'extended', value: 0x0002fde800000064n }],
    ['ro:65536:100', { kind: 'extended', value: 0x0203000100000064n }],
    ['rt:192.0.2.1:5', { kind: 'extended', value: 0x0102c00002010005n }],
    ['0x4004fde800000001', { kind: 'extended', value: 0x4004fde800000001n }],
  ])('%s', (text, community) => {
    expect(parseCommunity(text)).toEqual(community);
    expect(parseCommunity(formatCommunity(parseCommunity(text)))).toEqual(community);
  });

  test.each([
    '',
    '1',
    '65536:1',
    '1:65536',
    '1:2:3:4',
    '01:2',
    'rt:1',
    'rt:65536:65536',
    'rt:256.1.1.1:1',
    'large:1:2',
    'large:1:2:4294967296',
    '-1:1',
    'toString',
    '0x12',
    '1:',
    ':1',
  ])('refuses %j', (text) => {
    expect(() => parseCommunity(text)).toThrow(/^community "/);
  });
});
