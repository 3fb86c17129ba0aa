import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ManualClock } from '../../src/base/index.ts';
import {
  type ChangeSet,
  type Client,
  type ConnectOptions,
  connect,
  type UntypedRow,
  type UntypedTables,
} from '../../src/ovsdb-client/index.ts';
import { id, Refusal, ScriptedServer, settle, shopSchema, silence, zero } from './scripted-server.ts';

const open: Client<UntypedTables>[] = [];
afterEach(async () => {
  for (const client of open.splice(0)) await client.close();
});

type Rows = Record<string, Record<string, unknown>>;

async function start(server: ScriptedServer, more: Partial<ConnectOptions<UntypedTables>> = {}) {
  const clock = new ManualClock();
  const client = await connect<UntypedTables>({
    endpoints: 'tcp:a:1',
    database: 'Shop',
    dial: server.dial,
    clock,
    random: () => 0,
    probeIntervalMs: 0,
    ...more,
  });
  open.push(client);
  const again = async () => {
    const before = server.connections.length;
    server.last.stream.destroy();
    for (let i = 0; i < 100 && (server.connections.length === before || client.state.kind !== 'connected'); i++) {
      await settle();
      await clock.advance(100);
    }
    await settle();
  };
  return { client, clock, again };
}

/** A server whose one table is what the test says, answering monitor_cond_since like a cluster member does. */
function serve(items: Rows, transaction = id(0xa0)) {
  const server = new ScriptedServer();
  const state = { items, transaction, found: undefined as Rows | undefined };
  server.on('monitor_cond_since', ([, , , since]) => {
    const known = since === state.transaction || state.found !== undefined;
    const content = Object.fromEntries(Object.entries(state.items).map(([uuid, row]) => [uuid, { initial: row }]));
    return known
      ? [true, state.transaction, state.found === undefined ? {} : { Item: state.found }]
      : [false, state.transaction, { Item: content }];
  });
  const monitorId = () =>
    server.last.received.findLast(({ method }) => method.startsWith('monitor_cond_since'))?.params[1];
  const update = (transactionId: string, rows: Rows) =>
    server.last.notify('update3', monitorId(), transactionId, { Item: rows });
  const requests = () =>
    server.connections.flatMap((c) => c.received).filter(({ method }) => method === 'monitor_cond_since');
  return { server, state, monitorId, update, requests };
}

const names = (monitor: { tables: { Item: Iterable<UntypedRow> } }) =>
  [...monitor.tables.Item].map((row) => row.name).sort();
const methodsOf = (server: ScriptedServer) => server.last.received.map(({ method }) => method);
const selection = { Item: { columns: ['name', 'tags'] } } as const;

describe('a monitor', () => {
  test('applies an update of several tables at once', async () => {
    const server = new ScriptedServer();
    server.on('monitor_cond_since', () => [false, zero, {}]);
    const { client } = await start(server);
    const monitor = await client.monitor({ Item: { columns: ['name'] }, Maker: { columns: ['items'] } });
    const seen: [number, number][] = [];
    monitor.onChange(() => seen.push([monitor.tables.Item.size, monitor.tables.Maker.size]));
    server.last.notify('update3', server.last.received.at(-1)?.params[1], id(1), {
      Item: { [id(1)]: { insert: { name: 'a' } } },
      Maker: { [id(2)]: { insert: { items: ['uuid', id(1)] } } },
    });
    await settle();
    expect(seen).toStrictEqual([[1, 1]]);
  });

  test('rows are immutable, snapshots stay, indexes follow', async () => {
    const { server, update } = serve({ [id(1)]: { name: 'a', tags: ['set', ['x', 'y']] } });
    const { client } = await start(server);
    const monitor = await client.monitor(selection);
    const byTag = monitor.tables.Item.index((row) => row.tags as readonly string[]);
    const byName = monitor.tables.Item.index((row) => (row.name === '' ? undefined : (row.name as string)));
    const before = monitor.snapshot();
    const row = monitor.tables.Item.get(id(1) as never);
    update(id(0xa1), {
      [id(1)]: { modify: { tags: ['set', ['x', 'z']] } },
      [id(2)]: { insert: { name: 'b', tags: 'z' } },
    });
    await settle();
    expect(row).toStrictEqual({ _uuid: id(1), name: 'a', tags: ['x', 'y'] });
    expect([...before.Item.values()]).toStrictEqual([row]);
    expect(monitor.tables.Item.get(id(1) as never)).toStrictEqual({ _uuid: id(1), name: 'a', tags: ['y', 'z'] });
    expect(byTag.get('x')).toStrictEqual([]);
    expect(byTag.get('z').map((r) => r.name)).toStrictEqual(['a', 'b']);
    expect(byTag.only('z')).toBeUndefined();
    expect(byTag.only('y')?.name).toBe('a');
    expect([...byName.keys()]).toStrictEqual(['a', 'b']);
    update(id(0xa2), { [id(1)]: { delete: null }, [id(2)]: { modify: { name: '' } } });
    await settle();
    expect(byTag.get('z').map((r) => r._uuid)).toStrictEqual([id(2)]);
    expect([...byName.keys()]).toStrictEqual([]);
  });

  test('asks only for what the server has, and says what is missing', async () => {
    const { server, requests } = serve({ [id(1)]: { name: 'a' } });
    const { client } = await start(server, {
      database: {
        name: 'Shop',
        schema: {
          ...shopSchema,
          tables: {
            Item: {
              columns: {
                ...shopSchema.tables.Item.columns,
                colour: { type: { key: 'string', min: 0, max: 'unlimited' } },
              },
            },
            Voucher: { columns: { code: { type: 'string' } } },
          },
        } as never,
      },
    });
    const monitor = await client.monitor({ Item: { columns: ['name', 'colour', '_uuid'] }, Voucher: true });
    expect(requests()[0]?.params[2]).toStrictEqual({ Item: [{ columns: ['name'] }] });
    expect(monitor.missing).toStrictEqual([{ table: 'Item', column: 'colour' }, { table: 'Voucher' }]);
    expect([...monitor.tables.Item]).toStrictEqual([{ _uuid: id(1), name: 'a', colour: [] }]);
    expect(monitor.tables.Voucher.size).toBe(0);
  });

  test('updates that come before the reply are applied after it', async () => {
    const { server, state } = serve({});
    const { client } = await start(server);
    server.on('monitor_cond_since', ([, monitorId], connection) => {
      connection.notify('update3', monitorId, id(0xa1), { Item: { [id(1)]: { modify: { name: 'b' } } } });
      return [false, state.transaction, { Item: { [id(1)]: { initial: { name: 'a' } } } }];
    });
    const monitor = await client.monitor(selection);
    await settle();
    expect(names(monitor)).toStrictEqual(['b']);
    expect(monitor.lastTransaction).toBe(id(0xa1));
  });

  test('updates for a monitor that was closed are dropped', async () => {
    const { server, update } = serve({});
    const { client } = await start(server);
    const monitor = await client.monitor(selection);
    monitor.close();
    update(id(0xa1), { [id(1)]: { insert: { name: 'a' } } });
    await settle();
    expect(monitor.tables.Item.size).toBe(0);
    expect(client.state.kind).toBe('connected');
    expect(server.last.received.at(-1)).toMatchObject({ method: 'monitor_cancel' });
  });

  test('a request that the server refuses fails the call', async () => {
    const server = new ScriptedServer();
    server.on('monitor_cond_since', () => new Refusal({ error: 'permission error', details: 'no' }));
    const { client } = await start(server);
    await expect(client.monitor({ Item: true })).rejects.toMatchObject({
      code: 'ServerError',
      error: 'permission error',
    });
    await expect(client.monitor({ Item: { anyOf: [['nope', '==', 1]] } })).rejects.toMatchObject({
      code: 'UnknownColumn',
    });
  });

  test('a deadline while the content is awaited closes it', async () => {
    const server = new ScriptedServer();
    server.on('monitor_cond_since', () => silence);
    const { client } = await start(server);
    const abort = new AbortController();
    const attempt = client.monitor({ Item: true }, { signal: abort.signal });
    await settle();
    abort.abort(new Error('deadline'));
    await expect(attempt).rejects.toThrow('deadline');
  });

  test.each<[string, Rows]>([
    ['a modified row that it does not know', { [id(9)]: { modify: { name: 'x' } } }],
    ['a deleted row that it does not know', { [id(9)]: { delete: null } }],
    ['an inserted row that it has', { [id(1)]: { insert: { name: 'x' } } }],
  ])('that meets %s reads everything again, and shows no wrong rows meanwhile', async (_name, rows) => {
    const { server, state, update, requests } = serve({ [id(1)]: { name: 'a' } });
    const { client } = await start(server);
    const monitor = await client.monitor(selection);
    state.items = { [id(1)]: { name: 'a2' }, [id(9)]: { name: 'nine' } };
    state.transaction = id(0xb0);
    const states: string[] = [];
    monitor.onChange(() => states.push(`${monitor.state.kind} ${names(monitor).join()}`));
    update(id(0xa1), rows);
    await settle();
    expect(states).toStrictEqual(['stale a', 'live a2,nine']);
    expect(requests().map(({ params }) => params[3])).toStrictEqual([zero, zero]);
    expect(server.connections).toHaveLength(1);
    // The server must not go on sending for the one that is not read any more.
    const cancelled = server.last.received.filter(({ method }) => method === 'monitor_cancel');
    expect(cancelled.map(({ params }) => params[0])).toStrictEqual([requests()[0]?.params[1]]);
  });

  test('that diverges again and again ends the connection', async () => {
    const { server, update, requests } = serve({ [id(1)]: { name: 'a' } });
    const { client } = await start(server);
    await client.monitor(selection);
    for (let i = 0; i < 3; i++) {
      expect(client.state.kind).toBe('connected');
      update(id(0xa1), { [id(9)]: { delete: null } });
      await settle();
    }
    expect(requests()).toHaveLength(3);
    expect(client.state.kind).not.toBe('connected');
  });

  test('that has diverged when the connection ends does not go on from there', async () => {
    const { server, update, requests } = serve({ [id(1)]: { name: 'a' } });
    const { client, again } = await start(server);
    const monitor = await client.monitor(selection);
    update(id(0xa1), { [id(1)]: { modify: { name: 'b' } } });
    await settle();
    const original = server.handlers.get('monitor_cond_since');
    server.on('monitor_cond_since', () => silence);
    update(id(0xa2), { [id(9)]: { delete: null } });
    await settle();
    if (original !== undefined) server.on('monitor_cond_since', original);
    await again();
    expect(requests().map(({ params }) => params[3])).toStrictEqual([zero, zero, zero]);
    expect(names(monitor)).toStrictEqual(['a']);
  });

  test('a server that sends updates but never the content is left', async () => {
    const { server } = serve({});
    const { client } = await start(server);
    server.on('monitor_cond_since', ([, monitorId], connection) => {
      for (let i = 0; i <= 100; i++) connection.notify('update3', monitorId, id(0xa1), {});
      return silence;
    });
    const attempt = client.monitor(selection, { signal: AbortSignal.timeout(1000) });
    attempt.catch(() => {});
    await settle();
    expect(client.state.kind).not.toBe('connected');
    await client.close();
    await expect(attempt).rejects.toMatchObject({ code: 'Closed' });
  });

  test('is not told of an update that changes nothing', async () => {
    const { server, update } = serve({ [id(1)]: { name: 'a', tags: ['set', ['x']] } });
    const { client } = await start(server);
    const monitor = await client.monitor(selection);
    const row = monitor.tables.Item.get(id(1) as never);
    const changes = monitor.changes();
    await changes.next();
    update(id(0xa1), { [id(1)]: { modify: { name: 'a', tags: ['set', []] } } });
    update(id(0xa2), { [id(2)]: { insert: { name: 'b' } } });
    const { value } = await changes.next();
    expect(value?.tables.Item?.map((change) => change.uuid)).toStrictEqual([id(2)]);
    expect(monitor.tables.Item.get(id(1) as never)).toBe(row);
    await changes.return();
  });

  test('two of the same table with different columns each get their rows whole', async () => {
    const { server } = serve({ [id(1)]: { name: 'a', tags: 'x' } });
    const { client } = await start(server);
    const whole = await client.monitor({ Item: { columns: ['name', 'tags'] } });
    const part = await client.monitor({ Item: { columns: ['name'] } });
    const ids = server.last.received
      .filter(({ method }) => method === 'monitor_cond_since')
      .map(({ params }) => params[1]);
    server.last.notify('update3', ids[0], id(0xa1), { Item: { [id(2)]: { insert: { name: 'b', tags: 'y' } } } });
    server.last.notify('update3', ids[1], id(0xa1), { Item: { [id(2)]: { insert: { name: 'b' } } } });
    await settle();
    expect(whole.tables.Item.get(id(2) as never)).toStrictEqual({ _uuid: id(2), name: 'b', tags: ['y'] });
    expect(part.tables.Item.get(id(2) as never)).toStrictEqual({ _uuid: id(2), name: 'b' });
    part.close();
    server.last.notify('update3', ids[0], id(0xa2), { Item: { [id(3)]: { insert: { name: 'c', tags: 'z' } } } });
    await settle();
    expect(whole.tables.Item.get(id(3) as never)).toStrictEqual({ _uuid: id(3), name: 'c', tags: ['z'] });
    expect(server.connections).toHaveLength(1);
  });

  test('that does not show what this client has inserted is not believed: a server may forget monitors', async () => {
    const { server, state, update, requests } = serve({ [id(1)]: { name: 'a' } });
    let told = true;
    let n = 1;
    server.on('transact', ([, operation]) => {
      n += 1;
      const { row } = operation as { row: { name: string } };
      state.items = { ...state.items, [id(n)]: { name: row.name } };
      state.transaction = id(0xb0 + n);
      if (told) update(state.transaction, { [id(n)]: { insert: { name: row.name } } });
      return [{ uuid: ['uuid', id(n)] }];
    });
    const { client } = await start(server);
    const monitor = await client.monitor(selection);
    const insert = async (name: string) => {
      const tx = client.transaction();
      tx.insert('Item', { name, sizes: [1] });
      await client.transact(tx);
      await settle();
    };
    await insert('told');
    expect(requests()).toHaveLength(1);
    told = false;
    await insert('untold');
    expect(names(monitor)).toStrictEqual(['a', 'told', 'untold']);
    expect(requests()).toHaveLength(2);
    // Once is enough: the row may also be gone because somebody deleted it at once.
    await insert('deleted by another');
    expect(requests()).toHaveLength(2);
    expect(server.connections).toHaveLength(1);
  });

  test('a row that nothing refers to may vanish at once: that is no reason for distrust', async () => {
    const { server, requests } = serve({});
    server.schema = {
      ...shopSchema,
      tables: { Item: { ...shopSchema.tables.Item, isRoot: false }, Maker: shopSchema.tables.Maker },
    };
    server.on('transact', () => [{ uuid: ['uuid', id(5)] }]);
    const { client } = await start(server);
    await client.monitor(selection);
    const tx = client.transaction();
    tx.insert('Item', { name: 'garbage', sizes: [1] });
    await client.transact(tx);
    await settle();
    expect(requests()).toHaveLength(1);
  });

  test('a full content that the server calls a continuation of nothing is a full content', async () => {
    const { server, state, update } = serve({});
    server.on('monitor_cond_since', () => [
      true,
      state.transaction,
      { Item: Object.fromEntries(Object.entries(state.items).map(([uuid, row]) => [uuid, { insert: row }])) },
    ]);
    state.items = { [id(1)]: { name: 'a' }, [id(2)]: { name: 'b' } };
    const { client } = await start(server);
    const monitor = await client.monitor(selection);
    state.items = { [id(2)]: { name: 'b' } };
    update(id(0xa1), { [id(9)]: { delete: null } });
    await settle();
    expect(names(monitor)).toStrictEqual(['b']);
    expect(monitor.state.kind).toBe('live');
  });

  test.each<[string, Rows | string]>([
    ['of a table that was not asked for', 'Maker'],
    ['with a row that is no object', { [id(1)]: { insert: 'x' as never } }],
    ['with a key that is no uuid', { x: { insert: { name: 'x' } } }],
    ['with an unknown kind of change', { [id(1)]: { explode: {} } }],
    ['with a value of the wrong type', { [id(1)]: { insert: { name: 1 } } }],
  ])('an update %s ends the connection; the rows stay', async (_name, rows) => {
    const { server, update, monitorId } = serve({ [id(2)]: { name: 'a' } });
    const { client } = await start(server);
    const monitor = await client.monitor(selection);
    const first = server.last;
    if (typeof rows === 'string')
      server.last.notify('update3', monitorId(), id(1), { [rows]: { [id(1)]: { insert: {} } } });
    else update(id(1), rows);
    await settle();
    expect(first.stream.readableEnded || first.stream.destroyed).toBe(true);
    expect(names(monitor)).toStrictEqual(['a']);
  });
});

describe('after a reconnect', () => {
  test('goes on from the last transaction when the server knows it', async () => {
    const { server, state, update, requests } = serve({ [id(1)]: { name: 'a' } });
    const { client, again } = await start(server);
    const monitor = await client.monitor(selection);
    update(id(0xa1), { [id(2)]: { insert: { name: 'b' } } });
    await settle();
    state.found = { [id(1)]: { delete: null }, [id(3)]: { insert: { name: 'c' } } };
    state.transaction = id(0xa2);
    const states: string[] = [];
    monitor.onChange(() => states.push(`${monitor.state.kind} ${names(monitor).join()}`));
    await again();
    expect(requests().at(-1)?.params[3]).toBe(id(0xa1));
    expect(states).toStrictEqual(['stale a,b', 'live b,c']);
    expect(monitor.lastTransaction).toBe(id(0xa2));
  });

  test('keeps the id of the first reply although nothing was found', async () => {
    const { server, requests } = serve({ [id(1)]: { name: 'a' } });
    const { client, again } = await start(server);
    const monitor = await client.monitor(selection);
    await again();
    expect(requests().map(({ params }) => params[3])).toStrictEqual([zero, id(0xa0)]);
    expect(monitor.state.kind).toBe('live');
    expect(names(monitor)).toStrictEqual(['a']);
  });

  test('otherwise swaps in the new content and reports the difference only', async () => {
    const { server, state } = serve({ [id(1)]: { name: 'a' }, [id(2)]: { name: 'b' }, [id(3)]: { name: 'c' } });
    const { client, again } = await start(server);
    const monitor = await client.monitor(selection);
    const kept = monitor.tables.Item.get(id(1) as never);
    const changes = monitor.changes();
    expect((await changes.next()).value?.tables.Item).toHaveLength(3);
    state.items = { [id(1)]: { name: 'a' }, [id(2)]: { name: 'b2' }, [id(4)]: { name: 'd' } };
    state.transaction = id(0xb0);
    await again();
    const set = (await changes.next()).value as ChangeSet<{ Item: UntypedRow }>;
    expect(set.resynced).toBe(true);
    expect(set.tables.Item?.map((change) => `${change.kind} ${change.uuid.slice(-1)}`).sort()).toStrictEqual([
      'delete 3',
      'insert 4',
      'modify 2',
    ]);
    expect(monitor.tables.Item.get(id(1) as never)).toBe(kept);
    await changes.return();
  });

  test('an empty database empties the tables, once, and not before it is known to be empty', async () => {
    const { server, state } = serve({ [id(1)]: { name: 'a' } });
    const { client, again } = await start(server);
    const monitor = await client.monitor(selection);
    const sizes: string[] = [];
    monitor.onChange(() => sizes.push(`${monitor.state.kind} ${monitor.tables.Item.size}`));
    state.items = {};
    state.transaction = id(0xb0);
    await again();
    expect(sizes).toStrictEqual(['stale 1', 'live 0']);
  });

  test('a connection that ends in the middle of the content leaves the old rows untouched', async () => {
    const { server, state } = serve({ [id(1)]: { name: 'a' } });
    const { client, again } = await start(server);
    const monitor = await client.monitor(selection);
    const original = server.handlers.get('monitor_cond_since');
    server.on('monitor_cond_since', (_params, connection, callId) => {
      const rows = Array.from({ length: 3000 }, (_, i) => `"${id(i + 10)}":{"initial":{"name":"n${i}"}}`);
      connection.stream.write(
        `{"id":${String(callId)},"error":null,"result":[false,"${id(0xcc)}",{"Item":{${rows.slice(0, 2000).join()},`,
      );
      connection.stream.end();
      return silence;
    });
    await again();
    expect(names(monitor)).toStrictEqual(['a']);
    expect(monitor.state.kind).toBe('stale');
    if (original !== undefined) server.on('monitor_cond_since', original);
    state.items = { [id(2)]: { name: 'b' } };
    state.transaction = id(0xb0);
    await again();
    expect(names(monitor)).toStrictEqual(['b']);
    expect(monitor.state.kind).toBe('live');
  });

  test('a changed schema means reading everything: the history speaks another language', async () => {
    const { server, requests } = serve({ [id(1)]: { name: 'a' } });
    const { client, again } = await start(server);
    const monitor = await client.monitor(selection);
    const { tags: _, ...columns } = shopSchema.tables.Item.columns;
    server.schema = { ...shopSchema, version: '1.1.0', tables: { Item: { columns } } };
    await again();
    expect(requests().at(-1)?.params[3]).toBe(zero);
    expect(requests().at(-1)?.params[2]).toStrictEqual({ Item: [{ columns: ['name'] }] });
    expect(monitor.missing).toStrictEqual([{ table: 'Item', column: 'tags' }]);
    expect([...monitor.tables.Item]).toStrictEqual([{ _uuid: id(1), name: 'a' }]);
  });

  test('a table that the new server lacks is empty', async () => {
    const { server } = serve({ [id(1)]: { name: 'a' } });
    const { client, again } = await start(server);
    const monitor = await client.monitor(selection);
    server.schema = { ...shopSchema, version: '2', tables: { Maker: shopSchema.tables.Maker } };
    server.on('monitor_cond_since', () => [false, id(0xb0), {}]);
    await again();
    expect(monitor.tables.Item.size).toBe(0);
    expect(monitor.missing).toStrictEqual([{ table: 'Item' }]);
  });
});

describe('conditions', () => {
  test('are any-of, and none shows nothing', async () => {
    const { server, requests } = serve({});
    const { client } = await start(server);
    await client.monitor({
      Item: {
        columns: ['name'],
        anyOf: [
          ['name', '==', 'a'],
          ['price', '>', 3],
        ],
      },
    });
    await client.monitor({ Item: { columns: ['name'], anyOf: [] } });
    expect(requests().map(({ params }) => params[2])).toStrictEqual([
      {
        Item: [
          {
            columns: ['name'],
            where: [
              ['name', '==', 'a'],
              ['price', '>', 3],
            ],
          },
        ],
      },
      { Item: [{ columns: ['name'], where: [false] }] },
    ]);
  });

  test('can be changed; the rows that come and go are there when the call returns', async () => {
    const { server, update, requests } = serve({ [id(1)]: { name: 'a' } });
    server.on('monitor_cond_change', () => {
      update(id(0xa1), { [id(1)]: { delete: null }, [id(2)]: { insert: { name: 'b' } } });
      return {};
    });
    const { client, again } = await start(server);
    const monitor = await client.monitor(selection);
    await monitor.setConditions('Item', [['name', '==', 'b']]);
    expect(names(monitor)).toStrictEqual(['b']);
    expect(server.last.received.at(-1)?.params[2]).toStrictEqual({ Item: [{ where: [['name', '==', 'b']] }] });
    server.on('monitor_cond_change', () => ({}));
    await monitor.setConditions('Item', undefined);
    expect(server.last.received.at(-1)?.params[2]).toStrictEqual({ Item: [{ where: [true] }] });
    // Confirmed: where we stand is certain again.
    await again();
    expect(requests().at(-1)?.params[3]).toBe(id(0xa1));
    await expect(monitor.setConditions('Item', [['nope', '==', 'b']] as never)).rejects.toMatchObject({
      code: 'UnknownColumn',
    });
  });

  test('that are changed while the content is awaited follow it', async () => {
    const { server } = serve({ [id(1)]: { name: 'a' } });
    server.on('monitor_cond_change', () => ({}));
    const { client, clock } = await start(server);
    const monitor = await client.monitor(selection);
    const answer = Promise.withResolvers<void>();
    const original = server.handlers.get('monitor_cond_since');
    server.on('monitor_cond_since', async (...args) => {
      await answer.promise;
      return original?.(...args);
    });
    server.last.stream.destroy();
    await settle();
    await clock.advance(1000);
    await settle();
    const change = monitor.setConditions('Item', [['name', '==', 'b']]);
    await settle();
    expect(methodsOf(server)).not.toContain('monitor_cond_change');
    answer.resolve();
    await change;
    expect(methodsOf(server).slice(-2)).toStrictEqual(['monitor_cond_since', 'monitor_cond_change']);
  });

  test('that are in flight when the connection ends make the next one start from nothing', async () => {
    const { server, requests } = serve({ [id(1)]: { name: 'a' } });
    server.on('monitor_cond_change', () => silence);
    const { client, again } = await start(server);
    const monitor = await client.monitor(selection);
    const change = monitor.setConditions('Item', [['name', '==', 'b']]);
    change.catch(() => {});
    await again();
    await expect(change).rejects.toMatchObject({ code: 'ConnectionLost' });
    expect(requests().at(-1)?.params.slice(2)).toStrictEqual([
      { Item: [{ columns: ['name', 'tags'], where: [['name', '==', 'b']] }] },
      zero,
    ]);
    // The time after that, they are known to be in force.
    await again();
    expect(requests().at(-1)?.params[3]).toBe(id(0xa0));
  });
});

describe('an online conversion', () => {
  test('is followed on the same connection', async () => {
    const { server, monitorId } = serve({ [id(1)]: { name: 'a' } });
    server.status.schema = 'one';
    const { client } = await start(server);
    const monitor = await client.monitor({ Item: { columns: ['name', 'colour'] } });
    expect(monitor.missing).toStrictEqual([{ table: 'Item', column: 'colour' }]);
    server.schema = {
      ...shopSchema,
      version: '2.0.0',
      tables: { Item: { columns: { name: { type: 'string' }, colour: { type: 'string' } } } },
    };
    server.on('monitor_cond_since', () => [
      false,
      id(0xb0),
      { Item: { [id(1)]: { initial: { name: 'a', colour: 'red' } } } },
    ]);
    const states: string[] = [];
    monitor.onChange(() => states.push(monitor.state.kind));
    server.last.notify('monitor_canceled', monitorId());
    server.setStatus({ schema: 'two' });
    await settle();
    expect(client.schema.version).toBe('2.0.0');
    expect(states).toStrictEqual(['stale', 'live']);
    expect([...monitor.tables.Item]).toStrictEqual([{ _uuid: id(1), name: 'a', colour: 'red' }]);
    expect(monitor.missing).toStrictEqual([]);
    expect(server.connections).toHaveLength(1);
  });

  test('is noticed by the cancelled monitor alone: the status may come late', async () => {
    const { server, monitorId } = serve({ [id(1)]: { name: 'a' } });
    const { client } = await start(server);
    const monitor = await client.monitor(selection);
    const events: string[] = [];
    void (async () => {
      for await (const { type } of client.events()) events.push(type);
    })();
    // Cancelled for another reason: the schema is as it was.
    server.last.notify('monitor_canceled', monitorId());
    await settle();
    expect([monitor.state.kind, ...events]).toStrictEqual(['live']);
    server.schema = { ...shopSchema, version: '2.0.0' };
    server.last.notify('monitor_canceled', monitorId());
    await settle();
    expect([monitor.state.kind, client.schema.version, ...events]).toStrictEqual(['live', '2.0.0', 'schema']);
    expect(server.connections).toHaveLength(1);
  });

  test('a database that is no longer served ends the session', async () => {
    const { server } = serve({});
    const { client } = await start(server);
    server.last.notify('update2', 'server-status', { Database: { [id(0xdb)]: { delete: null } } });
    await settle();
    expect(client.state.kind).not.toBe('connected');
  });
});

describe('readers', () => {
  test('slow ones get merged changes: nothing for a row that came and went', async () => {
    const { server, update } = serve({ [id(1)]: { name: 'a' } });
    const { client } = await start(server);
    const monitor = await client.monitor(selection);
    const changes = monitor.changes();
    await changes.next();
    for (let i = 0; i < 50; i++) update(id(0x100 + i), { [id(1)]: { modify: { name: `a${i}` } } });
    update(id(0x200), { [id(2)]: { insert: { name: 'b' } } });
    update(id(0x201), { [id(2)]: { delete: null } });
    await settle();
    const { value } = await changes.next();
    expect((value as ChangeSet<{ Item: UntypedRow }>).tables.Item).toStrictEqual([
      {
        kind: 'modify',
        uuid: id(1),
        old: { _uuid: id(1), name: 'a', tags: [] },
        row: { _uuid: id(1), name: 'a49', tags: [] },
      },
    ]);
    await changes.return();
  });

  test('stop when told to', async () => {
    const { server } = serve({});
    const { client } = await start(server);
    const monitor = await client.monitor(selection);
    const abort = new AbortController();
    const changes = monitor.changes({ signal: abort.signal });
    const next = changes.next();
    abort.abort(new Error('enough'));
    expect(await next.catch((thrown: unknown) => thrown)).toStrictEqual(expect.objectContaining({}));
    const waiting = monitor.until(() => false, { signal: AbortSignal.abort(new Error('now')) });
    await expect(waiting).rejects.toThrow('now');
  });

  test('a listener that throws disturbs nobody', async () => {
    const { server, update } = serve({});
    const { client } = await start(server);
    const monitor = await client.monitor(selection);
    let calls = 0;
    monitor.onChange(() => {
      throw new Error('bug');
    });
    const stop = monitor.onChange(() => {
      calls += 1;
    });
    update(id(0xa1), { [id(1)]: { insert: { name: 'a' } } });
    await settle();
    stop();
    update(id(0xa2), { [id(1)]: { delete: null } });
    await settle();
    expect(calls).toBe(1);
    expect(client.state.kind).toBe('connected');
  });

  test('property: what a slow reader is told leads from what it knew to what is', async () => {
    const step = fc.record({
      row: fc.integer({ min: 1, max: 4 }),
      name: fc.constantFrom('p', 'q', 'r', undefined),
      read: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const { server, update } = serve({});
        const { client } = await start(server);
        const monitor = await client.monitor(selection);
        const changes = monitor.changes();
        const mine = new Map<string, UntypedRow>();
        const readAll = async () => {
          const set = (await changes.next()).value as ChangeSet<{ Item: UntypedRow }>;
          for (const change of set.tables.Item ?? []) {
            if (change.kind === 'insert') expect(mine.has(change.uuid)).toBe(false);
            else expect(mine.get(change.uuid)).toBe(change.old);
            if (change.kind === 'delete') mine.delete(change.uuid);
            else mine.set(change.uuid, change.row);
          }
        };
        const truth = new Map<string, string>();
        let unread = 0;
        for (const [n, { row, name, read }] of steps.entries()) {
          const uuid = id(row);
          const old = truth.get(uuid);
          if (name === undefined && old === undefined) continue;
          if (name === old) continue;
          if (name === undefined) truth.delete(uuid);
          else truth.set(uuid, name);
          update(id(0x1000 + n), {
            [uuid]:
              name === undefined ? { delete: null } : old === undefined ? { insert: { name } } : { modify: { name } },
          });
          unread += 1;
          if (read) {
            await settle();
            // Everything may have cancelled out.
            const waiting = readAll();
            update(id(0x2000 + n), { [id(99)]: { insert: { name: 'tick' } } });
            await settle();
            await waiting;
            update(id(0x3000 + n), { [id(99)]: { delete: null } });
            unread = 1;
          }
        }
        update(id(0x4000), { [id(98)]: { insert: { name: 'end' } } });
        await settle();
        await readAll();
        if (unread > 0) await settle();
        const left = [...mine.values()].filter((row) => row.name !== 'tick' && row.name !== 'end');
        expect(left.map((row) => [row._uuid, row.name]).sort()).toStrictEqual([...truth].sort());
        await client.close();
      }),
      { numRuns: 25 },
    );
  });
});
