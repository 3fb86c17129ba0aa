import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLogger } from '../../src/base/index.ts';
import { createLogger } from '../../src/base/json-logger.ts';
import { ipAddressPools, l2Advertisements } from '../../src/controller/controller-caches.ts';
import {
  type ControllerOptions,
  type ControllerSurroundings,
  parseControllerOptions,
  runController,
} from '../../src/controller/index.ts';
import { KubeClient, type KubeObject, type Resource, resources, type Service } from '../../src/kube/index.ts';
import { eventually } from '../eventually.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

const crdFolder = join(import.meta.dirname, '../../deploy/crds');

/** A control plane with the CRDs, a client that counts apart from the controllers', and helpers to run those. */
export class ControllerCluster {
  readonly plane: ControlPlane;
  readonly client: KubeClient;
  readonly #running = new Set<RunningController>();

  private constructor(plane: ControlPlane) {
    this.plane = plane;
    this.client = new KubeClient(plane.config, { fieldManager: 'test' });
  }

  static async start(): Promise<ControllerCluster> {
    const cluster = new ControllerCluster(
      await startControlPlane({ apiServerArguments: ['--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112'] }),
    );
    await cluster.installDefinitions();
    await cluster.client.create(resources.namespaces, { metadata: { name: 'ovenbird-system' } });
    return cluster;
  }

  async installDefinitions(): Promise<void> {
    for (const file of readdirSync(crdFolder).filter((name) => name.includes('_'))) {
      this.plane.kubectl(['apply', '-f', '-'], readFileSync(join(crdFolder, file), 'utf8'));
    }
    this.plane.kubectl(['wait', '--for=condition=Established', '--timeout=30s', 'crd', '--all']);
  }

  /** Runs a controller in this process. */
  controller(
    settings: { arguments?: string[]; surroundings?: Partial<ControllerSurroundings> } = {},
  ): RunningController {
    const options = parseControllerOptions(['--http-port=0', ...(settings.arguments ?? [])], {});
    const running = new RunningController(this.plane, options, settings.surroundings ?? {});
    this.#running.add(running);
    return running;
  }

  pool(name: string, addresses: string[], extra: object = {}): Promise<KubeObject> {
    return this.client.create(ipAddressPools, { metadata: { name }, spec: { addresses, ...extra } });
  }

  service(
    name: string,
    extra: { spec?: Partial<Service['spec']>; annotations?: Record<string, string> } = {},
  ): Promise<Service> {
    return this.client.create(resources.services, {
      metadata: { name, namespace: 'default', ...(extra.annotations ? { annotations: extra.annotations } : {}) },
      spec: { type: 'LoadBalancer', ports: [{ port: 80 }], ...extra.spec },
    });
  }

  get(name: string): Promise<Service> {
    return this.client.get(resources.services, { namespace: 'default', name });
  }

  patch(name: string, body: object): Promise<Service> {
    return this.client.patch(resources.services, { namespace: 'default', name }, { type: 'merge', body });
  }

  delete(name: string): Promise<unknown> {
    return this.client.delete(resources.services, { namespace: 'default', name });
  }

  /** Waits until the Service looks as asked; throws with what it looks like after `timeoutMs`. */
  until(name: string, what: (service: Service) => boolean, timeoutMs = 15_000): Promise<Service> {
    return eventually(`Service ${name}`, () => this.get(name), what, { timeoutMs });
  }

  /** Stops every controller, then deletes all Services, pools and advertisements. */
  async reset(): Promise<void> {
    await this.stopControllers();
    const { client } = this;
    const names = async (resource: Resource) => (await client.list(resource)).items.map(({ metadata }) => metadata);
    const services = (await names(resources.services)).filter(({ name }) => name !== 'kubernetes');
    while (services.length > 0) {
      await Promise.all(
        services.splice(0, 20).map(async ({ name, namespace = '' }) => {
          await client.delete(resources.services, { name, namespace });
          const body = { metadata: { finalizers: null } };
          await client.patch(resources.services, { name, namespace }, { type: 'merge', body }).catch(() => {});
        }),
      );
    }
    for (const resource of [ipAddressPools, l2Advertisements]) {
      for (const { name } of await names(resource)) await client.delete(resource, { name });
    }
    for (const { name } of await names(resources.leases)) {
      await client.delete(resources.leases, { namespace: 'ovenbird-system', name }).catch(() => {});
    }
  }

  async stopControllers(): Promise<void> {
    await Promise.all([...this.#running].map((controller) => controller.stop()));
    this.#running.clear();
  }

  async stop(): Promise<void> {
    await this.stopControllers();
    this.client.close();
    await this.plane.stop();
  }
}

/** A controller that runs in this process with its own client. */
export class RunningController {
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #client: KubeClient | undefined;
  port: number | undefined;

  constructor(plane: ControlPlane, options: ControllerOptions, surroundings: Partial<ControllerSurroundings>) {
    const logger = process.env.OVENBIRD_TEST_LOG
      ? createLogger({ level: 'debug', name: options.podName })
      : silentLogger;
    this.#done = runController(
      options,
      {
        logger,
        cluster: plane.config,
        ...surroundings,
        wrapClient: (client) => {
          this.#client = client;
          return surroundings.wrapClient?.(client) ?? client;
        },
        onListening: (port) => {
          this.port = port;
        },
      },
      this.#stop.signal,
    );
    this.#done.catch(() => {});
  }

  /** Writes to the API server so far; leases and the heartbeat key are not counted. */
  get writes(): number {
    const counters = this.#client?.counters;
    return counters ? counters.writes() - counters.writes('leases') - counters.writes('secrets') : 0;
  }

  writesOf(resource: string): number {
    return this.#client?.counters.writes(resource) ?? 0;
  }

  /** Waits for that many writes, no more: who watches may see an object before its writer has the answer. */
  async wrote(resource: string, count: number): Promise<void> {
    const ask = () => this.writesOf(resource);
    const writes = await eventually(`${count} writes of ${resource}`, ask, (writes) => writes >= count);
    if (writes > count) throw new RangeError(`${writes} writes of ${resource} where ${count} are enough`);
  }

  counters(): object[] {
    return this.#client?.counters.snapshot() ?? [];
  }

  async text(path: string): Promise<{ status: number; body: string }> {
    await eventually(
      'the controller listens',
      async () => this.port,
      (port) => port !== undefined,
    );
    const answer = await fetch(`http://127.0.0.1:${this.port}${path}`);
    return { status: answer.status, body: await answer.text() };
  }

  /** Waits until this replica leads. */
  async leads(): Promise<void> {
    await eventually(
      'the controller leads',
      async () => (await this.text('/metrics')).body,
      (text) => /^ovenbird_controller_leader 1$/m.test(text),
    );
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped by the test'));
    await this.#done;
  }
}

/** The load-balancer addresses of a Service. */
export function ipsOf(service: Service): string[] {
  return (service.status?.loadBalancer?.ingress ?? []).map(({ ip = '' }) => ip);
}

/** The condition that says whether the Service has its addresses. */
export function allocatedOf(service: Service) {
  return service.status?.conditions?.find(({ type }) => type === 'ovenbird.dev/IPAllocated');
}
