import { describe, expect, test } from '@jest/globals';
import { ManualClock } from '../../src/base/index.ts';
import { NorthboundFeed } from '../../src/controller/northbound-feed.ts';
import { type NorthboundPort, noNorthbound } from '../../src/controller/northbound-port.ts';
import { foreignAddressesOf, ovnNodeOf, ovnServiceOf } from '../../src/controller/ovn-services.ts';
import { ProgrammingWatch } from '../../src/controller/programming-watch.ts';
import type { Change, EndpointSlice, KubeObject, Node, Service } from '../../src/kube/index.ts';
import { Address } from '../../src/net/index.ts';
import type { OvnInputs } from '../../src/ovn/index.ts';

const address = (text: string) => Address.parse(text);
const service = (spec: Partial<Service['spec']> = {}, extra: Partial<Service['metadata']> = {}): Service => ({
  metadata: { namespace: 'default', name: 'web', uid: 'u1', resourceVersion: '1', ...extra },
  spec: {
    type: 'LoadBalancer',
    clusterIP: '10.96.0.9',
    clusterIPs: ['10.96.0.9'],
    ports: [{ port: 80, nodePort: 30080 }],
    ...spec,
  },
});
const slice = (ips: string[], name = 'web-1'): EndpointSlice => ({
  metadata: { namespace: 'default', name, labels: { 'kubernetes.io/service-name': 'web' } },
  addressType: 'IPv4',
  ports: [{ name: '', port: 8080, protocol: 'TCP' }],
  endpoints: ips.map((ip) => ({ addresses: [ip], nodeName: 'n1' })),
});

describe('a Service as OVN is to carry it', () => {
  test('addresses, ports with their endpoints, policies', () => {
    const spec: Partial<Service['spec']> = {
      externalTrafficPolicy: 'Local',
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
    };
    expect(
      ovnServiceOf(service(spec), [slice(['10.16.0.3']), slice(['10.16.0.2'], 'web-2')], [address('192.0.2.1')]),
    ).toEqual({
      namespace: 'default',
      name: 'web',
      uid: 'u1',
      clusterIPs: ['10.96.0.9'],
      externalAddresses: [address('192.0.2.1')],
      ports: [
        {
          name: '',
          protocol: 'TCP',
          port: 80,
          nodePort: 30080,
          endpoints: [
            { address: address('10.16.0.2'), port: 8080, nodeName: 'n1' },
            { address: address('10.16.0.3'), port: 8080, nodeName: 'n1' },
          ],
        },
      ],
      externalTrafficPolicy: 'Local',
      internalTrafficPolicy: 'Cluster',
      sessionAffinity: 'ClientIP',
      sessionAffinityTimeoutSeconds: 60,
      sourceRestricted: false,
    });
  });

  test.each([
    ['a headless Service', { clusterIP: 'None', clusterIPs: ['None'] }, {}],
    ['an external name', { type: 'ExternalName' as const }, {}],
    ["another proxy's Service", {}, { labels: { 'service.kubernetes.io/service-proxy-name': 'x' } }],
  ])('%s is not carried', (_, spec, metadata) => {
    expect(ovnServiceOf(service(spec, metadata), [], [])).toBeUndefined();
  });

  test.each([
    [[], undefined, false],
    [['10.0.0.0/8'], undefined, true],
    [[' 0.0.0.0/0 '], undefined, false],
    [['::/0'], undefined, true],
    [[], '10.0.0.0/8, 172.16.0.0/12', true],
    [[], '', false],
  ])('source ranges %j, annotation %j: restricted %s', (loadBalancerSourceRanges, annotation, restricted) => {
    const annotations =
      annotation === undefined ? {} : { 'service.beta.kubernetes.io/load-balancer-source-ranges': annotation };
    const read = ovnServiceOf(service({ loadBalancerSourceRanges }, { annotations }), [], [address('192.0.2.1')]);
    expect(read?.sourceRestricted).toBe(restricted);
  });

  test('addresses of others: only those whose packets come with the address on them', () => {
    const ingress = [
      { ip: '192.0.2.1' },
      { ip: '192.0.2.2', ipMode: 'Proxy' as const },
      { hostname: 'x' },
      { ip: '192.0.2.3', ipMode: 'VIP' as const },
    ];
    const foreign = { ...service(), status: { loadBalancer: { ingress } } };
    expect(foreignAddressesOf(foreign).map(String)).toEqual(['192.0.2.1', '192.0.2.3']);
    expect(foreignAddressesOf({ ...foreign, spec: { type: 'ClusterIP' } })).toEqual([]);
  });

  test('a node has its IP addresses, no names', () => {
    const node: Node = {
      metadata: { name: 'n1' },
      status: {
        addresses: [
          { type: 'Hostname', address: 'n1' },
          { type: 'InternalIP', address: '10.0.0.1' },
          { type: 'ExternalIP', address: '2001:db8::1' },
        ],
      },
    };
    expect(ovnNodeOf(node)).toEqual({ name: 'n1', addresses: [address('10.0.0.1'), address('2001:db8::1')] });
  });
});

/** A cache that is written by hand. */
class HandCache<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #listeners = new Set<(change: Change<T>) => void>();
  readonly store = {
    get: (key: string) => this.#objects.get(key),
    keys: () => [...this.#objects.keys()].sort(),
    list: () => [...this.#objects.values()],
    listBy: (_index: string, value: string) =>
      [...this.#objects.values()].filter(
        ({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === value.split('/')[1],
      ),
  };
  subscribe = (listener: (change: Change<T>) => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  set(object: T): void {
    const key = `${object.metadata.namespace}/${object.metadata.name}`;
    const old = this.#objects.get(key);
    this.#objects.set(key, object);
    const change: Change<T> = old
      ? { type: 'modified', key, object, old, fromList: false }
      : { type: 'added', key, object, fromList: false };
    for (const listener of this.#listeners) listener(change);
  }
  delete(object: T): void {
    const key = `${object.metadata.namespace}/${object.metadata.name}`;
    this.#objects.delete(key);
    for (const listener of this.#listeners) listener({ type: 'deleted', key, old: object, fromList: false });
  }
}

describe('handing over', () => {
  function setUp() {
    const clock = new ManualClock();
    const services = new HandCache<Service>();
    const slices = new HandCache<EndpointSlice>();
    const nodes = new HandCache<Node>();
    const handed: OvnInputs[] = [];
    const external = { addresses: [address('192.0.2.1')] };
    const feed = new NorthboundFeed({
      caches: { services, slices, nodes } as never,
      port: { ...noNorthbound, setDesired: (inputs) => handed.push(inputs) },
      externalAddresses: () => external.addresses,
      clock,
    });
    return { clock, services, slices, nodes, handed, feed, external };
  }

  test('everything at the start, then what changed, together; what did not change is the same object', async () => {
    const { clock, services, slices, nodes, handed, feed, external } = setUp();
    services.set(service());
    services.set(service({}, { name: 'other', uid: 'u2' }));
    slices.set(slice(['10.16.0.2']));
    const stop = new AbortController();
    const running = feed.run(stop.signal);
    expect(handed).toHaveLength(1);
    expect(handed[0]).toMatchObject({ complete: true, services: [{ name: 'other' }, { name: 'web' }] });
    expect(handed[0]?.services[1]?.ports[0]?.endpoints).toHaveLength(1);

    for (const ip of ['10.16.0.3', '10.16.0.4', '10.16.0.5']) slices.set(slice([ip]));
    expect(feed.isPending('default/web')).toBe(true);
    await clock.advance(50);
    expect(handed).toHaveLength(2);
    expect(feed.isPending('default/web')).toBe(false);
    expect(handed[1]?.services[1]?.ports[0]?.endpoints).toMatchObject([{ address: address('10.16.0.5') }]);
    expect(handed[1]?.services[0]).toBe(handed[0]?.services[0]);

    // A status write, a node heartbeat: no news.
    services.set({ ...service(), status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } } });
    await clock.advance(50);
    expect(handed).toHaveLength(2);

    external.addresses = [address('192.0.2.2')];
    feed.touch('default/web');
    await clock.advance(50);
    expect(handed[2]?.services[1]?.externalAddresses.map(String)).toEqual(['192.0.2.2']);

    nodes.set({ metadata: { name: 'n1' }, status: { addresses: [{ type: 'InternalIP', address: '10.0.0.1' }] } });
    slices.delete(slice([]));
    services.delete(service({}, { name: 'other' }));
    await clock.advance(50);
    expect(handed[3]).toMatchObject({
      nodes: [{ name: 'n1' }],
      services: [{ name: 'web', ports: [{ endpoints: [] }] }],
    });

    stop.abort();
    await running;
    services.delete(service());
    await clock.advance(50);
    expect(handed).toHaveLength(4);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('whether OVN carries a Service', () => {
  function setUp(state: 'off' | 'waiting' | 'ready' = 'ready') {
    const world = {
      state,
      pending: false,
      carried: true,
      answer: { kind: 'pending' } as ReturnType<NorthboundPort['programming']>,
    };
    const port: NorthboundPort = {
      ...noNorthbound,
      status: () => ({ ...noNorthbound.status(), state: world.state, message: 'why' }),
      programming: () => world.answer,
    };
    const watch = new ProgrammingWatch({ port, isPending: () => world.pending, isCarried: () => world.carried });
    const judge = (of = service()) => watch.now('default/web', of);
    return { world, watch, judge };
  }
  const condition = (status: 'True' | 'False' | 'Unknown', reason: string) => ({
    kind: 'known',
    condition: expect.objectContaining({ type: 'ovenbird.dev/Programmed', status, reason }),
  });
  const programmed: Service = {
    ...service(),
    status: {
      conditions: [
        { type: 'ovenbird.dev/Programmed', status: 'True', reason: 'Programmed', message: 'x', lastTransitionTime: '' },
      ],
    },
  };

  test('unused OVN says nothing', () => {
    expect(setUp('off').judge()).toEqual({ kind: 'unused' });
  });

  test('a Service that another proxy serves waits for nothing, once that is known', () => {
    const { world, judge } = setUp();
    world.carried = false;
    expect(judge()).toEqual({ kind: 'unused' });
    world.pending = true;
    expect(judge()).toMatchObject({ kind: 'known', settling: true });
  });

  test('it settles until it is handed over and written', () => {
    const { world, judge } = setUp();
    const settling = { ...condition('Unknown', 'NotYetProgrammed'), settling: true };
    expect(judge()).toEqual(settling);
    world.pending = true;
    world.answer = { kind: 'programmed' };
    expect(judge()).toEqual(settling);
    world.pending = false;
    expect(judge()).toEqual(condition('True', 'Programmed'));
  });

  test('nothing settles while the database is away', () => {
    expect(setUp('waiting').judge()).toEqual({ ...condition('Unknown', 'NotYetProgrammed'), settling: false });
  });

  test('what was carried before the database went away still is', () => {
    expect(setUp('waiting').judge(programmed)).toEqual({ kind: 'unknown', settling: false });
  });

  test('a problem is told, and a condition that says otherwise is stale', () => {
    const { world, judge, watch } = setUp();
    world.answer = { kind: 'problem', message: 'port 80 is taken' };
    expect(judge()).toEqual(condition('False', 'NotExpressible'));
    expect(watch.isStale('default/web', programmed)).toBe(true);
    world.answer = { kind: 'pending' };
    expect(watch.isStale('default/web', programmed)).toBe(false);
  });
});
