import { describe, expect, test } from '@jest/globals';
import type { IPAddressPool } from '../../src/api/index.ts';
import { ManualClock, silentLogger } from '../../src/base/index.ts';
import { buildConfig } from '../../src/config/index.ts';
import { ObjectStatusWriter } from '../../src/controller/object-status-writer.ts';
import { Allocator } from '../../src/ipam/index.ts';
import { KubeError, type KubeObject } from '../../src/kube/index.ts';

interface Write {
  atMs: number;
  name: string;
  status: NonNullable<IPAddressPool['status']>;
}

/** Pools that the writer reads and writes, over an allocator. */
function setUp(pools: IPAddressPool[], advertisements: KubeObject[] = []) {
  const clock = new ManualClock();
  const objects = new Map<string, KubeObject>(
    [...pools, ...advertisements].map((object) => [object.metadata.name, { ...object } as KubeObject]),
  );
  const writes: Write[] = [];
  const failures: Error[] = [];
  const told: string[] = [];
  let version = 1;
  const config = buildConfig({ ipAddressPools: pools, l2Advertisements: advertisements as never });
  const allocator = new Allocator();
  allocator.setPools(config.pools);
  const store = { get: (name: string) => objects.get(name) };
  const writer = new ObjectStatusWriter({
    client: {
      patch: async (_resource, { name }, { body, subresource }) => {
        expect(subresource).toBe('status');
        const failure = failures.shift();
        if (failure) throw failure;
        const { status } = body as { status: Write['status'] };
        writes.push({ atMs: clock.monotonicMs(), name, status });
        const old = objects.get(name) as KubeObject;
        const written = { ...old, status, metadata: { ...old.metadata, resourceVersion: String(++version) } };
        objects.set(name, written);
        return written as never;
      },
    },
    caches: { pools: { store }, advertisements: { store } } as never,
    clock,
    logger: silentLogger,
    guard() {},
    announce: ({ kind, name }, { type, reason }) => void told.push(`${type} ${kind} ${name} ${reason}`),
    state: () => ({ config, usage: allocator.usage() }),
  });
  const stop = new AbortController();
  const running = writer.run(stop.signal);
  return {
    clock,
    objects,
    writes,
    told,
    failures,
    allocator,
    writer,
    async end() {
      stop.abort();
      await running;
      expect(clock.pendingTimers).toBe(0);
    },
  };
}

const pool = (name: string, addresses: string[]): IPAddressPool => ({
  metadata: { name, generation: 3, resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: { addresses },
});
const request = { families: [4 as const], policy: 'SingleStack' as const, addresses: [], pool: undefined };

describe('the status of pools', () => {
  test('names the generation that was judged, not one that came meanwhile', async () => {
    const { clock, objects, writes, writer, end } = setUp([pool('a', ['192.0.2.0/24'])]);
    const edited = pool('a', ['192.0.2.9-192.0.2.1']);
    objects.set('a', { ...edited, metadata: { ...edited.metadata, generation: 4, resourceVersion: '2' } });
    writer.touch();
    await clock.advance(1);
    expect(writes[0]?.status.conditions).toMatchObject([{ type: 'Ready', status: 'True', observedGeneration: 3 }]);
    await end();
  });

  test('the first change at once, those that follow once a second together, and nothing when nothing changed', async () => {
    const { clock, writes, allocator, writer, end } = setUp([pool('a', ['192.0.2.0/24'])]);
    writer.touch();
    await clock.advance(1);
    expect(writes).toMatchObject([
      { name: 'a', status: { assignedIPv4: 0, availableIPv4: 256, assignedIPv6: 0, availableIPv6: 0 } },
    ]);
    expect(writes[0]?.status.conditions).toMatchObject([
      { type: 'Ready', status: 'True', reason: 'Valid', observedGeneration: 3 },
    ]);
    for (let count = 0; count < 100; count++) {
      allocator.allocate(`s${count}`, request);
      writer.touch();
      await clock.advance(10);
    }
    await clock.advance(5_000);
    expect(writes.at(-1)?.status.assignedIPv4).toBe(100);
    expect(writes.length).toBeLessThanOrEqual(3);
    for (const [index, { atMs }] of writes.entries()) {
      expect(atMs - (writes[index - 1]?.atMs ?? Number.NEGATIVE_INFINITY)).toBeGreaterThanOrEqual(999);
    }
    const before = writes.length;
    writer.touch();
    await clock.advance(5_000);
    expect(writes).toHaveLength(before);
    await end();
  });

  test('counts beyond what JSON carries exactly are shown as the largest that it does', async () => {
    const { clock, writes, writer, end } = setUp([pool('six', ['2001:db8::/64'])]);
    writer.touch();
    await clock.advance(1);
    expect(writes[0]?.status.availableIPv6).toBe(Number.MAX_SAFE_INTEGER);
    await end();
  });

  test('problems are all told, the first gives the reason', async () => {
    const { clock, writes, writer, end } = setUp([pool('a', ['192.0.2.9-192.0.2.1', '192.0.2.0/30', '192.0.2.1'])]);
    writer.touch();
    await clock.advance(1);
    expect(writes[0]?.status.conditions?.[0]).toMatchObject({
      status: 'False',
      reason: 'InvalidRange',
      message: expect.stringMatching(/spec\.addresses\[0\].*; spec\.addresses\[2\].*overlaps/),
    });
    await end();
  });

  test('a problem is told once, its end too, and that all is well from the start is not', async () => {
    const pools = [pool('a', ['192.0.2.9-192.0.2.1']), pool('b', ['192.0.2.20'])];
    const { clock, told, writer, allocator, end } = setUp(pools);
    writer.touch();
    await clock.advance(2_000);
    allocator.allocate('s', request);
    writer.touch();
    await clock.advance(2_000);
    expect(told).toEqual(['Warning IPAddressPool a InvalidRange']);
    await end();

    const bad = [
      { type: 'Ready', status: 'False' as const, reason: 'OverlapsPool', message: 'x', lastTransitionTime: '' },
    ];
    const healed = setUp([{ ...pool('c', ['192.0.2.30']), status: { conditions: bad } }]);
    healed.writer.touch();
    await healed.clock.advance(1);
    expect(healed.told).toEqual(['Normal IPAddressPool c Valid']);
    await healed.end();
  });

  test('a write that fails is made again', async () => {
    const { clock, writes, told, failures, writer, end } = setUp(
      [pool('a', ['192.0.2.1'])],
      [{ metadata: { name: 'l2', generation: 1 }, spec: { ipAddressPools: ['nope'] } } as KubeObject],
    );
    failures.push(new KubeError('Conflict', 'x'), new KubeError('Unavailable', 'x'));
    writer.touch();
    await clock.advance(1);
    expect(writes).toEqual([]);
    await clock.advance(1000);
    expect(writes.map(({ name, status }) => [name, status.conditions?.[0]?.reason])).toEqual([
      ['a', 'Valid'],
      ['l2', 'UnknownPool'],
    ]);
    expect(told).toEqual(['Warning L2Advertisement l2 UnknownPool']);
    await end();
  });

  test('a pool that is gone is no reason to go on', async () => {
    const { clock, failures, writes, writer, end } = setUp([pool('a', ['192.0.2.1'])]);
    failures.push(new KubeError('NotFound', 'x'));
    writer.touch();
    await clock.advance(5000);
    expect(writes).toEqual([]);
    await end();
  });
});
