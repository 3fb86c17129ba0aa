import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { FrameDecoder } from '../../src/kube/frame-decoder.ts';

function decodeAll(decoder: FrameDecoder, chunks: Iterable<Uint8Array>): unknown[] {
  const values: unknown[] = [];
  for (const chunk of chunks) values.push(...decoder.decode(chunk));
  return values;
}

/** Cuts bytes at arbitrary places. */
function* cut(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  let start = 0;
  for (const size of sizes) {
    yield bytes.subarray(start, start + size);
    start += size;
  }
  yield bytes.subarray(start);
}

test('gives the same values however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue({ maxDepth: 3 })),
      fc.array(fc.nat(40)),
      fc.constantFrom('\n', '\r\n', '\n\n'),
      (values, sizes, end) => {
        const texts = values.map((value) => JSON.stringify(value));
        const bytes = new TextEncoder().encode(texts.map((text) => text + end).join(''));
        const decoder = new FrameDecoder();
        const expected = texts.map((text) => JSON.parse(text));
        // A CR before the LF is JSON white space; alone in a frame it is not a value.
        expect(decodeAll(decoder, cut(bytes, sizes))).toEqual(expected);
        expect(decoder.pendingBytes).toBe(0);
      },
    ),
    { numRuns: 200 },
  );
});

test('survives being fed byte by byte, in the middle of a character too', () => {
  const value = { name: 'größe-☃-𝄞', list: [1, 2, { deep: '\n in a string is escaped' }] };
  const bytes = new TextEncoder().encode(`${JSON.stringify(value)}\n`);
  const decoder = new FrameDecoder();
  const values = decodeAll(
    decoder,
    Array.from(bytes, (byte) => Uint8Array.of(byte)),
  );
  expect(values).toEqual([value]);
});

test('keeps an unfinished frame to itself', () => {
  const decoder = new FrameDecoder();
  expect(decodeAll(decoder, [Buffer.from('{"a":1}\n{"b":')])).toEqual([{ a: 1 }]);
  expect(decoder.pendingBytes).toBe(5);
});

test.each([
  ['garbage', '}{ not json\n', 'begins "}{ not json"'],
  ['a frame beyond the limit', `"${'x'.repeat(100)}`, 'longer than 64 bytes'],
])('refuses %s', (_, text, message) => {
  const decoder = new FrameDecoder(64);
  const bytes = Buffer.from(text);
  for (const sizes of [[], [10, 10, 10, 10, 10, 10]]) {
    expect(() => decodeAll(new FrameDecoder(64), cut(bytes, sizes))).toThrow(message);
  }
  expect(() => decodeAll(decoder, [bytes])).toThrow(expect.objectContaining({ code: 'BadResponse' }));
});
