import { afterEach, describe, expect, test } from '@jest/globals';
import { ManualClock } from '../../src/base/index.ts';
import {
  type Client,
  type ConnectionEvent,
  type ConnectOptions,
  connect,
  everyRow,
  type UntypedTables,
} from '../../src/ovsdb-client/index.ts';
import { id, Refusal, ScriptedServer, settle, shopSchema, silence, zero } from './scripted-server.ts';

const open: Client<UntypedTables>[] = [];
afterEach(async () => {
  for (const client of open.splice(0)) await client.close();
});

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
  return { client, clock };
}

/** Moves time until the condition holds. */
async function until(clock: ManualClock, condition: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !condition(); i++) {
    await settle();
    if (!condition()) await clock.advance(100);
  }
  expect(condition()).toBe(true);
}

const methods = (server: ScriptedServer) => server.last.received.map(({ method }) => method);
const item = (name: string, more = {}) => ({ name, ...more });

describe('connecting', () => {
  test('learns schema and status, and says so', async () => {
    const server = new ScriptedServer();
    const { client } = await start(server);
    expect(client.state).toMatchObject({ kind: 'connected', endpoint: 'tcp:a:1', status: { model: 'standalone' } });
    expect(client.schema).toMatchObject({ name: 'Shop', version: '1.2.3' });
    expect(client.has('Item', 'kind')).toBe(true);
    expect(client.has('Item', '_uuid')).toBe(true);
    expect(client.has('Item', 'nope')).toBe(false);
    expect(client.has('Nope')).toBe(false);
    expect(methods(server)).toStrictEqual(['set_db_change_aware', 'get_schema', 'monitor_cond', 'get_schema']);
  });

  test('works with servers that know nothing but RFC 7047', async () => {
    const server = new ScriptedServer();
    server.handlers.delete('set_db_change_aware');
    server.handlers.delete('monitor_cond');
    server.on('get_schema', ([name]) => (name === 'Shop' ? shopSchema : new Refusal('unknown database')));
    server.on('monitor', () => ({ Item: { [id(1)]: { new: item('a') } } }));
    const { client } = await start(server);
    const monitor = await client.monitor({ Item: { columns: ['name'] } });
    expect(methods(server).slice(-3)).toStrictEqual(['monitor_cond_since', 'monitor_cond', 'monitor']);
    const monitorId = server.last.received.at(-1)?.params[1];
    server.last.notify('update', monitorId, {
      Item: { [id(1)]: { old: { name: 'a' }, new: item('b') }, [id(2)]: { new: item('c') } },
    });
    await settle();
    expect([...(monitor.tables.Item ?? [])]).toStrictEqual([
      { _uuid: id(1), name: 'b' },
      { _uuid: id(2), name: 'c' },
    ]);
    server.last.notify('update', monitorId, { Item: { [id(1)]: { old: item('b') } } });
    await settle();
    expect(monitor.tables.Item?.size).toBe(1);
  });

  test.each<[string, Partial<ConnectOptions<UntypedTables>>, RegExp]>([
    ['no endpoint', { endpoints: ' , ' }, /endpoint list is empty/],
    ['a bad endpoint', { endpoints: 'tcp:a:1,http://b' }, /"http:\/\/b" is not tcp:HOST:PORT/],
    ['a bad port', { endpoints: 'tcp:a:70000' }, /not tcp:HOST:PORT/],
    ['ssl without certificates', { endpoints: 'ssl:a:1', dial: undefined as never }, /needs `tls`/],
    ['no database', { database: '' }, /`database` is empty/],
    ['a bad timeout', { connectTimeoutMs: 0 }, /`connectTimeoutMs`/],
    ['a bad pause', { backoff: { initialMs: 10, maximumMs: 1 } }, /`backoff`/],
  ])('refuses %s at once', async (_name, options, message) => {
    await expect(start(new ScriptedServer(), options)).rejects.toThrow(message);
  });

  test('a deadline that passes says what was wrong with the server', async () => {
    const server = new ScriptedServer();
    server.on('get_schema', ([name]) =>
      name === '_Server' ? new Refusal('unknown database') : new Refusal('unknown database'),
    );
    const abort = new AbortController();
    const attempt = start(server, { signal: abort.signal });
    await settle();
    abort.abort(new Error('deadline'));
    await expect(attempt).rejects.toThrow(/tcp:a:1: the server has no database Shop; it serves _Server, Shop/);
  });

  test('one endpoint that never answers does not keep the others from being used', async () => {
    const server = new ScriptedServer();
    const clock = new ManualClock();
    const attempt = start(server, {
      endpoints: 'tcp:hole:1,tcp:good:1',
      connectTimeoutMs: 2000,
      clock,
      dial: (endpoint, signal) =>
        endpoint.kind === 'tcp' && endpoint.host === 'hole'
          ? new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
          : server.dial(endpoint, signal),
    });
    await settle();
    await clock.advance(2000);
    const { client } = await attempt;
    expect(client.state).toMatchObject({ endpoint: 'tcp:good:1' });
  });

  test('a server that accepts and then says nothing is given up', async () => {
    const server = new ScriptedServer();
    server.on('get_schema', () => silence);
    const clock = new ManualClock();
    const abort = new AbortController();
    const attempt = start(server, { clock, connectTimeoutMs: 2000, signal: abort.signal });
    attempt.catch(() => {});
    await settle();
    await clock.advance(2000);
    await settle();
    expect(server.last.stream.destroyed || server.last.stream.readableEnded).toBe(true);
    abort.abort();
    await expect(attempt).rejects.toThrow(/did not answer within 2000 ms/);
  });
});

describe('choosing a server', () => {
  function cluster(statuses: Record<string, Record<string, unknown>>) {
    const servers = new Map(
      Object.entries(statuses).map(([host, status]) => {
        const server = new ScriptedServer();
        server.status = {
          name: 'Shop',
          model: 'clustered',
          connected: true,
          leader: false,
          cid: ['uuid', id(0xc1)],
          ...status,
        };
        return [host, server];
      }),
    );
    const order: string[] = [];
    const dial: ConnectOptions<UntypedTables>['dial'] = async (endpoint, signal) => {
      const host = endpoint.kind === 'tcp' ? endpoint.host : '';
      order.push(host);
      const server = servers.get(host);
      if (server === undefined) throw new Error('no such server');
      return server.dial(endpoint, signal);
    };
    const endpoints = [...servers.keys()].map((host) => `tcp:${host}:1`).join(',');
    const at = (host: string) => servers.get(host) as ScriptedServer;
    return { at, order, options: { dial, endpoints } };
  }

  test('the leader is preferred', async () => {
    const { options, order } = cluster({ a: {}, b: { leader: true }, c: {} });
    const { client } = await start(new ScriptedServer(), options);
    expect(client.state).toMatchObject({ endpoint: 'tcp:b:1' });
    expect(order).toStrictEqual(['a', 'b']);
  });

  test('without a leader, a member with a majority will do; one without never', async () => {
    const { options, order } = cluster({ a: { connected: false, leader: false }, b: {}, c: { connected: false } });
    const { client } = await start(new ScriptedServer(), options);
    expect(client.state).toMatchObject({ endpoint: 'tcp:b:1', status: { leader: false } });
    expect(order).toStrictEqual(['a', 'b', 'c', 'b']);
  });

  test('"any" takes the first that works', async () => {
    const { options, order } = cluster({ a: {}, b: { leader: true } });
    await start(new ScriptedServer(), { ...options, leader: 'any' });
    expect(order).toStrictEqual(['a']);
  });

  test('"require" waits for a leader, and leaves one that is not any more', async () => {
    const { options, at } = cluster({ a: {}, b: {} });
    const clock = new ManualClock();
    const attempt = start(new ScriptedServer(), { ...options, leader: 'require', clock });
    await settle();
    at('a').status.leader = true;
    await clock.advance(600);
    const { client } = await attempt;
    expect(client.state).toMatchObject({ endpoint: 'tcp:a:1' });
    at('b').status.leader = true;
    at('a').setStatus({ leader: false });
    await until(clock, () => client.state.kind === 'connected' && client.state.endpoint === 'tcp:b:1');
  });

  test('a preferred leader that stops leading is kept: every member takes writes', async () => {
    const { options, at } = cluster({ a: { leader: true }, b: {} });
    const { client } = await start(new ScriptedServer(), options);
    at('a').setStatus({ leader: false });
    await settle();
    expect(client.state).toMatchObject({ kind: 'connected', endpoint: 'tcp:a:1', status: { leader: false } });
  });

  test('a member that loses the majority is left', async () => {
    const { options, at } = cluster({ a: { leader: true }, b: {} });
    const { client, clock } = await start(new ScriptedServer(), options);
    at('a').setStatus({ leader: false, connected: false });
    await until(clock, () => client.state.kind === 'connected' && client.state.endpoint === 'tcp:b:1');
  });

  test('a member that is behind what was seen is passed over, until it has caught up', async () => {
    const { options, at } = cluster({ a: { leader: true, index: 100 }, b: { index: 90 } });
    const { client, clock } = await start(new ScriptedServer(), options);
    const events: ConnectionEvent[] = [];
    void (async () => {
      for await (const event of client.events()) events.push(event);
    })();
    at('a').setStatus({ index: 120 });
    await settle();
    at('a').down = true;
    at('a').last.stream.destroy();
    await settle();
    for (let i = 0; i < 20; i++) {
      await clock.advance(100);
      await settle();
    }
    expect(client.state.kind).not.toBe('connected');
    expect(events.filter((event) => event.type === 'rejected').map((event) => event.reason)).toContain(
      'tcp:b:1: the server is behind: at log index 90, we have seen 120',
    );
    at('b').status.index = 120;
    await until(clock, () => client.state.kind === 'connected');
    expect(client.state).toMatchObject({ endpoint: 'tcp:b:1' });
  });

  test('what a member said when it was connected counts, without any news since', async () => {
    const { options, at } = cluster({ a: { leader: true, index: 100 }, b: { index: 90 } });
    const { client, clock } = await start(new ScriptedServer(), options);
    at('a').down = true;
    at('a').last.stream.destroy();
    for (let i = 0; i < 20; i++) {
      await settle();
      await clock.advance(100);
    }
    expect(client.state.kind).not.toBe('connected');
  });

  test('another cluster starts counting anew', async () => {
    const { options, at } = cluster({ a: { leader: true, index: 100 } });
    const { client, clock } = await start(new ScriptedServer(), options);
    Object.assign(at('a').status, { index: 3, cid: ['uuid', id(0xc2)] });
    at('a').last.stream.destroy();
    await until(clock, () => at('a').connections.length === 2 && client.state.kind === 'connected');
  });

  test('a relay can be used, but not where a leader is required', async () => {
    const { options } = cluster({ a: { model: 'relay', leader: false } });
    await start(new ScriptedServer(), options);
    const abort = new AbortController();
    const attempt = start(new ScriptedServer(), { ...options, leader: 'require', signal: abort.signal });
    await settle();
    abort.abort();
    await expect(attempt).rejects.toThrow(/is a relay/);
  });

  test('pauses between fruitless rounds grow, and are announced', async () => {
    const server = new ScriptedServer();
    server.down = true;
    const clock = new ManualClock();
    const attempt = start(server, {
      clock,
      endpoints: 'tcp:a:1,tcp:b:1',
      backoff: { initialMs: 500, maximumMs: 2000 },
    });
    await settle();
    await clock.advance(500 + 1000 + 2000 + 2000 - 1);
    server.down = false;
    expect(server.connections).toHaveLength(0);
    await clock.advance(1);
    await attempt;
  });

  test('a session that lasted makes the pauses short again', async () => {
    const server = new ScriptedServer();
    const { client, clock } = await start(server, { backoff: { initialMs: 500, maximumMs: 8000 } });
    const pauses: number[] = [];
    void (async () => {
      for await (const event of client.events()) if (event.type === 'waiting') pauses.push(event.retryInMs);
    })();
    for (let i = 0; i < 2; i++) {
      await clock.advance(10_000);
      server.down = true;
      server.last.stream.destroy();
      await until(clock, () => pauses.length >= 3);
      server.down = false;
      await until(clock, () => client.state.kind === 'connected');
      expect(pauses.splice(0).slice(0, 3)).toStrictEqual([500, 1000, 2000]);
    }
  });

  test('a server that ends every session at once is not asked in a tight loop', async () => {
    const server = new ScriptedServer();
    const { client, clock } = await start(server);
    for (let i = 0; i < 5; i++) {
      server.last.stream.destroy();
      await settle();
    }
    expect(server.connections).toHaveLength(1);
    await until(clock, () => client.state.kind === 'connected' && server.connections.length === 2);
  });
});

describe('transactions', () => {
  test('carry results back, after the updates that the server sent before', async () => {
    const server = new ScriptedServer();
    server.on('monitor_cond_since', () => [false, zero, {}]);
    server.on('transact', (_params, connection) => {
      const monitorId = connection.received.find(({ method }) => method === 'monitor_cond_since')?.params[1];
      connection.notify('update3', monitorId, id(0xff), { Item: { [id(1)]: { insert: item('new') } } });
      return [{ uuid: ['uuid', id(1)] }];
    });
    const { client } = await start(server);
    const monitor = await client.monitor({ Item: { columns: ['name'] } });
    const tx = client.transaction();
    const row = tx.insert('Item', { name: 'new', sizes: [1] });
    const result = await client.transact(tx);
    expect(monitor.tables.Item?.get(result.uuid(row))).toStrictEqual({ _uuid: id(1), name: 'new' });
    expect(monitor.lastTransaction).toBe(id(0xff));
  });

  test('that do not fit are not sent, even while disconnected', async () => {
    const server = new ScriptedServer();
    const { client } = await start(server);
    server.down = true;
    server.last.stream.destroy();
    await settle();
    const tx = client.transaction();
    tx.insert('Item', { kind: 'car', sizes: [1] });
    await expect(client.transact(tx)).rejects.toMatchObject({ code: 'InvalidRequest' });
  });

  test('are checked again when another schema is served by the time they can be sent', async () => {
    const server = new ScriptedServer();
    server.on('transact', () => [{ uuid: ['uuid', id(1)] }]);
    const { client, clock } = await start(server);
    server.down = true;
    server.last.stream.destroy();
    await settle();
    const tx = client.transaction();
    tx.insert('Item', { name: 'x', sizes: [1], weight: 1 });
    const attempt = client.transact(tx);
    attempt.catch(() => {});
    await settle();
    const { weight: _, ...columns } = shopSchema.tables.Item.columns;
    server.schema = { ...shopSchema, tables: { ...shopSchema.tables, Item: { ...shopSchema.tables.Item, columns } } };
    server.down = false;
    await until(clock, () => client.state.kind === 'connected');
    await expect(attempt).rejects.toMatchObject({ code: 'UnknownColumn' });
    expect(methods(server)).not.toContain('transact');
  });

  test('wait for a connection; a deadline then means that nothing was sent', async () => {
    const server = new ScriptedServer();
    server.on('transact', () => [{}]);
    const { client, clock } = await start(server);
    server.down = true;
    server.last.stream.destroy();
    await settle();
    const tx = client.transaction();
    tx.comment('x');
    const abort = new AbortController();
    const hurried = client.transact(tx, { signal: abort.signal });
    const patient = client.transact(tx);
    await settle();
    abort.abort(new Error('deadline'));
    await expect(hurried).rejects.toMatchObject({ code: 'TransactionFailed', outcome: 'not-sent' });
    server.down = false;
    await until(clock, () => server.connections.length === 2);
    await patient;
  });

  test('whose connection ends before the reply have an unknown outcome, and are not sent again by themselves', async () => {
    const server = new ScriptedServer();
    let sent = 0;
    server.on('transact', (_params, connection) => {
      sent += 1;
      connection.stream.destroy();
      return silence;
    });
    const { client, clock } = await start(server);
    const tx = client.transaction();
    tx.comment('x');
    await expect(client.transact(tx)).rejects.toMatchObject({ outcome: 'unknown', cause: { code: 'ConnectionLost' } });
    await until(clock, () => server.connections.length === 2);
    expect(sent).toBe(1);
  });

  test('whose deadline passes after sending have an unknown outcome, and are cancelled', async () => {
    const server = new ScriptedServer();
    server.on('transact', () => silence);
    const { client } = await start(server);
    const tx = client.transaction();
    tx.comment('x');
    const abort = new AbortController();
    const attempt = client.transact(tx, { signal: abort.signal });
    await settle();
    abort.abort(new Error('deadline'));
    await expect(attempt).rejects.toMatchObject({ outcome: 'unknown', cause: new Error('deadline') });
    await settle();
    expect(server.last.received.at(-1)).toMatchObject({ method: 'cancel', id: null });
  });

  test.each<[unknown, string, string]>([
    [new Refusal({ error: 'unknown database', details: 'no' }), 'refused', 'unknown database'],
    [new Refusal('canceled'), 'unknown', 'canceled'],
    [[{ error: 'constraint violation', details: 'd' }], 'refused', 'constraint violation'],
    [[{ error: 'I/O error' }], 'unknown', 'I/O error'],
    ['nonsense', 'unknown', ''],
  ])('answered with %j: %s', async (reply, outcome, error) => {
    const server = new ScriptedServer();
    server.on('transact', () => reply);
    const { client } = await start(server);
    const tx = client.transaction();
    tx.delete('Item', everyRow);
    const failure: unknown = await client.transact(tx).catch((thrown: unknown) => thrown);
    expect(failure).toMatchObject({ code: 'TransactionFailed', outcome });
    if (error !== '') expect(failure).toMatchObject({ error });
  });
});

describe('closing', () => {
  test('rejects what is pending and leaves no timer behind', async () => {
    const server = new ScriptedServer();
    server.on('transact', () => silence);
    server.on('monitor_cond_since', () => [false, zero, {}]);
    const { client, clock } = await start(server, { probeIntervalMs: 5000 });
    const monitor = await client.monitor({ Item: true });
    const reading = (async () => {
      let sets = 0;
      for await (const _ of monitor.changes()) sets += 1;
      return sets;
    })();
    const events = (async () => {
      const types: string[] = [];
      for await (const event of client.events()) types.push(event.type);
      return types;
    })();
    const tx = client.transaction();
    tx.comment('x');
    const pending = client.transact(tx);
    pending.catch(() => {});
    await settle();
    await client.close();
    await client.close();
    await expect(pending).rejects.toMatchObject({ outcome: 'unknown' });
    expect(await reading).toBe(0);
    expect(await events).toStrictEqual(['disconnected', 'closed']);
    expect(monitor.state.kind).toBe('closed');
    expect(clock.pendingTimers).toBe(0);
    await expect(client.connected()).rejects.toMatchObject({ code: 'Closed' });
    await expect(client.transact(tx)).rejects.toMatchObject({ outcome: 'not-sent' });
  });

  test('while connecting stops the attempts', async () => {
    const server = new ScriptedServer();
    const { client, clock } = await start(server);
    server.down = true;
    server.last.stream.destroy();
    await settle();
    await clock.advance(3000);
    await client.close();
    expect(clock.pendingTimers).toBe(0);
    expect(client.state.kind).toBe('closed');
  });
});

test('a defect in the session loop ends the client instead of leaving everybody waiting', async () => {
  const server = new ScriptedServer();
  const logged: string[] = [];
  const note = (_fields: object, message: string) => void logged.push(message);
  const logger = { debug: note, warn: note, error: note, info: () => undefined, child: () => logger };
  const { client, clock } = await start(server, { logger });
  clock.sleep = () => Promise.reject(new Error('a broken clock'));
  server.last.stream.destroy();
  await settle();
  await expect(client.connected()).rejects.toThrow(/the client stopped: a broken clock/);
  expect(logged).toContain('the session loop ended');
});

describe('other requests', () => {
  test('server id, databases, echo', async () => {
    const server = new ScriptedServer();
    server.on('get_server_id', () => id(0x5e));
    const { client } = await start(server);
    expect(await client.serverId()).toBe(id(0x5e));
    expect(await client.databases()).toStrictEqual(['_Server', 'Shop']);
    await client.echo();
    server.on('get_server_id', () => 'x');
    await expect(client.serverId()).rejects.toMatchObject({ code: 'ProtocolError' });
  });
});
