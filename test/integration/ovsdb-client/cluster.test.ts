import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import {
  type Client,
  type ConnectOptions,
  connect,
  everyRow,
  newUuid,
  TransactionError,
  type UntypedTables,
  type Uuid,
} from '../../../src/ovsdb-client/index.ts';
import { eventually } from '../../eventually.ts';
import { kindsSchema } from '../../ovsdb-client/kinds-schema.ts';
import {
  type Cluster,
  cluster,
  dump,
  programsMissing,
  type RealServer,
  tearDown,
} from '../../ovsdb-client/real-server.ts';
import { Relay } from '../../ovsdb-client/relay.ts';

jest.setTimeout(120_000);
const scenarios = programsMissing === undefined ? describe : describe.skip;

scenarios('a RAFT cluster of three', () => {
  let servers: Cluster;
  const clients: Client<UntypedTables>[] = [];

  beforeAll(async () => {
    servers = await cluster(kindsSchema, 'Kinds');
  });
  afterAll(() => tearDown(...servers.members));
  beforeEach(async () => {
    await servers.healthy();
    const client = await open();
    const tx = client.transaction();
    tx.delete('Log', everyRow);
    await client.transact(tx, { signal: AbortSignal.timeout(20_000) });
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    for (const member of servers.members) {
      if (!member.running) await member.start();
      member.resume();
    }
  });

  async function open(more: Partial<ConnectOptions<UntypedTables>> = {}): Promise<Client<UntypedTables>> {
    const client = await connect<UntypedTables>({
      endpoints: servers.endpoints,
      database: 'Kinds',
      signal: AbortSignal.timeout(30_000),
      backoff: { initialMs: 50, maximumMs: 500 },
      connectTimeoutMs: 1000,
      probeIntervalMs: 500,
      ...more,
    });
    clients.push(client);
    return client;
  }

  const put = (client: Client<UntypedTables>, key: string, value: number, more: { signal?: AbortSignal } = {}) => {
    const tx = client.transaction();
    tx.insert('Log', { key, value }, { uuid: newUuid() });
    return client.transact(tx, more);
  };
  const endpointOf = (client: Client<UntypedTables>) =>
    client.state.kind === 'connected' ? client.state.endpoint : undefined;
  const keys = (monitor: { tables: { Log: Iterable<{ readonly [column: string]: unknown }> } }) =>
    [...monitor.tables.Log].map((row) => row.key).sort();

  test('the leader is found among the endpoints, and its log index followed', async () => {
    const client = await open();
    expect(endpointOf(client)).toBe((await servers.leader()).endpoint);
    const before = client.state.kind === 'connected' ? client.state.status : undefined;
    expect(before).toMatchObject({ model: 'clustered', connected: true, leader: true });
    await put(client, 'a', 1);
    await eventually(
      'the index grows',
      () => client.state.kind === 'connected' && (client.state.status.index ?? 0n) > (before?.index ?? 0n),
    );
  });

  test('a follower takes writes as well, and its monitors show them', async () => {
    const [follower] = await servers.followers();
    const client = await open({ endpoints: (follower as RealServer).endpoint });
    const monitor = await client.monitor({ Log: true });
    await put(client, 'through a follower', 1);
    expect(keys(monitor)).toStrictEqual(['through a follower']);
    expect(monitor.lastTransaction).not.toMatch(/^0+-/);
  });

  test('the leader is killed: the client goes to another member and on from its last transaction', async () => {
    const client = await open();
    const monitor = await client.monitor({ Log: true });
    await put(client, 'a', 1);
    const row = [...monitor.tables.Log][0];
    let resynced = 0;
    const changes = monitor.changes();
    await changes.next();
    void (async () => {
      for await (const set of changes) if (set.resynced) resynced += 1;
    })();
    const leader = await servers.leader();
    await leader.kill();
    await monitor.until(() => monitor.state.kind === 'live' && endpointOf(client) !== leader.endpoint, {
      signal: AbortSignal.timeout(30_000),
    });
    await put(client, 'b', 2, { signal: AbortSignal.timeout(20_000) });
    expect(keys(monitor)).toStrictEqual(['a', 'b']);
    expect([...monitor.tables.Log].includes(row as never)).toBe(true);
    expect(resynced).toBe(0);
  });

  test('more is written than the server remembers while the client is away: all of it is there after', async () => {
    const leader = await servers.leader();
    const relay = await Relay.to(leader.socket);
    try {
      const client = await open({ endpoints: relay.endpoint });
      const monitor = await client.monitor({ Log: true });
      const other = await open();
      const changes = monitor.changes();
      await put(other, 'first', 0);
      const resynced: boolean[] = [];
      const seen = new Set<unknown>();
      const reading = (async () => {
        for await (const set of changes) {
          resynced.push(set.resynced);
          for (const change of set.tables.Log ?? []) if (change.kind === 'insert') seen.add(change.row.key);
        }
      })();
      // Within its memory (100 transactions), then beyond it.
      for (const [count, expected] of [
        [50, false],
        [300, true],
      ] as const) {
        relay.away = true;
        await monitor.until(() => monitor.state.kind === 'stale', { signal: AbortSignal.timeout(10_000) });
        resynced.length = 0;
        for (let i = 0; i < count; i++) await put(other, `${count}-${i}`, i);
        relay.away = false;
        await monitor.live({ signal: AbortSignal.timeout(20_000) });
        await eventually('the changes are read', () => resynced.length > 0);
        expect(resynced.includes(true)).toBe(expected);
      }
      expect(monitor.tables.Log.size).toBe(351);
      monitor.close();
      await reading;
      expect(seen.size).toBe(351);
    } finally {
      relay.close();
    }
  });

  test('leadership moves: "require" follows it, "prefer" stays', async () => {
    const strict = await open({ leader: 'require' });
    const relaxed = await open();
    const monitor = await strict.monitor({ Log: true });
    const before = endpointOf(relaxed);
    const old = await servers.leader();
    await servers.moveLeader();
    await eventually('another member leads', async () => (await servers.leader()) !== old);
    await eventually(
      'the strict client is at the leader',
      async () => endpointOf(strict) === (await servers.leader()).endpoint,
    );
    await monitor.live({ signal: AbortSignal.timeout(20_000) });
    await put(strict, 'x', 1, { signal: AbortSignal.timeout(20_000) });
    expect(keys(monitor)).toStrictEqual(['x']);
    expect(endpointOf(relaxed)).toBe(before);
  });

  test('the majority is lost: writes hang until the deadline, their outcome is unknown; it heals and nothing is double', async () => {
    const client = await open();
    const monitor = await client.monitor({ Log: true });
    const uuid = newUuid();
    const tx = client.transaction();
    tx.insert('Log', { key: 'once', value: 1 }, { uuid });
    const followers = await servers.followers();
    for (const follower of followers) follower.pause();
    const attempt = client
      .transact(tx, { signal: AbortSignal.timeout(1500) })
      .catch((thrown: unknown) => thrown as TransactionError);
    expect(await attempt).toMatchObject({ outcome: 'unknown' });
    await eventually('the lonely leader is left', () => monitor.state.kind === 'stale');
    expect(keys(monitor)).toStrictEqual([]);
    for (const follower of followers) follower.resume();
    await servers.healthy();
    await monitor.live({ signal: AbortSignal.timeout(30_000) });
    await writeUntilThere(client, monitor, uuid, 'once');
    expect(keys(monitor)).toStrictEqual(['once']);
  });

  test('a member that slept through writes is not believed until it has caught up', async () => {
    const client = await open();
    const monitor = await client.monitor({ Log: true });
    const [sleeper, other] = await servers.followers();
    await sleeper?.kill();
    for (let i = 0; i < 20; i++) await put(client, `k${i}`, i);
    const sizes = new Set<number>();
    monitor.onChange(() => sizes.add(monitor.tables.Log.size));
    // The two that know are gone; the one that wakes up knows less than we do.
    const leader = await servers.leader();
    await Promise.all([leader.kill(), other?.kill()]);
    await sleeper?.start();
    await pause(1500);
    expect(client.state.kind).not.toBe('connected');
    expect(monitor.state.kind).toBe('stale');
    await leader.start();
    await monitor.until(() => monitor.state.kind === 'live', { signal: AbortSignal.timeout(40_000) });
    expect([...sizes]).toStrictEqual([20]);
  });

  test('10,000 repeatable writes while members are stopped and killed: what was meant is there, once', async () => {
    const client = await open();
    const monitor = await client.monitor({ Log: { columns: ['key', 'value'] } });
    const intent = new Map<Uuid, { key: string; value: number }>();
    const random = lcg(20260823);
    let chaos = true;
    let faults = 0;
    const trouble = (async () => {
      while (chaos) {
        const member = random(3) > 0 ? await servers.leader() : (servers.members[random(3)] as RealServer);
        if (random(2) === 0) {
          member.pause();
          await pause(500 + random(1500));
          member.resume();
        } else {
          await member.kill();
          await pause(random(500));
          await member.start();
        }
        faults += 1;
        await pause(100 + random(500));
      }
    })();
    const failures = { 'not-sent': 0, refused: 0, unknown: 0 };
    let started = 0;
    const writer = async () => {
      while (started < 10_000) {
        const from = started;
        started += 50;
        const batch = Array.from({ length: 50 }, (_, i) => ({
          uuid: newUuid(),
          key: `k${from + i}`,
          value: random(1000),
        }));
        for (const { uuid, key, value } of batch) intent.set(uuid, { key, value });
        await writeBatch(client, monitor, batch, failures);
        // Some change their value later: overwriting is as repeatable as inserting.
        const [first] = batch;
        if (first !== undefined) {
          intent.set(first.uuid, { key: first.key, value: -1 });
          await writeBatch(client, monitor, [{ ...first, value: -1 }], failures);
        }
        // Not all of it between two faults.
        while (faults < Math.floor(started / 800)) await pause(20);
      }
    };
    await Promise.all(Array.from({ length: 5 }, writer));
    chaos = false;
    await trouble;
    await servers.healthy();
    const truth = (await dump(await servers.leader(), 'Kinds')).Log ?? {};
    const meant = Object.fromEntries(intent);
    expect(Object.keys(truth)).toHaveLength(10_000);
    expect(
      Object.fromEntries(Object.entries(truth).map(([uuid, { key, value }]) => [uuid, { key, value }])),
    ).toStrictEqual(meant);
    await monitor.live({ signal: AbortSignal.timeout(30_000) });
    await eventually('the cache has caught up', () => monitor.tables.Log.size === 10_000);
    expect(
      Object.fromEntries([...monitor.tables.Log].map(({ _uuid, key, value }) => [_uuid, { key, value }])),
    ).toStrictEqual(meant);
    expect(failures.refused).toBe(0);
    // The trouble was felt.
    expect(failures.unknown).toBeGreaterThan(0);
  });
});

type Wanted = { uuid: Uuid; key: string; value: number };
type LogMonitor = {
  readonly state: { kind: string };
  live(options: { signal: AbortSignal }): Promise<void>;
  readonly tables: { readonly Log: { get(uuid: Uuid): { readonly [column: string]: unknown } | undefined } };
};

/** The loop that README.md tells users of a cluster to write: compare, send what is missing, and again if unsure. */
async function writeBatch(
  client: Client<UntypedTables>,
  monitor: LogMonitor,
  batch: readonly Wanted[],
  failures: Record<TransactionError['outcome'], number>,
): Promise<void> {
  for (;;) {
    await monitor.live({ signal: AbortSignal.timeout(60_000) });
    const tx = client.transaction();
    for (const { uuid, key, value } of batch) {
      const row = monitor.tables.Log.get(uuid);
      if (row === undefined) tx.insert('Log', { key, value }, { uuid });
      else if (row.value !== value) tx.update('Log', { _uuid: uuid }, { value });
    }
    if (tx.size === 0) return;
    try {
      await client.transact(tx, { signal: AbortSignal.timeout(4000) });
    } catch (thrown) {
      if (!(thrown instanceof TransactionError)) throw thrown;
      failures[thrown.outcome] += 1;
      if (thrown.outcome === 'refused') throw thrown;
      await pause(50);
    }
  }
}

async function writeUntilThere(
  client: Client<UntypedTables>,
  monitor: LogMonitor,
  uuid: Uuid,
  key: string,
): Promise<void> {
  await writeBatch(client, monitor, [{ uuid, key, value: 1 }], { 'not-sent': 0, refused: 0, unknown: 0 });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A small deterministic source of numbers below a limit. */
function lcg(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % limit;
  };
}
