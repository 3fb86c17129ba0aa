/** Rules of the wire and faults in the middle of something, against the real ovsdb-server. */
import { once } from 'node:events';
import { createServer, connect as dialTcp } from 'node:net';
import { describe, expect, jest, test } from '@jest/globals';
import {
  type Client,
  everyRow,
  newUuid,
  type TransactionError,
  type UntypedTables,
} from '../../../src/ovsdb-client/index.ts';
import { eventually } from '../../eventually.ts';
import { kindsSchema } from '../../ovsdb-client/kinds-schema.ts';
import { output, programsMissing, standalone, tearDown } from '../../ovsdb-client/real-server.ts';
import { Relay } from '../../ovsdb-client/relay.ts';
import { oneServer } from './one-server.ts';

jest.setTimeout(40_000);
const scenarios = programsMissing === undefined ? describe : describe.skip;

scenarios('the wire of a real ovsdb-server', () => {
  const one = oneServer();
  const { open } = one;
  const within = (ms: number) => ({ signal: AbortSignal.timeout(ms) });
  /** A later request has no answer either: what was asked before it waits for a server that does nothing. */
  const expectPaused = async (client: Client<UntypedTables>) =>
    await expect(client.echo(within(300))).rejects.toMatchObject({ name: 'TimeoutError' });

  /** Rows of a kilobyte each: the kernel's buffers do not hold many thousands of them. */
  async function fill(client: Client<UntypedTables>, rows: number): Promise<void> {
    const text = 'x'.repeat(1000);
    for (let from = 0; from < rows; from += 500) {
      const tx = client.transaction();
      for (let i = from; i < Math.min(rows, from + 500); i++) tx.insert('Log', { key: `${i} ${text}`, value: i });
      await client.transact(tx, within(20_000));
    }
  }

  test('TCP over IPv4 and IPv6, and each server process has an identity of its own', async () => {
    const own = await standalone(kindsSchema, { remote: `ptcp:${await freePort()}:127.0.0.1` });
    // Not every machine has IPv6.
    const port6 = await freePort('::1').catch(() => undefined);
    const six = port6 === undefined ? undefined : await standalone(kindsSchema, { remote: `ptcp:${port6}:[::1]` });
    try {
      const ids = new Set<string>();
      for (const one of [own, six]) {
        if (one === undefined) continue;
        const client = await open({ endpoints: one.endpoint });
        ids.add(await client.serverId(within(5000)));
        expect(await client.serverId()).toBe([...ids].at(-1));
      }
      expect(ids.size).toBe(six === undefined ? 1 : 2);
    } finally {
      await tearDown(own, ...(six === undefined ? [] : [six]));
    }
  });

  test('a server that asks for signs of life gets them, from a client that has nothing to say', async () => {
    const port = await freePort();
    const own = await standalone('/usr/share/openvswitch/vswitch.ovsschema', {
      options: ['--remote=db:Open_vSwitch,Open_vSwitch,manager_options'],
    });
    try {
      await output(
        'ovs-vsctl',
        `--db=${own.endpoint}`,
        '--no-wait',
        ...['--', 'init'],
        ...['--', '--id=@m', 'create', 'Manager', `target="ptcp:${port}:127.0.0.1"`, 'inactivity_probe=1000'],
        ...['--', 'set', 'Open_vSwitch', '.', 'manager_options=@m'],
      );
      const client = await open({
        endpoints: `tcp:127.0.0.1:${port}`,
        database: 'Open_vSwitch',
        probeIntervalMs: 0,
      });
      const events: string[] = [];
      void (async () => {
        for await (const { type } of client.events()) events.push(type);
      })();
      // Somebody who never answers is thrown out after two seconds; two of them, one after the other, are long enough.
      for (let i = 0; i < 2; i++) {
        const mute = dialTcp({ port, host: '127.0.0.1' }).resume();
        await once(mute, 'close', within(10_000));
      }
      expect(events.filter((type) => type !== 'status')).toStrictEqual([]);
      await client.echo(within(5000));
    } finally {
      await tearDown(own);
    }
  });

  test('unique values may change hands within a transaction; an index of the cache shows each once', async () => {
    const client = await open();
    const tx = client.transaction();
    const [a, b] = [newUuid(), newUuid()];
    tx.insert('Thing', { name: 'left' }, { uuid: a });
    tx.insert('Thing', { name: 'right' }, { uuid: b });
    await client.transact(tx);
    const monitor = await client.monitor({ Thing: { columns: ['name'] } });
    const byName = monitor.tables.Thing.index((row) => String(row.name));
    const swap = client.transaction();
    swap.update('Thing', { _uuid: a }, { name: 'right' });
    swap.update('Thing', { _uuid: b }, { name: 'left' });
    let seen: unknown;
    monitor.onChange(() => {
      seen = [byName.get('left').map(({ _uuid }) => _uuid), byName.get('right').map(({ _uuid }) => _uuid)];
    });
    await client.transact(swap);
    expect(seen).toStrictEqual([[b], [a]]);
  });

  test('a weak reference to a row that is not there is dropped without an error', async () => {
    const client = await open();
    const monitor = await client.monitor({ Thing: { columns: ['friends'] } });
    const tx = client.transaction();
    const row = tx.insert('Thing', { name: 'lonely', friends: [newUuid()] });
    const result = await client.transact(tx);
    expect(monitor.tables.Thing.get(result.uuid(row))?.friends).toStrictEqual([]);
  });

  test('replies of more than 10 MB come whole, to monitor and select, while the process goes on with other work', async () => {
    const client = await open();
    await fill(client, 12_000);
    let turns = 0;
    const ticking = setInterval(() => {
      turns += 1;
    }, 1);
    try {
      const monitor = await client.monitor({ Log: true }, within(20_000));
      expect(turns).toBeGreaterThan(10);
      turns = 0;
      const tx = client.transaction();
      const select = tx.select('Log', everyRow);
      const rows = (await client.transact(tx, within(20_000))).rows(select);
      expect(turns).toBeGreaterThan(10);
      expect([monitor.tables.Log.size, rows.length]).toStrictEqual([12_000, 12_000]);
      const sum = (values: Iterable<{ readonly [column: string]: unknown }>) =>
        Array.from(values, (row) => Number(row.value)).reduce((a, b) => a + b, 0);
      expect([sum(monitor.tables.Log), sum(rows)]).toStrictEqual([71_994_000, 71_994_000]);
    } finally {
      clearInterval(ticking);
    }
  });

  test('stopped in mid-transaction and continued: the answer comes late, and is right', async () => {
    const own = await standalone(kindsSchema);
    try {
      const client = await open({ endpoints: own.endpoint, probeIntervalMs: 0 });
      const monitor = await client.monitor({ Log: true });
      own.pause();
      const tx = client.transaction();
      tx.insert('Log', { key: 'late', value: 1 });
      let answered = false;
      const attempt = client.transact(tx).then(() => {
        answered = true;
      });
      await expectPaused(client);
      expect([answered, monitor.tables.Log.size]).toStrictEqual([false, 0]);
      own.resume();
      await attempt;
      expect(monitor.tables.Log.size).toBe(1);
    } finally {
      await tearDown(own);
    }
  });

  test.each(['stopped and continued', 'killed and started again'])(
    'a server that is %s in the middle of its first dump',
    async (fault) => {
      const own = await standalone(kindsSchema);
      const relay = await Relay.to(own.socket);
      try {
        await fill(await open({ endpoints: own.endpoint }), 12_000);
        const client = await open({ endpoints: relay.endpoint, probeIntervalMs: 0 });
        relay.holdAfterBytes = 2_000_000;
        const attempt = client.monitor({ Log: true }, within(30_000));
        await eventually('it is in the middle', () => relay.held > 0);
        relay.holdAfterBytes = undefined;
        own.pause();
        relay.hold(false);
        let arrived = false;
        void attempt.then(() => {
          arrived = true;
        });
        await expectPaused(client);
        expect(arrived).toBe(false);
        if (fault.startsWith('stopped')) own.resume();
        else {
          await own.kill();
          await own.start();
        }
        expect((await attempt).tables.Log.size).toBe(12_000);
      } finally {
        relay.close();
        await tearDown(own);
      }
    },
  );

  test('a cut connection does not make a second row of a write whose outcome is unknown', async () => {
    const relay = await Relay.to(one.server.socket);
    try {
      const client = await open({ endpoints: relay.endpoint, probeIntervalMs: 0 });
      const monitor = await client.monitor({ Log: true });
      relay.hold(true);
      const tx = client.transaction();
      const uuid = newUuid();
      tx.insert('Log', { key: 'once', value: 1 }, { uuid });
      const failure = client.transact(tx).catch((thrown: unknown) => thrown as TransactionError);
      const truth = await (await open()).monitor({ Log: true });
      await truth.until(() => truth.tables.Log.has(uuid), within(10_000));
      // Committed, and the answer never comes.
      relay.away = true;
      expect(await failure).toMatchObject({ outcome: 'unknown' });
      expect(monitor.tables.Log.size).toBe(0);
      relay.away = false;
      await monitor.live(within(10_000));
      expect(monitor.tables.Log.has(uuid)).toBe(true);
    } finally {
      relay.close();
    }
  });
});

async function freePort(host = '127.0.0.1'): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(0, host, resolve);
  });
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
