import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { ipAddressPools } from '../../src/controller/controller-caches.ts';
import { type KubeObject, resources, type Service } from '../../src/kube/index.ts';
import { eventually } from '../eventually.ts';
import { controlPlaneMissing } from './control-plane.ts';
import { allocatedOf, ControllerCluster, ipsOf } from './controller-cluster.ts';
import { MortalClient } from './mortal-client.ts';

const missing = controlPlaneMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);
const suite = missing === undefined ? describe : describe.skip;
const electionTiming = { leaseMs: 1500, renewDeadlineMs: 1000, retryMs: 200 };
const lease = { namespace: 'ovenbird-system', name: 'ovenbird-controller' };

/** Every address that each Service ever had in its status, by uid; and whether two ever had one at a time. */
class AddressHistory {
  readonly byUid = new Map<string, string[]>();
  readonly clashes: string[] = [];
  readonly #now = new Map<string, string[]>();
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(cluster: ControllerCluster) {
    this.#done = this.#follow(cluster);
  }

  async #follow({ client }: ControllerCluster): Promise<void> {
    const { signal } = this.#stop;
    const { metadata } = await client.list(resources.services);
    let { resourceVersion } = metadata;
    while (!signal.aborted) {
      try {
        for await (const event of client.watch(resources.services, { resourceVersion, signal })) {
          resourceVersion = event.object.metadata.resourceVersion ?? resourceVersion;
          if (event.type !== 'BOOKMARK') this.#saw(event.object, event.type === 'DELETED');
        }
      } catch {
        // Watched again from where it broke off.
      }
    }
  }

  #saw(service: Service, gone: boolean): void {
    const uid = service.metadata.uid ?? '';
    const ips = gone ? [] : ipsOf(service);
    const history = this.byUid.get(uid) ?? [];
    for (const ip of ips) {
      if (history.at(-1) !== ip) history.push(ip);
      for (const [other, theirs] of this.#now) {
        if (other !== uid && theirs.includes(ip)) this.clashes.push(`${ip}: ${service.metadata.name} and ${other}`);
      }
    }
    this.byUid.set(uid, history);
    this.#now.set(uid, ips);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }
}

suite('the controller under faults', () => {
  let cluster: ControllerCluster;
  let history: AddressHistory;
  beforeAll(async () => {
    cluster = await ControllerCluster.start();
  }, 120_000);
  afterEach(async () => {
    await history?.stop();
    await cluster.reset();
  }, 60_000);
  afterAll(async () => cluster?.stop());

  const begin = (mortal = new MortalClient()) => {
    cluster.controller({ surroundings: { electionTiming, wrapClient: mortal.wrap } });
    return mortal;
  };
  const assigned = async () =>
    ((await cluster.client.get(ipAddressPools, { name: 'a' })) as KubeObject & { status?: { assignedIPv4?: number } })
      .status?.assignedIPv4;
  /** Waits until `what` holds; a controller that died meanwhile is replaced, as a kubelet would. */
  const settled = async (mortal: MortalClient, what: () => Promise<boolean>) => {
    let current = mortal;
    await eventually('all is settled', async () => {
      if (current.dead) {
        // As if its lease had run out.
        await cluster.client.delete(resources.leases, lease);
        current = begin();
      }
      return what();
    });
    return current;
  };
  const has = async (name: string, what: (service: Service) => boolean) => what(await cluster.get(name));

  /** Creates, moves, changes and deletes; gives the number of points at which death was possible. */
  async function life(killAt: number): Promise<number> {
    history = new AddressHistory(cluster);
    await cluster.pool('a', ['192.0.2.10-192.0.2.13']);
    let mortal = new MortalClient();
    mortal.killAt = killAt;
    const first = begin(mortal);
    await cluster.service('one');
    mortal = await settled(mortal, () => has('one', (service) => allocatedOf(service)?.status === 'True'));
    const [address] = ipsOf(await cluster.get('one'));
    await cluster.service('two', { spec: { loadBalancerIP: '192.0.2.13' } });
    mortal = await settled(mortal, () => has('two', (service) => ipsOf(service)[0] === '192.0.2.13'));
    await cluster.patch('two', { spec: { loadBalancerIP: '192.0.2.12' } });
    mortal = await settled(mortal, () => has('two', (service) => ipsOf(service)[0] === '192.0.2.12'));
    await cluster.patch('two', { spec: { type: 'ClusterIP' } });
    mortal = await settled(mortal, () => has('two', ({ metadata }) => (metadata.finalizers ?? []).length === 0));
    expect(ipsOf(await cluster.get('one'))).toEqual([address]);
    await cluster.delete('one');
    await cluster.delete('two');
    mortal = await settled(mortal, async () => (await cluster.client.list(resources.services)).items.length === 1);
    await settled(mortal, async () => (await assigned()) === 0);
    await history.stop();
    expect(history.clashes).toEqual([]);
    expect([...history.byUid.values()].filter((ips) => ips.length > 0)).toEqual([
      [address],
      ['192.0.2.13', '192.0.2.12'],
    ]);
    await cluster.reset();
    return first.calls;
  }

  test('killed at any write, before or after it: the next one heals, no address changes, nothing leaks', async () => {
    const calls = await life(0);
    expect(calls).toBeGreaterThanOrEqual(18);
    for (let killAt = 1; killAt <= calls; killAt++) await life(killAt);
  }, 180_000);

  test('two replicas and a leader that dies in the middle of 200 creations', async () => {
    history = new AddressHistory(cluster);
    await cluster.pool('a', ['192.0.2.0/24']);
    const first = begin();
    await eventually(
      'somebody leads',
      async () => (await cluster.client.get(resources.leases, lease).catch(() => undefined))?.spec?.holderIdentity,
    );
    begin();
    let served = 0;
    const names = Array.from({ length: 200 }, (_, index) => `s${index}`);
    const create = async (from: number) => {
      for (let index = from; index < names.length; index += 4) {
        await cluster.service(names[index] ?? '');
        served += 1;
        if (served === 80) first.kill();
      }
    };
    await Promise.all([0, 1, 2, 3].map(create));
    const services = await eventually(
      '200 Services have an address',
      async () => (await cluster.client.list(resources.services, { namespace: 'default' })).items,
      (items) => items.filter((service) => ipsOf(service).length === 1).length === 200,
      { timeoutMs: 30_000 },
    );
    expect(first.dead).toBe(true);
    expect(new Set(services.flatMap((service) => ipsOf(service))).size).toBe(200);
    await eventually('the pool counts 200 addresses', assigned, (count) => count === 200);
    await history.stop();
    expect(history.clashes).toEqual([]);
    expect([...history.byUid.values()].filter((ips) => ips.length > 1)).toEqual([]);
  }, 60_000);

  test('two writes a Service, also in a burst, and a handful for the pool', async () => {
    history = new AddressHistory(cluster);
    await cluster.pool('a', ['192.0.2.0/24']);
    const controller = cluster.controller();
    await Promise.all(Array.from({ length: 100 }, (_, index) => cluster.service(`s${index}`)));
    await eventually(
      '100 Services have an address',
      async () => (await cluster.client.list(resources.services, { namespace: 'default' })).items,
      (items) => items.filter((service) => ipsOf(service).length === 1).length === 100,
    );
    await controller.wrote('events', 100);
    expect(controller.writesOf('services')).toBe(0);
    await controller.wrote('services/status', 100);
    expect(controller.writesOf('ipaddresspools/status')).toBeLessThanOrEqual(10);
    expect(controller.counters()).not.toContainEqual(expect.objectContaining({ result: '409' }));
  }, 60_000);

  test('the API server goes and comes back: nobody moves, nothing is written anew, new ones are served', async () => {
    history = new AddressHistory(cluster);
    await cluster.pool('a', ['192.0.2.0/24']);
    const controller = cluster.controller({ surroundings: { electionTiming } });
    for (const name of ['one', 'two']) {
      await cluster.service(name);
      await cluster.until(name, (service) => ipsOf(service).length > 0);
    }
    await controller.wrote('events', 2);
    const before = (await cluster.client.list(resources.services)).items;
    await cluster.plane.apiServer.kill();
    // Long enough for the lease to be lost, and the process to go on without.
    await eventually(
      'the first leads no more',
      async () => (await controller.text('/metrics')).body,
      (text) => /^ovenbird_controller_leader 0$/m.test(text),
    );
    await cluster.plane.apiServer.start();
    await cluster.service('three').catch(() => cluster.service('three'));
    const third = await cluster.until('three', (service) => ipsOf(service).length > 0, 40_000);
    expect(ipsOf(third)).toEqual(['192.0.2.2']);
    const after = (await cluster.client.list(resources.services)).items;
    expect(after.filter(({ metadata }) => metadata.name !== 'three')).toEqual(before);
    await controller.wrote('services/status', 3);
  }, 120_000);
});
