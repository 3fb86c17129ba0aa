import { describe, expect, test } from '@jest/globals';
import { type Change, type IndexFunction, ObjectStore } from '../../src/kube/object-store.ts';
import { type EndpointSlice, type KubeObject, type Node, objectKey, type Service } from '../../src/kube/objects.ts';
import type { AddressAssignment } from '../../src/speaker/announcement-table.ts';
import { Announcer } from '../../src/speaker/announcer.ts';
import { serviceKeyOf } from '../../src/speaker/speaker-caches.ts';
import type { Expectation } from '../../src/speaker/wire.ts';

class FakeCache<T extends KubeObject, Index extends string = never> {
  readonly store: ObjectStore<T, Index>;
  readonly #listeners = new Set<(change: Change<T>) => void>();

  constructor(indexes: Record<Index, IndexFunction<T>>) {
    this.store = new ObjectStore(indexes);
  }

  subscribe(listener: (change: Change<T>) => void) {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  set(...objects: T[]) {
    for (const object of objects) this.#tell(this.store.set(objectKey(object), object));
  }

  remove(object: T) {
    this.#tell(this.store.remove(objectKey(object)));
  }

  #tell(changes: Change<T>[]) {
    for (const change of changes) for (const listener of this.#listeners) listener(change);
  }
}

const service = (name: string, ip: string): Service => ({
  metadata: { namespace: 'web', name },
  spec: { type: 'LoadBalancer' },
  status: { loadBalancer: { ingress: [{ ip }] } },
});
const slice = (name: string, ready: boolean): EndpointSlice => ({
  metadata: { namespace: 'web', name: `${name}-x`, labels: { 'kubernetes.io/service-name': name } },
  addressType: 'IPv4',
  ports: [{ name: '', port: 80 }],
  endpoints: [{ addresses: ['10.16.0.2'], conditions: { ready, serving: ready }, nodeName: 'n1' }],
});

function setUp() {
  const caches = {
    services: new FakeCache<Service>({}),
    slices: new FakeCache<EndpointSlice, 'service'>({ service: serviceKeyOf }),
    nodes: new FakeCache<Node>({}),
    pools: new FakeCache<KubeObject & { spec: { addresses: string[] } }>({}),
    advertisements: new FakeCache<KubeObject & { spec: object }>({}),
  };
  caches.nodes.set({ metadata: { name: 'n1' } }, { metadata: { name: 'n2' } });
  caches.pools.set({ metadata: { name: 'default' }, spec: { addresses: ['10.77.0.0/24'] } });
  caches.advertisements.set({ metadata: { name: 'all' }, spec: {} });
  const handed: (readonly AddressAssignment[])[] = [];
  const expected: Expectation[] = [];
  const state = { ready: true };
  const announcer = new Announcer({
    caches,
    node: 'n1',
    isOurs: (candidate) => candidate.metadata.name !== 'foreign',
    target: {
      setAssignments: (assignments) => handed.push(assignments),
      setExpectation: (expectation) => expected.push(expectation),
    },
    hostReady: () => state.ready,
  });
  return { caches, handed, expected, state, announcer, last: () => handed.at(-1) };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('Announcer', () => {
  test('hands over nothing before it is started, then everything at once', async () => {
    const { caches, handed, announcer, last } = setUp();
    caches.services.set(service('a', '10.77.0.1'), service('foreign', '10.77.0.9'));
    caches.slices.set(slice('a', true), slice('foreign', true));
    await turn();
    expect(handed).toEqual([]);
    announcer.start();
    expect(last()).toEqual([{ address: '10.77.0.1', interfaces: [], eligibleNodes: ['n1', 'n2'] }]);
  });

  test('changes that arrive together are handed over once, and an unchanged entry stays the same object', async () => {
    const { caches, handed, announcer, last } = setUp();
    caches.services.set(service('a', '10.77.0.1'));
    caches.slices.set(slice('a', true), slice('b', true));
    announcer.start();
    const [before] = last() ?? [];
    caches.services.set(service('b', '10.77.0.2'));
    caches.slices.set(slice('b', false));
    caches.slices.set(slice('b', true));
    await turn();
    expect(handed).toHaveLength(2);
    expect(last()?.map(({ address }) => address)).toEqual(['10.77.0.1', '10.77.0.2']);
    expect(last()?.[0]).toBe(before);
  });

  test('the last endpoint lost leaves nobody eligible; a deleted Service leaves no entry', async () => {
    const { caches, announcer, last } = setUp();
    caches.services.set(service('a', '10.77.0.1'));
    caches.slices.set(slice('a', true));
    announcer.start();
    caches.slices.set(slice('a', false));
    await turn();
    expect(last()).toEqual([{ address: '10.77.0.1', interfaces: [], eligibleNodes: [] }]);
    expect(announcer.status(new Map())).toMatchObject([{ role: 'none', reason: { code: 'NoEndpoints' } }]);
    caches.services.remove(service('a', '10.77.0.1'));
    await turn();
    expect(last()).toEqual([]);
  });

  test('a host that cannot carry traffic does not stand for election, and says so', async () => {
    const { caches, state, announcer, last } = setUp();
    state.ready = false;
    caches.services.set(service('a', '10.77.0.1'));
    caches.slices.set(slice('a', true));
    announcer.start();
    expect(last()?.[0]?.eligibleNodes).toEqual(['n2']);
    expect(announcer.status(new Map())).toMatchObject([{ role: 'none', reason: { code: 'HostAgentNotReady' } }]);
    state.ready = true;
    announcer.touchAll();
    await turn();
    expect(last()?.[0]?.eligibleNodes).toEqual(['n1', 'n2']);
  });

  test('a pool or an advertisement that goes takes its announcements along', async () => {
    const { caches, announcer, last } = setUp();
    caches.services.set(service('a', '10.77.0.1'));
    caches.slices.set(slice('a', true));
    announcer.start();
    caches.advertisements.remove({ metadata: { name: 'all' }, spec: {} });
    await turn();
    expect(last()?.[0]?.eligibleNodes).toEqual([]);
    expect(announcer.status(new Map())).toMatchObject([{ reason: { code: 'NotAdvertised' } }]);
    announcer.stop();
    caches.advertisements.set({ metadata: { name: 'all' }, spec: {} });
    await turn();
    expect(last()?.[0]?.eligibleNodes).toEqual([]);
  });

  test('says where addresses may come to be announced, before there is one and after each change', async () => {
    const { caches, expected, announcer } = setUp();
    announcer.start();
    expect(expected).toEqual([{ named: [], ranges: ['10.77.0.0-10.77.0.255'] }]);
    caches.advertisements.set({ metadata: { name: 'all' }, spec: { interfaces: ['eth1', 'eth0'] } });
    await turn();
    expect(expected.at(-1)).toEqual({ named: ['eth0', 'eth1'], ranges: [] });
  });
});
