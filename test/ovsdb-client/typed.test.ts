/** Mistakes that the compiler must find: each `@ts-expect-error` fails `npm run typecheck` when the line compiles. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { type Client, everyRow, parseSchema, Transaction, type Uuid } from '../../src/ovsdb-client/index.ts';
import { generateTypes } from '../../src/ovsdb-client/schema/generate.ts';
import { type KindsTables, kinds } from './kinds.ts';
import { kindsSchema } from './kinds-schema.ts';
import { id } from './scripted-server.ts';

const schema = parseSchema(kinds.schema);
const uuid = id(1) as Uuid;

describe('a typed transaction', () => {
  test('takes what fits the schema', () => {
    const tx = new Transaction<KindsTables>();
    const part = tx.insert('Part', { label: 'p' });
    const thing = tx.insert('Thing', {
      name: 'n',
      integer: 2n ** 60n,
      choice: 'red',
      maybe: undefined,
      strings: new Set(['a']),
      few: [1, 2],
      texts: { a: 'b' },
      counts: new Map([['x', 1n]]),
      parts: [part],
      friends: [uuid],
    });
    tx.update('Thing', { _uuid: uuid }, { choice: undefined, friends: [thing] });
    tx.mutate(
      'Thing',
      [['integer', '>', 3]],
      [
        ['integer', '+=', 1],
        ['integers', '*=', 2n],
        ['texts', 'delete', ['a']],
        ['texts', 'insert', { a: 'c' }],
        ['parts', 'insert', [part]],
      ],
    );
    tx.delete('Log', everyRow);
    tx.wait('Log', { key: 'a' }, ['value'], '==', [{ value: 1 }], 0);
    const select = tx.select('Thing', everyRow, ['name', 'choice']);
    const typed = (row: NonNullable<(typeof select)['row']>): 'red' | 'green' | 'blue' | undefined => row.choice;
    expect(typed).toBeDefined();
    expect(tx.encode(schema)).toHaveLength(7);
  });

  test('refuses what does not, at compile time and before sending', () => {
    const refused = (build: (tx: Transaction<KindsTables>) => unknown) => {
      const tx = new Transaction<KindsTables>();
      expect(() => {
        build(tx);
        tx.encode(schema);
      }).toThrow(expect.objectContaining({ code: expect.stringMatching(/InvalidRequest|UnknownTable|UnknownColumn/) }));
    };
    // @ts-expect-error no such table
    refused((tx) => tx.insert('Nope', {}));
    // @ts-expect-error no such column
    refused((tx) => tx.insert('Thing', { nope: 1 }));
    // @ts-expect-error not in the enumeration
    refused((tx) => tx.insert('Thing', { choice: 'pink' }));
    // @ts-expect-error a set is not a bare value
    refused((tx) => tx.insert('Thing', { strings: 'a' }));
    // @ts-expect-error text is not a uuid
    refused((tx) => tx.insert('Thing', { friends: ['a'] }));
    // @ts-expect-error map values are numbers
    refused((tx) => tx.insert('Thing', { counts: { a: 'b' } }));
    // @ts-expect-error the identity cannot be written
    refused((tx) => tx.update('Thing', everyRow, { _uuid: uuid }));
    // @ts-expect-error text has no sum
    refused((tx) => tx.mutate('Thing', everyRow, [['name', '+=', 1]]));
    // @ts-expect-error not a condition function
    refused((tx) => tx.delete('Thing', [['name', 'like', 'x']]));
    // @ts-expect-error no condition at all
    refused((tx) => tx.delete('Thing', []));
  });

  test('types of a monitor follow its selection', () => {
    const check = async (client: Client<KindsTables>) => {
      const monitor = await client.monitor({ Thing: { columns: ['name', 'texts'] }, Log: true });
      for (const row of monitor.tables.Thing) {
        const text: string | undefined = row.texts.get(row.name);
        // @ts-expect-error not selected
        const choice = row.choice;
        return [text, choice];
      }
      for (const { _uuid, value } of monitor.tables.Log) return [_uuid satisfies Uuid, value satisfies number | bigint];
      // @ts-expect-error not monitored
      return monitor.tables.Part;
    };
    expect(check).toBeDefined();
  });
});

test('the committed types are what the generator writes', () => {
  const bare = (text: string) => text.replace(/[\s,;'"]/g, '');
  const committed = readFileSync(join(import.meta.dirname, 'kinds.ts'), 'utf8');
  const options = { importFrom: '../../src/ovsdb-client/index.ts' };
  expect(bare(generateTypes(kindsSchema as never, options))).toBe(bare(committed));
});
