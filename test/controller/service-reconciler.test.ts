import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Programming } from '../../src/controller/service-changes.ts';
import { KubeError, type Service } from '../../src/kube/index.ts';
import { allocated, finalizer, get, ips, Life, pool } from './controller-life.ts';
import { FakeServices } from './fake-services.ts';

describe('a new address and OVN', () => {
  const settling: Programming = {
    kind: 'known',
    settling: true,
    condition: { type: 'ovenbird.dev/Programmed', status: 'Unknown', reason: 'NotYetProgrammed', message: 'writing' },
  };
  const settled: Programming = {
    kind: 'known',
    condition: { type: 'ovenbird.dev/Programmed', status: 'True', reason: 'Programmed', message: 'there' },
  };
  const programmed = (service: Service | undefined) =>
    service?.status?.conditions?.find(({ type }) => type === 'ovenbird.dev/Programmed')?.status;
  function setUp(programming: Programming) {
    const api = new FakeServices();
    const life = new Life(api, [pool('a', '192.0.2.1-192.0.2.9')]);
    life.programming = programming;
    api.create('web');
    return { api, life };
  }

  test('it is held back until OVN carries it, and is published in one write', async () => {
    const { api, life } = setUp(settling);
    expect(await life.reconcile('web')).toEqual({ requeueAfterMs: 2_000 });
    await life.clock.advance(300);
    expect(await life.reconcile('web')).toEqual({ requeueAfterMs: 1_700 });
    expect([life.handedOver, [...life.reconciler.heldBack], api.writes]).toEqual([
      ['default/web'],
      ['default/web'],
      [],
    ]);
    life.programming = settled;
    expect(await life.reconcile('web')).toEqual({});
    expect([[...life.reconciler.heldBack], api.writes]).toEqual([[], ['status web']]);
    expect([ips(get(api, 'web')), programmed(get(api, 'web'))]).toEqual([['192.0.2.1'], 'True']);
  });

  test('but not for long', async () => {
    const { api, life } = setUp(settling);
    await life.reconcile('web');
    await life.clock.advance(2_000);
    await life.reconcile('web');
    expect([ips(get(api, 'web')), programmed(get(api, 'web'))]).toEqual([['192.0.2.1'], 'Unknown']);
    life.programming = settled;
    await life.reconcile('web');
    expect([api.writes, programmed(get(api, 'web'))]).toEqual([['status web', 'status web'], 'True']);
  });

  test('and not at all while the writer cannot write', async () => {
    const { api, life } = setUp({ ...settling, settling: false });
    await life.reconcile('web');
    expect([ips(get(api, 'web')), programmed(get(api, 'web'))]).toEqual([['192.0.2.1'], 'Unknown']);
  });

  test('what OVN cannot carry is told with an Event, once, and so is the end of it', async () => {
    const { api, life } = setUp(settled);
    await life.reconcile('web');
    expect(life.announced.map(({ reason }) => reason)).toEqual(['Allocated']);
    const { condition } = settled;
    life.programming = {
      kind: 'known',
      condition: { ...condition, status: 'False', reason: 'NotExpressible', message: 'port 80 is taken; use another' },
    };
    for (const label of ['a', 'b']) {
      await life.reconcile('web');
      api.edit('web', ({ metadata }) => {
        metadata.labels = { label };
        metadata.generation = (metadata.generation ?? 1) + 1;
      });
    }
    await life.reconcile('web');
    life.programming = settled;
    await life.reconcile('web');
    expect(life.announced.slice(1)).toEqual([
      { service: 'web', type: 'Warning', reason: 'NotExpressible', note: 'port 80 is taken; use another' },
      { service: 'web', type: 'Normal', reason: 'Programmed', note: 'there' },
    ]);
  });

  test('another address than the one that was handed over is handed over anew', async () => {
    const { api, life } = setUp(settling);
    await life.reconcile('web');
    api.edit('web', ({ metadata }) => {
      metadata.annotations = { 'ovenbird.dev/loadBalancerIPs': '192.0.2.7' };
    });
    await life.clock.advance(1_500);
    expect(await life.reconcile('web')).toEqual({ requeueAfterMs: 2_000 });
    expect(life.handedOver).toEqual(['default/web', 'default/web']);
  });

  test('an address that was given up is taken from OVN, also when the watch tells of the write before its answer', async () => {
    const { api, life } = setUp(settled);
    await life.reconcile('web');
    // The watch has OVN look at the Service while the old address is still reserved for it.
    api.onChange = () => life.carried.set('default/web', life.allocator.reservedBy('default/web').map(String));
    api.edit('web', ({ metadata }) => {
      Object.assign(metadata.annotations ?? {}, { 'ovenbird.dev/loadBalancerIPs': '192.0.2.7' });
    });
    await life.reconcile('web');
    expect(life.carried.get('default/web')).toEqual(['192.0.2.7']);

    api.edit('web', ({ metadata }) => {
      metadata.finalizers = [];
    });
    api.delete('web');
    api.create('web', {}, { 'ovenbird.dev/loadBalancerIPs': 'unreadable' });
    await life.reconcile('web');
    expect(life.carried.get('default/web')).toEqual([]);
  });

  test('a Service that is deleted meanwhile leaves nothing behind', async () => {
    const { api, life } = setUp(settling);
    await life.reconcile('web');
    api.delete('web');
    await life.reconcile('web');
    expect([[...life.reconciler.heldBack], [...life.allocator.holders()], api.writes]).toEqual([[], [], []]);
  });

  test('an address that the status says already waits for nothing', async () => {
    const { api, life } = setUp(settled);
    await life.reconcile('web');
    const next = new Life(api, [pool('a', '192.0.2.1-192.0.2.9')]);
    next.programming = settling;
    expect(await next.reconcile('web')).toEqual({});
    expect(next.handedOver).toEqual([]);
  });
});

describe('one Service', () => {
  test.each([
    ['in one write', true, ['status web']],
    ['in two where the server takes no metadata along with a status', false, ['status web', 'metadata web']],
  ])('finalizer, claim and address %s, one announcement; then nothing', async (_, metadataWithStatus, writes) => {
    const api = new FakeServices();
    api.metadataWithStatus = metadataWithStatus;
    const life = new Life(api, [pool('a', '192.0.2.1-192.0.2.9')]);
    api.create('web');
    await life.reconcile('web');
    expect(api.writes).toEqual(writes);
    expect(get(api, 'web')).toMatchObject({
      metadata: {
        finalizers: [finalizer],
        annotations: {
          'ovenbird.dev/ip-allocated-from-pool': 'a',
          'ovenbird.dev/claimed-for-class': 'ovenbird.dev/loadbalancer',
        },
      },
      status: {
        loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] },
        conditions: [{ type: 'ovenbird.dev/IPAllocated', status: 'True', reason: 'Allocated' }],
      },
    });
    expect(life.announced).toEqual([
      { service: 'web', type: 'Normal', reason: 'Allocated', note: '192.0.2.1 from pool "a"' },
    ]);
    await life.reconcile('web');
    await new Life(api, [pool('a', '192.0.2.1-192.0.2.9')]).settle(['web']);
    expect(api.writes).toEqual(writes);
  });

  test('deleted: status cleared, then the finalizer; the address is free and re-used last', async () => {
    const api = new FakeServices();
    const life = new Life(api, [pool('a', '192.0.2.1-192.0.2.2')]);
    api.create('web');
    await life.reconcile('web');
    api.edit('web', ({ metadata }) => metadata.finalizers?.push('other.io/finalizer'));
    api.delete('web');
    api.writes = [];
    await life.reconcile('web');
    expect(api.writes).toEqual(['status web', 'metadata web']);
    expect(get(api, 'web')?.metadata.finalizers).toEqual(['other.io/finalizer']);
    expect(get(api, 'web')?.metadata.annotations).toEqual({});
    expect(get(api, 'web')?.status).toEqual({ loadBalancer: {} });
    await life.reconcile('web');
    expect(api.writes).toHaveLength(2);
    expect(life.announced).toHaveLength(1);
    for (const name of ['b', 'c']) api.create(name);
    await life.settle(['b', 'c']);
    expect([ips(get(api, 'b')), ips(get(api, 'c'))]).toEqual([['192.0.2.2'], ['192.0.2.1']]);
  });

  test('no longer a load balancer: every trace goes, what others wrote stays', async () => {
    const api = new FakeServices();
    const life = new Life(api, [pool('a', '192.0.2.1')]);
    api.create('web', {}, { mine: 'x' });
    await life.reconcile('web');
    const foreign = { type: 'x.io/Y', status: 'True' as const, reason: 'Z', message: '', lastTransitionTime: '' };
    api.edit('web', (service) => {
      service.status?.conditions?.push(foreign);
      service.spec.type = 'ClusterIP';
    });
    await life.settle(['web']);
    expect(get(api, 'web')?.metadata).toMatchObject({ annotations: { mine: 'x' } });
    expect(get(api, 'web')?.metadata.finalizers).toBeUndefined();
    expect(get(api, 'web')?.status?.conditions).toEqual([foreign]);
    expect(life.allocator.holderOf).toBeDefined();
    expect([...life.allocator.holders()]).toEqual([]);
    expect(life.announced.at(-1)).toMatchObject({
      reason: 'Released',
      note: expect.stringMatching(/^192\.0\.2\.1 released/),
    });
  });

  test.each([
    ['of another class', { loadBalancerClass: 'example.com/other' }],
    ['of another type', { type: 'NodePort' as const }],
  ])('a Service %s is not touched at all, whatever is on it', async (_, spec) => {
    const api = new FakeServices();
    api.create('web', spec);
    api.edit('web', (service) => {
      service.metadata.finalizers = [finalizer];
      if (service.spec.type === 'LoadBalancer') service.status = { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } };
    });
    const before = get(api, 'web');
    const life = new Life(api, [pool('a', '192.0.2.1')]);
    await life.settle(['web']);
    expect(get(api, 'web')).toEqual(before);
    api.delete('web');
    await life.settle(['web']);
    expect(api.writes).toEqual([]);
    expect(get(api, 'web')?.metadata.finalizers).toEqual([finalizer]);
  });

  test.each([
    ['is deleted', (api: FakeServices) => api.delete('web')],
    [
      'asks for no load balancer any more',
      (api: FakeServices) =>
        api.edit('web', ({ spec }) => {
          spec.type = 'ClusterIP';
        }),
    ],
  ])('a Service whose annotations were wiped and that %s keeps no finalizer', async (_, change) => {
    const api = new FakeServices();
    const pools = [pool('a', '192.0.2.1')];
    const life = new Life(api, pools);
    api.create('web');
    await life.reconcile('web');
    api.edit('web', ({ metadata }) => {
      metadata.annotations = {};
    });
    change(api);
    await life.settle(['web']);
    expect(get(api, 'web')?.metadata.finalizers).toBeUndefined();
  });

  test('a Service that is deleted with its annotations wiped while nobody looked keeps no finalizer', async () => {
    const api = new FakeServices();
    const pools = [pool('a', '192.0.2.1')];
    api.create('web');
    await new Life(api, pools).reconcile('web');
    api.edit('web', ({ metadata }) => {
      metadata.annotations = {};
    });
    api.delete('web');
    await new Life(api, pools).settle(['web']);
    expect(get(api, 'web')).toBeUndefined();
  });

  test('the finalizer of another implementation on a Service that we gave nothing stays', async () => {
    const api = new FakeServices();
    const life = new Life(api, []);
    api.create('web');
    api.edit('web', ({ metadata }) => {
      metadata.finalizers = [finalizer];
    });
    await life.reconcile('web');
    api.delete('web');
    await life.settle(['web']);
    expect(get(api, 'web')?.metadata.finalizers).toEqual([finalizer]);
  });

  test('a Service that went to another class while nobody looked loses our marks, not what the other wrote', async () => {
    const api = new FakeServices();
    api.create('web');
    await new Life(api, [pool('a', '192.0.2.1')]).reconcile('web');
    api.edit('web', ({ spec, status }) => {
      spec.loadBalancerClass = 'example.com/other';
      if (status) status.loadBalancer = { ingress: [{ ip: '203.0.113.9' }] };
    });
    const life = new Life(api, [pool('a', '192.0.2.1')]);
    await life.settle(['web']);
    expect(get(api, 'web')?.metadata.annotations).toEqual({});
    expect(get(api, 'web')?.metadata.finalizers).toBeUndefined();
    expect(ips(get(api, 'web'))).toEqual(['203.0.113.9']);
    expect(allocated(get(api, 'web'))).toBeUndefined();
    expect([...life.allocator.holders()]).toEqual([]);
  });

  test('deleted and made anew under its name: the old address is given back, not inherited', async () => {
    const api = new FakeServices();
    const life = new Life(api, [pool('a', '192.0.2.1-192.0.2.2')]);
    api.create('web');
    await life.reconcile('web');
    api.edit('web', ({ metadata }) => {
      metadata.finalizers = [];
    });
    api.delete('web');
    api.create('web');
    await life.settle(['web']);
    expect(ips(get(api, 'web'))).toEqual(['192.0.2.2']);
    expect([...life.allocator.usage()][0]?.assigned[4]).toBe(1);
  });

  test('gone without a word: the address is free', async () => {
    const api = new FakeServices();
    const life = new Life(api, [pool('a', '192.0.2.1')]);
    api.create('web');
    await life.reconcile('web');
    api.edit('web', ({ metadata }) => {
      metadata.finalizers = [];
    });
    api.delete('web');
    await life.reconcile('web');
    expect([...life.allocator.holders()]).toEqual([]);
  });

  test.each([
    [
      'moves',
      (api: FakeServices) =>
        api.edit('one', ({ metadata }) =>
          Object.assign(metadata.annotations ?? {}, { 'ovenbird.dev/address-pool': 'b' }),
        ),
    ],
    ['goes', (api: FakeServices) => api.delete('one')],
  ])('the address of a Service that %s is for others only after its status is written', async (_, change) => {
    const api = new FakeServices();
    const life = new Life(api, [pool('a', '192.0.2.1'), pool('b', '198.51.100.1')]);
    api.create('one');
    await life.reconcile('one');
    api.create('two', {}, { 'ovenbird.dev/loadBalancerIPs': '192.0.2.1' });
    change(api);
    const slow = Promise.withResolvers<void>();
    const { pause } = api;
    api.pause = () => slow.promise;
    const letting = life.reconcile('one');
    api.pause = pause;
    await life.reconcile('two');
    expect(allocated(get(api, 'two'))).toMatchObject({ reason: 'AddressInUse', status: 'False' });
    slow.resolve();
    await letting;
    await life.reconcile('two');
    expect(ips(get(api, 'two'))).toEqual(['192.0.2.1']);
  });

  test('what was written counts before the watch tells of it', async () => {
    const api = new FakeServices();
    api.create('web');
    const stale = get(api, 'web');
    const lagging = new Life(api, [pool('a', '192.0.2.1')], { get: () => structuredClone(stale) });
    for (let times = 0; times < 3; times++) await lagging.reconcile('web');
    expect(api.writes).toEqual(['status web']);
  });

  test('a holder the cache has not heard of yet keeps its address', async () => {
    const api = new FakeServices();
    api.create('web');
    await new Life(api, [pool('a', '192.0.2.1')]).reconcile('web');
    const life = new Life(api, [pool('a', '192.0.2.1')]);
    const { get: seen } = api.store;
    api.store.get = () => undefined;
    Object.assign(api.client, { get: async () => seen('default/web') });
    await life.reconcile('web');
    expect([...life.allocator.holders()]).toEqual(['default/web']);
  });

  test('a request that cannot be met: condition and warning once, no claim, waits; then the address comes', async () => {
    const api = new FakeServices();
    const life = new Life(api, []);
    api.create('web');
    await life.settle(['web']);
    expect(api.writes).toEqual(['status web']);
    expect(allocated(get(api, 'web'))).toMatchObject({ status: 'False', reason: 'NoPool' });
    expect(life.announced).toMatchObject([{ type: 'Warning', reason: 'NoPool' }]);
    expect([...life.reconciler.waiting]).toEqual(['default/web']);
    life.allocator.setPools([pool('a', '192.0.2.1')]);
    await life.settle(['web']);
    expect(ips(get(api, 'web'))).toEqual(['192.0.2.1']);
    expect([...life.reconciler.waiting]).toEqual([]);
  });

  test('two Services with one address in their status: the older keeps it, the other gets a new one', async () => {
    const api = new FakeServices();
    for (const name of ['older', 'newer']) {
      api.create(name);
      api.edit(name, (service) => {
        service.status = { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } };
      });
    }
    const life = new Life(api, [pool('a', '192.0.2.1-192.0.2.2')]);
    await life.settle(['newer', 'older']);
    expect([ips(get(api, 'older')), ips(get(api, 'newer'))]).toEqual([['192.0.2.1'], ['192.0.2.2']]);
  });

  test('a host name that a cloud wrote is left alone while there is no address to give', async () => {
    const api = new FakeServices();
    api.create('web');
    api.edit('web', (service) => {
      service.status = { loadBalancer: { ingress: [{ hostname: 'lb.example' }] } };
    });
    const life = new Life(api, []);
    await life.settle(['web']);
    expect(get(api, 'web')?.status?.loadBalancer).toEqual({ ingress: [{ hostname: 'lb.example' }] });
  });
});

/** Killed: nothing after this point happens, as with SIGKILL. */
class Killed extends Error {}

describe('killed at any point', () => {
  const pools = [pool('a', '192.0.2.1-192.0.2.4'), pool('b', '198.51.100.1-198.51.100.2')];
  const scenario: ((api: FakeServices) => void)[] = [
    (api) => api.create('one'),
    (api) => api.create('two', {}, { 'ovenbird.dev/loadBalancerIPs': '192.0.2.3' }),
    (api) =>
      api.edit('one', ({ metadata }) =>
        Object.assign(metadata.annotations ?? {}, { 'ovenbird.dev/address-pool': 'b' }),
      ),
    (api) => api.delete('two'),
    (api) => api.create('three', {}, { 'ovenbird.dev/loadBalancerIPs': '192.0.2.3' }),
    (api) =>
      api.edit('one', ({ spec }) => {
        spec.type = 'ClusterIP';
      }),
    (api) => api.delete('one'),
  ];
  const names = ['one', 'two', 'three'];

  /** Runs the scenario; the controller dies at call `killAt` and is started again. Gives how many calls there were. */
  async function run(killAt: number): Promise<{ calls: number; final: unknown }> {
    const api = new FakeServices();
    let calls = 0;
    let dead = false;
    api.onCall = () => {
      calls += 1;
      dead ||= calls === killAt;
      if (dead) throw new Killed();
    };
    api.onChange = (services) => {
      const all = [...services.values()].flatMap((service) => ips(service));
      expect(new Set(all).size).toBe(all.length);
    };
    let life = new Life(api, pools);
    const settle = async () => {
      try {
        await life.settle(names);
      } catch (thrown) {
        if (!(thrown instanceof Killed)) throw thrown;
        dead = false;
        life = new Life(api, pools);
        await life.settle(names);
      }
    };
    for (const step of scenario) {
      step(api);
      const published = new Map(names.map((name) => [name, ips(get(api, name))]));
      await settle();
      // What nobody asked to change has not changed.
      if (step !== scenario[2] && step !== scenario[5] && step !== scenario[6]) {
        const [before] = published.get('one') ?? [];
        if (before !== undefined) expect(ips(get(api, 'one'))).toEqual([before]);
      }
    }
    expect(get(api, 'one')).toBeUndefined();
    expect(get(api, 'two')).toBeUndefined();
    expect(ips(get(api, 'three'))).toEqual(['192.0.2.3']);
    expect([...life.allocator.holders()]).toEqual(['default/three']);
    api.delete('three');
    await settle();
    expect(api.all()).toEqual([]);
    expect(life.allocator.usage().map(({ assigned }) => assigned[4])).toEqual([0, 0]);
    return { calls, final: api.all() };
  }

  test('the next life heals: no double address, no change, no leak, no finalizer left', async () => {
    const { calls } = await run(0);
    expect(calls).toBeGreaterThan(15);
    for (let killAt = 1; killAt <= calls; killAt++) await run(killAt);
  });
});

describe('random lives', () => {
  const poolChoices = [
    [],
    [pool('a', '192.0.2.1-192.0.2.2')],
    [pool('a', '192.0.2.1-192.0.2.2'), pool('b', '198.51.100.1')],
    [pool('b', '192.0.2.1-192.0.2.2')],
  ];
  const name = fc.constantFrom('s1', 's2', 's3');
  const action = fc.oneof(
    fc.record({ kind: fc.constant('create' as const), name, ip: fc.constantFrom('', '192.0.2.1', '203.0.113.1', 'x') }),
    fc.record({ kind: fc.constant('delete' as const), name }),
    fc.record({ kind: fc.constant('ask' as const), name, pool: fc.constantFrom('', 'a', 'b') }),
    fc.record({
      kind: fc.constant('type' as const),
      name,
      type: fc.constantFrom('ClusterIP' as const, 'LoadBalancer' as const),
    }),
    fc.record({ kind: fc.constant('pools' as const), choice: fc.nat(3) }),
    fc.record({ kind: fc.constant('restart' as const) }),
    fc.record({ kind: fc.constant('conflict' as const), at: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ kind: fc.constant('kill' as const), at: fc.integer({ min: 1, max: 6 }) }),
  );

  test('never one address twice, never a change without cause, and at rest status and memory agree', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(action, { maxLength: 20 }),
        fc.infiniteStream(fc.constantFrom(0, 1, 40)),
        async (actions, delays) => {
          const api = new FakeServices();
          api.pause = async () => {
            for (let turns = delays.next().value ?? 0; turns >= 0; turns--) await Promise.resolve();
          };
          api.onChange = (services) => {
            const all = [...services.values()].flatMap((service) => ips(service));
            expect(new Set(all).size).toBe(all.length);
          };
          let pools = poolChoices[1] ?? [];
          let life = new Life(api, pools);
          const names = ['s1', 's2', 's3'];
          for (const step of actions) {
            const before = new Map(api.all().map((service) => [service.metadata.uid, service]));
            let calls = 0;
            const doomed = life;
            api.onCall = () => {};
            switch (step.kind) {
              case 'create':
                if (!get(api, step.name)) {
                  api.create(step.name, {}, step.ip === '' ? {} : { 'ovenbird.dev/loadBalancerIPs': step.ip });
                }
                break;
              case 'delete':
                api.delete(step.name);
                break;
              case 'ask':
                api.edit(step.name, ({ metadata }) => {
                  Object.assign(metadata.annotations ?? {}, { 'ovenbird.dev/address-pool': step.pool });
                });
                break;
              case 'type':
                api.edit(step.name, ({ spec }) => {
                  spec.type = step.type;
                });
                break;
              case 'pools':
                pools = poolChoices[step.choice] ?? [];
                life.allocator.setPools(pools);
                break;
              case 'restart':
                life = new Life(api, pools);
                break;
              case 'conflict':
                api.onCall = (point, what) => {
                  calls += 1;
                  if (calls === step.at && point === 'before') throw new KubeError('Conflict', what);
                  if (calls === step.at) throw new KubeError('Timeout', what);
                };
                break;
              case 'kill':
                api.onCall = () => {
                  calls += 1;
                  if (calls >= step.at && life === doomed) throw new Killed();
                };
                break;
            }
            for (let tries = 0; ; tries++) {
              try {
                await life.settle(names);
                break;
              } catch (thrown) {
                if (thrown instanceof Killed) life = new Life(api, pools);
                else if (!(thrown instanceof KubeError) || tries > 3) throw thrown;
              }
            }
            for (const service of api.all()) {
              const key = `default/${service.metadata.name}`;
              const ours = service.spec.type === 'LoadBalancer';
              expect(life.allocator.reservedBy(key).map(String)).toEqual(ips(service));
              expect(service.metadata.deletionTimestamp).toBeUndefined();
              expect(allocated(service) !== undefined).toBe(ours);
              if (ips(service).length > 0) expect(service.metadata.finalizers).toEqual([finalizer]);
              if (!ours) expect(service.metadata.finalizers).toBeUndefined();
              const old = before.get(service.metadata.uid);
              const asked = step.kind === 'ask' || step.kind === 'type';
              // A Service that waited for another pool may move when the pools change: it asked for that before.
              const waited = old && allocated(old)?.status !== 'True';
              if (old && ips(old).length > 0 && !asked && !waited) expect(ips(service)).toEqual(ips(old));
            }
            expect([...life.allocator.holders()].sort()).toEqual(
              api
                .all()
                .flatMap((service) => (ips(service).length > 0 ? `default/${service.metadata.name}` : []))
                .sort(),
            );
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
