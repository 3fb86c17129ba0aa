import { join } from 'node:path';
import { takeDown } from '../../../lab/down.ts';
import { kubeconfigPath } from '../../../lab/kubectl.ts';
import { addressing, type Lab, netnsOf } from '../../../lab/lab.ts';
import type { Progress } from '../../../lab/progress.ts';
import { readState } from '../../../lab/state.ts';
import { bringUp } from '../../../lab/up.ts';
import { groupVersion, ipAddressPoolResource, l2AdvertisementResource } from '../../../src/api/index.ts';
import {
  defineResource,
  type EndpointSlice,
  isKubeError,
  KubeClient,
  type KubeObject,
  kubeconfig,
  resources,
  type Service,
} from '../../../src/kube/index.ts';
import { ArpWatch } from './arp-watch.ts';

/** Namespace of everything the benchmarks create. */
export const benchNamespace = 'ovenbird-bench';
/** 1,022 addresses that nothing in the lab uses, and a handful on the fabric that clients can ask for by ARP. */
export const pools = { many: 'bench-many', fabric: 'bench-fabric' } as const;
const ranges = { [pools.many]: '10.78.0.0/22', [pools.fabric]: '10.77.0.200-10.77.0.249' };

const [group = '', version_ = ''] = groupVersion.split('/');
type Custom = KubeObject & { spec: object };
const custom = ({ kind, plural }: { kind: string; plural: string }) =>
  defineResource<Custom>({ group, version: version_, plural, kind, namespaced: false });
const poolResource = custom(ipAddressPoolResource);
const advertisementResource = custom(l2AdvertisementResource);

/** A lab with Ovenbird in it, for the length of a benchmark. */
export interface BenchLab {
  lab: Lab;
  client: KubeClient;
  /** Removes what the benchmark created, and the lab if the benchmark brought it up. */
  close(): Promise<void>;
}

/** Uses the lab that is up, or brings one up; makes namespace, pools and announcement. */
export async function openBenchLab(progress: (text: string) => void): Promise<BenchLab> {
  const checkout = join(import.meta.dirname, '../../..');
  const say: Progress = {
    say: (subject, text) => progress(`${subject}: ${text}`),
    async step(subject, text, work) {
      const result = await work();
      progress(`${subject}: ${text}`);
      return result;
    },
  };
  const wasUp = readState(join(checkout, '.lab')) !== undefined;
  const lab = await bringUp({ checkout, install: true }, say);
  const client = new KubeClient(await kubeconfig({ path: kubeconfigPath(lab) }), { fieldManager: 'ovenbird-bench' });
  const opened: BenchLab = {
    lab,
    client,
    async close() {
      await removeAll(client);
      client.close();
      if (!wasUp) await takeDown({ root: join(checkout, '.lab') }, say);
    },
  };
  await removeAll(client);
  await client.create(resources.namespaces, { metadata: { name: benchNamespace } });
  for (const [name, range] of Object.entries(ranges)) {
    await client.apply(poolResource, { metadata: { name }, spec: { addresses: [range], autoAssign: false } });
  }
  await client.apply(advertisementResource, {
    metadata: { name: 'bench' },
    spec: { ipAddressPools: Object.values(pools), interfaces: ['fabric0'] },
  });
  return opened;
}

/** Deletes the namespace and the bench's pools and waits until they are gone. */
async function removeAll(client: KubeClient): Promise<void> {
  await client.delete(resources.namespaces, { name: benchNamespace });
  for (let waited = 0; waited < 180_000; waited += 200) {
    try {
      await client.get(resources.namespaces, { name: benchNamespace });
    } catch (thrown) {
      if (!isKubeError(thrown, 'NotFound')) throw thrown;
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  for (const name of Object.keys(ranges)) await client.delete(poolResource, { name });
  await client.delete(advertisementResource, { name: 'bench' });
}

/** An ARP watch in the lab's client host. */
export function watchFromClient(): Promise<ArpWatch> {
  return ArpWatch.start({ netns: netnsOf('client'), interface: 'fabric0', source: addressing.client.fabric });
}

/** A Service without a selector: its endpoints are the slice of `handMadeSlice`. */
export function service(name: string, annotations: Record<string, string>): Service {
  return {
    metadata: { namespace: benchNamespace, name, annotations },
    spec: { type: 'LoadBalancer', allocateLoadBalancerNodePorts: false, ports: [{ port: 80, protocol: 'TCP' }] },
  };
}

/** One endpoint on `node`, ready or not. The address is a pod address that nothing uses. */
export function handMadeSlice(name: string, node: string, ready: boolean): EndpointSlice {
  return {
    metadata: {
      namespace: benchNamespace,
      name,
      labels: { 'kubernetes.io/service-name': name, 'endpointslice.kubernetes.io/managed-by': 'ovenbird-bench' },
    },
    addressType: 'IPv4',
    ports: [{ name: '', protocol: 'TCP', port: 8080 }],
    endpoints: [{ addresses: ['10.16.255.254'], conditions: { ready }, nodeName: node }],
  };
}
