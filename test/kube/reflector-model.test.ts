import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ManualClock } from '../../src/base/index.ts';
import {
  type Change,
  type KubeClient,
  KubeError,
  type ObjectList,
  ResourceCache,
  resources,
  type Service,
  type WatchEvent,
  type WatchOptions,
} from '../../src/kube/index.ts';
import { FakeCollection } from './fake-collection.ts';

/** What happens to the next list page, or to a watch after so many events. */
type Trouble = 'lost' | 'gone' | 'garbage' | 'closed' | 'busy' | 'stall' | 'refused';

const errors: Record<Exclude<Trouble, 'closed' | 'stall'>, () => KubeError> = {
  lost: () => new KubeError('Network', 'lost'),
  gone: () => new KubeError('Gone', 'expired'),
  garbage: () => new KubeError('BadResponse', 'not JSON'),
  busy: () => new KubeError('TooManyRequests', 'busy', { retryAfterMs: 400 }),
  refused: () => new KubeError('Invalid', 'sendInitialEvents is forbidden'),
};

function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    if (signal?.aborted) reject(signal.reason);
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** A client of one collection without any network: troubles are met in the order given, each after `after` messages. */
class TroubledClient implements Pick<KubeClient, 'pages' | 'watch'> {
  readonly collection: FakeCollection<Service>;
  readonly troubles: { trouble: Trouble; after: number }[] = [];
  readonly pageSize = 2;
  lists = 0;
  #breakNow = Promise.withResolvers<never>();

  constructor(collection: FakeCollection<Service>) {
    this.collection = collection;
    this.#breakNow.promise.catch(() => {});
  }

  /** Breaks the watches that are open. */
  break(): void {
    this.#breakNow.reject(errors.lost());
    this.#breakNow = Promise.withResolvers<never>();
    this.#breakNow.promise.catch(() => {});
  }

  async *pages<T>(): AsyncGenerator<ObjectList<T>, void> {
    this.lists += 1;
    const items = this.collection.list();
    const resourceVersion = String(this.collection.revision);
    for (let begin = 0; begin === 0 || begin < items.length; begin += this.pageSize) {
      const met = this.troubles[0];
      if (met && met.after <= begin) {
        this.troubles.shift();
        throw errors[met.trouble === 'closed' || met.trouble === 'stall' ? 'lost' : met.trouble]();
      }
      yield { metadata: { resourceVersion }, items: structuredClone(items.slice(begin, begin + this.pageSize)) as T[] };
    }
  }

  async *watch<T>(_resource: unknown, options: WatchOptions = {}): AsyncGenerator<WatchEvent<T>, void> {
    const met = this.troubles.shift();
    if (met?.trouble === 'refused' && !options.sendInitialEvents) met.trouble = 'lost';
    if (met?.trouble === 'refused' || met?.trouble === 'busy') throw errors[met.trouble]();
    options.onOpen?.();
    const queue: WatchEvent<Service>[] = [];
    const broken = this.#breakNow.promise;
    let wake = () => {};
    const { collection } = this;
    if (options.sendInitialEvents) {
      for (const object of collection.list()) queue.push({ type: 'ADDED', object });
      const annotations = { 'k8s.io/initial-events-end': 'true' };
      queue.push({
        type: 'BOOKMARK',
        object: { metadata: { resourceVersion: String(collection.revision), annotations } },
      });
    } else {
      const events = collection.since(Number(options.resourceVersion));
      if (!events) throw errors.gone();
      for (const { type, object } of events) queue.push({ type, object });
    }
    const stop = collection.watch(({ type, object }) => {
      queue.push({ type, object });
      wake();
    });
    try {
      for (let sent = 0; ; sent++) {
        if (met && sent >= met.after) {
          if (met.trouble === 'closed') return;
          if (met.trouble === 'stall') await aborted(options.signal);
          else throw errors[met.trouble]();
        }
        while (queue.length === 0) {
          const woken = new Promise<void>((resolve) => {
            wake = resolve;
          });
          await Promise.race([woken, broken, aborted(options.signal)]);
        }
        options.onData?.(1);
        yield structuredClone(queue.shift()) as WatchEvent<T>;
      }
    } finally {
      stop();
    }
  }
}

type Step =
  | { do: 'put'; name: string }
  | { do: 'delete'; name: string }
  | { do: 'compact' }
  | { do: 'break' }
  | { do: 'trouble'; trouble: Trouble; after: number }
  | { do: 'time'; ms: number };

const name = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('put' as const), name }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), name }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('compact' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('break' as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('trouble' as const),
      trouble: fc.constantFrom<Trouble>('lost', 'gone', 'garbage', 'closed', 'busy', 'stall', 'refused'),
      after: fc.nat(4),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('time' as const), ms: fc.constantFrom(0, 10, 500, 20_000, 200_000) }),
  },
);

function service(of: string): Service {
  return { metadata: { namespace: 'default', name: of }, spec: {} };
}

const versions = (list: readonly Service[]) => list.map(({ metadata: m }) => `${m.name} ${m.uid} ${m.resourceVersion}`);

/** Checks every change against the ones before it. */
class Mirror {
  readonly known = new Map<string, Service>();

  take(change: Change<Service>): void {
    const before = this.known.get(change.key);
    if (change.type === 'added') expect(before).toBeUndefined();
    else expect(before).toBe(change.old);
    if (change.type === 'deleted') this.known.delete(change.key);
    else this.known.set(change.key, change.object);
    // Versions of one object never go back.
    if (change.type === 'modified') {
      expect(Number(change.object.metadata.resourceVersion)).toBeGreaterThan(
        Number(change.old.metadata.resourceVersion),
      );
    }
  }

  list(): Service[] {
    return [...this.known.keys()].sort().map((key) => this.known.get(key) as Service);
  }
}

test('whatever happens to lists and watches, the cache comes to equal the server, and its changes add up', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.array(name, { maxLength: 5 }), async (steps, existing) => {
      const clock = new ManualClock();
      const collection = new FakeCollection<Service>();
      for (const of of existing) collection.put(service(of));
      const client = new TroubledClient(collection);
      const cache = new ResourceCache<Service>({ client, resource: resources.services, clock, random: () => 0.5 });
      const mirror = new Mirror();
      const wrong: unknown[] = [];
      cache.subscribe((change) => {
        try {
          mirror.take(change);
        } catch (thrown) {
          wrong.push(thrown);
        }
      });
      const abort = new AbortController();
      const done = cache.run(abort.signal);
      for (const now of steps) {
        if (now.do === 'put') collection.put(service(now.name));
        else if (now.do === 'delete') collection.delete(`default/${now.name}`);
        else if (now.do === 'compact') collection.compact();
        else if (now.do === 'break') client.break();
        else if (now.do === 'trouble') client.troubles.push({ trouble: now.trouble, after: now.after });
        else await clock.advance(now.ms);
        // What listeners were told is what the store holds, at every moment.
        expect(versions(mirror.list())).toEqual(versions(cache.store.list()));
      }
      expect(wrong).toEqual([]);
      client.troubles.length = 0;
      // The longest way to notice: a watch that was stalled when the troubles ended (150 s), then the pauses.
      for (let waited = 0; waited < 40; waited++) await clock.advance(20_000);
      expect(versions(cache.store.list())).toEqual(versions(collection.list()));
      expect(wrong.map(String)).toEqual([]);
      expect(versions(mirror.list())).toEqual(versions(collection.list()));
      expect(cache.status).toMatchObject({ phase: 'watching', synced: true });
      abort.abort();
      await clock.advance(0);
      await done;
      expect(clock.pendingTimers).toBe(0);
    }),
    { numRuns: 200 },
  );
});

test('a quiet watch that the server does not end is ended here, and no list follows', async () => {
  const clock = new ManualClock();
  const collection = new FakeCollection<Service>();
  const client = new TroubledClient(collection);
  const timing = { watchMs: 100_000, idleMs: 1_000_000 };
  const options = { client, resource: resources.services, clock, timing, random: () => 0 };
  const cache = new ResourceCache<Service>(options);
  const abort = new AbortController();
  const done = cache.run(abort.signal);
  await clock.advance(0);
  expect(cache.status.watches).toBe(1);
  await clock.advance(114_999);
  expect(cache.status.watches).toBe(1);
  await clock.advance(1);
  expect(cache.status).toMatchObject({ watches: 2, lists: 1, phase: 'watching' });
  abort.abort();
  await done;
  expect(clock.pendingTimers).toBe(0);
});
