import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { ipAddressPools, l2Advertisements } from '../../src/controller/controller-caches.ts';
import { type KubeObject, resources } from '../../src/kube/index.ts';
import { eventually } from '../eventually.ts';
import { controlPlaneMissing } from './control-plane.ts';
import { allocatedOf, ControllerCluster, ipsOf, type RunningController } from './controller-cluster.ts';

const missing = controlPlaneMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);
const suite = missing === undefined ? describe : describe.skip;
const finalizer = 'service.kubernetes.io/load-balancer-cleanup';

interface WithStatus extends KubeObject {
  status?: { conditions?: { type: string; status: string; reason: string; message: string }[]; assignedIPv4?: number };
}

suite('the controller against a real API server', () => {
  let cluster: ControllerCluster;
  let controller: RunningController;
  beforeAll(async () => {
    cluster = await ControllerCluster.start();
  }, 120_000);
  afterEach(async () => cluster.reset());
  afterAll(async () => cluster?.stop());

  const begin = (...argumentList: string[]) => {
    controller = cluster.controller({ arguments: argumentList });
    return controller;
  };
  const refused = (name: string, reason: string) =>
    cluster.until(name, (service) => allocatedOf(service)?.reason === reason);
  const poolReady = (name: string, what: (reason: string) => boolean) =>
    eventually(
      `IPAddressPool ${name}`,
      () => cluster.client.get(ipAddressPools, { name }) as Promise<WithStatus>,
      ({ status }) => what(status?.conditions?.find(({ type }) => type === 'Ready')?.reason ?? ''),
    );

  test('a Service gets its address with two writes, a pool counts it, and then nothing is written', async () => {
    await cluster.pool('a', ['192.0.2.10-192.0.2.20']);
    begin();
    await cluster.service('web');
    const service = await cluster.until('web', (candidate) => ipsOf(candidate).length > 0);
    expect(ipsOf(service)).toEqual(['192.0.2.10']);
    expect(service.status?.loadBalancer?.ingress?.[0]?.ipMode).toBe('VIP');
    expect(service.metadata.finalizers).toEqual([finalizer]);
    expect(allocatedOf(service)).toMatchObject({
      status: 'True',
      reason: 'Allocated',
      message: '192.0.2.10 from pool "a"',
    });
    await eventually(
      'the pool counts its address',
      () => cluster.client.get(ipAddressPools, { name: 'a' }) as Promise<WithStatus>,
      ({ status }) => status?.assignedIPv4 === 1,
    );
    await controller.wrote('services/status', 1);
    await controller.wrote('events', 1);
    const writes = ['services', 'services/status', 'events'].map((resource) => controller.writesOf(resource));
    expect(writes).toEqual([0, 1, 1]);

    // A restart adopts what is there and writes nothing.
    await controller.stop();
    begin();
    await controller.leads();
    await eventually(
      'two reconciles',
      async () => (await controller.text('/metrics')).body,
      (text) => /ovenbird_reconciles_total\{result="succeeded"\} [2-9]/.test(text),
    );
    await cluster.service('later');
    await cluster.until('later', (candidate) => ipsOf(candidate).length > 0);
    await controller.wrote('services/status', 1);
    expect(ipsOf(await cluster.get('web'))).toEqual(['192.0.2.10']);
    expect(controller.counters()).not.toContainEqual(expect.objectContaining({ result: '409' }));
  });

  test('a Service stays as it is through edits of ports, labels and policies', async () => {
    await cluster.pool('a', ['192.0.2.10-192.0.2.20']);
    begin();
    await cluster.service('web');
    await cluster.until('web', (candidate) => ipsOf(candidate).length > 0);
    await controller.wrote('events', 1);
    const before = controller.writes - controller.writesOf('ipaddresspools/status');
    await cluster.patch('web', { metadata: { labels: { a: 'b' } } });
    await cluster.patch('web', { spec: { externalTrafficPolicy: 'Local' } });
    await cluster.patch('web', {
      spec: {
        ports: [
          { port: 81, name: 'x' },
          { port: 82, name: 'y', protocol: 'UDP' },
        ],
      },
    });
    await cluster.patch('web', { spec: { allocateLoadBalancerNodePorts: false } });
    // A later Service being served shows that the edits were seen.
    await cluster.service('later');
    await cluster.until('later', (candidate) => ipsOf(candidate).length > 0);
    await controller.wrote('services/status', 2);
    await controller.wrote('events', 2);
    expect(controller.writes - controller.writesOf('ipaddresspools/status') - before).toBe(2);
    expect(ipsOf(await cluster.get('web'))).toEqual(['192.0.2.10']);
  });

  test('deleted: gone with its finalizer; a Service that waits for the address gets it', async () => {
    await cluster.pool('a', ['192.0.2.10']);
    begin();
    await cluster.service('first');
    await cluster.until('first', (service) => ipsOf(service).length > 0);
    await cluster.service('second');
    await refused('second', 'PoolExhausted');
    await cluster.delete('first');
    expect(ipsOf(await cluster.until('second', (service) => ipsOf(service).length > 0))).toEqual(['192.0.2.10']);
    await eventually(
      'two Services',
      async () => (await cluster.client.list(resources.services)).items.length,
      (count) => count === 2,
    );
  });

  test('deleted with its annotations wiped while no controller ran: gone when one does', async () => {
    await cluster.pool('a', ['192.0.2.10']);
    begin();
    await cluster.service('web');
    await cluster.until('web', (service) => ipsOf(service).length > 0);
    await controller.stop();
    await cluster.patch('web', { metadata: { annotations: null } });
    await cluster.delete('web');
    expect((await cluster.get('web')).metadata.finalizers).toEqual([finalizer]);
    begin();
    await eventually('the Service is gone', async () => {
      const { items } = await cluster.client.list(resources.services, { namespace: 'default' });
      return items.every(({ metadata }) => metadata.name !== 'web');
    });
  });

  test('no longer a load balancer: nothing of ours is left; again one: served again', async () => {
    await cluster.pool('a', ['192.0.2.10-192.0.2.11']);
    begin();
    await cluster.service('web');
    await cluster.until('web', (service) => ipsOf(service).length > 0);
    await cluster.patch('web', { spec: { type: 'ClusterIP' } });
    const plain = await cluster.until('web', ({ metadata }) => (metadata.finalizers ?? []).length === 0);
    expect(plain.metadata.annotations ?? {}).toEqual({});
    expect(plain.status?.conditions ?? []).toEqual([]);
    expect(ipsOf(plain)).toEqual([]);
    await cluster.patch('web', { spec: { type: 'LoadBalancer' } });
    await cluster.until('web', (service) => ipsOf(service).length > 0);
  });

  test('another address or pool asked for: moves; what cannot be had: stays', async () => {
    await cluster.pool('a', ['192.0.2.10-192.0.2.11']);
    await cluster.pool('b', ['198.51.100.10'], { autoAssign: false });
    begin();
    await cluster.service('web');
    await cluster.until('web', (service) => ipsOf(service)[0] === '192.0.2.10');
    await cluster.patch('web', { metadata: { annotations: { 'ovenbird.dev/address-pool': 'b' } } });
    await cluster.until('web', (service) => ipsOf(service)[0] === '198.51.100.10');
    await cluster.patch('web', { metadata: { annotations: { 'ovenbird.dev/address-pool': 'nope' } } });
    const kept = await refused('web', 'UnknownPool');
    expect(ipsOf(kept)).toEqual(['198.51.100.10']);
    expect(allocatedOf(kept)?.message).toMatch(
      /no IPAddressPool "nope".*; keeps 198\.51\.100\.10 from pool "b" meanwhile/,
    );
    await cluster.patch('web', {
      metadata: { annotations: { 'ovenbird.dev/address-pool': null } },
      spec: { loadBalancerIP: '192.0.2.11' },
    });
    await cluster.until('web', (service) => ipsOf(service)[0] === '192.0.2.11');
  });

  test('every refusal says what is in the way, as a condition and an Event, and nobody else notices', async () => {
    await cluster.pool('a', ['192.0.2.10-192.0.2.12']);
    await cluster.pool('bad', ['198.51.100.20-198.51.100.10', '198.51.100.30']);
    begin();
    await cluster.service('holder', { spec: { loadBalancerIP: '192.0.2.10' } });
    await cluster.until('holder', (service) => ipsOf(service).length > 0);
    const held = (await cluster.get('holder')).metadata.resourceVersion;
    const ask = (address: string) => ({ annotations: { 'ovenbird.dev/loadBalancerIPs': address } });
    await cluster.service('taken', ask('192.0.2.10'));
    await cluster.service('outside', ask('203.0.113.1'));
    await cluster.service('malformed', ask('192.0.2.300'));
    await cluster.service('conflict', { ...ask('192.0.2.11'), spec: { loadBalancerIP: '192.0.2.12' } });
    await cluster.service('unknown', { annotations: { 'metallb.io/address-pool': 'nope' } });
    await cluster.service('family', {
      annotations: { 'ovenbird.dev/address-pool': 'bad' },
      spec: { loadBalancerIP: '192.0.2.11' },
    });
    await cluster.service('foreign', { spec: { loadBalancerClass: 'example.com/other' } });
    const message = async (name: string, reason: string) => allocatedOf(await refused(name, reason))?.message;
    expect(await message('taken', 'AddressInUse')).toMatch(/192\.0\.2\.10 is in use by Service "default\/holder"/);
    expect(await message('outside', 'AddressNotInPools')).toMatch(/203\.0\.113\.1 is in no IPAddressPool/);
    expect(await message('malformed', 'InvalidRequest')).toMatch(/"192\.0\.2\.300" is not an IPv4 or IPv6 address/);
    expect(await message('conflict', 'ConflictingRequests')).toMatch(/192\.0\.2\.11.*192\.0\.2\.12/);
    expect(await message('unknown', 'UnknownPool')).toMatch(/no IPAddressPool "nope"/);
    expect(await message('family', 'AddressNotInRequestedPool')).toMatch(/in pool "a", not in the pool "bad"/);

    const bad = await poolReady('bad', (reason) => reason === 'InvalidRange');
    expect(bad.status?.conditions?.[0]?.message).toMatch(
      /spec\.addresses\[0\].*write it as "198\.51\.100\.10-198\.51\.100\.20"/,
    );
    await cluster.service('good-range', { annotations: { 'ovenbird.dev/address-pool': 'bad' } });
    expect(ipsOf(await cluster.until('good-range', (service) => ipsOf(service).length > 0))).toEqual(['198.51.100.30']);

    const events = await eventually(
      'events of eight Services',
      async () => (await cluster.client.list(resources.events, { namespace: 'default' })).items,
      (items) => new Set(items.map(({ regarding }) => regarding.name)).size >= 8,
    );
    for (const reason of [
      'AddressInUse',
      'AddressNotInPools',
      'InvalidRequest',
      'ConflictingRequests',
      'UnknownPool',
    ]) {
      expect(events).toContainEqual(expect.objectContaining({ reason, type: 'Warning' }));
    }
    const foreign = await cluster.get('foreign');
    expect(foreign.metadata.finalizers).toBeUndefined();
    expect(foreign.status).toEqual({ loadBalancer: {} });
    expect((await cluster.get('holder')).metadata.resourceVersion).toBe(held);
  });

  test('no pool, then a pool: the Services that wait are served', async () => {
    begin();
    await cluster.service('one');
    await refused('one', 'NoPool');
    await cluster.service('two', { annotations: { 'ovenbird.dev/address-pool': 'late' } });
    await refused('two', 'UnknownPool');
    await cluster.pool('late', ['192.0.2.10-192.0.2.11'], { autoAssign: false });
    await cluster.until('two', (service) => ipsOf(service)[0] === '192.0.2.10');
    expect(ipsOf(await cluster.get('one'))).toEqual([]);
    await cluster.client.patch(
      ipAddressPools,
      { name: 'late' },
      { type: 'merge', body: { spec: { autoAssign: true } } },
    );
    await cluster.until('one', (service) => ipsOf(service)[0] === '192.0.2.11');
  });

  test('of two pools that overlap the newer one is refused, and heals when the older goes', async () => {
    begin();
    await cluster.pool('z-older', ['192.0.2.0/28']);
    const { metadata } = await poolReady('z-older', (reason) => reason === 'Valid');
    // Creation times are whole seconds.
    const nextSecondMs = Date.parse(metadata.creationTimestamp ?? '') + 1_000;
    await eventually('the next second', () => Date.now() >= nextSecondMs);
    await cluster.pool('a-newer', ['192.0.2.8-192.0.2.20']);
    const refusedPool = await poolReady('a-newer', (reason) => reason === 'OverlapsPool');
    expect(refusedPool.status?.conditions?.[0]?.message).toMatch(
      /overlaps "192\.0\.2\.0\/28" of the older pool "z-older"/,
    );
    await cluster.service('web', { annotations: { 'ovenbird.dev/address-pool': 'a-newer' } });
    await refused('web', 'PoolNotReady');
    await cluster.client.delete(ipAddressPools, { name: 'z-older' });
    await poolReady('a-newer', (reason) => reason === 'Valid');
    await cluster.until('web', (service) => ipsOf(service)[0] === '192.0.2.8');
  });

  test('a pool that shrinks or goes under a Service leaves it its address, also over a restart', async () => {
    await cluster.pool('a', ['192.0.2.10-192.0.2.20']);
    begin();
    await cluster.service('web', { annotations: { 'ovenbird.dev/address-pool': 'a' } });
    await cluster.until('web', (service) => ipsOf(service)[0] === '192.0.2.10');
    await cluster.client.patch(
      ipAddressPools,
      { name: 'a' },
      { type: 'merge', body: { spec: { addresses: ['192.0.2.15'] } } },
    );
    const kept = await refused('web', 'OutsidePools');
    expect(allocatedOf(kept)).toMatchObject({ status: 'True' });
    await cluster.client.delete(ipAddressPools, { name: 'a' });
    await controller.stop();
    begin();
    await cluster.service('other');
    await refused('other', 'NoPool');
    expect(ipsOf(await cluster.get('web'))).toEqual(['192.0.2.10']);
    await cluster.pool('a', ['192.0.2.10-192.0.2.20']);
    await refused('web', 'Allocated');
    expect(ipsOf(await cluster.until('other', (service) => ipsOf(service).length > 0))).toEqual(['192.0.2.11']);
  });

  test('addresses from before the controller are adopted, in whatever order the Services come', async () => {
    await cluster.pool('a', ['192.0.2.10-192.0.2.19']);
    for (const name of ['new-1', 'new-2', 'old']) await cluster.service(name);
    const status = { loadBalancer: { ingress: [{ ip: '192.0.2.10' }] } };
    await cluster.client.patch(
      resources.services,
      { namespace: 'default', name: 'old' },
      { type: 'merge', subresource: 'status', body: { status } },
    );
    begin();
    await cluster.until('new-1', (service) => ipsOf(service).length > 0);
    await cluster.until('new-2', (service) => ipsOf(service).length > 0);
    await refused('old', 'Allocated');
    const all = await Promise.all(['old', 'new-1', 'new-2'].map(async (name) => ipsOf(await cluster.get(name))[0]));
    expect(all[0]).toBe('192.0.2.10');
    expect(new Set(all).size).toBe(3);
  });

  test('two families: what there is comes at once, the rest with the pool, and it goes with the family', async () => {
    await cluster.pool('a', ['192.0.2.10-192.0.2.19']);
    begin();
    const ipFamilies = ['IPv6' as const, 'IPv4' as const];
    await cluster.service('prefers', { spec: { ipFamilyPolicy: 'PreferDualStack', ipFamilies } });
    await cluster.service('requires', { spec: { ipFamilyPolicy: 'RequireDualStack' } });
    expect(ipsOf(await refused('prefers', 'AllocatedPartially'))).toEqual(['192.0.2.10']);
    expect(ipsOf(await refused('requires', 'FamilyNotInPool'))).toEqual([]);
    await cluster.pool('b', ['2001:db8::/64']);
    const [six, four] = ipsOf(await refused('prefers', 'Allocated'));
    const [four2, six2] = ipsOf(await refused('requires', 'Allocated'));
    expect([four, four2]).toEqual(['192.0.2.10', '192.0.2.11']);
    expect([six, six2].sort()).toEqual(['2001:db8::', '2001:db8::1']);
    await cluster.patch('requires', { spec: { ipFamilyPolicy: 'SingleStack' } });
    const single = await cluster.until('requires', (service) => ipsOf(service).length === 1);
    expect(ipsOf(single)).toEqual(['192.0.2.11']);
    expect(single.metadata.annotations?.['ovenbird.dev/ip-allocated-from-pool']).toBe('a');
  });

  test('an advertisement of a pool that does not exist says so, and is fine when the pool comes', async () => {
    begin();
    await cluster.client.create(l2Advertisements, { metadata: { name: 'l2' }, spec: { ipAddressPools: ['a'] } });
    const ready = (reason: string) =>
      eventually(
        `L2Advertisement: ${reason}`,
        () => cluster.client.get(l2Advertisements, { name: 'l2' }) as Promise<WithStatus>,
        ({ status }) => status?.conditions?.[0]?.reason === reason,
      );
    expect((await ready('UnknownPool')).status?.conditions?.[0]?.message).toMatch(/spec\.ipAddressPools\[0\].*"a"/);
    await cluster.pool('a', ['192.0.2.10']);
    await ready('Valid');
  });

  test('only the class is served when classless Services are not ours', async () => {
    await cluster.pool('a', ['192.0.2.10-192.0.2.19']);
    begin('--default-load-balancer-class=false', '--load-balancer-class=example.com/mine');
    await cluster.service('classless');
    await cluster.service('ours', { spec: { loadBalancerClass: 'example.com/mine' } });
    await cluster.until('ours', (service) => ipsOf(service).length > 0);
    const untouched = await cluster.get('classless');
    expect(untouched.metadata.finalizers).toBeUndefined();
    expect(untouched.status).toEqual({ loadBalancer: {} });
  });

  test('the heartbeat key is made once and never changed', async () => {
    begin();
    const name = { namespace: 'ovenbird-system', name: 'ovenbird-speaker-key' };
    const read = () => cluster.client.get(resources.secrets, name).catch(() => undefined);
    const secret = await eventually('the Secret', read, (found) => found !== undefined);
    expect(Buffer.from(secret?.data?.key ?? '', 'base64')).toHaveLength(32);
    await controller.stop();
    begin();
    await controller.leads();
    expect((await read())?.data).toEqual(secret?.data);
  });

  test('answers on its port', async () => {
    begin();
    await eventually(
      'the controller listens',
      async () => controller.port,
      (port) => port !== undefined,
    );
    expect((await controller.text('/healthz')).status).toBe(200);
    await eventually(
      'the controller is ready',
      () => controller.text('/readyz'),
      ({ status }) => status === 200,
    );
    expect((await controller.text('/metrics')).body).toMatch(/^ovenbird_cache_objects\{resource="services"\} \d+$/m);
  });
});
