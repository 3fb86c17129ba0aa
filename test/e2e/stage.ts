import { kubeconfigPath } from '../../lab/kubectl.ts';
import type { Lab } from '../../lab/lab.ts';
import { tryRun, waitFor } from '../../lab/processes.ts';
import {
  conditionTypes,
  groupVersion,
  type IPAddressPool,
  ipAddressPoolResource,
  type L2Advertisement,
  l2AdvertisementResource,
  requestAnnotations,
} from '../../src/api/index.ts';
import {
  type Condition,
  defineResource,
  type EndpointSlice,
  type EventObject,
  isKubeError,
  KubeClient,
  type KubeObject,
  kubeconfig,
  type Resource,
  resources,
  type Service,
} from '../../src/kube/index.ts';
import { runPods } from './stage-pods.ts';
import type { Backend } from './workload.ts';

const [group = '', version = ''] = groupVersion.split('/');
const custom = <T extends KubeObject>({ kind, plural }: { kind: string; plural: string }): Resource<T> =>
  defineResource<T>({ group, version, plural, kind, namespaced: false });

export const pools = custom<IPAddressPool & KubeObject>(ipAddressPoolResource);
const advertisements = custom<L2Advertisement & KubeObject>(l2AdvertisementResource);

/** On the pools of a stage. */
const stageLabel = 'ovenbird.dev/e2e-stage';

/** How long a fact may take to become true on a busy machine, ms. What is waited for takes far less on a quiet one. */
export const patienceMs = 60_000;

/** A Service without what every one of a stage has. */
export interface ServiceWish {
  readonly spec: Partial<Service['spec']>;
  readonly annotations?: Record<string, string>;
  /** The pool asked for; default: the stage's own. `null` asks for none. */
  readonly pool?: string | null;
}

/**
 * What tests of the product play on: a namespace, a pool of addresses on the fabric and its announcement, all of one
 * name. `close` takes everything away again, `open` also what an earlier run left.
 */
export class Stage {
  readonly lab: Lab;
  /** Namespace, pool and announcement are called so. */
  readonly name: string;
  readonly client: KubeClient;
  private constructor(lab: Lab, name: string, client: KubeClient) {
    this.lab = lab;
    this.name = name;
    this.client = client;
  }

  /** @param addresses as in `IPAddressPool.spec.addresses`, on the fabric and used by no other stage */
  static async open(lab: Lab, name: string, addresses: readonly string[]): Promise<Stage> {
    const config = await kubeconfig({ path: kubeconfigPath(lab) });
    const stage = new Stage(lab, name, new KubeClient(config, { fieldManager: 'ovenbird-e2e' }));
    await stage.#clear();
    await stage.client.create(resources.namespaces, { metadata: { name } });
    await stage.createPool(name, addresses);
    await stage.client.create(advertisements, {
      metadata: { name },
      spec: { ipAddressPools: [name], interfaces: ['fabric0'] },
    });
    return stage;
  }

  /** Removes everything and waits until it is gone. */
  async close(): Promise<void> {
    await this.#clear();
    this.client.close();
  }

  async #clear(): Promise<void> {
    const { client, name } = this;
    await client.delete(resources.namespaces, { name });
    await waitFor(`namespace ${name}: gone`, 2 * patienceMs, async () => {
      try {
        await client.get(resources.namespaces, { name });
        return false;
      } catch (thrown) {
        return isKubeError(thrown, 'NotFound');
      }
    });
    const { items } = await client.list(pools, { labelSelector: `${stageLabel}=${name}` });
    for (const { metadata } of items) await client.delete(pools, metadata);
    await client.delete(advertisements, { name });
  }

  /** A pool that Services must ask for by name. Deleted with the stage. */
  async createPool(name: string, addresses: readonly string[]): Promise<void> {
    await this.client.create(pools, {
      metadata: { name, labels: { [stageLabel]: this.name } },
      spec: { addresses: [...addresses], autoAssign: false },
    });
  }

  /** Pods of this namespace that answer HTTP on 8080 and UDP on 8081; see `runPods`. */
  pods(name: string, replicas: number, onNode?: string): Promise<Backend[]> {
    return runPods(this.lab, this.client, { namespace: this.name, name, replicas, onNode });
  }

  /** Creates a Service of type LoadBalancer in front of the pods called `app`, TCP port 80. */
  async createService(name: string, app: string, wish: ServiceWish = { spec: {} }): Promise<Service> {
    const pool = wish.pool === undefined ? this.name : wish.pool;
    return this.client.create(resources.services, {
      metadata: {
        namespace: this.name,
        name,
        annotations: { ...(pool === null ? {} : { [requestAnnotations.addressPool[0]]: pool }), ...wish.annotations },
      },
      spec: { type: 'LoadBalancer', selector: { app }, ports: [{ port: 80, targetPort: 8080 }], ...wish.spec },
    });
  }

  service(name: string): Promise<Service> {
    return this.client.get(resources.services, { namespace: this.name, name });
  }

  /** Changes a Service by a merge patch (RFC 7386). */
  changeService(name: string, body: object): Promise<Service> {
    return this.client.patch(resources.services, { namespace: this.name, name }, { type: 'merge', body });
  }

  /** Deletes a Service and waits until its finalizer has let it go. */
  async deleteService(name: string): Promise<void> {
    await this.client.delete(resources.services, { namespace: this.name, name });
    await waitFor(`Service ${name}: gone`, patienceMs, async () => {
      try {
        await this.service(name);
        return false;
      } catch (thrown) {
        return isKubeError(thrown, 'NotFound');
      }
    });
  }

  /** Waits until a Service is as `check` wants it, and gives it. @throws Error with the state it was left in */
  async until(name: string, what: string, check: (service: Service) => boolean): Promise<Service> {
    let last: Service | undefined;
    try {
      await waitFor(`Service ${name}: ${what}`, patienceMs, async () => {
        last = await this.service(name);
        return check(last);
      });
    } catch (cause) {
      throw new Error(`Service ${name}: ${what}: not so; it is ${JSON.stringify(last)}`, { cause });
    }
    return last as Service;
  }

  /** The address of a Service, once it has one and OVN carries it. */
  async addressOf(name: string): Promise<string> {
    const service = await this.until(name, 'addressed and programmed', (seen) => {
      const programmed = conditionOf(seen.status, conditionTypes.programmed);
      return addressIn(seen) !== '' && programmed?.status === 'True';
    });
    return addressIn(service);
  }

  /** Waits until a Service is refused an address for this reason, in its condition and in an Event; gives the message. */
  async refused(name: string, reason: string): Promise<string> {
    const isRefused = (seen: Service) => {
      const condition = conditionOf(seen.status, conditionTypes.ipAllocated);
      return condition?.status === 'False' && condition.reason === reason;
    };
    const service = await this.until(name, `refused: ${reason}`, isRefused);
    const { message = '' } = conditionOf(service.status, conditionTypes.ipAllocated) ?? {};
    await this.event('Service', name, reason, message);
    return message;
  }

  /** Waits until a pool's condition Ready has this reason, and an Event too unless it is well; gives the message. */
  async poolSays(name: string, reason: string): Promise<string> {
    let message = '';
    await waitFor(`IPAddressPool ${name}: ${reason}`, patienceMs, async () => {
      const pool = await this.client.get(pools, { name });
      const ready = conditionOf(pool.status as { conditions?: Condition[] }, conditionTypes.ready);
      message = ready?.message ?? '';
      return ready?.reason === reason && ready.status === (reason === 'Valid' ? 'True' : 'False');
    });
    if (reason !== 'Valid') await this.event('IPAddressPool', name, reason, message);
    return message;
  }

  /** Waits for an Event about an object. */
  async event(kind: string, name: string, reason: string, note: string): Promise<void> {
    await waitFor(`Event ${reason} for ${kind} ${name}: "${note}"`, patienceMs, async () => {
      const events = await this.eventsAbout(kind, name);
      return events.some((event) => event.reason === reason && event.note === note);
    });
  }

  /** Events about an object of this namespace, or about a cluster-scoped one. */
  async eventsAbout(kind: string, name: string): Promise<EventObject[]> {
    const namespace = kind === 'Service' ? this.name : 'default';
    const { items } = await this.client.list(resources.events, { namespace });
    return items.filter(({ regarding }) => regarding.kind === kind && regarding.name === name);
  }

  /** The slice that a Service without a selector has its endpoints from, made or replaced; port 8080. */
  async applySlice(service: string, backends: readonly Backend[]): Promise<EndpointSlice> {
    return this.client.apply(resources.endpointSlices, {
      metadata: {
        namespace: this.name,
        name: service,
        labels: { 'kubernetes.io/service-name': service, 'endpointslice.kubernetes.io/managed-by': 'ovenbird-e2e' },
      },
      addressType: 'IPv4',
      ports: [{ name: '', protocol: 'TCP', port: 8080 }],
      endpoints: backends.map(({ address, node }) => ({
        addresses: [address],
        conditions: { ready: true },
        nodeName: node,
      })),
    });
  }
}

/** The load-balancer address of a Service; empty while it has none. */
export function addressIn(service: Service): string {
  return (service.status?.loadBalancer?.ingress ?? []).map(({ ip = '' }) => ip).join(',');
}

export function conditionOf(
  status: { conditions?: readonly Condition[] } | undefined,
  type: string,
): Condition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

/** How a host's request ends: curl's exit code (0: an answer; 7: refused; 28: none in time). */
export async function curlCode(lab: Lab, host: string, url: string): Promise<number> {
  return (await tryRun(lab, { host, command: 'curl', args: ['-s', '-o', '/dev/null', '-m', '2', url] })).code;
}
