import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BgpArgumentError, BgpMessageError } from '../../src/bgp-speaker/errors.ts';
import { encodeKeepalive, frameMessage, MessageFramer } from '../../src/bgp-speaker/message/framing.ts';
import { asPath, attribute, join, message, nextHop, origin, prefix4, toHex, update } from './wire-bytes.ts';

function pull(framer: MessageFramer, chunk: Uint8Array): string[] {
  framer.append(chunk);
  const messages: string[] = [];
  for (let next = framer.next(); next; next = framer.next()) {
    expect(next.body).toEqual(next.bytes.subarray(19));
    messages.push(`${next.type} ${toHex(next.bytes)}`);
  }
  return messages;
}

function notificationOf(run: () => unknown) {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof BgpMessageError) return thrown.notification;
    throw thrown;
  }
  return undefined;
}

const open = message(1, [4, 0xfd, 0xe9, 0, 90, 192, 0, 2, 1, 0]);
const keepalive = message(4);
const notification = message(3, [6, 2]);
const refresh = message(5, [0, 1, 0, 1]);
const routes = message(2, update({ attributes: [origin, asPath, nextHop], nlri: [prefix4('198.51.100.0/24')] }));
const sequence = [open, keepalive, routes, refresh, notification];
const expected = sequence.map((bytes) => `${bytes[18]} ${toHex(bytes)}`);

describe('MessageFramer', () => {
  test('a stream split anywhere gives the same messages', () => {
    const stream = join(...sequence);
    for (let at = 0; at <= stream.length; at++) {
      const framer = new MessageFramer();
      const messages = [...pull(framer, stream.subarray(0, at)), ...pull(framer, stream.subarray(at))];
      expect(messages).toEqual(expected);
      expect(framer.bufferedBytes).toBe(0);
    }
  });

  test('one byte at a time, a message is there with its last byte and not before', () => {
    const framer = new MessageFramer();
    for (const bytes of sequence) {
      for (const [index, byte] of bytes.entries()) {
        const messages = pull(framer, Uint8Array.of(byte));
        expect(messages).toEqual(index === bytes.length - 1 ? [`${bytes[18]} ${toHex(bytes)}`] : []);
        expect(framer.bufferedBytes).toBe(index === bytes.length - 1 ? 0 : index + 1);
      }
    }
  });

  test('any chunks give the same messages', () => {
    const stream = join(...sequence, ...sequence);
    fc.assert(
      fc.property(fc.array(fc.nat(60), { maxLength: 30 }), (sizes) => {
        const framer = new MessageFramer();
        const messages: string[] = [];
        let at = 0;
        for (const size of [...sizes, stream.length]) {
          messages.push(...pull(framer, stream.slice(at, at + size)));
          at += size;
        }
        expect(messages).toEqual([...expected, ...expected]);
      }),
    );
  });

  test('stopping between two messages of a chunk loses nothing; the next chunk must wait', () => {
    const framer = new MessageFramer();
    framer.append(join(keepalive, open));
    expect(framer.next()?.type).toBe(4);
    expect(() => framer.append(keepalive)).toThrow(BgpArgumentError);
    expect(framer.next()?.type).toBe(1);
    expect(framer.next()).toBeUndefined();
  });

  test.each([
    ['a marker that is not all ones', join([0xfe], keepalive.subarray(1)), 1, []],
    ['the last byte of the marker', join(keepalive.subarray(0, 15), [0], keepalive.subarray(16)), 1, []],
    ['length 18', join(keepalive.subarray(0, 16), [0, 18, 4]), 2, [0, 18]],
    ['length 0', join(keepalive.subarray(0, 16), [0, 0, 4]), 2, [0, 0]],
    ['length 4097', join(keepalive.subarray(0, 16), [0x10, 0x01, 2]), 2, [0x10, 0x01]],
    ['an OPEN of 28 bytes', join(keepalive.subarray(0, 16), [0, 28, 1]), 2, [0, 28]],
    ['an UPDATE of 22 bytes', join(keepalive.subarray(0, 16), [0, 22, 2]), 2, [0, 22]],
    ['a NOTIFICATION of 20 bytes', join(keepalive.subarray(0, 16), [0, 20, 3]), 2, [0, 20]],
    ['a KEEPALIVE of 20 bytes', join(keepalive.subarray(0, 16), [0, 20, 4]), 2, [0, 20]],
    ['type 0', join(keepalive.subarray(0, 18), [0]), 3, [0]],
    ['type 6', join(keepalive.subarray(0, 18), [6]), 3, [6]],
  ])('%s is told at once, whole or byte by byte', (_, header, subcode, data) => {
    const wanted = { code: 1, subcode, data: Uint8Array.from(data) };
    expect(notificationOf(() => pull(new MessageFramer(), header))).toEqual(wanted);
    const framer = new MessageFramer();
    expect(notificationOf(() => [...header].map((byte) => pull(framer, Uint8Array.of(byte))))).toEqual(wanted);
  });

  test('extended messages are taken once announced, but OPEN and KEEPALIVE stay short (RFC 8654)', () => {
    const long = message(2, new Uint8Array(65_535 - 19));
    const framer = new MessageFramer();
    framer.maximumLength = 65_535;
    expect(pull(framer, long.subarray(0, 30_000))).toEqual([]);
    expect(framer.bufferedBytes).toBe(30_000);
    expect(pull(framer, long.subarray(30_000))).toEqual([`2 ${toHex(long)}`]);
    expect(notificationOf(() => pull(framer, message(1, new Uint8Array(4078))))?.subcode).toBe(2);
  });

  test('what is kept is never more than the message under way', () => {
    const framer = new MessageFramer();
    const stream = join(...Array.from({ length: 200 }, () => routes));
    for (let at = 0; at < stream.length; at += 7) {
      pull(framer, stream.subarray(at, at + 7));
      expect(framer.bufferedBytes).toBeLessThan(routes.length);
    }
  });

  test('random bytes and mutated messages give messages or a header error, nothing else', () => {
    const stream = join(...sequence);
    const mutated = fc
      .array(fc.tuple(fc.nat(stream.length - 1), fc.nat(255)), { maxLength: 4 })
      .map((changes) => changes.reduce((bytes, [at, value]) => bytes.with(at, value), stream));
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 100 })), fc.nat(200), (bytes, at) => {
        const framer = new MessageFramer();
        const result = notificationOf(() => {
          pull(framer, bytes.slice(0, at));
          pull(framer, bytes.slice(at));
        });
        if (result) expect(result.code).toBe(1);
        expect(framer.bufferedBytes).toBeLessThanOrEqual(4096);
      }),
      { numRuns: 500 },
    );
  });
});

test('frames are what the independent builder makes, and no longer than the peer takes', () => {
  expect(encodeKeepalive()).toEqual(keepalive);
  expect(frameMessage(3, Uint8Array.of(6, 2))).toEqual(notification);
  expect(() => frameMessage(2, new Uint8Array(4078))).toThrow(/4096/);
  expect(frameMessage(2, new Uint8Array(4078), 65_535)).toHaveLength(4097);
  expect(attribute(0x50, 2, [])).toEqual([0x50, 2, 0, 0]);
});
