import type { Clock, Timer } from '../base/index.ts';
import type { EndpointSlice, Node, Service } from '../kube/index.ts';
import type { Address } from '../net/index.ts';
import type { OvnNode, OvnService } from '../ovn/index.ts';
import { type ControllerCaches, serviceKeysOf } from './controller-caches.ts';
import type { NorthboundPort } from './northbound-port.ts';
import { ovnNodeOf, ovnServiceOf } from './ovn-services.ts';

export interface NorthboundFeedOptions {
  caches: {
    services: Pick<ControllerCaches['services'], 'store' | 'subscribe'>;
    slices: Pick<ControllerCaches['slices'], 'store' | 'subscribe'>;
    nodes: Pick<ControllerCaches['nodes'], 'store' | 'subscribe'>;
  };
  port: NorthboundPort;
  /** The load-balancer addresses that OVN should carry for a Service. */
  externalAddresses(service: Service): readonly Address[];
  clock: Clock;
  /**
   * Changes of one turn of the event loop are handed over together, at most one set within this, ms. Default 5; the
   * writer gathers too.
   */
  coalesceMs?: number;
}

/**
 * Turns the caches into what OVN should carry, and hands it over when something changed.
 *
 * Begins when every cache is complete, so that nothing is taken away because it was not read yet.
 */
export class NorthboundFeed {
  readonly #options: NorthboundFeedOptions;
  readonly #services = new Map<string, { service: OvnService; text: string }>();
  #nodes: { list: OvnNode[]; text: string } = { list: [], text: '' };
  #dirty: Set<string> | 'all' = 'all';
  #nodesDirty = true;
  #timer: Timer | undefined;
  #lastFlushMs = Number.NEGATIVE_INFINITY;
  #running = false;

  constructor(options: NorthboundFeedOptions) {
    this.#options = options;
  }

  /** Hands over the whole state, and then every change, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { services, slices, nodes } = this.#options.caches;
    const unsubscribe = [
      services.subscribe(({ key }) => this.touch(key)),
      slices.subscribe((change) => {
        if (change.type !== 'added') for (const key of serviceKeysOf(change.old)) this.touch(key);
        if (change.type !== 'deleted') for (const key of serviceKeysOf(change.object)) this.touch(key);
      }),
      nodes.subscribe(() => {
        this.#nodesDirty = true;
        this.#schedule();
      }),
    ];
    this.#running = true;
    this.#flush();
    try {
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    } finally {
      this.#running = false;
      this.#timer?.cancel();
      for (const stop of unsubscribe) stop();
    }
  }

  /** A Service, its endpoints or its addresses may have changed. */
  touch(key: string): void {
    if (this.#dirty !== 'all') this.#dirty.add(key);
    this.#schedule();
  }

  /** True while a change of the Service has not been handed over. */
  isPending(key: string): boolean {
    return this.#dirty === 'all' || this.#dirty.has(key);
  }

  /** True when OVN is to carry the Service, as far as it was handed over. */
  isCarried(key: string): boolean {
    return this.#services.has(key);
  }

  #schedule(): void {
    if (!this.#running || this.#timer) return;
    const { clock, coalesceMs = 5 } = this.#options;
    const restMs = this.#lastFlushMs + coalesceMs - clock.monotonicMs();
    this.#timer = clock.setTimer(Math.max(0, restMs), () => this.#flush());
  }

  #flush(): void {
    this.#timer = undefined;
    if (!this.#running) return;
    const { caches, port, clock } = this.#options;
    this.#lastFlushMs = clock.monotonicMs();
    let changed = this.#dirty === 'all';
    const keys = this.#dirty === 'all' ? caches.services.store.keys() : [...this.#dirty];
    this.#dirty = new Set();
    for (const key of keys) changed = this.#update(key) || changed;
    if (this.#nodesDirty) {
      this.#nodesDirty = false;
      const list = caches.nodes.store.list().map((node: Node) => ovnNodeOf(node));
      const text = JSON.stringify(list);
      changed ||= text !== this.#nodes.text;
      this.#nodes = { list, text };
    }
    if (!changed) return;
    const services = [...this.#services.values()].map(({ service }) => service);
    port.setDesired({ services, nodes: this.#nodes.list, complete: true });
  }

  /** True when the Service is to be carried otherwise than before. An unchanged one stays the same object. */
  #update(key: string): boolean {
    const { caches, externalAddresses } = this.#options;
    const object = caches.services.store.get(key);
    const slices: EndpointSlice[] = object ? caches.slices.store.listBy('service', key) : [];
    const service = object && ovnServiceOf(object, slices, externalAddresses(object));
    if (!service) return this.#services.delete(key);
    const text = JSON.stringify(service);
    if (this.#services.get(key)?.text === text) return false;
    this.#services.set(key, { service, text });
    return true;
  }
}
