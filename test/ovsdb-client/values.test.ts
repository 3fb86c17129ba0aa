import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { columnOf, parseSchema, setOf, tableOf, type Uuid, uuid } from '../../src/ovsdb-client/index.ts';
import type { ColumnSchema } from '../../src/ovsdb-client/schema/schema.ts';
import {
  applyDifference,
  type ColumnValue,
  decodeValue,
  defaultValue,
  encodeValue,
  sameValue,
} from '../../src/ovsdb-client/value/column-value.ts';
import { id, shopSchema } from './scripted-server.ts';

const schema = parseSchema(shopSchema);
const item = (name: string): ColumnSchema => columnOf(tableOf(schema, 'Item'), name);
const complain = (what: string) => Object.assign(new Error(what), { code: 'InvalidRequest' }) as never;
const resolve = () => 'row0';
const encode = (column: ColumnSchema, value: unknown) => encodeValue(column, value, resolve, complain);

describe('the wire forms of values', () => {
  test.each<[string, unknown, unknown]>([
    ['name', 'a', 'a'],
    ['kind', 'toy', 'toy'],
    ['kind', ['set', []], undefined],
    ['kind', ['set', ['food']], 'food'],
    ['tags', ['set', []], []],
    ['tags', 'alone', ['alone']],
    ['tags', ['set', ['b', 'a']], ['a', 'b']],
    ['labels', ['map', []], new Map()],
    ['labels', ['map', [['k', 'v']]], new Map([['k', 'v']])],
    ['maker', ['uuid', id(1)], id(1)],
    ['maker', ['set', [['uuid', id(1)]]], id(1)],
    ['sizes', ['set', [3, 1, 2]], [1, 2, 3]],
    ['stock', 9007199254740993n, 9007199254740993n],
    ['stock', 1, 1],
    ['weight', 1, 1],
    ['sold', true, true],
  ])('%s: %j reads as %j', (column, json, value) => {
    expect(decodeValue(item(column), json as never)).toStrictEqual(value);
  });

  test.each<[string, unknown]>([
    ['name', 1],
    ['name', ['set', []]],
    ['name', null],
    ['kind', ['set', ['toy', 'food']]],
    ['tags', ['set', 'x']],
    ['tags', ['set', [1]]],
    ['labels', ['map', [['k']]]],
    ['labels', ['map', [['k', 1]]]],
    ['labels', {}],
    ['labels', ['set', []]],
    ['maker', ['uuid', 'short']],
    ['maker', ['named-uuid', 'row0']],
    ['maker', 'text'],
    ['stock', 1.5],
    ['stock', 9223372036854775808n],
    ['stock', '1'],
    ['weight', '1'],
    ['sold', 1],
  ])('%s: %j from a server is a ProtocolError', (column, json) => {
    expect(() => decodeValue(item(column), json as never)).toThrow(
      expect.objectContaining({ code: 'ProtocolError', message: expect.stringContaining(column) }),
    );
  });

  test('a column that is left out of a new row has the default of its type', () => {
    const values = Object.fromEntries(
      [...tableOf(schema, 'Item').columns.keys()].map((name) => [name, defaultValue(item(name))]),
    );
    expect(values).toStrictEqual({
      name: '',
      price: 0,
      stock: 0,
      kind: undefined,
      tags: [],
      labels: new Map(),
      maker: undefined,
      sizes: [0],
      weight: 0,
      sold: false,
      code: undefined,
    });
  });
});

describe('what may be written', () => {
  test.each<[string, unknown, unknown]>([
    ['name', 'é😀', 'é😀'],
    ['kind', undefined, ['set', []]],
    ['tags', new Set(['a']), ['set', ['a']]],
    ['labels', { a: 'b' }, ['map', [['a', 'b']]]],
    ['labels', new Map([['a', 'b']]), ['map', [['a', 'b']]]],
    ['maker', id(3), ['uuid', id(3)]],
    ['stock', -(2n ** 63n), -(2n ** 63n)],
    ['stock', -0, 0],
    ['code', '😀😀😀😀', '😀😀😀😀'],
  ])('%s: %p', (column, value, json) => {
    expect(encode(item(column), value)).toStrictEqual(json);
  });

  test.each<[string, unknown, RegExp]>([
    ['name', undefined, /exactly one value/],
    ['name', null, /not a string/],
    ['name', 7, /7 is not a string/],
    ['name', 'a\0b', /NUL/],
    ['name', '\ud800', /surrogate/],
    ['price', 1001, /more than 1000/],
    ['price', -1, /less than 0/],
    ['price', 1.5, /not an integer/],
    ['price', Number.NaN, /not an integer/],
    ['stock', 2 ** 53, /not exact/],
    ['stock', 2n ** 63n, /64 bits/],
    ['stock', '1', /not an integer/],
    ['weight', Number.POSITIVE_INFINITY, /finite/],
    ['weight', 5e-324, /too small/],
    ['kind', 'car', /"car" is not one of "toy", "food"/],
    ['kind', ['toy'], /not one of/],
    ['tags', 'bare', /give an array/],
    ['tags', ['a', 'a'], /twice/],
    ['sizes', [5, 5n], /twice/],
    ['sizes', [0, -0], /twice/],
    ['tags', new Map(), /give an array/],
    ['labels', [['a', 'b']], /give a Map/],
    ['labels', { a: 1 }, /key "a": 1 is not a string/],
    ['maker', 'nobody', /not a uuid/],
    ['sizes', [], /at least 1/],
    ['sizes', [1, 2, 3, 4], /at most 3/],
    ['code', 'x', /shorter than 2/],
    ['code', 'xxxxx', /longer than 4/],
    ['sold', 'yes', /not a boolean/],
  ])('%s: %p is refused', (column, value, message) => {
    expect(() => encode(item(column), value)).toThrow(message);
  });

  test('a key is in a map once, however it is written', () => {
    const type = { key: 'integer', value: 'string', min: 0, max: 'unlimited' };
    const schema = parseSchema({ name: 'x', version: '1', tables: { T: { columns: { byNumber: { type } } } } });
    const column = columnOf(tableOf(schema, 'T'), 'byNumber');
    const twice = new Map<unknown, string>([
      [1, 'a'],
      [1n, 'b'],
    ]);
    expect(() => encode(column, twice)).toThrow(/key 1: it is in the map twice/);
  });

  test('a uuid is checked and lower-cased', () => {
    expect(uuid('2F77B348-9768-4866-B761-89D5177ECDA0')).toBe('2f77b348-9768-4866-b761-89d5177ecda0');
    expect(() => uuid('2f77b348')).toThrow(/not a uuid/);
    expect(() => uuid('2f77b348-9768-4866-b761-89d5177ecdag')).toThrow(/not a uuid/);
  });
});

describe('differences of update2 and update3', () => {
  const strings = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'é', '😀', ''), { maxLength: 7 });

  test('property: a set after its symmetric difference', () => {
    fc.assert(
      fc.property(strings, strings, (before, after) => {
        const flipped = [...before.filter((x) => !after.includes(x)), ...after.filter((x) => !before.includes(x))];
        const result = applyDifference(item('tags'), setOf(before), ['set', flipped]);
        expect(sameValue(result, setOf(after))).toBe(true);
        expect(result).toStrictEqual(setOf(after));
      }),
    );
  });

  test('property: a map after keys were added, changed and removed', () => {
    const map = fc
      .dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.constantFrom('1', '2', '3'))
      .map((o) => new Map(Object.entries(o)));
    fc.assert(
      fc.property(map, map, (before, after) => {
        const pairs: [string, string][] = [];
        for (const [key, value] of before) if (!after.has(key)) pairs.push([key, value]);
        for (const [key, value] of after) if (before.get(key) !== value) pairs.push([key, value]);
        const kept = new Map(before);
        const result = applyDifference(item('labels'), before, ['map', pairs]) as ReadonlyMap<string, string>;
        expect(sameValue(result, after)).toBe(true);
        expect(before).toStrictEqual(kept);
      }),
    );
  });

  test('scalars and optional columns carry the new value', () => {
    expect(applyDifference(item('stock'), 1, 2)).toBe(2);
    expect(applyDifference(item('kind'), 'toy', 'food')).toBe('food');
    expect(applyDifference(item('kind'), 'toy', ['set', []])).toBeUndefined();
    expect(applyDifference(item('maker'), undefined, ['uuid', id(1)])).toBe(id(1));
  });

  test('equality is by content', () => {
    const values: ColumnValue[] = [
      undefined,
      1,
      2n ** 60n,
      'a',
      true,
      setOf(['a']),
      setOf(['a', 'b']),
      new Map([['a', 'b']]),
      new Map(),
      id(1) as Uuid,
    ];
    for (const [i, a] of values.entries()) {
      for (const [j, b] of values.entries()) expect([i, j, sameValue(a, b)]).toStrictEqual([i, j, i === j]);
    }
    expect(sameValue(new Map([['a', 'b']]), new Map([['a', 'c']]))).toBe(false);
    expect(sameValue(new Map([['a', 'b']]), new Map([['c', 'b']]))).toBe(false);
  });
});
