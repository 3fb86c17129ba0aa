import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type Client,
  connect,
  type Dial,
  everyRow,
  type Monitor,
  type UntypedRow,
  type UntypedTables,
  type Uuid,
} from '../../../src/ovsdb-client/index.ts';
import { socketDial } from '../../../src/ovsdb-client/session/transport.ts';
import { kindsSchema } from '../../ovsdb-client/kinds-schema.ts';
import {
  type Cluster,
  cluster,
  dump,
  programsMissing,
  type RealServer,
  standalone,
  tearDown,
} from '../../ovsdb-client/real-server.ts';

jest.setTimeout(120_000);
const scenarios = programsMissing === undefined ? describe : describe.skip;

type Things = Monitor<{ Thing: UntypedRow; Part: UntypedRow; Log: UntypedRow }>;
type Client0 = Client<UntypedTables>;

/** One change of the database. Rows are chosen by position among those that exist. */
type Step =
  | { kind: 'insert'; values: Record<string, unknown>; friend: number; parts: number }
  | { kind: 'update'; row: number; values: Record<string, unknown> }
  | { kind: 'mutate'; row: number; integers: number[]; texts: Record<string, string>; drop: string[]; friend: number }
  | { kind: 'delete'; row: number }
  | { kind: 'part'; row: number; label: string }
  | { kind: 'reconnect' };

const word = fc.constantFrom('', 'a', 'b', 'é', '😀', '"', '\\', 'set', 'map');
const integer = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(2n ** 62n, -(2n ** 63n), 2n ** 63n - 1n, 9007199254740993n),
);
const valuesWith = (mostFew: number) =>
  fc.record(
    {
      integer,
      real: fc.constantFrom(0, -1.5, 0.1, 1e21, -2.5e-7),
      boolean: fc.boolean(),
      choice: fc.constantFrom('red', 'green', 'blue', undefined),
      maybe: fc.option(fc.integer({ min: -3, max: 3 }), { nil: undefined }),
      integers: fc.uniqueArray(integer, { maxLength: 5 }),
      reals: fc.uniqueArray(fc.constantFrom(0, 0.5, -1, 1e10), { maxLength: 4 }),
      booleans: fc.uniqueArray(fc.boolean(), { maxLength: 2 }),
      strings: fc.uniqueArray(word, { maxLength: 5 }),
      few: fc.uniqueArray(fc.integer({ min: 0, max: 99 }), { minLength: 1, maxLength: mostFew }),
      texts: fc.dictionary(word, word, { maxKeys: 4 }),
      counts: fc.dictionary(word, integer, { maxKeys: 3 }),
      byNumber: fc
        .uniqueArray(fc.tuple(fc.integer({ min: -2, max: 2 }), word), { maxLength: 3, selector: ([key]) => key })
        .map((pairs) => new Map(pairs)),
    },
    { requiredKeys: [] },
  );
const row = fc.nat(20);
const stepWith = (values: ReturnType<typeof valuesWith>): fc.Arbitrary<Step> =>
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constant('insert' as const), values, friend: row, parts: fc.nat(2) }),
    },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('update' as const), row, values }) },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('mutate' as const),
        row,
        integers: fc.uniqueArray(fc.integer({ min: -3, max: 3 }), { maxLength: 3 }),
        texts: fc.dictionary(word, word, { maxKeys: 3 }),
        drop: fc.uniqueArray(word, { maxLength: 2 }),
        friend: row,
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), row }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('part' as const), row, label: word }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'reconnect' as const }) },
  );

scenarios.each<['standalone' | 'a cluster', 'update3' | 'update2' | 'update', number]>([
  ['standalone', 'update3', 40],
  ['standalone', 'update2', 15],
  ['standalone', 'update', 15],
  ['a cluster', 'update3', 15],
])('the cache against ovsdb-client dump, %s, by %s', (model, notification, numRuns) => {
  // A cluster of ovsdb-server 3.1 never answers a transaction whose difference of a set is larger than the set may be.
  const step = stepWith(valuesWith(model === 'standalone' ? 3 : 1));
  let server: RealServer;
  let members: Cluster | undefined;
  let writer: Client0;

  beforeAll(async () => {
    members = model === 'standalone' ? undefined : await cluster(kindsSchema, 'Kinds');
    server = members === undefined ? await standalone(kindsSchema) : await members.leader();
    writer = await connect<UntypedTables>({ endpoints: server.endpoint, database: 'Kinds' });
  });
  afterAll(async () => {
    await writer.close();
    await tearDown(...(members?.members ?? [server]));
  });

  test('property: after any history the cache, its changes and its indexes equal what the server holds', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 8 }),
        async (history) => {
          const clear = writer.transaction();
          clear.delete('Thing', everyRow);
          await writer.transact(clear, within(20_000));
          // Another connection than the writer's, so that it also sees changes it did not cause.
          const reader = await connect<UntypedTables>({
            endpoints: server.endpoint,
            database: 'Kinds',
            backoff: { initialMs: 5, maximumMs: 50 },
            dial: olderServer(notification),
          });
          const monitor = await reader.monitor({ Thing: true, Part: true, Log: true }, within(20_000));
          const byText = monitor.tables.Thing.index((thing) => [
            ...(thing.texts as ReadonlyMap<string, string>).keys(),
          ]);
          const followed = follow(monitor);
          try {
            for (const [n, steps] of history.entries()) {
              if (steps.some(({ kind }) => kind === 'reconnect')) reader.reconnect();
              await apply(writer, monitor, steps, n);
            }
            await caughtUp(writer, monitor);
            const truth = await dump(server, 'Kinds');
            for (const table of ['Thing', 'Part'] as const) {
              const cached = Object.fromEntries([...monitor.tables[table]].map((item) => [item._uuid, toDump(item)]));
              expect(cached).toStrictEqual(normalized(truth[table] ?? {}));
            }
            for (const text of ['', 'a', 'b', 'é', '😀']) {
              const expected = [...monitor.tables.Thing].filter((thing) =>
                (thing.texts as ReadonlyMap<string, string>).has(text),
              );
              expect(
                byText
                  .get(text)
                  .map(({ _uuid }) => _uuid)
                  .sort(),
              ).toStrictEqual(expected.map(({ _uuid }) => _uuid).sort());
            }
            monitor.close();
            expect(await followed).toStrictEqual(
              new Map([...monitor.tables.Thing].map((thing) => [thing._uuid, thing])),
            );
          } finally {
            await reader.close();
          }
        },
      ),
      { numRuns, endOnFailure: true },
    );
  });
});

/** Sockets on which the server does not recognise the requests that make it send a newer kind of notification. */
function olderServer(notification: 'update3' | 'update2' | 'update'): Dial {
  const unknown = { update3: [], update2: ['monitor_cond_since'], update: ['monitor_cond_since', 'monitor_cond'] };
  const dial = socketDial(undefined);
  return async (endpoint, signal) => {
    const socket = await dial(endpoint, signal);
    const write = socket.write.bind(socket) as (text: string) => boolean;
    // What the server says of itself comes by monitor_cond in any case.
    socket.write = (text: string) =>
      write(
        unknown[notification].reduce(
          (words, method) =>
            words.includes('"_Server"') ? words : words.replace(`"method":"${method}"`, `"method":"no_${method}"`),
          text,
        ),
      );
    return socket;
  };
}

/** What a reader knows who only looks at changes. */
async function follow(monitor: Things): Promise<Map<Uuid, UntypedRow>> {
  const rows = new Map<Uuid, UntypedRow>();
  for await (const changes of monitor.changes()) {
    for (const change of changes.tables.Thing ?? []) {
      if (change.kind === 'delete') rows.delete(change.uuid);
      else rows.set(change.uuid, change.row);
    }
  }
  return rows;
}

let serial = 0;

const within = (ms: number) => ({ signal: AbortSignal.timeout(ms) });

async function apply(writer: Client0, monitor: Things, steps: readonly Step[], n: number): Promise<void> {
  const tx = writer.transaction();
  const existing = [...monitor.tables.Thing.snapshot().keys()].sort();
  const pick = (position: number) => existing[position % Math.max(1, existing.length)];
  for (const item of steps) {
    if (item.kind === 'reconnect') continue;
    if (item.kind === 'insert') {
      const parts = Array.from({ length: item.parts }, (_, i) => tx.insert('Part', { label: `p${i}`, fixed: 'f' }));
      const friend = pick(item.friend);
      const self = tx.insert('Thing', {
        ...item.values,
        name: `t${n}-${serial++}`,
        parts,
        friends: friend === undefined ? [] : [friend],
      } as never);
      if (item.parts === 2) tx.mutate('Thing', { _uuid: self as never }, [['friends', 'insert', [self]]] as never);
      continue;
    }
    const target = pick(item.row);
    if (target === undefined) continue;
    if (item.kind === 'update') tx.update('Thing', { _uuid: target }, item.values as never);
    else if (item.kind === 'delete') tx.delete('Thing', { _uuid: target });
    else if (item.kind === 'part') {
      tx.mutate('Thing', { _uuid: target }, [['parts', 'insert', [tx.insert('Part', { label: item.label })]]] as never);
    } else {
      const friend = pick(item.friend);
      tx.mutate('Thing', { _uuid: target }, [
        ['integers', 'insert', item.integers],
        ['texts', 'delete', item.drop],
        ['texts', 'insert', item.texts],
        ...(friend === undefined ? [] : [['friends', 'delete', [friend]]]),
      ] as never);
    }
  }
  if (tx.size > 0) await writer.transact(tx, within(20_000));
}

/** Writes a mark and waits until the monitor shows it. */
async function caughtUp(writer: Client0, monitor: Things): Promise<void> {
  const tx = writer.transaction();
  const mark = tx.insert('Log', { key: 'mark', value: serial++ });
  const uuid = (await writer.transact(tx, within(20_000))).uuid(mark);
  await monitor.until(() => monitor.state.kind === 'live' && monitor.tables.Log.has(uuid), {
    signal: AbortSignal.timeout(20_000),
  });
}

/** A row in the notation of the dump, sets and maps sorted, numbers as text. */
function toDump(item: UntypedRow): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(item).map(([name, value]) => {
      if (value instanceof Map)
        return [name, Array.from(value, ([key, atom]) => `${String(key)}=${String(atom)}`).sort()];
      if (Array.isArray(value)) return [name, value.map(String).sort()];
      return [name, value === undefined ? [] : [String(value)]];
    }),
  );
}

function normalized(rows: Record<string, Record<string, unknown>>): Record<string, Record<string, unknown>> {
  const atom = (json: unknown): string => (Array.isArray(json) ? String(json[1]) : String(json));
  const value = (json: unknown): unknown => {
    if (Array.isArray(json) && json[0] === 'set') return (json[1] as unknown[]).map(atom).sort();
    if (Array.isArray(json) && json[0] === 'map')
      return (json[1] as [unknown, unknown][]).map(([key, item]) => `${atom(key)}=${atom(item)}`).sort();
    return [atom(json)];
  };
  return Object.fromEntries(
    Object.entries(rows).map(([uuid, cells]) => [
      uuid,
      Object.fromEntries(Object.entries(cells).map(([name, json]) => [name, value(json)])),
    ]),
  );
}
