import { createServer } from 'node:net';
import { describe, expect, jest, test } from '@jest/globals';
import {
  type Client,
  everyRow,
  newUuid,
  type TransactionError,
  type UntypedTables,
  type Uuid,
} from '../../../src/ovsdb-client/index.ts';
import { eventually } from '../../eventually.ts';
import { kindsSchema } from '../../ovsdb-client/kinds-schema.ts';
import { output, programsMissing, standalone, tearDown } from '../../ovsdb-client/real-server.ts';
import { Relay } from '../../ovsdb-client/relay.ts';
import { oneServer } from './one-server.ts';

jest.setTimeout(40_000);

const scenarios = programsMissing === undefined ? describe : describe.skip;

scenarios('a standalone ovsdb-server', () => {
  const one = oneServer();
  const { open } = one;

  const fail = (attempt: Promise<unknown>) =>
    attempt.then(
      () => {
        throw new Error('it succeeded');
      },
      (thrown: unknown) => thrown as TransactionError,
    );

  describe('values', () => {
    const full = {
      name: 'é😀 "quoted" \\ \n\t 中文',
      integer: 9007199254740993n,
      real: -1.5e-300,
      boolean: true,
      uuid: newUuid(),
      choice: 'green',
      maybe: -(2n ** 63n),
      integers: [-(2n ** 63n), -1, 0, 2 ** 53 - 1, 2n ** 63n - 1n],
      reals: [-1.7976931348623157e308, -0.1, 0, 2.2250738585073e-308, 1e21],
      booleans: [false, true],
      strings: ['', ' ', '"', 'map', 'set', 'uuid', '\u007f', '\u2028'],
      few: [0, 99],
      texts: new Map([
        ['', ''],
        ['k', 'v'],
        ['__proto__', 'x'],
        ['constructor', 'y'],
      ]),
      counts: new Map<string, number | bigint>([
        ['big', 2n ** 62n],
        ['small', -1],
      ]),
      byNumber: new Map<number | bigint, string>([
        [-1, 'minus'],
        [2n ** 60n, 'big'],
      ]),
    };

    test('of every kind survive the way there and back, by update3 and by select', async () => {
      const client = await open();
      const monitor = await client.monitor({ Thing: true });
      const tx = client.transaction();
      const row = tx.insert('Thing', full);
      const { _uuid, ...seen } = monitor.tables.Thing.get((await client.transact(tx)).uuid(row)) ?? {};
      expect(seen).toStrictEqual({ ...full, friends: [], parts: [] });
      const read = client.transaction();
      const select = read.select('Thing', { name: full.name });
      const [{ _uuid: _1, _version, ...selected } = { _uuid: undefined, _version: undefined }] = (
        await client.transact(read)
      ).rows(select);
      expect(selected).toStrictEqual(seen);
    });

    test('that are left out have the defaults that we expect of them', async () => {
      const client = await open();
      const monitor = await client.monitor({ Thing: true });
      const tx = client.transaction();
      tx.insert('Thing', { name: 'default' });
      await client.transact(tx);
      const select = client.transaction();
      const rows = select.select('Thing', everyRow, [...(client.schema.tables.get('Thing')?.columns.keys() ?? [])]);
      const [selected] = (await client.transact(select)).rows(rows);
      const { _uuid, ...cached } = [...monitor.tables.Thing][0] ?? {};
      expect(cached).toStrictEqual(selected);
      expect(cached).toMatchObject({ choice: undefined, few: [0], texts: new Map(), real: 0 });
    });

    test('find their rows again as conditions', async () => {
      const client = await open();
      const tx = client.transaction();
      tx.insert('Thing', full);
      await client.transact(tx);
      const counts: Record<string, number> = {};
      for (const [column, value] of Object.entries(full)) {
        const find = client.transaction();
        const select = find.select('Thing', [[column, '==', value as never]], ['name']);
        counts[column] = (await client.transact(find)).rows(select).length;
      }
      expect(counts).toStrictEqual(Object.fromEntries(Object.keys(full).map((column) => [column, 1])));
    });
  });

  describe('transactions', () => {
    test('commit together or not at all', async () => {
      const client = await open();
      const monitor = await client.monitor({ Thing: { columns: ['name'] } });
      const tx = client.transaction();
      tx.insert('Thing', { name: 'a' });
      tx.abort();
      expect(await fail(client.transact(tx))).toMatchObject({ outcome: 'refused', error: 'aborted', operation: 1 });
      expect(monitor.tables.Thing.size).toBe(0);
    });

    test('new rows can refer to each other, before and after', async () => {
      const client = await open();
      const monitor = await client.monitor({ Thing: { columns: ['name', 'friends', 'parts'] }, Part: true });
      const tx = client.transaction();
      const part = tx.insert('Part', { label: 'p', fixed: 'f' });
      const a = tx.insert('Thing', { name: 'a', parts: [part] });
      const b = tx.insert('Thing', { name: 'b', friends: [a] });
      tx.mutate('Thing', { name: 'a' }, [['friends', 'insert', [b, a]]]);
      const result = await client.transact(tx);
      expect(monitor.tables.Thing.get(result.uuid(a))?.friends).toStrictEqual([result.uuid(a), result.uuid(b)].sort());
      expect(monitor.tables.Part.get(result.uuid(part))?.label).toBe('p');
      const drop = client.transaction();
      drop.delete('Thing', { _uuid: result.uuid(a) });
      await client.transact(drop);
      // The part had no other owner; the weak reference to the deleted row is gone as well.
      expect(monitor.tables.Part.size).toBe(0);
      expect(monitor.tables.Thing.get(result.uuid(b))?.friends).toStrictEqual([]);
    });

    test('mutations do what they say', async () => {
      const client = await open();
      const monitor = await client.monitor({ Thing: true });
      const tx = client.transaction();
      const row = tx.insert('Thing', {
        name: 'm',
        integer: 7,
        real: 1.5,
        integers: [1, 2],
        strings: ['a'],
        texts: { a: '1', b: '2', c: '3' },
      });
      const count = tx.mutate('Thing', { name: 'm' }, [
        ['integer', '*=', 3],
        ['integer', '%=', 4],
        ['real', '/=', 2],
        ['integers', '+=', 10],
        ['integers', 'insert', [5]],
        ['strings', 'insert', ['b', 'a']],
        ['strings', 'delete', ['zzz']],
        ['texts', 'insert', { a: 'ignored', d: '4' }],
        ['texts', 'delete', ['b']],
        ['texts', 'delete', { c: 'not this' }],
        ['maybe', 'insert', [4]],
        ['few', 'insert', [50]],
      ]);
      const result = await client.transact(tx);
      expect(result.count(count)).toBe(1);
      expect(monitor.tables.Thing.get(result.uuid(row))).toMatchObject({
        integer: 1,
        real: 0.75,
        integers: [5, 11, 12],
        strings: ['a', 'b'],
        texts: new Map([
          ['a', '1'],
          ['c', '3'],
          ['d', '4'],
        ]),
        maybe: 4,
        few: [0, 50],
      });
    });

    test.each<[string, (tx: ReturnType<Client<UntypedTables>['transaction']>) => void, object]>([
      [
        'an index',
        (tx) => {
          tx.insert('Thing', { name: 'x' });
          tx.insert('Thing', { name: 'x' });
        },
        { error: 'constraint violation', operation: undefined },
      ],
      [
        'a strong reference to nothing',
        (tx) => {
          tx.insert('Thing', { name: 'x', parts: [newUuid()] });
        },
        { error: 'referential integrity violation', operation: undefined },
      ],
      [
        'a set that grows too large',
        (tx) => {
          tx.insert('Thing', { name: 'x', few: [1] });
          tx.mutate('Thing', { name: 'x' }, [['few', 'insert', [2, 3, 4]]]);
        },
        { error: 'constraint violation', operation: 1 },
      ],
      [
        'an overflow',
        (tx) => {
          tx.insert('Thing', { name: 'x', integer: 2n ** 63n - 1n });
          tx.mutate('Thing', { name: 'x' }, [['integer', '+=', 1]]);
        },
        { error: 'range error', operation: 1 },
      ],
      [
        'a lock that is not held',
        (tx) => {
          tx.assert('nobody');
          tx.insert('Thing', { name: 'x' });
        },
        { error: 'not owner', operation: 0 },
      ],
      [
        'a guard',
        (tx) => {
          tx.wait('Thing', { name: 'x' }, ['name'], '==', [{ name: 'x' }], 0);
        },
        { error: 'timed out', operation: 0 },
      ],
    ])('that violate %s say so, and change nothing', async (_name, build, expected) => {
      const client = await open();
      const tx = client.transaction();
      build(tx);
      expect(await fail(client.transact(tx))).toMatchObject({
        code: 'TransactionFailed',
        outcome: 'refused',
        ...expected,
      });
      const read = client.transaction();
      const select = read.select('Thing', everyRow);
      expect((await client.transact(read)).rows(select)).toHaveLength(0);
    });

    test('a uuid of our own makes an insert safe to repeat', async () => {
      const client = await open();
      const uuid = newUuid();
      const tx = client.transaction();
      tx.insert('Log', { key: 'k', value: 1 }, { uuid });
      await client.transact(tx);
      expect(await fail(client.transact(tx))).toMatchObject({ error: 'duplicate uuid', outcome: 'refused' });
    });

    test('a wait lasts until another client makes it true, and others are not held up', async () => {
      const client = await open();
      const other = await open();
      const waiting = client.transaction();
      waiting.wait('Log', { key: 'go' }, ['value'], '==', [{ value: 1 }], 10_000);
      const done = client.transact(waiting);
      const unrelated = client.transaction();
      unrelated.comment('passes');
      await client.transact(unrelated);
      const go = other.transaction();
      go.insert('Log', { key: 'go', value: 1 });
      await other.transact(go);
      await done;
    });

    test('an aborted wait is cancelled on the server', async () => {
      const client = await open();
      const waiting = client.transaction();
      waiting.wait('Log', { key: 'never' }, ['value'], '==', [{ value: 1 }], 3_600_000);
      waiting.insert('Log', { key: 'after', value: 1 });
      expect(await fail(client.transact(waiting, { signal: AbortSignal.timeout(50) }))).toMatchObject({
        outcome: 'unknown',
      });
      const monitor = await client.monitor({ Log: true });
      const go = client.transaction();
      go.insert('Log', { key: 'never', value: 1 });
      await client.transact(go);
      await client.echo();
      expect([...monitor.tables.Log].map((row) => row.key)).toStrictEqual(['never']);
    });

    test('a write that cannot change reaches nobody as a change', async () => {
      const client = await open();
      const tx = client.transaction();
      const row = tx.insert('Log', { key: 'k', value: 1 });
      const uuid = (await client.transact(tx)).uuid(row);
      const monitor = await client.monitor({ Log: true });
      const before = monitor.tables.Log.get(uuid);
      let notices = 0;
      monitor.onChange(() => {
        notices += 1;
      });
      const same = client.transaction();
      same.update('Log', { _uuid: uuid }, { value: 1 });
      await client.transact(same);
      await client.echo();
      expect([notices, monitor.tables.Log.get(uuid) === before]).toStrictEqual([0, true]);
    });
  });

  describe('monitors', () => {
    async function insert(client: Client<UntypedTables>, ...pairs: [string, number][]): Promise<Uuid[]> {
      const tx = client.transaction();
      const rows = pairs.map(([key, value]) => tx.insert('Log', { key, value }));
      const result = await client.transact(tx);
      return rows.map((row) => result.uuid(row));
    }
    const keys = (monitor: { tables: { Log: Iterable<{ readonly [column: string]: unknown }> } }) =>
      [...monitor.tables.Log].map((row) => row.key).sort();

    test('show only rows for which a condition holds, and follow when rows or conditions change', async () => {
      const client = await open();
      const [a] = await insert(client, ['a', 1], ['b', 2], ['c', 3]);
      const monitor = await client.monitor({
        Log: {
          anyOf: [
            ['key', '==', 'a'],
            ['value', '==', 3],
          ],
        },
      });
      expect(keys(monitor)).toStrictEqual(['a', 'c']);
      const tx = client.transaction();
      tx.update('Log', { key: 'c' }, { value: 4 });
      tx.update('Log', { key: 'b' }, { value: 3 });
      await client.transact(tx);
      expect(keys(monitor)).toStrictEqual(['a', 'b']);
      await monitor.setConditions('Log', [['value', '==', 4]]);
      expect(keys(monitor)).toStrictEqual(['c']);
      await monitor.setConditions('Log', []);
      expect(keys(monitor)).toStrictEqual([]);
      await monitor.setConditions('Log', undefined);
      expect(keys(monitor)).toStrictEqual(['a', 'b', 'c']);
      expect(a).toBeDefined();
    });

    test('two on the same table with different columns do not disturb each other', async () => {
      const client = await open();
      await insert(client, ['a', 1]);
      const whole = await client.monitor({ Log: true });
      const part = await client.monitor({ Log: { columns: ['value'] } });
      await insert(client, ['b', 2]);
      expect([...whole.tables.Log].map(({ key, value }) => [key, value]).sort()).toStrictEqual([
        ['a', 1],
        ['b', 2],
      ]);
      expect([...part.tables.Log].map((row) => Object.keys(row).sort().join())).toStrictEqual([
        '_uuid,value',
        '_uuid,value',
      ]);
      whole.close();
      await insert(client, ['c', 3]);
      expect([whole.tables.Log.size, part.tables.Log.size]).toStrictEqual([2, 3]);
    });

    test('a restart of the server with an empty database empties them, reported as changes', async () => {
      const own = await standalone(kindsSchema);
      try {
        const client = await open({ endpoints: own.endpoint });
        await insert(client, ['a', 1], ['b', 2]);
        const monitor = await client.monitor({ Log: true });
        const changes = monitor.changes();
        await changes.next();
        await own.kill();
        expect(monitor.tables.Log.size).toBe(2);
        await output(
          'sh',
          '-c',
          `rm ${own.database} && ovsdb-tool create ${own.database} ${own.directory}/schema.json`,
        );
        await own.start();
        const { value } = await changes.next();
        expect(value?.resynced).toBe(true);
        expect(value?.tables.Log?.map((change) => change.kind)).toStrictEqual(['delete', 'delete']);
        expect([monitor.tables.Log.size, monitor.state.kind]).toStrictEqual([0, 'live']);
      } finally {
        await tearDown(own);
      }
    });

    test('a conversion while connected adds the new column, on the same connection', async () => {
      const own = await standalone(kindsSchema);
      try {
        const client = await open({ endpoints: own.endpoint });
        const other = await open({ endpoints: own.endpoint });
        await insert(client, ['a', 1]);
        const monitor = await client.monitor({ Log: { columns: ['key', 'note'] } });
        expect(monitor.missing).toStrictEqual([{ table: 'Log', column: 'note' }]);
        const events = client.events();
        const next = structuredClone(kindsSchema) as typeof kindsSchema;
        next.version = '1.1.0';
        Object.assign(next.tables.Log.columns, { note: { type: { key: 'string', min: 0, max: 1 } } });
        await other.convert(next as never, { signal: AbortSignal.timeout(10_000) });
        await monitor.until(() => monitor.missing.length === 0 && monitor.state.kind === 'live', {
          signal: AbortSignal.timeout(10_000),
        });
        const tx = client.transaction();
        tx.update('Log', { key: 'a' }, { note: 'hello' });
        await client.transact(tx);
        expect([...monitor.tables.Log]).toMatchObject([{ key: 'a', note: 'hello' }]);
        expect((await events.next()).value).toMatchObject({ type: 'schema', schema: { version: '1.1.0' } });
        expect(client.schema.version).toBe('1.1.0');
        await events.return();
      } finally {
        await tearDown(own);
      }
    });

    test('a database that is taken away and put back is read again', async () => {
      const own = await standalone(kindsSchema);
      try {
        const client = await open({ endpoints: own.endpoint });
        const monitor = await client.monitor({ Log: true });
        await own.appctl('ovsdb-server/remove-db', 'Kinds');
        await monitor.until(() => monitor.state.kind === 'stale', { signal: AbortSignal.timeout(10_000) });
        await own.appctl('ovsdb-server/add-db', own.database);
        await monitor.live({ signal: AbortSignal.timeout(10_000) });
      } finally {
        await tearDown(own);
      }
    });
  });

  describe('locks', () => {
    test('have one owner; the next in the queue gets it, a thief at once; assert knows', async () => {
      const [one, two] = [await open(), await open()];
      const first = one.lock('job');
      await first.acquired({ signal: AbortSignal.timeout(5000) });
      const second = two.lock('job');
      await two.echo();
      expect([first.state, second.state]).toStrictEqual(['held', 'waiting']);
      const guarded = (client: Client<UntypedTables>) => {
        const tx = client.transaction();
        tx.assert('job');
        return client.transact(tx);
      };
      await guarded(one);
      expect(await fail(guarded(two))).toMatchObject({ error: 'not owner', outcome: 'refused' });
      await first.release();
      await second.acquired({ signal: AbortSignal.timeout(5000) });
      await guarded(two);
      const thief = one.lock('job', { steal: true });
      await thief.acquired({ signal: AbortSignal.timeout(5000) });
      await eventually('the owner hears of the theft', () => second.state === 'waiting');
      expect(await fail(guarded(two))).toMatchObject({ error: 'not owner' });
      await second.steal({ signal: AbortSignal.timeout(5000) });
      await guarded(two);
    });
  });

  describe('faults', () => {
    test('killed in mid-transaction: the outcome is unknown, the client comes back by itself', async () => {
      const own = await standalone(kindsSchema);
      try {
        const client = await open({ endpoints: own.endpoint });
        const monitor = await client.monitor({ Log: true });
        own.pause();
        const tx = client.transaction();
        tx.insert('Log', { key: 'k', value: 1 });
        const attempt = fail(client.transact(tx));
        await own.kill();
        expect(await attempt).toMatchObject({ outcome: 'unknown' });
        await own.start();
        await monitor.live({ signal: AbortSignal.timeout(10_000) });
        await client.transact(tx, { signal: AbortSignal.timeout(5000) });
        expect(monitor.tables.Log.size).toBe(1);
      } finally {
        await tearDown(own);
      }
    });

    test('stopped and continued: probes notice, nothing is lost', async () => {
      const own = await standalone(kindsSchema);
      try {
        const client = await open({ endpoints: own.endpoint, probeIntervalMs: 200 });
        const monitor = await client.monitor({ Log: true });
        own.pause();
        await monitor.until(() => monitor.state.kind === 'stale', { signal: AbortSignal.timeout(10_000) });
        own.resume();
        await monitor.live({ signal: AbortSignal.timeout(20_000) });
      } finally {
        await tearDown(own);
      }
    });

    test('an interrupted first dump shows no half of it', async () => {
      const own = await standalone(kindsSchema);
      const proxy = await Relay.to(own.socket);
      try {
        const direct = await open({ endpoints: own.endpoint });
        const tx = direct.transaction();
        for (let i = 0; i < 3000; i++) tx.insert('Log', { key: `key-${i}`, value: i });
        await direct.transact(tx);
        const client = await open({ endpoints: proxy.endpoint });
        proxy.cutAfterBytes = 100_000;
        const attempt = client.monitor({ Log: true });
        await eventually('the connection is cut', () => proxy.cuts > 0);
        proxy.cutAfterBytes = undefined;
        const monitor = await attempt;
        expect(monitor.tables.Log.size).toBe(3000);
        // Once more with a full cache: cut the dump of the reconnect.
        const sizes = new Set<number>();
        monitor.onChange(() => sizes.add(monitor.tables.Log.size));
        proxy.cutAfterBytes = 100_000;
        const cuts = proxy.cuts;
        client.reconnect();
        await eventually('cut again', () => proxy.cuts > cuts);
        proxy.cutAfterBytes = undefined;
        await monitor.live({ signal: AbortSignal.timeout(20_000) });
        expect([...sizes]).toStrictEqual([3000]);
      } finally {
        proxy.close();
        await tearDown(own);
      }
    });

    test('a connection that dies without a word is noticed, the next endpoint used', async () => {
      const proxy = await Relay.to(one.server.socket);
      try {
        const client = await open({ endpoints: `${proxy.endpoint},${one.server.endpoint}`, probeIntervalMs: 150 });
        expect(client.state).toMatchObject({ endpoint: proxy.endpoint });
        proxy.blackHole = true;
        await eventually(
          'the other endpoint is used',
          () => client.state.kind === 'connected' && client.state.endpoint === one.server.endpoint,
        );
      } finally {
        proxy.close();
      }
    });

    test('a reader that is held up gets merged updates, and ends with what is', async () => {
      const relay = await Relay.to(one.server.socket);
      try {
        const client = await open({ endpoints: relay.endpoint, probeIntervalMs: 0 });
        const writer = await open();
        const monitor = await client.monitor({ Log: true });
        const big = 'x'.repeat(10_000);
        relay.hold(true);
        for (let i = 0; i < 300; i++) {
          const tx = writer.transaction();
          if (i > 0) tx.update('Log', { value: i - 1 }, { value: i, key: `${big}${i}` });
          else tx.insert('Log', { key: big, value: 0 });
          if (i % 3 === 0) tx.insert('Log', { key: 'brief', value: -1 });
          if (i % 3 === 1) tx.delete('Log', { key: 'brief' });
          await writer.transact(tx);
        }
        relay.hold(false);
        await monitor.until(() => [...monitor.tables.Log].some(({ value }) => value === 299), {
          signal: AbortSignal.timeout(20_000),
        });
        expect([...monitor.tables.Log].map(({ key }) => String(key).slice(-4))).toStrictEqual(['x299']);
        expect(client.state.kind).toBe('connected');
      } finally {
        relay.close();
      }
    });

    test('a slow link: 1-byte pieces, and nothing is lost', async () => {
      const proxy = await Relay.to(one.server.socket);
      proxy.pieces = 1;
      try {
        const client = await open({ endpoints: proxy.endpoint, connectTimeoutMs: 20_000 });
        const tx = client.transaction();
        tx.insert('Log', { key: 'é😀', value: 1 });
        await client.transact(tx);
        const monitor = await client.monitor({ Log: true });
        expect([...monitor.tables.Log]).toMatchObject([{ key: 'é😀' }]);
      } finally {
        proxy.close();
      }
    });

    test('hostile bytes end the connection, not the process; the next endpoint is used', async () => {
      for (const bytes of [
        '{'.repeat(100_000),
        'GET / HTTP/1.1\r\n\r\n',
        '{"id":0,"result":'.repeat(2),
        '\u0000',
        '{"a":"\ud800"}',
      ]) {
        const hostile = createServer((socket) => {
          socket.on('error', () => {});
          socket.write(bytes);
        });
        await new Promise<void>((resolve) => hostile.listen(0, '127.0.0.1', resolve));
        const { port } = hostile.address() as { port: number };
        const client = await open({
          endpoints: `tcp:127.0.0.1:${port},${one.server.endpoint}`,
          connectTimeoutMs: 1000,
        });
        expect(client.state).toMatchObject({ endpoint: one.server.endpoint });
        hostile.close();
      }
    });

    test('a server that lacks the database, and one that is not there, are passed over', async () => {
      const other = await standalone({
        name: 'Other',
        version: '1.0.0',
        tables: { T: { columns: { c: { type: 'string' } } } },
      });
      try {
        const client = await open({ endpoints: `unix:/nonexistent,${other.endpoint},${one.server.endpoint}` });
        expect(client.state).toMatchObject({ endpoint: one.server.endpoint });
        expect(await client.databases()).toContain('Kinds');
      } finally {
        await tearDown(other);
      }
    });
  });
});
