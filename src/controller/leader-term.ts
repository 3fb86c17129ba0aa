import { Backoff, type Clock, describeError, type Logger, type Timer } from '../base/index.ts';
import { buildConfig, type Config } from '../config/index.ts';
import { Allocator, type PoolUsage } from '../ipam/index.ts';
import {
  allSynced,
  type KubeClient,
  type ObjectReference,
  objectKey,
  priorities,
  referenceTo,
  resources,
  type Service,
  WorkQueue,
} from '../kube/index.ts';
import type { Address } from '../net/index.ts';
import { isOurs, type ServiceClass } from '../service/index.ts';
import { caughtUp } from './catch-up.ts';
import { type ControllerCaches, projectService } from './controller-caches.ts';
import { LatestObjects } from './latest-objects.ts';
import { NorthboundFeed } from './northbound-feed.ts';
import type { NorthboundPort } from './northbound-port.ts';
import { ObjectStatusWriter } from './object-status-writer.ts';
import { foreignAddressesOf } from './ovn-services.ts';
import { ProgrammingWatch } from './programming-watch.ts';
import type { Announcement } from './service-changes.ts';
import { ServiceReconciler } from './service-reconciler.ts';

export interface LeaderTermOptions {
  client: Pick<KubeClient, 'get' | 'pages' | 'patch'>;
  caches: ControllerCaches;
  serviceClass: ServiceClass;
  northbound: NorthboundPort;
  /** Whether OVN also carries the addresses that other implementations gave to their Services. */
  carriesForeign: boolean;
  /** Tells people about an object; must not block or throw. */
  announce(about: ObjectReference, announcement: Announcement): void;
  clock: Clock;
  logger: Logger;
  /** Throws when this process does not lead any more; called before each write. */
  guard(): void;
  /** Services reconciled at a time. Default 16. */
  workers?: number;
}

/** Conditions follow what the writer says within this time, ms; addresses held back do not wait for it. */
const reviewMs = 500;

/** Longest time that the cache of Services is waited for when it is behind the list, ms. */
const lagMs = 5_000;

/** What the leader knows, for metrics. */
export interface TermReport {
  usage: readonly PoolUsage[];
  /** Services that wait for an address. */
  waiting: number;
  queue: WorkQueue['metrics'];
}

/**
 * Everything that one replica does while it leads, from taking over to stepping down. All its memory is its own: the
 * next term begins with what the API server says.
 */
export class LeaderTerm {
  readonly #options: LeaderTermOptions;
  readonly #allocator = new Allocator();
  readonly #services: LatestObjects<Service>;
  readonly #queue: WorkQueue;
  readonly #reconciler: ServiceReconciler;
  readonly #statuses: ObjectStatusWriter;
  readonly #feed: NorthboundFeed;
  readonly #programming: ProgrammingWatch;
  #config: Config = buildConfig({ ipAddressPools: [], l2Advertisements: [] });
  #configScheduled = false;
  #review: Timer | undefined;
  #northboundSaid = '';

  constructor(options: LeaderTermOptions) {
    this.#options = options;
    const { client, caches, serviceClass, northbound, announce, clock, logger, guard } = options;
    this.#services = new LatestObjects<Service>(caches.services.store);
    this.#queue = new WorkQueue({ name: 'services', clock, logger });
    this.#feed = new NorthboundFeed({
      caches,
      port: northbound,
      externalAddresses: (service) => this.#carried(service),
      clock,
    });
    this.#programming = new ProgrammingWatch({
      port: northbound,
      isPending: (key) => this.#feed.isPending(key),
      isCarried: (key) => this.#feed.isCarried(key),
    });
    this.#statuses = new ObjectStatusWriter({
      client,
      caches,
      clock,
      logger,
      guard,
      announce,
      state: () => ({ config: this.#config, usage: this.#allocator.usage() }),
    });
    this.#reconciler = new ServiceReconciler({
      client,
      services: this.#services,
      allocator: this.#allocator,
      serviceClass,
      clock,
      guard,
      announce: (service, announcement) => announce(referenceTo(resources.services, service), announcement),
      handOver: (key) => this.#feed.touch(key),
      programming: (key, service) => this.#programming.now(key, service),
      onChange: (change) => this.#onChange(change),
    });
  }

  get report(): TermReport {
    return {
      usage: this.#allocator.usage(),
      waiting: this.#reconciler.waitingCount,
      queue: this.#queue.metrics,
    };
  }

  /** Leads until `signal` aborts; resolves when nothing is under way any more. */
  async run(signal: AbortSignal): Promise<void> {
    const { caches, northbound, logger, clock } = this.#options;
    await allSynced(Object.values(caches), signal);
    const startedMs = clock.monotonicMs();
    // Changes from here on are queued; they are worked on when everything is adopted.
    const unsubscribe = [
      caches.services.subscribe((change) => {
        this.#queue.add(change.key, { priority: change.fromList ? priorities.low : priorities.normal });
      }),
      caches.pools.subscribe(() => this.#scheduleConfig()),
      caches.advertisements.subscribe(() => this.#scheduleConfig()),
      northbound.subscribe(() => this.#onNorthbound()),
    ];
    try {
      // The cache may lag behind what the last leader wrote; a list does not.
      const services = await this.#listServices(signal);
      const behind = await caughtUp({ cache: caches.services, listed: services, patienceMs: lagMs, clock }, signal);
      signal.throwIfAborted();
      if (behind > 0) logger.warn({ services: behind }, 'the watch of Services is behind the API server, going on');
      this.#reconciler.adopt(services);
      this.#applyConfig();
      for (const service of services) this.#queue.add(objectKey(service), { priority: priorities.low });
      for (const key of caches.services.store.keys()) this.#queue.add(key, { priority: priorities.low });
      logger.info({ services: services.length, tookMs: Math.round(clock.monotonicMs() - startedMs) }, 'leading');

      await Promise.all([
        this.#queue.run(this.#options.workers ?? 16, (key, limit) => this.#reconciler.reconcile(key, limit), signal),
        this.#statuses.run(signal),
        this.#feed.run(signal),
      ]);
    } catch (thrown) {
      if (!signal.aborted) throw thrown;
      logger.debug({ error: describeError(thrown) }, 'the term ended while it began');
    } finally {
      for (const stop of unsubscribe) stop();
      this.#review?.cancel();
    }
  }

  /** Reads page by page, so that no more than a page is ever held of what is not kept. */
  async #listServices(signal: AbortSignal): Promise<Service[]> {
    const { client, clock, logger } = this.#options;
    const backoff = new Backoff({ initialMs: 100, maximumMs: 2_000 });
    for (;;) {
      try {
        const services: Service[] = [];
        for await (const { items } of client.pages(resources.services, { signal })) {
          for (const service of items) services.push(projectService(service));
        }
        return services;
      } catch (thrown) {
        signal.throwIfAborted();
        logger.warn({ error: describeError(thrown) }, 'cannot list the Services, trying on');
        await clock.sleep(backoff.next(), signal);
      }
    }
  }

  #scheduleConfig(): void {
    if (this.#configScheduled) return;
    this.#configScheduled = true;
    setImmediate(() => {
      this.#configScheduled = false;
      this.#applyConfig();
    });
  }

  /** Takes over pools and advertisements and looks again at the Services that they concern. */
  #applyConfig(): void {
    const { pools, advertisements } = this.#options.caches;
    this.#config = buildConfig({
      ipAddressPools: pools.store.values(),
      l2Advertisements: advertisements.store.values(),
    });
    const concerned = this.#allocator.setPools(this.#config.pools);
    this.#reconciler.poolsChanged();
    for (const key of [...this.#reconciler.waiting, ...concerned]) this.#queue.add(key);
    this.#statuses.touch();
  }

  #onChange({ freed }: { freed: readonly Address[] }): void {
    this.#statuses.touch();
    if (freed.length > 0) for (const key of this.#reconciler.waiting) this.#queue.add(key);
  }

  #carried(service: Service): readonly Address[] {
    const { serviceClass, carriesForeign } = this.#options;
    if (isOurs(service, serviceClass)) {
      const { namespace, name, deletionTimestamp } = service.metadata;
      return deletionTimestamp === undefined ? this.#allocator.reservedBy(`${namespace}/${name}`) : [];
    }
    return carriesForeign ? foreignAddressesOf(service) : [];
  }

  /** The writer has done something: what was held back for it is published, and conditions are looked over soon. */
  #onNorthbound(): void {
    for (const key of this.#reconciler.heldBack) {
      const service = this.#services.get(key);
      const programming = service && this.#programming.now(key, service);
      if (!programming || programming.kind === 'unused' || programming.settling !== true) this.#queue.add(key);
    }
    this.#review ??= this.#options.clock.setTimer(reviewMs, () => {
      this.#review = undefined;
      this.#reviewProgramming();
    });
  }

  /** The writer has done something: conditions that say otherwise are corrected. */
  #reviewProgramming(): void {
    const { state, message } = this.#options.northbound.status();
    if (`${state} ${message}` !== this.#northboundSaid) {
      this.#northboundSaid = `${state} ${message}`;
      this.#options.logger.info({ state, why: message }, 'the northbound writer says');
    }
    for (const key of this.#allocator.holders()) {
      const service = this.#services.get(key);
      if (!service || !isOurs(service, this.#options.serviceClass)) continue;
      if (this.#programming.isStale(key, service)) this.#queue.add(key, { priority: priorities.low });
    }
  }
}
