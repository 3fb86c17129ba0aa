import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { describeError } from '../../src/base/index.ts';
import {
  defineResource,
  EventRecorder,
  inClusterConfig,
  KubeClient,
  type KubeError,
  type KubeObject,
  kubeconfig,
  ResourceCache,
  referenceTo,
  resources,
  type Service,
} from '../../src/kube/index.ts';
import { eventually } from '../eventually.ts';
import { type ControlPlane, controlPlaneMissing, findBinary, startControlPlane } from './control-plane.ts';

const missing = controlPlaneMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);
const suite = missing === undefined ? describe : describe.skip;

interface Gadget extends KubeObject {
  spec: { size: number };
  status?: { conditions?: { type: string; status: string }[]; seen?: number };
}

const gadgets = defineResource<Gadget>({
  group: 'test.ovenbird.dev',
  version: 'v1',
  plural: 'gadgets',
  kind: 'Gadget',
  namespaced: false,
});

const gadgetDefinition = {
  metadata: { name: 'gadgets.test.ovenbird.dev' },
  spec: {
    group: 'test.ovenbird.dev',
    names: { plural: 'gadgets', singular: 'gadget', kind: 'Gadget', listKind: 'GadgetList' },
    scope: 'Cluster',
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: { type: 'object', properties: { size: { type: 'integer', maximum: 10 } } },
              status: {
                type: 'object',
                properties: {
                  seen: { type: 'integer' },
                  conditions: {
                    type: 'array',
                    'x-kubernetes-list-type': 'map',
                    'x-kubernetes-list-map-keys': ['type'],
                    items: {
                      type: 'object',
                      required: ['type', 'status'],
                      properties: { type: { type: 'string' }, status: { type: 'string' } },
                    },
                  },
                },
              },
            },
          },
        },
      },
    ],
  },
};

function service(name: string): Service {
  return {
    metadata: { namespace: 'default', name },
    spec: { type: 'LoadBalancer', ports: [{ port: 80, protocol: 'TCP' }] },
  };
}

function kubeconfigOf(server: string, user: object, ca?: string): string {
  const authority = ca === undefined ? {} : { 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  return JSON.stringify({
    clusters: [{ name: 'c', cluster: { server, ...authority } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  });
}

async function failure(work: Promise<unknown>): Promise<KubeError> {
  return work.then(
    () => {
      throw new Error('did not fail');
    },
    (thrown: KubeError) => thrown,
  );
}

suite('the client against a real API server', () => {
  let plane: ControlPlane;
  let client: KubeClient;
  beforeAll(async () => {
    // Every fiftieth request or so is answered with a GOAWAY, as servers behind a load balancer do.
    plane = await startControlPlane({ apiServerArguments: ['--goaway-chance=0.02'] });
    client = new KubeClient(plane.config, { fieldManager: 'ovenbird-test' });
  }, 120_000);
  afterAll(async () => {
    client?.close();
    await plane?.stop();
  });

  test("the server's verdicts are typed", async () => {
    await client.create(resources.services, service('web'));
    expect((await failure(client.create(resources.services, service('web')))).code).toBe('AlreadyExists');
    const at = { namespace: 'default', name: 'web' };
    const old = await client.get(resources.services, at);
    await client.patch(resources.services, at, { type: 'merge', body: { metadata: { labels: { a: 'b' } } } });
    expect((await failure(client.replace(resources.services, old))).code).toBe('Conflict');
    const body = [{ op: 'replace', path: '/spec/ports/0/port', value: 99_999 }];
    const invalid = await failure(client.patch(resources.services, at, { type: 'json', body }));
    expect(invalid.code).toBe('Invalid');
    expect(invalid.status?.details?.causes?.[0]?.field).toBe('spec.ports[0].port');
    expect((await failure(client.get(gadgets, { name: 'none' }))).code).toBe('NotFound');
    const preconditions = { uid: 'another' };
    expect((await failure(client.delete(resources.services, at, { preconditions }))).code).toBe('Conflict');
    expect(await client.delete(resources.services, at)).toEqual({ existed: true });
  });

  test('a dry run changes nothing', async () => {
    const made = await client.create(resources.services, service('dry'), { dryRun: true });
    expect(made.metadata.uid).toBeDefined();
    expect((await failure(client.get(resources.services, { namespace: 'default', name: 'dry' }))).code).toBe(
      'NotFound',
    );
  });

  test('applies the status of a Service: own fields only, conditional when a version is given', async () => {
    const created = await client.create(resources.services, service('status'));
    const metadata = { namespace: 'default', name: 'status' };
    const status = { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } };
    const applied = await client.applyStatus(resources.services, { metadata, status });
    expect(applied.status?.loadBalancer?.ingress).toEqual([{ ip: '192.0.2.1', ipMode: 'VIP' }]);
    const again = await client.applyStatus(resources.services, { metadata, status });
    expect(again.metadata.resourceVersion).toBe(applied.metadata.resourceVersion);
    const stale = { ...metadata, resourceVersion: created.metadata.resourceVersion as string };
    const conflict = client.applyStatus(resources.services, { metadata: stale, status: { loadBalancer: {} } });
    expect((await failure(conflict)).code).toBe('Conflict');
    const emptied = await client.applyStatus(resources.services, { metadata, status: { loadBalancer: {} } });
    expect(emptied.status?.loadBalancer?.ingress).toBeUndefined();
  });

  test('two managers own different conditions of one custom resource', async () => {
    await client.create(resources.customResourceDefinitions, gadgetDefinition);
    const cache = new ResourceCache<Gadget>({ client, resource: gadgets, timing: { backoffMaximumMs: 200 } });
    const abort = new AbortController();
    const done = cache.run(abort.signal);
    // The definition takes a moment to be served: the cache finds out by itself.
    await cache.synced();
    await client.create(gadgets, { metadata: { name: 'g' }, spec: { size: 1 } });
    const apply = (fieldManager: string, type: string) =>
      client.applyStatus(
        gadgets,
        { metadata: { name: 'g' }, status: { conditions: [{ type, status: 'True' }] } },
        { fieldManager },
      );
    await apply('node-1', 'One');
    const both = await apply('node-2', 'Two');
    expect(both.status?.conditions?.map(({ type }) => type).sort()).toEqual(['One', 'Two']);
    const empty = { metadata: { name: 'g' }, status: {} };
    const left = await client.applyStatus(gadgets, empty, { fieldManager: 'node-1' });
    expect(left.status?.conditions?.map(({ type }) => type)).toEqual(['Two']);
    expect((await failure(client.create(gadgets, { metadata: { name: 'big' }, spec: { size: 11 } }))).code).toBe(
      'Invalid',
    );
    const version = left.metadata.resourceVersion;
    await eventually('the cache has it', () => cache.store.get('g')?.metadata.resourceVersion === version);
    abort.abort();
    await done;
  }, 30_000);

  test('forbidden and unauthorized are told apart', async () => {
    const strange = new KubeClient(
      { ...plane.config, headers: async () => ({ authorization: 'Bearer wrong' }) },
      { fieldManager: 'test' },
    );
    expect((await failure(strange.list(resources.services))).code).toBe('Unauthorized');
    strange.close();
    const nobody = new KubeClient(
      { ...plane.config, headers: async () => ({ ...(await plane.config.headers()), 'impersonate-user': 'nobody' }) },
      { fieldManager: 'test' },
    );
    const error = await failure(nobody.list(resources.services));
    expect(error.code).toBe('Forbidden');
    expect(error.message).toContain('"nobody" cannot list resource "services"');
    nobody.close();
  });

  test('a certificate that does not match the address is refused, unless its name is given', async () => {
    const servers: [string] = [plane.server.replace('127.0.0.1', '127.0.0.2')];
    const mismatched = new KubeClient({ ...plane.config, servers }, { fieldManager: 'test', connectTimeoutMs: 2_000 });
    // The server listens on 127.0.0.1 alone.
    expect((await failure(mismatched.text('/version', { timeoutMs: 3_000 }))).code).toBe('Network');
    mismatched.close();
    const tls = async () => ({ ca: plane.ca, serverName: 'wrong.example' });
    const wrong = new KubeClient({ ...plane.config, tls }, { fieldManager: 'test' });
    const mismatch = describeError(await failure(wrong.text('/version')));
    expect(mismatch).toContain('give it as the TLS server name');
    expect(mismatch).toContain('wrong.example');
    wrong.close();
    const named = async () => ({ ca: plane.ca, serverName: 'kubernetes.default.svc' });
    const right = new KubeClient({ ...plane.config, tls: named }, { fieldManager: 'test' });
    expect(await right.text('/readyz')).toBe('ok');
    right.close();
  });

  test('a kubeconfig works, and one that does not names its fault', async () => {
    const config = await kubeconfig({ path: plane.kubeconfig });
    expect(config.namespace).toBe('default');
    const other = new KubeClient(config, { fieldManager: 'test' });
    expect((await other.list(resources.namespaces)).items.length).toBeGreaterThan(0);
    other.close();
    await expect(kubeconfig({ path: plane.kubeconfig, context: 'nope' })).rejects.toThrow(
      'the kubeconfig has no context "nope"; it has: test',
    );
    await expect(kubeconfig({ path: '/nonexistent' })).rejects.toThrow('cannot read the kubeconfig /nonexistent');
  }, 30_000);

  test('a bound service account token is accepted and rotates without a restart', async () => {
    plane.kubectl(['create', 'serviceaccount', 'speaker']);
    plane.kubectl([
      'create',
      'clusterrolebinding',
      'speaker',
      '--clusterrole=cluster-admin',
      '--serviceaccount=default:speaker',
    ]);
    const directory = plane.directory;
    await writeFile(join(directory, 'token'), plane.kubectl(['create', 'token', 'speaker']));
    await writeFile(join(directory, 'ca.crt'), plane.ca);
    await writeFile(join(directory, 'namespace'), 'default');
    const config = await inClusterConfig({ environment: {}, directory, servers: [plane.server] });
    const pod = new KubeClient(config, { fieldManager: 'speaker' });
    await pod.list(resources.services);
    await writeFile(join(directory, 'token'), 'not a token');
    expect((await failure(pod.list(resources.services))).code).toBe('Unauthorized');
    await writeFile(join(directory, 'token'), plane.kubectl(['create', 'token', 'speaker']));
    await pod.list(resources.services);
    pod.close();
  });

  test('events are shown by kubectl describe', async () => {
    const recorder = new EventRecorder({
      client,
      component: 'ovenbird.dev/controller',
      instance: 'pod-1',
      updateMs: 10,
    });
    const abort = new AbortController();
    const done = recorder.run(abort.signal);
    const created = await client.create(resources.services, service('told'));
    const text = { type: 'Warning' as const, reason: 'NoAddress', action: 'Allocate', note: 'pool "a" is full' };
    const regarding = referenceTo(resources.services, created);
    recorder.record(regarding, text);
    await eventually('one write', () => recorder.counts.written === 1);
    recorder.record(regarding, text);
    recorder.record(regarding, text);
    await eventually('two writes', () => recorder.counts.written === 2);
    const shown = plane.kubectl(['describe', 'service', 'told']);
    expect(shown).toMatch(/Warning +NoAddress +.*x3 over.*ovenbird\.dev\/controller +pool "a" is full/);
    recorder.record(referenceTo(resources.namespaces, { metadata: { name: 'default' } }), text);
    await eventually('three writes', () => recorder.counts.written === 3);
    expect(recorder.counts.dropped).toBe(0);
    abort.abort();
    await done;
  });

  test('no write fails while the server moves its clients to other connections', async () => {
    const busy = new KubeClient(plane.config, { fieldManager: 'test' });
    const workers = Array.from({ length: 10 }, async (_, worker) => {
      for (let i = 0; i < 40; i++) {
        const made = service(`moved-${worker}-${i}`);
        await busy.create(resources.services, { ...made, spec: { clusterIP: 'None', ports: [{ port: 80 }] } });
      }
    });
    await Promise.all(workers);
    expect(busy.counters.count({ verb: 'create', result: '201' })).toBe(400);
    expect(busy.connects).toBeGreaterThan(1);
    busy.close();
  }, 60_000);

  test('kubectl proxy is reached over plain HTTP', async () => {
    const proxy = spawn(findBinary('kubectl') ?? '', ['--kubeconfig', plane.kubeconfig, 'proxy', '--port=0']);
    try {
      const [line] = (await once(createInterface({ input: proxy.stdout }), 'line')) as [string];
      const server = `http://${line.split(' ').at(-1)}`;
      const file = join(plane.directory, 'proxy-kubeconfig');
      await writeFile(file, kubeconfigOf(server, {}));
      const plain = new KubeClient(await kubeconfig({ path: file }), { fieldManager: 'test' });
      await plain.create(resources.namespaces, { metadata: { name: 'through-the-proxy' } });
      const abort = new AbortController();
      const events = plain.watch(resources.namespaces, { signal: abort.signal });
      expect((await events.next()).value?.type).toBe('ADDED');
      await events.return();
      plain.close();
    } finally {
      const ended = once(proxy, 'exit');
      proxy.kill('SIGKILL');
      await ended;
    }
  }, 30_000);

  test('a credential plugin is asked again when its token is refused', async () => {
    const answer = join(plane.directory, 'credential.json');
    const credential = (token: string) =>
      JSON.stringify({ apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status: { token } });
    await writeFile(answer, credential('expired'));
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'cat', args: [answer] };
    const file = join(plane.directory, 'exec-kubeconfig');
    await writeFile(file, kubeconfigOf(plane.server, { exec }, plane.ca));
    const plugged = new KubeClient(await kubeconfig({ path: file }), { fieldManager: 'test' });
    expect((await failure(plugged.list(resources.namespaces))).code).toBe('Unauthorized');
    await writeFile(answer, credential(plane.token));
    expect((await plugged.list(resources.namespaces)).items.length).toBeGreaterThan(0);
    plugged.close();
  }, 30_000);

  test('the pods do not load the kubeconfig library', () => {
    const source = `
      import { registerHooks } from 'node:module';
      const seen = [];
      registerHooks({ resolve(specifier, context, next) { seen.push(specifier); return next(specifier, context); } });
      const kube = await import(${JSON.stringify(join(import.meta.dirname, '../../src/kube/index.ts'))});
      new kube.KubeClient({}, { fieldManager: 'x' });
      console.log(JSON.stringify(seen.filter((name) => !name.startsWith('.') && !name.startsWith('node:') && !name.startsWith('/'))));
    `;
    const loaded = execFileSync(process.execPath, ['--input-type=module', '-e', source], { encoding: 'utf8' });
    expect(JSON.parse(loaded)).not.toContain('@kubernetes/client-node');
  });
});
