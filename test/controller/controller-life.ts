import { ManualClock } from '../../src/base/index.ts';
import { LatestObjects } from '../../src/controller/latest-objects.ts';
import type { Announcement, Programming } from '../../src/controller/service-changes.ts';
import { ServiceReconciler } from '../../src/controller/service-reconciler.ts';
import { type AllocatablePool, Allocator } from '../../src/ipam/index.ts';
import type { ReconcileResult, Service } from '../../src/kube/index.ts';
import { AddressRange } from '../../src/net/index.ts';
import type { FakeServices } from './fake-services.ts';

const loadBalancerClass = 'ovenbird.dev/loadbalancer';
export const finalizer = 'service.kubernetes.io/load-balancer-cleanup';
export const pool = (name: string, ...ranges: string[]): AllocatablePool => ({
  name,
  ranges: ranges.map((text) => AddressRange.parse(text)),
  autoAssign: true,
  avoidBuggyIPs: false,
});

/** One life of a controller over Services that outlive it. */
export class Life {
  readonly allocator = new Allocator();
  readonly announced: (Announcement & { service: string })[] = [];
  readonly clock = new ManualClock();
  readonly handedOver: string[] = [];
  /** What OVN was last told to carry for a Service. */
  readonly carried = new Map<string, string[]>();
  programming: Programming = { kind: 'unused' };
  readonly reconciler: ServiceReconciler;
  readonly #api: FakeServices;

  constructor(
    api: FakeServices,
    pools: AllocatablePool[],
    cache: { get(key: string): Service | undefined } = api.store,
    servesUnclassed = true,
  ) {
    this.#api = api;
    this.allocator.setPools(pools);
    this.reconciler = new ServiceReconciler({
      client: api.client,
      services: new LatestObjects<Service>(cache),
      allocator: this.allocator,
      serviceClass: { loadBalancerClass, servesUnclassed },
      clock: this.clock,
      guard() {},
      announce: (service, announcement) => {
        this.announced.push({ service: service.metadata.name, ...announcement });
      },
      handOver: (key) => {
        this.handedOver.push(key);
        this.carried.set(key, this.allocator.reservedBy(key).map(String));
      },
      programming: () => this.programming,
      onChange() {},
    });
    this.reconciler.adopt(api.all());
  }

  async reconcile(name: string): Promise<ReconcileResult> {
    return await this.reconciler.reconcile(`default/${name}`, new AbortController().signal);
  }

  /** Reconciles all, at the same time, until nothing is written any more. */
  async settle(names: readonly string[]): Promise<void> {
    for (let rounds = 0; ; rounds++) {
      const before = this.#api.writes.length;
      const results = await Promise.allSettled(names.map((name) => this.reconcile(name)));
      for (const result of results) if (result.status === 'rejected') throw result.reason;
      if (this.#api.writes.length === before) return;
      if (rounds > 10) throw new Error(`never settles: ${this.#api.writes.slice(-6).join(', ')}`);
    }
  }
}

export const get = (api: FakeServices, name: string) => api.store.get(`default/${name}`);
export const ips = (service: Service | undefined) => (service?.status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip);
export const allocated = (service: Service | undefined) =>
  service?.status?.conditions?.find(({ type }) => type === 'ovenbird.dev/IPAllocated');
