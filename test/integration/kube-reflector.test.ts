import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { allSynced, KubeClient, ResourceCache, resources, type Service } from '../../src/kube/index.ts';
import { eventually } from '../eventually.ts';
import { TcpProxy } from '../kube/tcp-proxy.ts';
import { type ControlPlane, controlPlaneMissing, startControlPlane } from './control-plane.ts';

const missing = controlPlaneMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);
const suite = missing === undefined ? describe : describe.skip;

function service(name: string, labels: Record<string, string> = {}): Service {
  return { metadata: { namespace: 'default', name, labels }, spec: { clusterIP: 'None', ports: [{ port: 80 }] } };
}

suite('caches of a real API server', () => {
  let plane: ControlPlane;
  let proxy: TcpProxy;
  /** Writes, straight to the server. */
  let writer: KubeClient;
  const cleans: (() => unknown)[] = [];
  beforeAll(async () => {
    plane = await startControlPlane();
    proxy = await TcpProxy.start(Number(new URL(plane.server).port));
    writer = new KubeClient(plane.config, { fieldManager: 'writer' });
  }, 120_000);
  afterEach(async () => {
    for (const clean of cleans.splice(0).toReversed()) await clean();
    const { items } = await writer.list(resources.services, { namespace: 'default' });
    const own = items.filter(({ metadata }) => metadata.name !== 'kubernetes');
    await inParallel(own, ({ metadata }) => writer.delete(resources.services, metadata));
  }, 120_000);
  afterAll(async () => {
    writer?.close();
    await proxy?.stop();
    await plane?.stop();
  });

  /** A cache that reaches the server through the proxy. */
  function follow(options: { selection?: { labelSelector?: string } } = {}) {
    const client = new KubeClient(
      { ...plane.config, servers: [proxy.url] },
      { fieldManager: 'reader', ping: { intervalMs: 500, timeoutMs: 1_000 }, connectTimeoutMs: 2_000 },
    );
    const timing = { backoffInitialMs: 50, backoffMaximumMs: 500 };
    const cache = new ResourceCache<Service>({ client, resource: resources.services, timing, ...options });
    const changes: string[] = [];
    cache.subscribe(({ type, key }) => changes.push(`${type} ${key}`));
    const abort = new AbortController();
    const done = cache.run(abort.signal);
    cleans.push(
      () => client.close(),
      () => done,
      () => abort.abort(),
    );
    return { client, cache, changes, lists: () => client.counters.count({ verb: 'list' }) };
  }

  const versions = (list: readonly Service[]) =>
    list.map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`).sort();

  async function expectEqual(cache: ResourceCache<Service>, labelSelector?: string): Promise<void> {
    const selection = labelSelector === undefined ? {} : { labelSelector };
    // Listed anew each time: the API server writes Services of its own.
    const equal = async () => {
      const { items } = await writer.list(resources.services, selection);
      return versions(cache.store.list()).join() === versions(items).join();
    };
    await eventually('the cache equals the server', equal, { timeoutMs: 20_000 });
  }

  test('follows creations, changes and deletions, all of them or a selection', async () => {
    const all = follow();
    const some = follow({ selection: { labelSelector: 'team=a' } });
    await allSynced([all.cache, some.cache]);
    await writer.create(resources.services, service('one', { team: 'a' }));
    await writer.create(resources.services, service('two', { team: 'b' }));
    const at = { namespace: 'default', name: 'two' };
    await writer.patch(resources.services, at, { type: 'merge', body: { metadata: { labels: { team: 'a' } } } });
    await writer.delete(resources.services, { namespace: 'default', name: 'one' });
    await expectEqual(all.cache);
    await expectEqual(some.cache, 'team=a');
    expect(some.changes).toEqual(['added default/one', 'added default/two', 'deleted default/one']);
    await writer.patch(resources.services, at, { type: 'merge', body: { metadata: { labels: { team: 'b' } } } });
    await expectEqual(some.cache, 'team=a');
    expect(some.changes.at(-1)).toBe('deleted default/two');
  }, 30_000);

  test('2,000 objects, created while it watches, listed by another, deleted again', async () => {
    const watching = follow();
    await watching.cache.synced();
    const names = Array.from({ length: 2_000 }, (_, i) => `many-${i}`);
    await inParallel(names, (name) => writer.create(resources.services, service(name)));
    await expectEqual(watching.cache);
    expect(watching.cache.store.size).toBe(2_001);
    const listing = follow();
    await listing.cache.synced();
    expect(versions(listing.cache.store.list())).toEqual(versions(watching.cache.store.list()));
    await inParallel(names, (name) => writer.delete(resources.services, { namespace: 'default', name }));
    await expectEqual(watching.cache);
    await expectEqual(listing.cache);
    expect(watching.changes).toHaveLength(4_001);
    expect(watching.cache.status.lists).toBe(1);
  }, 180_000);

  test('a reset connection costs no list and no event', async () => {
    const { cache, changes, client } = follow();
    await cache.synced();
    const before = changes.length;
    for (let round = 0; round < 3; round++) {
      await eventually('watching', () => cache.status.phase === 'watching', { timeoutMs: 10_000 });
      proxy.reset();
      await writer.create(resources.services, service(`reset-${round}`));
    }
    await expectEqual(cache);
    expect(changes.slice(before)).toEqual(['added default/reset-0', 'added default/reset-1', 'added default/reset-2']);
    expect(cache.status.lists).toBe(1);
    expect(client.connects).toBeGreaterThanOrEqual(2);
  }, 60_000);

  test('a link that goes dead without a word is found by ping', async () => {
    const { cache } = follow();
    await cache.synced();
    await eventually('watching', () => cache.status.phase === 'watching', { timeoutMs: 10_000 });
    proxy.freeze();
    try {
      await writer.create(resources.services, service('unseen'));
      await eventually('noticed', () => cache.status.disconnectedSinceMs !== undefined, { timeoutMs: 10_000 });
      expect(cache.store.get('default/unseen')).toBeUndefined();
    } finally {
      proxy.thaw();
    }
    await expectEqual(cache);
    expect(cache.status.lists).toBe(1);
  }, 60_000);

  test('an API server that hangs is left, and followed again when it answers', async () => {
    const { cache } = follow();
    await cache.synced();
    await eventually('watching', () => cache.status.phase === 'watching', { timeoutMs: 10_000 });
    plane.apiServer.signal('SIGSTOP');
    try {
      await eventually('noticed', () => cache.status.disconnectedSinceMs !== undefined, { timeoutMs: 10_000 });
      expect(cache.status.synced).toBe(true);
      await sleep(1_000);
    } finally {
      plane.apiServer.signal('SIGCONT');
    }
    await writer.create(resources.services, service('afterwards'));
    await expectEqual(cache);
    expect(cache.status.lists).toBe(1);
  }, 60_000);

  test('an API server that is killed and started again is followed from where it was', async () => {
    const { cache } = follow();
    await cache.synced();
    await writer.create(resources.services, service('before'));
    await expectEqual(cache);
    await plane.apiServer.kill();
    await eventually('noticed', () => cache.status.phase === 'waiting', { timeoutMs: 10_000 });
    await plane.apiServer.start();
    await writer.create(resources.services, service('after'));
    await expectEqual(cache);
    expect(cache.status).toMatchObject({ phase: 'watching', synced: true });
  }, 120_000);

  test('a history that was compacted away is listed anew, and only what differs is told', async () => {
    await writer.create(resources.services, service('stays'));
    await writer.create(resources.services, service('goes'));
    const { cache, changes } = follow();
    await cache.synced();
    await expectEqual(cache);
    const before = changes.length;
    // Cut off, with everything between then and now forgotten by etcd and by the API server's cache.
    proxy.freeze();
    try {
      await writer.delete(resources.services, { namespace: 'default', name: 'goes' });
      await writer.create(resources.services, service('comes'));
      await compact(plane.etcd.endpoint);
      await plane.apiServer.kill();
      await plane.apiServer.start();
      await eventually('noticed', () => cache.status.disconnectedSinceMs !== undefined, { timeoutMs: 10_000 });
    } finally {
      proxy.thaw();
    }
    await expectEqual(cache);
    expect(changes.slice(before)).toEqual(['deleted default/goes', 'added default/comes']);
    expect(cache.status.lists).toBe(2);
  }, 120_000);
});

/** Runs `work` on each item, twenty at a time. */
async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const left = [...items];
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: 20 }, worker));
}

/** Makes etcd forget all history. */
async function compact(endpoint: string): Promise<void> {
  const post = async (path: string, body: object) => {
    const response = await fetch(`${endpoint}${path}`, { method: 'POST', body: JSON.stringify(body) });
    return (await response.json()) as { header: { revision: string } };
  };
  const { header } = await post('/v3/kv/range', { key: 'AA==' });
  await post('/v3/kv/compaction', { revision: header.revision, physical: true });
}
