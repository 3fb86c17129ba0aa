import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { KubeError, type Service } from '../../src/kube/index.ts';
import { finalizer, get, ips, Life, pool } from './controller-life.ts';
import { FakeServices } from './fake-services.ts';

const names = ['s1', 's2', 's3'];

/** The caches of the replicas: each learns of every change of every Service in order, but as late as it likes. */
class LaggingCache {
  readonly #history = new Map<string, { states: (Service | undefined)[]; seen: number }>();

  constructor() {
    for (const name of names) this.#history.set(`default/${name}`, { states: [undefined], seen: 0 });
  }

  record(services: ReadonlyMap<string, Service>): void {
    for (const [key, { states }] of this.#history) {
      const now = services.get(key);
      if (now?.metadata.resourceVersion !== states.at(-1)?.metadata.resourceVersion) states.push(structuredClone(now));
    }
  }

  /** Lets the cache see so many more changes of a Service. */
  advance(name: string, changes: number): void {
    const entry = this.#history.get(`default/${name}`);
    if (entry) entry.seen = Math.min(entry.states.length - 1, entry.seen + changes);
  }

  /** From here on it is the cache of another replica, so many changes of each Service behind. */
  replace(behind: number): void {
    for (const entry of this.#history.values()) entry.seen = Math.max(0, entry.states.length - 1 - behind);
  }

  get(key: string): Service | undefined {
    const entry = this.#history.get(key);
    return structuredClone(entry?.states[entry.seen]);
  }
}

const name = fc.constantFrom(...names);
const step = fc.oneof(
  fc.record({
    kind: fc.constant('create' as const),
    name,
    type: fc.constantFrom('ClusterIP' as const, 'LoadBalancer' as const),
  }),
  fc.record({ kind: fc.constant('delete' as const), name }),
  fc.record({ kind: fc.constant('ask' as const), name, pool: fc.constantFrom('a', 'b') }),
  fc.record({
    kind: fc.constant('type' as const),
    name,
    type: fc.constantFrom('ClusterIP' as const, 'LoadBalancer' as const),
  }),
  fc.record({ kind: fc.constant('takeover' as const), behind: fc.nat(5) }),
  fc.record({
    kind: fc.constant('reconcile' as const),
    names: fc.uniqueArray(name, { minLength: 1 }),
    changes: fc.constantFrom(0, 1, 2, 100),
  }),
  fc.record({ kind: fc.constant('strip' as const), name }),
  fc.record({ kind: fc.constant('rival' as const), name, clear: fc.boolean() }),
  fc.record({ kind: fc.constant('pools' as const), choice: fc.nat(2) }),
  fc.record({ kind: fc.constant('lose' as const), at: fc.integer({ min: 1, max: 3 }) }),
);

test('however late the cache is: never one address twice, no change without cause, and in the end all agree', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 15, maxLength: 40, size: 'max' }), async (steps) => {
      const api = new FakeServices();
      const cache = new LaggingCache();
      let pools = [pool('a', '192.0.2.1'), pool('b', '198.51.100.1')];
      /** What each incarnation has shown, and whether its address may change. */
      const shown = new Map<string, string>();
      const movable = new Set<string>();
      api.onChange = (services) => {
        const all = [...services.values()].flatMap((service) => ips(service));
        expect(new Set(all).size).toBe(all.length);
        for (const { metadata, ...service } of services.values()) {
          const [ip] = ips({ metadata, ...service });
          const { uid = '' } = metadata;
          if (ip !== undefined && !movable.has(uid)) expect(shown.get(uid) ?? ip).toBe(ip);
          if (ip !== undefined) shown.set(uid, ip);
        }
        cache.record(services);
      };
      let life = new Life(api, pools, cache);
      const reconcile = async (which: readonly string[]) => {
        for (const result of await Promise.allSettled(which.map((one) => life.reconcile(one)))) {
          if (result.status === 'rejected' && !(result.reason instanceof KubeError)) throw result.reason;
        }
      };
      const asked = (one: string) => movable.add(get(api, one)?.metadata.uid ?? '');
      for (const action of steps) {
        switch (action.kind) {
          case 'create':
            if (!get(api, action.name)) {
              api.create(action.name, { type: action.type });
            }
            break;
          case 'delete':
            api.delete(action.name);
            break;
          case 'ask':
            asked(action.name);
            api.edit(action.name, ({ metadata }) => {
              Object.assign(metadata.annotations ?? {}, { 'ovenbird.dev/address-pool': action.pool });
            });
            break;
          case 'type':
            asked(action.name);
            api.edit(action.name, ({ spec }) => {
              spec.type = action.type;
            });
            break;
          case 'takeover':
            cache.replace(action.behind);
            life = new Life(api, pools, cache);
            await reconcile(names);
            break;
          case 'reconcile':
            for (const one of action.names) cache.advance(one, action.changes);
            await reconcile(action.names);
            break;
          case 'strip':
            api.edit(action.name, ({ metadata }) => {
              metadata.finalizers = [];
            });
            break;
          case 'rival':
            movable.add(get(api, action.name)?.metadata.uid ?? '');
            api.edit(action.name, (service) => {
              if (service.spec.type !== 'LoadBalancer') return;
              service.status = {
                ...service.status,
                loadBalancer: action.clear ? {} : { ingress: [{ ip: `10.0.0.${action.name.slice(1)}` }] },
              };
            });
            break;
          case 'pools':
            pools =
              [
                [pool('a', '192.0.2.1'), pool('b', '198.51.100.1')],
                [pool('b', '192.0.2.1-192.0.2.2')],
                [pool('a', '192.0.2.2')],
              ][action.choice] ?? [];
            life.allocator.setPools(pools);
            break;
          case 'lose': {
            // A request of the next reconciles gets no answer; whether it had an effect is not known.
            let calls = 0;
            api.onCall = (_, what) => {
              calls += 1;
              if (calls === action.at) throw new KubeError('Timeout', what);
            };
            break;
          }
        }
      }
      api.onCall = () => {};
      for (const one of names) cache.advance(one, Number.POSITIVE_INFINITY);
      for (let rounds = 0; rounds < 8; rounds++) {
        await life.clock.advance(60_000);
        await reconcile(names);
        for (const one of names) cache.advance(one, Number.POSITIVE_INFINITY);
      }
      await life.settle(names);
      for (const service of api.all()) {
        expect(life.allocator.reservedBy(`default/${service.metadata.name}`).map(String)).toEqual(ips(service));
        expect(service.metadata.deletionTimestamp).toBeUndefined();
        // One that lost its address by being another type for a while keeps its marks until it is let go.
        if (ips(service).length > 0) expect(service.metadata.finalizers).toEqual([finalizer]);
        if (service.spec.type !== 'LoadBalancer') expect(service.metadata.finalizers ?? []).toEqual([]);
      }
      expect([...life.allocator.holders()].sort()).toEqual(
        api
          .all()
          .flatMap((service) => (ips(service).length > 0 ? `default/${service.metadata.name}` : []))
          .sort(),
      );
    }),
    { numRuns: 300 },
  );
});
