import { afterEach, describe, expect, jest, test } from '@jest/globals';
import {
  KubeClient,
  type KubeClientOptions,
  type ReflectorTiming,
  ResourceCache,
  type ResourceCacheOptions,
  resources,
  type Service,
} from '../../src/kube/index.ts';
import { eventually } from '../eventually.ts';
import { FakeApiServer, type FakeApiServerOptions, type Fault } from './fake-api-server.ts';
import type { FakeCollection } from './fake-collection.ts';
import { TcpProxy } from './tcp-proxy.ts';

// Longer than a condition is waited for, so that it is named.
jest.setTimeout(40_000);

const cleans: (() => unknown)[] = [];

afterEach(async () => {
  for (const clean of cleans.splice(0).toReversed()) await clean();
});

/** Pauses small enough for tests; everything else as in production unless a test says so. */
const quick: Partial<ReflectorTiming> = { backoffInitialMs: 5, backoffMaximumMs: 40 };
/** What is told between two attempts stays long enough to be read. */
const legible: Partial<ReflectorTiming> = { backoffInitialMs: 100, backoffMaximumMs: 100 };

interface Bench {
  server: FakeApiServer;
  services: FakeCollection<Service>;
  client: KubeClient;
  cache: ResourceCache<Service>;
  /** Every change a listener was told, as "type key". */
  changes: string[];
  /** Waits until the cache equals the server, and has heard no more than needed. */
  equal(): Promise<true>;
  abort: AbortController;
  done: Promise<void>;
}

async function follow(
  options: FakeApiServerOptions & {
    timing?: Partial<ReflectorTiming>;
    objects?: number;
    before?: (server: FakeApiServer) => void;
    through?: (server: FakeApiServer) => Promise<string>;
    client?: Partial<KubeClientOptions>;
    cache?: Partial<ResourceCacheOptions<Service, Service, never>>;
  } = {},
): Promise<Bench> {
  const server = await FakeApiServer.start(options);
  const services = server.collection(resources.services);
  for (let i = 0; i < (options.objects ?? 3); i++) services.put(service(`s-${i}`));
  options.before?.(server);
  const config = server.config();
  const url = await options.through?.(server);
  const client = new KubeClient(url ? { ...config, servers: [url] } : config, {
    fieldManager: 'test',
    ...options.client,
  });
  const timing = { ...quick, ...options.timing };
  const cache = new ResourceCache<Service>({ client, resource: resources.services, timing, ...options.cache });
  const changes: string[] = [];
  cache.subscribe(({ type, key }) => changes.push(`${type} ${key}`));
  const abort = new AbortController();
  const done = cache.run(abort.signal);
  cleans.push(
    () => server.stop(),
    () => client.close(),
    () => done,
    () => abort.abort(),
  );
  const same = () => {
    const versions = (list: Service[]) => list.map(({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`);
    return versions(cache.store.list()).join() === versions(services.list()).join();
  };
  return {
    server,
    services,
    client,
    cache,
    changes,
    abort,
    done,
    equal: () => eventually('cache equals server', same),
  };
}

function service(name: string, changes: Partial<Service> = {}): Service {
  return { metadata: { namespace: 'default', name }, spec: { ports: [{ port: 80 }] }, ...changes };
}

const lists = (server: FakeApiServer) =>
  server.requests.filter(({ verb, query }) => verb === 'list' || query.has('sendInitialEvents')).length;

describe.each(['h2', 'http/1.1'] as const)('over %s', (protocol) => {
  test.each(['supported', 'refused', 'error-event'] as const)('lists and watches, watch-list %s', async (watchList) => {
    const { server, services, cache, changes, equal } = await follow({ protocol, watchList, objects: 1100 });
    await cache.synced();
    expect(cache.store.size).toBe(1100);
    expect(server.count('list')).toBe(watchList === 'supported' ? 0 : 3);
    services.put(service('s-0'));
    services.delete('default/s-1');
    services.put(service('new'));
    await equal();
    expect(changes.slice(1100)).toEqual(['modified default/s-0', 'deleted default/s-1', 'added default/new']);
    expect(cache.status).toMatchObject({ phase: 'watching', synced: true, lists: 1, failures: 0, message: '' });
  });

  test('resumes after a reset without a new list, and misses nothing that happened meanwhile', async () => {
    const { server, services, cache, changes, equal } = await follow({ protocol });
    await cache.synced();
    await eventually('one watch', () => server.openWatches === 1);
    server.inject('watch', { kind: 'reset' }, { kind: 'reset' });
    server.reset();
    services.put(service('s-0'));
    services.delete('default/s-1');
    await equal();
    expect(lists(server)).toBe(1);
    expect(changes.slice(3)).toEqual(['modified default/s-0', 'deleted default/s-1']);
  });

  test('reads events that arrive byte by byte', async () => {
    const { services, equal, cache } = await follow({ protocol, byteByByte: true });
    await cache.synced();
    services.put(service('größe'));
    services.delete('default/s-1');
    await equal();
    expect(cache.status.lists).toBe(1);
  });

  test('a half-open connection is found and left', async () => {
    let proxy: TcpProxy | undefined;
    const { server, services, cache, equal } = await follow({
      protocol,
      timing: { idleMs: 150 },
      client: { ping: { intervalMs: 50, timeoutMs: 100 }, connectTimeoutMs: 200 },
      through: async (of) => {
        proxy = await TcpProxy.start(of.port);
        cleans.push(() => proxy?.stop());
        return proxy.url;
      },
    });
    await cache.synced();
    await eventually('one watch', () => server.openWatches === 1);
    proxy?.freeze();
    services.put(service('unseen'));
    // HTTP/2 finds out by ping, HTTP/1.1 by silence; then nobody answers.
    await eventually('it waits', () => cache.status.phase === 'waiting');
    expect(cache.status.disconnectedSinceMs).toBeDefined();
    expect(cache.status.synced).toBe(true);
    proxy?.thaw();
    await equal();
    expect(lists(server)).toBe(1);
    expect(cache.status.disconnectedSinceMs).toBeUndefined();
  });
});

test('lists anew after 410, in one step, with only the differences as changes', async () => {
  const { server, services, cache, changes, equal } = await follow();
  await cache.synced();
  await eventually('one watch', () => server.openWatches === 1);
  const seen: number[] = [];
  cache.subscribe(() => seen.push(cache.store.size));
  server.inject('watch', { kind: 'reset' });
  server.reset();
  await eventually('no watch', () => server.openWatches === 0);
  services.put(service('s-0'));
  services.delete('default/s-1');
  services.delete('default/s-2');
  services.put(service('s-2'));
  services.put(service('s-3'));
  services.compact();
  await equal();
  expect(changes.slice(3)).toEqual([
    'deleted default/s-1',
    'modified default/s-0',
    'deleted default/s-2',
    'added default/s-2',
    'added default/s-3',
  ]);
  expect(seen).toEqual([3, 3, 3, 3, 3]);
  expect(cache.status.lists).toBe(2);
});

test('an ERROR event other than 410 resumes where it was', async () => {
  const { server, services, cache, equal } = await follow({ timing: legible });
  await cache.synced();
  server.inject('watch', { kind: 'error-event', code: 500, reason: 'InternalError', message: 'etcd went away' });
  server.endWatches();
  await eventually('the message of the server', () => cache.status.message.includes('etcd went away'));
  services.put(service('new'));
  await equal();
  expect(lists(server)).toBe(1);
});

test('obeys Retry-After of a watch and of a list', async () => {
  const busy: Fault = { kind: 'status', code: 429, reason: 'TooManyRequests', retryAfter: 0.15 };
  const began = performance.now();
  const { server, services, cache, equal } = await follow({ before: (of) => of.inject('watch', busy) });
  await eventually('it is throttled', () => cache.status.reason === 'Throttled');
  await cache.synced();
  expect(performance.now() - began).toBeGreaterThan(150);
  expect(server.count('watch')).toBe(2);
  services.put(service('new'));
  await equal();
});

test('a watch closed at once is opened again, ever more slowly', async () => {
  const { server, services, cache, equal } = await follow();
  await cache.synced();
  await eventually('one watch', () => server.openWatches === 1);
  server.inject('watch', ...Array.from({ length: 4 }, (): Fault => ({ kind: 'close' })));
  const began = performance.now();
  server.endWatches();
  services.put(service('new'));
  await equal();
  // Four pauses of at least 5, 10, 20 and 40 ms, and no list.
  expect(performance.now() - began).toBeGreaterThan(75);
  expect(lists(server)).toBe(1);
});

test('bookmarks move the version on, so that a compaction costs no list', async () => {
  const { server, services, cache, equal } = await follow();
  await cache.synced();
  await eventually('one watch', () => server.openWatches === 1);
  const nodes = server.collection(resources.nodes);
  for (let i = 0; i < 5; i++) nodes.put({ metadata: { name: 'n' } });
  server.bookmark();
  await eventually('the newest version', () => cache.status.resourceVersion === String(nodes.revision));
  nodes.compact();
  services.compact();
  server.endWatches();
  services.put(service('new'));
  await equal();
  expect(lists(server)).toBe(1);
});

test('a silent watch is replaced without a new list', async () => {
  const { server, services, cache, equal } = await follow({ timing: { idleMs: 60 } });
  await cache.synced();
  server.inject('watch', { kind: 'silent' });
  server.endWatches();
  await eventually('a second watch', () => server.count('watch') >= 2);
  services.put(service('new'));
  await equal();
  expect(lists(server)).toBe(1);
});

test('garbage is not swallowed: resume once, then list', async () => {
  const garbage: Fault = { kind: 'prefix', text: 'this is not json\n' };
  const { server, services, cache, equal } = await follow({ timing: legible });
  await cache.synced();
  await eventually('one watch', () => server.openWatches === 1);
  server.inject('watch', garbage, garbage);
  server.endWatches();
  await eventually('bad data is told', () => cache.status.reason === 'BadData');
  services.put(service('new'));
  await equal();
  expect(lists(server)).toBe(2);
});

test('an event without resourceVersion and one of unknown type are garbage too', async () => {
  const { server, services, cache, equal } = await follow();
  await cache.synced();
  for (const value of [{ type: 'ADDED', object: { metadata: { name: 'x' } } }, { type: 'NEWS' }, 'null\n']) {
    await eventually('one watch', () => server.openWatches === 1);
    const { watches } = cache.status;
    server.send(value);
    await eventually('a new watch', () => cache.status.watches > watches);
  }
  services.put(service('new'));
  await equal();
});

test('a version from before a restore ends in a new list', async () => {
  const { server, services, cache, equal } = await follow();
  await cache.synced();
  await eventually('one watch', () => server.openWatches === 1);
  const future: Fault = {
    kind: 'error-event',
    code: 504,
    reason: 'Timeout',
    causes: [{ reason: 'ResourceVersionTooLarge' }],
  };
  server.inject('watch', future, future);
  server.endWatches();
  services.put(service('new'));
  await equal();
  expect(lists(server)).toBe(2);
});

test('a page token that expires on the way costs one whole list, not the sync', async () => {
  const { server, cache, services } = await follow({
    watchList: 'refused',
    objects: 700,
    before: (of) => {
      of.inject('list', { kind: 'slow', ms: 0 }, { kind: 'status', code: 410, reason: 'Expired' });
    },
  });
  await cache.synced();
  expect(cache.store.size).toBe(services.list().length);
  expect(server.requests.filter(({ verb }) => verb === 'list').map(({ query }) => query.get('limit'))).toEqual([
    '500',
    '500',
    null,
  ]);
});

test('a server that takes a watch-list for a watch is asked for pages', async () => {
  const { server, cache } = await follow({ watchList: 'ignored', timing: { openIdleMs: 50 } });
  await cache.synced();
  expect(server.count('list')).toBe(1);
  const bookmarked = await follow({ watchList: 'ignored' });
  await eventually('one watch', () => bookmarked.server.openWatches === 1);
  bookmarked.server.bookmark();
  await bookmarked.cache.synced();
  expect(bookmarked.server.count('list')).toBe(1);
});

test('half of a list is never seen', async () => {
  const { server, cache, services } = await follow({
    watchList: 'refused',
    timing: legible,
    objects: 900,
    before: (of) => of.inject('list', { kind: 'slow', ms: 0 }, { kind: 'truncated' }),
  });
  await eventually('the disconnection is told', () => cache.status.reason === 'Disconnected');
  expect(cache.store.size).toBe(0);
  await cache.synced();
  expect(cache.store.size).toBe(services.list().length);
  expect(server.count('list')).toBe(4);
});

test('stops during a slow list: no watch is opened, no timer is left', async () => {
  const { server, cache, abort, done } = await follow({
    watchList: 'refused',
    before: (of) => of.inject('list', { kind: 'slow', ms: 100 }),
  });
  await eventually('one list', () => server.count('list') === 1);
  abort.abort();
  await done;
  expect(cache.status.phase).toBe('stopped');
  expect(cache.status.synced).toBe(false);
  const asked = server.requests.length;
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(server.requests).toHaveLength(asked);
});

test('says why it cannot list, keeps trying, and syncs when it may', async () => {
  const forbidden: Fault = { kind: 'status', code: 403, reason: 'Forbidden', message: 'services is forbidden' };
  const { cache } = await follow({
    timing: legible,
    before: (of) => of.inject('watch', forbidden, forbidden, forbidden),
  });
  await eventually('it is forbidden', () => cache.status.reason === 'Forbidden');
  expect(cache.status.message).toContain('services is forbidden');
  await cache.synced();
  expect(cache.status.message).toBe('');
});

test('a collection that is not there yet (its CRD) is followed as soon as it is', async () => {
  const server = await FakeApiServer.start();
  const client = new KubeClient(server.config(), { fieldManager: 'test' });
  const cache = new ResourceCache<Service>({ client, resource: resources.services, timing: quick });
  const abort = new AbortController();
  const done = cache.run(abort.signal);
  cleans.push(
    () => server.stop(),
    () => client.close(),
    () => done,
    () => abort.abort(),
  );
  await eventually('it is not served', () => cache.status.reason === 'NotServed');
  server.collection(resources.services).put(service('web'));
  await cache.synced();
  expect(cache.store.keys()).toEqual(['default/web']);
});

test('a listener that throws and an object that cannot be projected harm nobody else', async () => {
  const { services, cache, changes, equal } = await follow({
    cache: {
      project: (object) => {
        if (object.metadata.labels?.bad !== undefined) throw new Error('cannot');
        return object;
      },
    },
  });
  cache.subscribe(() => {
    throw new Error('listener');
  });
  await cache.synced();
  services.put(service('s-1', { metadata: { namespace: 'default', name: 's-1', labels: { bad: '' } } }));
  services.put(service('new'));
  await eventually('the new Service', () => changes.includes('added default/new'));
  expect(cache.store.get('default/s-1')?.metadata.labels).toBeUndefined();
  services.put(service('s-1'));
  await equal();
});

test('keeps no managedFields and calls nobody for a difference that interests nobody', async () => {
  const { services, cache, changes, equal } = await follow({
    cache: { same: (old, object) => JSON.stringify(old.spec) === JSON.stringify(object.spec) },
  });
  await cache.synced();
  const managed = { namespace: 'default', name: 's-0', managedFields: [{ manager: 'x' }] };
  services.put(service('s-0', { metadata: managed }));
  services.put(service('s-0', { spec: { type: 'LoadBalancer' } }));
  await equal();
  expect(changes.slice(3)).toEqual(['modified default/s-0']);
  expect(cache.store.get('default/s-0')?.metadata).not.toHaveProperty('managedFields');
});
