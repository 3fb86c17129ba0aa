import { type Clock, describeError, type Logger } from '../base/index.ts';
import type { Config } from '../config/index.ts';
import type { PoolUsage } from '../ipam/index.ts';
import {
  isKubeError,
  type KubeClient,
  type KubeObject,
  kubeTime,
  type ObjectReference,
  type Resource,
  referenceTo,
} from '../kube/index.ts';
import { type ControllerCaches, ipAddressPools, l2Advertisements } from './controller-caches.ts';
import { LatestObjects } from './latest-objects.ts';
import { advertisementStatus, poolStatus, readyNews } from './object-statuses.ts';
import type { Announcement } from './service-changes.ts';

export interface ObjectStatusWriterOptions {
  client: Pick<KubeClient, 'patch'>;
  caches: Pick<ControllerCaches, 'pools' | 'advertisements'>;
  clock: Clock;
  logger: Logger;
  /** Throws when this process does not lead any more; called before each write. */
  guard(): void;
  /** Tells people about an object; must not block or throw. */
  announce(about: ObjectReference, announcement: Announcement): void;
  /** What the statuses are made from, read when they are written. */
  state(): { config: Config; usage: readonly PoolUsage[] };
  /** Least time between two writes to one object, ms. Default 1000. */
  intervalMs?: number;
}

/**
 * Writes the status of pools and advertisements: the first change at once, those that follow together, never more than
 * one write a second for one object. A status that says the truth already is not written.
 */
export class ObjectStatusWriter {
  readonly #options: ObjectStatusWriterOptions;
  readonly #pools: LatestObjects<KubeObject>;
  readonly #advertisements: LatestObjects<KubeObject>;
  #dirty = false;
  #wake: (() => void) | undefined;

  constructor(options: ObjectStatusWriterOptions) {
    this.#options = options;
    this.#pools = new LatestObjects<KubeObject>(options.caches.pools.store);
    this.#advertisements = new LatestObjects<KubeObject>(options.caches.advertisements.store);
  }

  /** Something the statuses are made from has changed. */
  touch(): void {
    this.#dirty = true;
    this.#wake?.();
  }

  /** Writes until `signal` aborts, then resolves. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, intervalMs = 1000 } = this.#options;
    const wake = () => this.#wake?.();
    signal.addEventListener('abort', wake);
    try {
      while (!signal.aborted) {
        if (!this.#dirty) {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          continue;
        }
        this.#dirty = false;
        await this.#flush(signal);
        await clock.sleep(intervalMs, signal).catch(() => {});
      }
    } finally {
      signal.removeEventListener('abort', wake);
    }
  }

  async #flush(signal: AbortSignal): Promise<void> {
    const { clock, state } = this.#options;
    const { config, usage } = state();
    const now = kubeTime(clock.nowMs());
    const usageOf = new Map(usage.map((entry) => [entry.name, entry]));
    const writes: Promise<void>[] = [];
    for (const pool of config.pools) {
      const object = this.#pools.get(pool.name) as Parameters<typeof poolStatus>[0] | undefined;
      const used = usageOf.get(pool.name);
      const status = object && used && poolStatus(object, pool, used, now);
      if (status) writes.push(this.#write(ipAddressPools, this.#pools, object, status, signal));
    }
    for (const advertisement of config.l2Advertisements) {
      const object = this.#advertisements.get(advertisement.name) as
        | Parameters<typeof advertisementStatus>[0]
        | undefined;
      const status = object && advertisementStatus(object, advertisement, now);
      if (status) writes.push(this.#write(l2Advertisements, this.#advertisements, object, status, signal));
    }
    await Promise.all(writes);
  }

  async #write<T extends KubeObject>(
    resource: Resource<T>,
    latest: LatestObjects<KubeObject>,
    object: KubeObject & { status?: { conditions?: unknown } | undefined },
    status: { conditions?: unknown },
    signal: AbortSignal,
  ): Promise<void> {
    const { client, logger, guard, announce } = this.#options;
    const { name, resourceVersion } = object.metadata;
    try {
      guard();
      const body = { metadata: { resourceVersion }, status };
      latest.answered(
        await client.patch(
          resource,
          { name },
          { type: 'merge', subresource: 'status', body, signal, timeoutMs: 8_000 },
        ),
      );
      const news = readyNews(object.status, status);
      if (news) announce(referenceTo(resource, object), news);
    } catch (thrown) {
      if (signal.aborted || isKubeError(thrown, 'NotFound')) return;
      this.#dirty = true;
      if (isKubeError(thrown, 'Conflict')) return;
      logger.warn(
        { kind: resource.kind, object: name, error: describeError(thrown) },
        'cannot write the status, trying on',
      );
    }
  }
}
