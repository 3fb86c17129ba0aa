import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import { silentLogger, systemClock } from '../../src/base/index.ts';
import { l2Advertisements } from '../../src/controller/controller-caches.ts';
import { allSynced, type ClusterConfig, KubeClient, type KubeObject, resources } from '../../src/kube/index.ts';
import { speakerCaches } from '../../src/speaker/speaker-caches.ts';
import { eventually } from '../eventually.ts';
import { controlPlaneMissing, findBinary } from './control-plane.ts';
import { allocatedOf, ControllerCluster, ipsOf } from './controller-cluster.ts';

// Each rendering runs helm.
jest.setTimeout(60_000);

const chart = join(import.meta.dirname, '../../charts/ovenbird');

const helm = findBinary('helm') ?? '';
if (helm === '') console.warn('skipped: not found: helm');
const suite = helm === '' ? describe.skip : describe;

function template(values: object, kubeVersion = '1.36.0') {
  const args = ['template', 'ovenbird', chart, '-n', 'ovenbird-system', '--kube-version', kubeVersion, '--values', '-'];
  return spawnSync(helm, args, { encoding: 'utf8', input: JSON.stringify(values) });
}

interface Manifest extends KubeObject {
  spec?: { template?: { spec: { tolerations?: { key?: string; operator?: string; effect?: string }[] } } };
  rules?: { apiGroups: string[]; resources: string[]; verbs: string[]; resourceNames?: string[] }[];
}

/** What the chart makes of the values. */
function render(values: object): Manifest[] {
  const { status, stdout, stderr } = template(values);
  if (status !== 0) throw new Error(stderr);
  return parseAllDocuments(stdout).flatMap((document) => (document.toJS() as Manifest | null) ?? []);
}

const find = (manifests: Manifest[], kind: string, name: string) => {
  const found = manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  if (!found) throw new Error(`no ${kind} ${name}`);
  return found;
};
const full = { ovn: { mode: 'full', northbound: 'tcp:192.0.2.1:6641' }, apiServer: { host: '192.0.2.1' } };

suite('the chart', () => {
  test('passes helm lint', () => {
    expect(execFileSync(helm, ['lint', '--strict', chart], { encoding: 'utf8' })).toMatch('0 chart(s) failed');
  });

  test('refuses a Kubernetes whose API server cannot read the definitions', () => {
    // isIP and cidr in validation rules: introduced in 1.30, allowed in new definitions one version later.
    expect(template({}, '1.30.14').stderr).toMatch('requires kubeVersion');
    expect(template({}, '1.31.0').status).toBe(0);
  });

  test.each([
    [{ bogus: 1 }, "additional properties 'bogus' not allowed"],
    [{ controller: { replica: 2 } }, "additional properties 'replica' not allowed"],
    [{ controller: { replicas: 0 } }, '/controller/replicas'],
    [{ controller: { hostNetwork: 'yes' } }, '/controller/hostNetwork'],
    [{ image: { tag: 1 } }, '/image/tag'],
    [{ logLevel: 'trace' }, '/logLevel'],
    [{ loadBalancerClass: { name: 'my class/x' } }, '/loadBalancerClass/name'],
    [{ ovn: { northbound: '192.0.2.1:6641' } }, '/ovn/northbound'],
    [{ ovn: { northbound: 'tcp:2001:db8::1:6641' } }, '/ovn/northbound'],
    [{ ovn: { northbound: 'ssl:192.0.2.1:6641' } }, 'set ovn.tlsSecret'],
    [{ ovn: { mode: 'full' }, apiServer: { host: '192.0.2.1' } }, 'set ovn.northbound'],
    [{ ovn: full.ovn }, 'set apiServer.host'],
    [{ ...full, controller: { port: 7474 } }, 'controller.port'],
  ])('%j is refused, naming the value', (values, message) => {
    const { status, stderr } = template(values);
    expect([status, stderr]).toEqual([1, expect.stringContaining(message)]);
  });

  test.each([
    {},
    full,
    { ovn: { northbound: 'tcp:192.0.2.1:6641, tcp:[2001:db8::1]:6641,tcp:ovn.example:6641' } },
    { ovn: { northbound: 'ssl:192.0.2.1:6641', tlsSecret: 'ovn-tls' } },
    { crds: { enabled: false }, controller: { replicas: 1, priorityClassName: '', nodeSelector: null, port: 7474 } },
    { imagePullSecrets: [{ name: 'registry' }], loadBalancerClass: { name: 'lab', default: false } },
  ])('%j renders', (values) => {
    expect(render(values).length).toBeGreaterThan(10);
  });

  const tolerated = (values: object, key: string) => {
    const { tolerations = [] } = find(render(values), 'Deployment', 'ovenbird-controller').spec?.template?.spec ?? {};
    return tolerations.filter((toleration) => toleration.key === key);
  };

  test('where pods need us for their network, the controller starts on nodes that have none yet', () => {
    for (const key of ['node.kubernetes.io/not-ready', 'node.kubernetes.io/network-unavailable']) {
      expect(tolerated(full, key)).toEqual([{ key, operator: 'Exists', effect: 'NoSchedule' }]);
      expect(tolerated({}, key)).toEqual([]);
      expect(tolerated({ ...full, controller: { tolerations: [] } }, key)).toHaveLength(1);
    }
    expect(tolerated(full, 'node-role.kubernetes.io/control-plane')).toHaveLength(1);
  });

  test('replicas that do not get ready never keep a node from being drained', () => {
    expect(find(render({}), 'PodDisruptionBudget', 'ovenbird-controller').spec).toMatchObject({
      maxUnavailable: 1,
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
    });
  });
});

const missing = controlPlaneMissing();
(missing === undefined ? suite : describe.skip)('the permissions that the chart gives', () => {
  const manifests = helm === '' ? [] : render({});
  let cluster: ControllerCluster;
  beforeAll(async () => {
    cluster = await ControllerCluster.start();
    const kinds = ['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding'];
    const granted = manifests.filter(({ kind = '' }) => kinds.includes(kind));
    cluster.plane.kubectl(['apply', '-f', '-'], granted.map((manifest) => JSON.stringify(manifest)).join('\n'));
  }, 120_000);
  afterAll(async () => cluster?.stop());

  /** The cluster as the pods of a component reach it. */
  const as = (component: string): ClusterConfig => {
    const token = cluster.plane.kubectl(['create', 'token', '-n', 'ovenbird-system', `ovenbird-${component}`]).trim();
    return { ...cluster.plane.config, headers: async () => ({ authorization: `Bearer ${token}` }) };
  };
  /** What a component may do, as "verb resource", but for `rare`. Lists are for API servers that begin no watch with them. */
  const permissions = (component: string, ...rare: string[]) => {
    const roles = ['ClusterRole', 'Role'].map((kind) => find(manifests, kind, `ovenbird-${component}`));
    return roles
      .flatMap(({ rules = [] }) =>
        rules.flatMap(({ resources: names, verbs }) => names.flatMap((name) => verbs.map((verb) => `${verb} ${name}`))),
      )
      .filter((one) => !one.startsWith('list ') && !rare.includes(one))
      .sort();
  };
  /** What a client has done that was not refused, in the same words. */
  const used = (counted: object[]) => {
    const requests = counted as { verb: string; resource: string; result: string }[];
    expect(requests).not.toContainEqual(expect.objectContaining({ result: '403' }));
    const words = requests.map(({ verb, resource }) => `${verb === 'replace' ? 'update' : verb} ${resource}`);
    return [...new Set(words)].filter((one) => !one.startsWith('list ')).sort();
  };

  test('are enough for the controller, which uses every one', async () => {
    const controller = cluster.controller({ surroundings: { cluster: as('controller') } });
    await cluster.pool('a', ['192.0.2.1']);
    await cluster.client.create(l2Advertisements, { metadata: { name: 'a' }, spec: {} });
    await cluster.service('web');
    await cluster.until('web', (service) => ipsOf(service).length > 0);
    await cluster.service('late');
    await cluster.until('late', (service) => allocatedOf(service)?.reason === 'PoolExhausted');
    await cluster.delete('web');
    await cluster.until('late', (service) => ipsOf(service).length > 0);
    await eventually(
      'every permission is used',
      async () => used(controller.counters()),
      // An Event is patched when the same thing happens again, half a minute later; a Service is asked for by name when
      // it vanishes without having been let go.
      (now) => permissions('controller', 'patch events', 'get services').every((one) => now.includes(one)),
    );
    await controller.stop();
  });

  test('are enough for the speaker, which uses every one', async () => {
    const client = new KubeClient(as('speaker'), { fieldManager: 'test' });
    const stop = new AbortController();
    const [namespace, keySecret] = ['ovenbird-system', 'ovenbird-speaker-key'];
    const caches = Object.values(
      speakerCaches({ client, clock: systemClock, logger: silentLogger, namespace, keySecret }),
    );
    const running = caches.map((cache) => cache.run(stop.signal));
    try {
      await allSynced(caches, AbortSignal.timeout(30_000));
      await client.get(resources.namespaces, { name: 'kube-system' });
      await eventually('every cache watches', async () => caches.every(({ status }) => status.phase === 'watching'));
      expect(used(client.counters.snapshot())).toEqual(permissions('speaker'));
    } finally {
      stop.abort();
      await Promise.all(running);
      client.close();
    }
  });
});
