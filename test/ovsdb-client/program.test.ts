import { describe, expect, test } from '@jest/globals';
import { readCommandLine } from '../../src/ovsdb-client/cli/arguments.ts';
import { jsonLines, listText, tableText } from '../../src/ovsdb-client/cli/print.ts';
import { formatEndpoint, parseEndpoints, parseSchema } from '../../src/ovsdb-client/index.ts';
import { generateTypes } from '../../src/ovsdb-client/schema/generate.ts';
import { afterFailure, firstRound, nextEndpoint } from '../../src/ovsdb-client/session/endpoint-choice.ts';
import { id, shopSchema } from './scripted-server.ts';

describe('endpoints', () => {
  test('are read and written in the notation of ovsdb(7)', () => {
    const text = 'tcp:10.0.0.1:6641,ssl:[fd00::1]:6641,unix:/run/x.sock,tcp:db.example:6640';
    expect(
      parseEndpoints(` ${text.replaceAll(',', ' , ')},`)
        .map(formatEndpoint)
        .join(),
    ).toBe(text);
    expect(parseEndpoints('tcp:h')).toStrictEqual([{ kind: 'tcp', host: 'h', port: 6640 }]);
  });

  test.each([
    '',
    'tcp:',
    'tcp:h:0',
    'tcp:h:65536',
    'tcp:h:x',
    'tcp:::1:6640',
    'udp:h:1',
    'unix:',
    'ptcp:6640',
    'ssl:[::1:6640',
  ])('%j is refused', (text) => {
    expect(() => parseEndpoints(text)).toThrow(expect.objectContaining({ code: 'InvalidOptions' }));
  });

  test('a round tries each once, the usable ones again, and then pauses', () => {
    const tried: string[] = [];
    let choice = firstRound(3, 1);
    for (;;) {
      const next = nextEndpoint(choice);
      if (next.kind === 'pause') break;
      tried.push(`${next.endpoint}${next.acceptSecondBest ? '!' : ''}`);
      choice = afterFailure(choice, next.endpoint !== 2);
    }
    expect(tried).toStrictEqual(['1', '2', '0', '1!', '0!']);
    expect(nextEndpoint(firstRound(1))).toStrictEqual({ kind: 'try', endpoint: 0, acceptSecondBest: true });
  });
});

describe('the schema', () => {
  test.each<[string, unknown, RegExp]>([
    ['no object', [], /at schema/],
    ['no name', { tables: {} }, /at name/],
    ['no columns', { name: 'x', tables: { T: {} } }, /at T.columns/],
    ['an unknown type', { name: 'x', tables: { T: { columns: { c: { type: 'date' } } } } }, /at T.c/],
    [
      'a bad minimum',
      { name: 'x', tables: { T: { columns: { c: { type: { key: 'string', min: 2, max: 3 } } } } } },
      /at T.c/,
    ],
    ['a bad maximum', { name: 'x', tables: { T: { columns: { c: { type: { key: 'string', max: 0 } } } } } }, /at T.c/],
  ])('with %s is refused', (_name, json, message) => {
    expect(() => parseSchema(json as never)).toThrow(message);
  });

  test('a table called __proto__ is a table', () => {
    const json = JSON.parse('{"name":"x","tables":{"__proto__":{"columns":{"c":{"type":"string"}}}}}');
    expect([...parseSchema(json).tables.keys()]).toStrictEqual(['__proto__']);
  });

  test('becomes types', () => {
    const text = generateTypes(shopSchema as never, { importFrom: 'lib' });
    expect(
      text.slice(0, text.indexOf('/** Shop 1.2.3')),
    ).toBe(`// Written by \`ovsdb-client generate\` from the schema of Shop 1.2.3. Do not edit: generate it again.
import type { DatabaseDefinition, Uuid } from 'lib';

/** A row of Item. */
export interface Item {
  readonly _uuid: Uuid;
  /** At most 4 characters. */
  readonly code: string | undefined;
  readonly kind: 'toy' | 'food' | undefined;
  readonly labels: ReadonlyMap<string, string>;
  /** Weak reference to Maker. */
  readonly maker: Uuid | undefined;
  readonly name: string;
  /** 0 to 1000. */
  readonly price: number;
  /** At least one element; at most 3 elements. */
  readonly sizes: readonly (number | bigint)[];
  /** Set only when the row is inserted. */
  readonly sold: boolean;
  readonly stock: number | bigint;
  readonly tags: readonly string[];
  readonly weight: number;
}

/** A row of Maker. */
export interface Maker {
  readonly _uuid: Uuid;
  /** Strong reference to Item. */
  readonly items: readonly Uuid[];
  readonly name: string;
}

/** The tables of Shop. */
export interface ShopTables {
  readonly Item: Item;
  readonly Maker: Maker;
}

`);
    expect(text).toContain('export const shop: DatabaseDefinition<ShopTables> = {');
  });
});

describe('the program', () => {
  test('reads its command line', () => {
    expect(
      readCommandLine([
        'dump',
        'tcp:h:1',
        'db',
        '-o',
        'json',
        '--timeout',
        '2.5',
        '-C',
        'ca',
        '-c',
        'cert',
        '-p',
        'key',
      ]),
    ).toStrictEqual({
      command: 'dump',
      operands: ['tcp:h:1', 'db'],
      output: 'json',
      timeoutMs: 2500,
      tls: { ca: { file: 'ca' }, certificate: { file: 'cert' }, privateKey: { file: 'key' } },
      leader: 'prefer',
      importFrom: 'ovenbird/ovsdb-client',
    });
    expect(readCommandLine(['--help'])).toBeUndefined();
  });

  test.each([
    [[]],
    [['dump', '-o', 'xml']],
    [['dump', '-t', '0']],
    [['dump', '-t', '9e9']],
    [['dump', '-t']],
    [['dump', '--server-name', 'x']],
    [['dump', '--leader', 'me']],
    [['dump', '-C', 'ca']],
    [['dump', '--nope']],
  ])('refuses %j', (args) => {
    expect(() => readCommandLine(args)).toThrow(expect.objectContaining({ code: 'InvalidOptions' }));
  });

  test('prints rows as a table, as a list and as JSON', () => {
    const rows = [
      { _uuid: id(2) as never, name: 'a b', tags: ['x', 'y'], labels: new Map([['k', 'v']]), n: 9007199254740993n },
      { _uuid: id(1) as never, name: '', tags: [], labels: new Map(), n: undefined },
    ];
    expect(tableText(['name', 'tags', 'labels', 'n'], rows)).toBe(
      ['name   tags    labels  n', '""     []      {}', '"a b"  [x, y]  {k=v}   9007199254740993'].join('\n'),
    );
    expect(jsonLines('T', ['n', 'name', 'tags', 'labels', '_uuid'], rows).split('\n')).toStrictEqual([
      `{"table":"T","row":{"n":null,"name":"","tags":[],"labels":{},"_uuid":"${id(1)}"}}`,
      `{"table":"T","row":{"n":9007199254740993,"name":"a b","tags":["x","y"],"labels":{"k":"v"},"_uuid":"${id(2)}"}}`,
    ]);
    expect(listText(['name', 'labels'], rows)).toBe(
      ['name   : ""', 'labels : {}', '', 'name   : "a b"', 'labels : {k=v}'].join('\n'),
    );
  });
});
