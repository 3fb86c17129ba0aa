import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { ManualClock } from '../../src/base/index.ts';
import {
  type ClusterConfig,
  inClusterConfig,
  KubeClient,
  type KubeClientOptions,
  type KubeError,
  resources,
  type Service,
} from '../../src/kube/index.ts';
import { eventually } from '../eventually.ts';
import { FakeApiServer, type FakeApiServerOptions } from './fake-api-server.ts';
import { TcpProxy } from './tcp-proxy.ts';

// Longer than a condition is waited for, so that it is named.
jest.setTimeout(40_000);

const cleans: (() => unknown)[] = [];

afterEach(async () => {
  for (const clean of cleans.splice(0).toReversed()) await clean();
});

async function startServer(options: FakeApiServerOptions = {}): Promise<FakeApiServer> {
  const server = await FakeApiServer.start(options);
  server.collection(resources.services);
  cleans.push(() => server.stop());
  return server;
}

function connect(config: ClusterConfig, options: Partial<KubeClientOptions> = {}): KubeClient {
  const client = new KubeClient(config, { fieldManager: 'test', ...options });
  cleans.push(() => client.close());
  return client;
}

function service(name: string, changes: Partial<Service> = {}): Service {
  return { metadata: { namespace: 'default', name }, spec: { ports: [{ port: 80 }] }, ...changes };
}

const web = { namespace: 'default', name: 'web' };

async function failure(work: Promise<unknown>): Promise<KubeError> {
  return work.then(
    () => {
      throw new Error('did not fail');
    },
    (thrown: KubeError) => thrown,
  );
}

describe.each(['h2', 'http/1.1'] as const)('over %s', (protocol) => {
  test('creates, reads, replaces, patches, applies status and deletes', async () => {
    const server = await startServer({ protocol });
    const client = connect(server.config());
    const created = await client.create(resources.services, service('web'));
    expect(created.metadata.uid).toBe('uid-1');
    const replaced = await client.replace(resources.services, { ...created, spec: { type: 'LoadBalancer' } });
    expect(await client.get(resources.services, web)).toEqual(replaced);
    await client.patch(resources.services, web, { type: 'merge', body: { metadata: { labels: { a: 'b' } } } });
    const applied = await client.applyStatus(resources.services, {
      metadata: web,
      status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } },
    });
    expect(applied.metadata.labels).toEqual({ a: 'b' });
    expect(applied.status?.loadBalancer?.ingress).toEqual([{ ip: '192.0.2.1' }]);
    const request = server.requests.at(-1);
    expect(request?.path).toBe('/api/v1/namespaces/default/services/web/status');
    expect(request?.contentType).toBe('application/apply-patch+yaml');
    expect(Object.fromEntries(request?.query ?? [])).toEqual({ fieldManager: 'test', force: 'true' });
    expect(request?.body).toMatchObject({ apiVersion: 'v1', kind: 'Service', metadata: web });
    expect(await client.delete(resources.services, web)).toEqual({ existed: true });
    expect(await client.delete(resources.services, web)).toEqual({ existed: false });
    expect(request?.protocol).toBe(protocol);
    expect(client.counters.writes()).toBe(6);
    expect(client.counters.count({ verb: 'patch', resource: 'services/status' })).toBe(1);
    expect(client.counters.count({ result: '404' })).toBe(1);
  });

  test('lists page by page and says when the page token expired', async () => {
    const server = await startServer({ protocol });
    const client = connect(server.config());
    const collection = server.collection(resources.services);
    for (let i = 0; i < 1201; i++) collection.put(service(`s-${i}`));
    const list = await client.list(resources.services);
    expect(list.items).toHaveLength(1201);
    expect(list.metadata.resourceVersion).toBe(String(collection.revision));
    expect(server.count('list')).toBe(3);
    const pages = client.pages(resources.services, { pageSize: 500 });
    await pages.next();
    collection.put(service('other'));
    collection.compact();
    expect((await failure(pages.next())).code).toBe('Gone');
  });

  test('gives the events of a watch and ends it with the signal', async () => {
    const server = await startServer({ protocol });
    const client = connect(server.config());
    const abort = new AbortController();
    const events: string[] = [];
    const reason = new Error('enough');
    const watching = failure(
      (async () => {
        const options = {
          resourceVersion: String(server.collection(resources.services).revision),
          signal: abort.signal,
        };
        for await (const event of client.watch(resources.services, options)) events.push(event.type);
      })(),
    );
    await eventually('one watch', () => server.openWatches === 1);
    server.collection(resources.services).put(service('web'));
    server.collection(resources.services).put(service('web'));
    server.collection(resources.services).delete('default/web');
    await eventually('three events', () => events.length === 3);
    expect(events).toEqual(['ADDED', 'MODIFIED', 'DELETED']);
    abort.abort(reason);
    expect(await watching).toBe(reason);
    await eventually('no watch', () => server.openWatches === 0);
  });

  test('calls a body that was cut off a lost connection, not bad JSON', async () => {
    const server = await startServer({ protocol });
    const client = connect(server.config());
    for (let i = 0; i < 50; i++) server.collection(resources.services).put(service(`s-${i}`));
    server.inject('list', { kind: 'truncated' });
    expect(await failure(client.list(resources.services))).toMatchObject({ code: 'Network', retryable: true });
    expect((await client.list(resources.services)).items).toHaveLength(50);
  });

  test('gives up on a server that does not answer, and says so', async () => {
    const server = await startServer({ protocol });
    const client = connect(server.config());
    server.inject('get', { kind: 'stall' });
    const error = await failure(client.get(resources.services, web, { timeoutMs: 50 }));
    expect(error).toMatchObject({ code: 'Timeout', message: 'get services default/web: no answer in 50 ms' });
    expect((await failure(client.get(resources.services, web))).code).toBe('NotFound');
    // It answers pings: slow is not dead.
    expect(client.connects).toBe(1);
  });

  test('sends a write once when the connection breaks, and a read again on a new connection', async () => {
    const server = await startServer({ protocol });
    const client = connect(server.config());
    await client.create(resources.services, service('web'));
    server.inject('create', { kind: 'reset' });
    expect((await failure(client.create(resources.services, service('b')))).code).toBe('Network');
    expect(server.count('create')).toBe(2);
    await client.get(resources.services, web);
    server.inject('get', { kind: 'reset' });
    expect((await client.get(resources.services, web)).metadata.name).toBe('web');
    expect(client.connects).toBeGreaterThan(1);
  });
});

test.each([
  [400, 'BadRequest', 'BadRequest', false],
  [401, 'Unauthorized', 'Unauthorized', false],
  [403, 'Forbidden', 'Forbidden', false],
  [404, 'NotFound', 'NotFound', false],
  [405, 'MethodNotAllowed', 'Rejected', false],
  [409, 'AlreadyExists', 'AlreadyExists', false],
  [409, 'Conflict', 'Conflict', false],
  [410, 'Expired', 'Gone', false],
  [422, 'Invalid', 'Invalid', false],
  [429, 'TooManyRequests', 'TooManyRequests', true],
  [500, 'InternalError', 'Internal', true],
  [503, 'ServiceUnavailable', 'Unavailable', true],
  [504, 'Timeout', 'Timeout', true],
])('HTTP %i %s is %s', async (code, reason, expected, retryable) => {
  const server = await startServer();
  const client = connect(server.config());
  const fault = { kind: 'status' as const, code, reason, message: 'as it is' };
  server.inject('get', fault, fault);
  const error = await failure(client.get(resources.services, web));
  expect(error).toMatchObject({
    code: expected,
    retryable,
    httpStatus: code,
    message: 'get services default/web: as it is',
  });
  expect(error.status?.reason).toBe(reason);
});

test('waits as long as Retry-After says, and gives up within the timeout', async () => {
  const server = await startServer();
  const clock = new ManualClock();
  const client = connect(server.config(), { clock });
  const busy = { kind: 'status' as const, code: 429, reason: 'TooManyRequests', retryAfter: 7 };
  server.inject('create', busy);
  /** A refused request leaves timers for the deadline, the ping and the pause. */
  const pausing = (verb: string, count: number) =>
    eventually(`${verb} ${count}`, () => server.count(verb) === count && clock.pendingTimers === 3);
  const created = client.create(resources.services, service('web'));
  await pausing('create', 1);
  await clock.advance(6_999);
  expect(server.count('create')).toBe(1);
  await clock.advance(1);
  expect((await created).metadata.name).toBe('web');
  expect(server.count('create')).toBe(2);
  server.inject('get', ...Array.from({ length: 9 }, () => busy));
  const failed = failure(client.get(resources.services, web, { timeoutMs: 20_000 }));
  for (const count of [1, 2, 3]) {
    await pausing('get', count);
    await clock.advance(7_000);
  }
  expect((await failed).code).toBe('Timeout');
  expect(server.count('get')).toBe(3);
});

test('reads the token again once after a 401', async () => {
  const server = await startServer({ token: 'old' });
  let current = 'old';
  let presented = 'old';
  const client = connect(
    server.config(
      () => presented,
      () => {
        presented = current;
      },
    ),
  );
  await client.create(resources.services, service('web'));
  server.token = current = 'new';
  expect((await client.get(resources.services, web)).metadata.name).toBe('web');
  expect(server.requests.map((request) => request.authorization)).toEqual(['Bearer old', 'Bearer old', 'Bearer new']);
  server.token = 'other';
  expect((await failure(client.get(resources.services, web))).code).toBe('Unauthorized');
  expect(server.requests).toHaveLength(5);
});

test('carries many requests at a time over one connection', async () => {
  const server = await startServer();
  const client = connect(server.config());
  server.collection(resources.services).put(service('web'));
  await Promise.all(Array.from({ length: 60 }, () => client.get(resources.services, web)));
  expect(server.connections).toBe(1);
});

test('after a GOAWAY open streams end in good order and new requests go to a new connection', async () => {
  const server = await startServer();
  const client = connect(server.config());
  const events: string[] = [];
  const collection = server.collection(resources.services);
  const watching = (async () => {
    const options = { resourceVersion: String(collection.revision) };
    for await (const event of client.watch(resources.services, options)) events.push(event.type);
  })();
  await eventually('one watch', () => server.openWatches === 1);
  server.goaway();
  collection.put(service('web'));
  await eventually('one event', () => events.length === 1);
  await Promise.all(Array.from({ length: 5 }, () => client.get(resources.services, web)));
  expect(server.connections).toBe(2);
  server.endWatches();
  await watching;
});

test('finds a half-open connection by ping', async () => {
  const server = await startServer();
  const proxy = await TcpProxy.start(server.port);
  cleans.push(() => proxy.stop());
  const client = connect(
    { ...server.config(), servers: [proxy.url] },
    { ping: { intervalMs: 30, timeoutMs: 40 }, connectTimeoutMs: 100 },
  );
  server.collection(resources.services).put(service('web'));
  await client.get(resources.services, web);
  const options = { resourceVersion: String(server.collection(resources.services).revision) };
  const watching = failure(
    (async () => {
      for await (const _ of client.watch(resources.services, options));
    })(),
  );
  await eventually('one watch', () => server.openWatches === 1);
  proxy.freeze();
  expect(await watching).toMatchObject({ code: 'Network' });
  expect((await failure(client.get(resources.services, web))).message).toContain('no answer in 100 ms');
  proxy.thaw();
  expect((await client.get(resources.services, web)).metadata.name).toBe('web');
});

test('a request without an answer has a dead connection found long before the next ping', async () => {
  const server = await startServer();
  const proxy = await TcpProxy.start(server.port);
  cleans.push(() => proxy.stop());
  const client = connect(
    { ...server.config(), servers: [proxy.url] },
    { ping: { intervalMs: 600_000, timeoutMs: 40 }, connectTimeoutMs: 30_000 },
  );
  server.collection(resources.services).put(service('web'));
  const options = { resourceVersion: String(server.collection(resources.services).revision) };
  const watching = failure(
    (async () => {
      for await (const _ of client.watch(resources.services, options));
    })(),
  );
  await eventually('one watch', () => server.openWatches === 1);
  proxy.freeze();
  expect((await failure(client.get(resources.services, web, { timeoutMs: 20 }))).code).toBe('Timeout');
  expect(await watching).toMatchObject({ code: 'Network' });
  proxy.thaw();
  expect((await client.get(resources.services, web)).metadata.name).toBe('web');
});

test('goes to the next server when one cannot be reached, and stays there', async () => {
  const gone = await FakeApiServer.start();
  await gone.stop();
  const server = await startServer();
  const client = connect({ ...server.config(), servers: [gone.url, server.url] });
  server.collection(resources.services).put(service('web'));
  await client.get(resources.services, web);
  await client.get(resources.services, web);
  expect(client.connects).toBe(1);
  const lost = connect({ ...server.config(), servers: [gone.url] });
  expect(await failure(lost.get(resources.services, web))).toMatchObject({ code: 'Network', retryable: true });
});

test('refuses an object without namespace before asking the server', async () => {
  const server = await startServer();
  const client = connect(server.config());
  await expect(async () => client.get(resources.services, { name: 'web' })).rejects.toThrow(
    'the object has no namespace',
  );
  expect(server.requests).toHaveLength(0);
});

describe('in a pod', () => {
  async function mount(token: string): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'ovenbird-account-'));
    cleans.push(() => rm(directory, { recursive: true }));
    await writeFile(join(directory, 'token'), token);
    await writeFile(join(directory, 'ca.crt'), 'PEM');
    await writeFile(join(directory, 'namespace'), 'ovenbird-system\n');
    return directory;
  }
  const environment = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };

  test('finds server, CA, namespace and token, and reads a rotated token', async () => {
    const directory = await mount('first\n');
    const clock = new ManualClock();
    const config = await inClusterConfig({ environment, directory, clock });
    expect(config.servers).toEqual(['https://[fd00::1]:443']);
    expect(config.namespace).toBe('ovenbird-system');
    expect(await config.tls()).toEqual({ ca: 'PEM' });
    expect(await config.headers()).toEqual({ authorization: 'Bearer first' });
    await writeFile(join(directory, 'token'), 'second');
    expect(await config.headers()).toEqual({ authorization: 'Bearer second' });
    // A token that vanishes for a moment does not take the credentials away.
    await rm(join(directory, 'token'));
    expect(await config.headers()).toEqual({ authorization: 'Bearer second' });
  });

  test('lets the operator name the API servers', async () => {
    const directory = await mount('t');
    const servers = ['https://10.0.0.1:6443', 'https://10.0.0.2:6443'];
    const config = await inClusterConfig({ environment: {}, directory, servers, tlsServerName: 'kubernetes' });
    expect(config.servers).toEqual(servers);
    expect(await config.tls()).toEqual({ ca: 'PEM', serverName: 'kubernetes' });
  });

  test('says what is missing', async () => {
    const directory = await mount('t');
    await expect(inClusterConfig({ environment: {}, directory })).rejects.toThrow('KUBERNETES_SERVICE_HOST');
    const missing = join(directory, 'nowhere');
    await expect(inClusterConfig({ environment, directory: missing })).rejects.toThrow(`${missing}/token`);
  });
});
