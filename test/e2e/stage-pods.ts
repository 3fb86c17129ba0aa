import { agnhostImage } from '../../lab/image-names.ts';
import type { Lab } from '../../lab/lab.ts';
import { waitFor } from '../../lab/processes.ts';
import { defineResource, type KubeClient, type KubeObject } from '../../src/kube/index.ts';
import type { Backend } from './workload.ts';

interface Pod extends KubeObject {
  spec: { nodeName?: string };
  status: { podIP?: string; conditions?: { type: string; status: string }[] };
}

type Deployment = KubeObject & { spec: object };

const podResource = defineResource<Pod>({ group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true });
const deploymentResource = defineResource<Deployment>({
  group: 'apps',
  version: 'v1',
  plural: 'deployments',
  kind: 'Deployment',
  namespaced: true,
});

export interface PodsWish {
  readonly namespace: string;
  /** Of the Deployment, and value of the label `app`. */
  readonly name: string;
  readonly replicas: number;
  /** All on this node; absent: spread over the nodes. */
  readonly onNode: string | undefined;
}

/** Makes a Deployment so, new or not, and waits until exactly so many pods are ready; sorted by name. */
export async function runPods(lab: Lab, client: KubeClient, wish: PodsWish): Promise<Backend[]> {
  const { namespace, name } = wish;
  await client.apply(deploymentResource, deployment(wish), { force: true });
  let ready: Backend[] = [];
  await waitFor(`${namespace}/${name}: ${wish.replicas} ready pods`, 120_000, async () => {
    const { items } = await client.list(podResource, { namespace, labelSelector: `app=${name}` });
    ready = items.flatMap((pod) => backendOf(pod) ?? []).sort((a, b) => (a.name < b.name ? -1 : 1));
    const placed = wish.onNode ?? '';
    return (
      items.length === wish.replicas &&
      ready.length === wish.replicas &&
      ready.every((pod) => placed === '' || pod.node === placed)
    );
  });
  if (wish.onNode === undefined && wish.replicas >= lab.nodes.length) {
    const used = new Set(ready.map(({ node }) => node));
    if (used.size !== lab.nodes.length) throw new Error(`${name}: pods only on ${[...used].sort().join(', ')}`);
  }
  return ready;
}

function backendOf({ metadata, spec, status }: Pod): Backend | undefined {
  const isReady = status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false;
  if (!isReady || metadata.deletionTimestamp !== undefined) return undefined;
  return { name: metadata.name, node: spec.nodeName ?? '', address: status.podIP ?? '' };
}

function deployment({ namespace, name, replicas, onNode }: PodsWish): Deployment {
  const labels = { app: name };
  const spread = {
    maxSkew: 1,
    topologyKey: 'kubernetes.io/hostname',
    whenUnsatisfiable: 'DoNotSchedule',
    labelSelector: { matchLabels: labels },
  };
  const placement =
    onNode === undefined
      ? { topologySpreadConstraints: [spread] }
      : { nodeSelector: { 'kubernetes.io/hostname': onNode } };
  const container = {
    name: 'web',
    image: agnhostImage,
    imagePullPolicy: 'Never',
    args: ['netexec', '--http-port=8080', '--udp-port=8081'],
    readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1, timeoutSeconds: 5 },
  };
  return {
    metadata: { namespace, name },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { terminationGracePeriodSeconds: 1, ...placement, containers: [container] },
      },
    },
  };
}
