import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { JsonStream, type JsonStreamLimits } from '../../src/ovsdb-client/json/json-stream.ts';
import { stringify } from '../../src/ovsdb-client/json/json-value.ts';

function parse(chunks: readonly (string | Buffer)[], limits: JsonStreamLimits = {}): unknown[] {
  const messages: unknown[] = [];
  const stream = new JsonStream((value) => messages.push(value), limits);
  for (const chunk of chunks) stream.push(Buffer.from(chunk as string));
  return messages;
}

/** Integers that a double cannot be trusted with are expected as bigint. */
function exact(value: unknown): unknown {
  if (typeof value === 'number') {
    const text = JSON.stringify(value);
    return Number.isInteger(value) && !Number.isSafeInteger(value) && /^-?\d+$/.test(text) ? BigInt(text) : value;
  }
  if (Array.isArray(value)) return value.map(exact);
  if (typeof value !== 'object' || value === null) return value;
  const copy = {};
  for (const [key, item] of Object.entries(value)) {
    Object.defineProperty(copy, key, { value: exact(item), enumerable: true, configurable: true, writable: true });
  }
  return copy;
}

const samples = [
  '{}',
  '{"id":null,"method":"update","params":[["a",1],{"T":{"x":{"new":{"n":-0.5e-3}}}}]}',
  '{"a":[],"b":{},"c":[[[]]],"d":[{},{}],"e":"","f":true,"g":false,"h":null}',
  '{"s":"tab\\t quote\\" slash\\/ back\\\\ nl\\n \\u00e9 \\ud83d\\ude00 plain é 😀 中文"}',
  ' \r\n\t{ "spaced" : [ 1 , 2.5 , -3 , 1e3 , 0 , -0 ] } ',
  '{"__proto__":{"x":1},"constructor":1,"toString":2}',
];

describe('a stream of JSON objects', () => {
  test.each(samples)('reads %s whole, a byte at a time, and cut at every place', (text) => {
    const expected = [JSON.parse(text)];
    const bytes = Buffer.from(text);
    expect(parse([text])).toStrictEqual(expected);
    expect(parse([...bytes].map((byte) => Buffer.from([byte])))).toStrictEqual(expected);
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(parse([bytes.subarray(0, cut), bytes.subarray(cut)])).toStrictEqual(expected);
    }
  });

  test('gives every message of a chunk, in order, and nothing for an unfinished one', () => {
    expect(parse(['{"a":1}{"b":2} {"c"', ':3', '}{'])).toStrictEqual([{ a: 1 }, { b: 2 }, { c: 3 }]);
  });

  test('property: any values, cut anywhere, come out as JSON.parse reads them', () => {
    const value = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue({ maxDepth: 4 }));
    fc.assert(
      fc.property(
        fc.array(value, { minLength: 1, maxLength: 4 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
        (values, sizes) => {
          const well = values.filter((item) => !/\\u0000|\\ud[89a-f]/i.test(JSON.stringify(item)));
          const bytes = Buffer.from(well.map((item) => JSON.stringify(item)).join(''));
          const chunks: Buffer[] = [];
          for (let at = 0; at < bytes.length; ) {
            const size = sizes.next().value ?? 1;
            chunks.push(bytes.subarray(at, at + size));
            at += size;
          }
          expect(parse(chunks)).toStrictEqual(well.map((item) => exact(JSON.parse(JSON.stringify(item)))));
        },
      ),
      { numRuns: 150 },
    );
  });

  test('keeps 64-bit integers exact', () => {
    expect(
      parse(['{"a":[9007199254740991,9007199254740993,-9223372036854775808,9223372036854775807,1.0,1e2]}']),
    ).toStrictEqual([
      { a: [9007199254740991, 9007199254740993n, -9223372036854775808n, 9223372036854775807n, 1, 100] },
    ]);
    expect(stringify({ a: 9223372036854775807n })).toBe('{"a":9223372036854775807}');
  });

  test('a number beyond the largest double is the largest double', () => {
    expect(parse(['{"a":[-1.79769313486232e+308,1e400]}'])).toStrictEqual([
      { a: [-Number.MAX_VALUE, Number.MAX_VALUE] },
    ]);
  });

  test('does not let a message change the prototype of what it becomes', () => {
    const [message] = parse(['{"__proto__":{"polluted":true}}']) as [object];
    expect(Object.getPrototypeOf(message)).toBe(Object.prototype);
    expect((message as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test.each([
    ['bare garbage', 'HTTP/1.1 400 Bad Request\r\n'],
    ['an array at the top', '[1]'],
    ['a number at the top', '1'],
    ['a closing brace at the top', '}'],
    ['mismatched brackets', '{"a":[1}'],
    ['a missing colon', '{"a" 1}'],
    ['a missing value', '{"a":,}'],
    ['a trailing comma in an object', '{"a":1,}'],
    ['a trailing comma in an array', '{"a":[1,]}'],
    ['a key that is no string', '{1:2}'],
    ['two values', '{"a":1 2}'],
    ['a bad word', '{"a":trux}'],
    ['a long word', '{"a":truetruetrue}'],
    ['an unfinished word', '{"a":tru}'],
    ['a leading zero', '{"a":012}'],
    ['a lone minus', '{"a":-}'],
    ['a lone point', '{"a":1.}'],
    ['a plus sign', '{"a":+1}'],
    ['an endless number', `{"a":${'9'.repeat(500)}}`],
    ['a raw newline in a string', '{"a":"\n"}'],
    ['a raw NUL', Buffer.from([0x7b, 0x22, 0x61, 0x00, 0x22])],
    ['an escaped NUL', '{"a":"\\u0000"}'],
    ['half a surrogate pair', '{"a":"\\ud800"}'],
    ['a bad escape', '{"a":"\\x41"}'],
    ['a short unicode escape', '{"a":"\\u12"}'],
    ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xc3, 0x28, 0x22, 0x7d])],
    ['an overlong UTF-8 form', Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22])],
  ])('refuses %s, whole and a byte at a time', (_name, bytes) => {
    const buffer = Buffer.from(bytes as string);
    expect(() => parse([buffer])).toThrow(expect.objectContaining({ code: 'ProtocolError' }));
    expect(() => parse([...buffer].map((byte) => Buffer.from([byte])))).toThrow(
      expect.objectContaining({ code: 'ProtocolError' }),
    );
  });

  test('property: hostile bytes end in a ProtocolError or in nothing, never in anything else', () => {
    const alphabet = fc.constantFrom(...Buffer.from('{}[]:,"\\u0e-+. tfn12\u0000\n\xc3'));
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 60 }), (bytes) => {
        try {
          parse([Buffer.from([0x7b, ...bytes])]);
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: 'ProtocolError' });
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('refuses depth and size beyond the limits, early', () => {
    expect(() => parse(['{"a":'.repeat(200)], { maximumDepth: 100 })).toThrow(/nests deeper than 100/);
    expect(() => parse([`{"a":"${'x'.repeat(2000)}`], { maximumMessageBytes: 1000 })).toThrow(/larger than the limit/);
    // Few bytes, much memory: empty arrays.
    expect(() => parse([`{"a":[${'[],'.repeat(500)}`], { maximumMessageBytes: 10_000 })).toThrow(
      /larger than the limit/,
    );
    const many = '{"a":"0123456789"}'.repeat(1000);
    expect(parse([many], { maximumMessageBytes: 100 })).toHaveLength(1000);
  });

  test('a long string that arrives a byte at a time costs no more than linear work', () => {
    const text = 'x'.repeat(200_000);
    const stream = new JsonStream((value) => expect(value).toEqual({ a: text }));
    for (const byte of Buffer.from(`{"a":"${text}"}`)) stream.push(Buffer.from([byte]));
    expect.assertions(1);
  });
});
