import { describe, expect, test } from '@jest/globals';
import { everyRow, newUuid, parseSchema, Transaction, type Uuid } from '../../src/ovsdb-client/index.ts';
import { decodeSelected, findTransactionError, TransactionResult } from '../../src/ovsdb-client/operations/result.ts';
import { id, shopSchema } from './scripted-server.ts';

const schema = parseSchema(shopSchema);
const sizes = [1];

describe('a transaction', () => {
  test('writes its operations as RFC 7047 has them', () => {
    const tx = new Transaction();
    const identity = newUuid();
    const maker = tx.insert('Maker', { name: 'm' }, { uuid: identity });
    tx.insert('Item', { name: 'i', maker, sizes, kind: undefined });
    tx.update('Item', { name: 'i' }, { kind: undefined, tags: ['x'] });
    tx.mutate(
      'Item',
      [['price', '<', 10]],
      [
        ['price', '+=', 5],
        ['labels', 'delete', ['k']],
        ['labels', 'delete', { k: 'v' }],
        ['labels', 'insert', { k: 'w' }],
        ['tags', 'insert', ['y']],
      ],
    );
    tx.delete('Item', { _uuid: id(1) as Uuid });
    tx.select('Item', everyRow, ['name', '_uuid']);
    tx.wait('Item', { name: 'i' }, ['kind'], '==', [{ kind: undefined }], 0);
    tx.comment('why');
    tx.assert('l');
    tx.commitDurably();
    tx.abort();
    expect(tx.encode(schema)).toStrictEqual([
      { op: 'insert', table: 'Maker', row: { name: 'm' }, 'uuid-name': 'row0', uuid: identity },
      {
        op: 'insert',
        table: 'Item',
        row: { name: 'i', maker: ['named-uuid', 'row0'], sizes: ['set', [1]], kind: ['set', []] },
        'uuid-name': 'row1',
      },
      { op: 'update', table: 'Item', where: [['name', '==', 'i']], row: { kind: ['set', []], tags: ['set', ['x']] } },
      {
        op: 'mutate',
        table: 'Item',
        where: [['price', '<', 10]],
        mutations: [
          ['price', '+=', 5],
          ['labels', 'delete', ['set', ['k']]],
          ['labels', 'delete', ['map', [['k', 'v']]]],
          ['labels', 'insert', ['map', [['k', 'w']]]],
          ['tags', 'insert', ['set', ['y']]],
        ],
      },
      { op: 'delete', table: 'Item', where: [['_uuid', '==', ['uuid', id(1)]]] },
      { op: 'select', table: 'Item', where: [], columns: ['name', '_uuid'] },
      {
        op: 'wait',
        table: 'Item',
        where: [['name', '==', 'i']],
        columns: ['kind'],
        until: '==',
        rows: [{ kind: ['set', []] }],
        timeout: 0,
      },
      { op: 'comment', comment: 'why' },
      { op: 'assert', lock: 'l' },
      { op: 'commit', durable: true },
      { op: 'abort' },
    ]);
  });

  test.each<[string, (tx: Transaction) => unknown, RegExp, string]>([
    ['an unknown table', (tx) => tx.insert('Nope', {}), /Shop 1.2.3 has no table Nope/, 'UnknownTable'],
    ['an unknown column', (tx) => tx.insert('Item', { nope: 1 }), /Item has no column nope/, 'UnknownColumn'],
    [
      'a column of Object.prototype',
      (tx) => tx.insert('Item', { toString: 'x' } as never),
      /no column toString/,
      'UnknownColumn',
    ],
    ['a bad enum', (tx) => tx.insert('Item', { kind: 'car' }), /Item\.kind: "car"/, 'InvalidRequest'],
    [
      'wrong arity',
      (tx) => tx.update('Item', everyRow, { sizes: [] }),
      /Item\.sizes: it needs at least 1/,
      'InvalidRequest',
    ],
    [
      '_uuid as a column to write',
      (tx) => tx.update('Item', everyRow, { _uuid: id(1) } as never),
      /Item\._uuid: it cannot be written/,
      'InvalidRequest',
    ],
    [
      'a column that cannot change',
      (tx) => tx.update('Item', everyRow, { sold: true }),
      /Item\.sold: it can be set only/,
      'InvalidRequest',
    ],
    [
      'a mutation of such a column',
      (tx) => tx.mutate('Item', everyRow, [['sold', 'insert', [true]] as never]),
      /Item\.sold/,
      'InvalidRequest',
    ],
    ['no condition', (tx) => tx.delete('Item', {}), /no condition given; say everyRow/, 'InvalidRequest'],
    ['an unknown condition column', (tx) => tx.delete('Item', { nope: 1 }), /no column nope/, 'UnknownColumn'],
    [
      'a comparison of text',
      (tx) => tx.delete('Item', [['name', '<', 'x']]),
      /Item\.name: "<" compares/,
      'InvalidRequest',
    ],
    [
      'an unknown function',
      (tx) => tx.delete('Item', [['name', 'like' as never, 'x']]),
      /not a condition function/,
      'InvalidRequest',
    ],
    [
      'arithmetic on text',
      (tx) => tx.mutate('Item', everyRow, [['name', '+=', 1]]),
      /Item\.name: "\+="/,
      'InvalidRequest',
    ],
    [
      'division by zero',
      (tx) => tx.mutate('Item', everyRow, [['stock', '/=', 0]]),
      /division by zero/,
      'InvalidRequest',
    ],
    ['modulo of a real', (tx) => tx.mutate('Item', everyRow, [['weight', '%=', 2]]), /integers only/, 'InvalidRequest'],
    [
      'insert into a scalar',
      (tx) => tx.mutate('Item', everyRow, [['name', 'insert', ['x']]]),
      /sets and maps only/,
      'InvalidRequest',
    ],
    [
      'an unknown mutator',
      (tx) => tx.mutate('Item', everyRow, [['tags', 'append' as never, ['x']]]),
      /not a mutator/,
      'InvalidRequest',
    ],
    [
      'bad keys to delete',
      (tx) => tx.mutate('Item', everyRow, [['labels', 'delete', [1]]]),
      /Item\.labels: 1 is not a string/,
      'InvalidRequest',
    ],
    ['a comment with NUL', (tx) => tx.comment('a\0'), /comment/, 'InvalidRequest'],
    [
      'a wait without a limit',
      (tx) => tx.wait('Item', everyRow, ['name'], '==', [], Number.NaN),
      /timeoutMs/,
      'InvalidRequest',
    ],
  ])('refuses %s before anything is sent', (_name, build, message, code) => {
    const tx = new Transaction();
    const attempt = () => {
      build(tx);
      tx.encode(schema);
    };
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(expect.objectContaining({ code }));
  });

  test('a row of another transaction, or of the wrong table, is not a reference', () => {
    const other = new Transaction().insert('Maker', { name: 'm' });
    const tx = new Transaction();
    tx.insert('Item', { sizes, maker: other });
    expect(() => tx.encode(schema)).toThrow(/Item\.maker: it refers to a row that another transaction inserts/);
    const wrong = new Transaction();
    const item = wrong.insert('Item', { sizes });
    wrong.insert('Item', { sizes, maker: item });
    expect(() => wrong.encode(schema)).toThrow(/Item\.maker: it refers to rows of Maker, not of Item/);
  });

  test('a new row without a reference that must exist is refused', () => {
    const owing = parseSchema({
      name: 'Owing',
      version: '1',
      tables: {
        Port: {
          columns: { interfaces: { type: { key: { type: 'uuid', refTable: 'Interface' }, min: 1, max: 'unlimited' } } },
        },
        Interface: { columns: { name: { type: 'string' } } },
      },
    });
    const tx = new Transaction();
    tx.insert('Port', {});
    expect(() => tx.encode(owing)).toThrow(/Port\.interfaces: a new row must refer to a row of Interface here/);
    const good = new Transaction();
    good.insert('Port', { interfaces: [good.insert('Interface', { name: 'i' })] });
    expect(good.encode(owing)).toHaveLength(2);
  });

  test('a row may be referred to before it is inserted', () => {
    const tx = new Transaction();
    const later = tx.insert('Item', { sizes });
    tx.insert('Maker', { items: [later] });
    expect(tx.encode(schema)[1]).toMatchObject({ row: { items: ['set', [['named-uuid', 'row0']]] } });
  });
});

describe('the reply to a transaction', () => {
  const operations = [
    { op: 'insert', table: 'Item' },
    { op: 'mutate', table: 'Maker' },
  ];

  test('errors are found wherever they stand', () => {
    expect(findTransactionError([{ uuid: ['uuid', id(1)] }, { count: 1 }], operations, false)).toBeUndefined();
    expect(
      findTransactionError(
        [{ uuid: ['uuid', id(1)] }, { error: 'constraint violation', details: 'd' }],
        operations,
        false,
      ),
    ).toMatchObject({
      outcome: 'refused',
      operation: 1,
      error: 'constraint violation',
      message: 'constraint violation in operation 1 (mutate Maker): d',
    });
    expect(findTransactionError([{ error: 'timed out' }, null], operations, false)).toMatchObject({
      operation: 0,
      outcome: 'refused',
    });
    expect(
      findTransactionError([{}, {}, { error: 'referential integrity violation' }], operations, false),
    ).toMatchObject({
      operation: undefined,
      message: 'referential integrity violation at commit',
    });
  });

  test('on a cluster, what a second execution would report is an unknown outcome', () => {
    for (const error of ['timed out', 'duplicate uuid', 'constraint violation']) {
      expect(findTransactionError([{ error }, null], operations, true)).toMatchObject({
        outcome: 'unknown',
        retryable: true,
      });
    }
    expect(findTransactionError([{ error: 'aborted' }, null], operations, true)).toMatchObject({ outcome: 'refused' });
    expect(findTransactionError([{ error: 'some new word' }, null], operations, false)).toMatchObject({
      outcome: 'unknown',
    });
  });

  test('an answer that is too short is not a success', () => {
    expect(findTransactionError([{}], operations, false)).toMatchObject({ outcome: 'unknown' });
    expect(findTransactionError([{}, null], operations, false)).toMatchObject({ outcome: 'unknown' });
  });

  test('results are read by operation', () => {
    const tx = new Transaction();
    const row = tx.insert('Item', { sizes });
    const counted = tx.mutate('Maker', everyRow, [['items', 'insert', [row]]]);
    const select = tx.select('Item', everyRow);
    const reply = [
      { uuid: ['uuid', id(1)] },
      { count: 3 },
      { rows: [{ _uuid: ['uuid', id(1)], _version: ['uuid', id(2)], name: 'i', sizes: 1 }] },
    ];
    const result = resultOf(tx, reply).result;
    expect(result.uuid(row)).toBe(id(1));
    expect(result.count(counted)).toBe(3);
    expect(result.rows(select)).toStrictEqual([{ _uuid: id(1), _version: id(2), name: 'i', sizes: [1] }]);
    expect(() => new TransactionResult([{ uuid: 'x' }]).uuid(row)).toThrow(/operation 0/);
  });

  test('many rows are read in short steps, and a row that cannot be read spoils no other select', () => {
    const tx = new Transaction();
    const good = tx.select('Item', everyRow, ['name']);
    const bad = tx.select('Item', everyRow, ['name']);
    const none = tx.select('Item', everyRow, ['name']);
    const rows = Array.from({ length: 1000 }, (_, i) => ({ name: `n${i}` }));
    const { result, steps } = resultOf(tx, [{ rows }, { rows: [...rows, { name: 7 }] }, {}]);
    expect(steps).toBeGreaterThan(30);
    expect(result.rows(good)).toHaveLength(1000);
    expect(() => result.rows(bad)).toThrow(/column name .* cannot hold 7/);
    expect(() => result.rows(none)).toThrow(/operation 2/);
  });

  test('nothing selected is nothing to do', () => {
    const tx = new Transaction();
    tx.comment('c');
    expect(decodeSelected(schema, tx.encode(schema), [{}], new Map())).toBeUndefined();
  });

  function resultOf(tx: Transaction, reply: object[]) {
    const selected = new Map();
    let steps = 0;
    for (const _ of decodeSelected(schema, tx.encode(schema), reply as never, selected) ?? []) steps += 1;
    return { result: new TransactionResult(reply as never, selected), steps };
  }
});
