import type { Service } from '../kube/objects.ts';
import { type SpeakerCaches, serviceKeyOf } from './speaker-caches.ts';

/** The caches whose changes concern Services: what is read of each is its store and its changes. */
export type FollowedCaches<Names extends keyof SpeakerCaches> = {
  [name in Names]: Pick<SpeakerCaches[name], 'store' | 'subscribe'>;
};

/** What has to be looked at again: these Services, or every one. */
export type Dirty = ReadonlySet<string> | 'all';

/**
 * Collects which Services changed, or lost or gained endpoints, and says so once per turn of the event loop.
 *
 * Says nothing before `start`: by then every cache must hold its first full list, so that a restart never undoes what
 * its predecessor had done.
 */
export class ServiceChanges {
  readonly #look: (dirty: Dirty) => void;
  readonly #unsubscribe: (() => void)[];
  #dirty = new Set<string>();
  #all = true;
  #scheduled = false;
  #started = false;

  constructor(caches: FollowedCaches<'services' | 'slices'>, look: (dirty: Dirty) => void) {
    this.#look = look;
    this.#unsubscribe = [
      caches.services.subscribe(({ key }: { key: string }) => this.#touch([key])),
      caches.slices.subscribe((change) => {
        if (change.type !== 'added') this.#touch(serviceKeyOf(change.old));
        if (change.type !== 'deleted') this.#touch(serviceKeyOf(change.object));
      }),
    ];
  }

  start(): void {
    this.#started = true;
    this.#flush();
  }

  stop(): void {
    this.#started = false;
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  /** Something changed that concerns every Service. */
  touchAll(): void {
    this.#all = true;
    this.#schedule();
  }

  #touch(keys: readonly string[]): void {
    for (const key of keys) this.#dirty.add(key);
    this.#schedule();
  }

  #schedule(): void {
    if (!this.#started || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#started) this.#flush();
    });
  }

  #flush(): void {
    const dirty: Dirty = this.#all ? 'all' : this.#dirty;
    this.#all = false;
    this.#dirty = new Set();
    this.#look(dirty);
  }
}

/** The Services to look at: every one there is and every one that is still remembered, or just the dirty ones. */
export function keysToLookAt(
  dirty: Dirty,
  remembered: Iterable<string>,
  services: { keys(): Iterable<string>; get(key: string): Service | undefined },
): Set<string> {
  return dirty === 'all' ? new Set([...remembered, ...services.keys()]) : new Set(dirty);
}
