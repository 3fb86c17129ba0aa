import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { type NorthboundPort, noNorthbound } from '../../src/controller/northbound-port.ts';
import { type EndpointSlice, resources, type Service } from '../../src/kube/index.ts';
import { eventually } from '../eventually.ts';
import { controlPlaneMissing } from './control-plane.ts';
import { ControllerCluster, ipsOf, type RunningController } from './controller-cluster.ts';
import { OvnCentral, ovnUnavailable } from './ovn-central.ts';

const missing = controlPlaneMissing() ?? ovnUnavailable();
if (missing !== undefined) console.warn(`skipped: ${missing}`);
const suite = missing === undefined ? describe : describe.skip;

const programmedOf = (service: Service) =>
  service.status?.conditions?.find(({ type }) => type === 'ovenbird.dev/Programmed');

suite('the controller and a real northbound database', () => {
  let cluster: ControllerCluster;
  let central: OvnCentral;
  let controller: RunningController;
  beforeAll(async () => {
    cluster = await ControllerCluster.start();
  }, 120_000);
  afterEach(async () => {
    await cluster.reset();
    for (const { metadata } of (await cluster.client.list(resources.endpointSlices)).items) {
      if (metadata.name !== 'kubernetes')
        await cluster.client.delete(resources.endpointSlices, metadata as { name: string });
    }
    await central?.close();
  }, 60_000);
  afterAll(async () => cluster?.stop());

  const begin = (mode = 'external') => {
    const argumentList = [`--ovn-mode=${mode}`, `--ovn-northbound=${central.remote}`, '--cluster-id=test'];
    controller = cluster.controller({ arguments: argumentList });
  };
  const slice = (service: string, addresses: string[]): EndpointSlice => ({
    metadata: { namespace: 'default', name: `${service}-1`, labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  });
  const northboundReady = () =>
    eventually(
      'the northbound database is ready',
      async () => (await controller.text('/metrics')).body,
      (text) => /^ovenbird_northbound_ready 1$/m.test(text),
    );
  const vips = () => central.nbctl('--bare', '--columns=vips', 'list', 'Load_Balancer');

  test('a new address is in OVN when the status says it; endpoints follow; the rows go with the Service', async () => {
    central = new OvnCentral();
    await central.startNorthbound();
    central.makeKubeOvn();
    await cluster.pool('a', ['192.0.2.10-192.0.2.20']);
    begin();
    await northboundReady();
    await cluster.client.create(resources.endpointSlices, slice('web', ['10.16.0.2']));
    await cluster.service('web');
    const service = await cluster.until('web', (candidate) => ipsOf(candidate).length > 0);
    expect(vips()).toMatch(/192\.0\.2\.10:80=10\.16\.0\.2:8080/);
    expect(programmedOf(service)).toMatchObject({ status: 'True', reason: 'Programmed' });
    await controller.wrote('events', 1);
    await controller.wrote('services/status', 1);
    expect(controller.writesOf('services')).toBe(0);

    const body = { endpoints: slice('web', ['10.16.0.2', '10.16.0.3']).endpoints };
    await cluster.client.patch(
      resources.endpointSlices,
      { namespace: 'default', name: 'web-1' },
      { type: 'merge', body },
    );
    await eventually(
      'the VIP has its backends',
      async () => vips(),
      (text) => text.includes('192.0.2.10:80=10.16.0.2:8080,10.16.0.3:8080'),
    );
    await controller.wrote('services/status', 1);
    expect(controller.writesOf('services')).toBe(0);

    await cluster.patch('web', { spec: { loadBalancerIP: '192.0.2.15' } });
    await eventually(
      'the VIP has moved',
      async () => vips(),
      (text) => text.includes('192.0.2.15:80=') && !text.includes('192.0.2.10:80='),
    );
    await cluster.delete('web');
    await eventually(
      'the VIP has gone',
      async () => vips(),
      (text) => !text.includes('192.0.2.'),
    );
  });

  test('a Service that waits for OVN holds up no other: all of a burst wait together, and each is written once', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `many-${index}`);
    const listeners = new Set<() => void>();
    let services: readonly { externalAddresses: readonly unknown[] }[] = [];
    const isComplete = () =>
      services.filter(({ externalAddresses }) => externalAddresses.length > 0).length === names.length;
    // A writer that has nothing in the database before it has been told of every Service.
    const northbound: NorthboundPort = {
      ...noNorthbound,
      status: () => ({ ...noNorthbound.status(), state: 'ready' }),
      programming: () => ({ kind: isComplete() ? 'programmed' : 'pending' }),
      setDesired(inputs) {
        services = inputs.services;
        for (const listener of listeners) listener();
      },
      subscribe(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    };
    await cluster.pool('a', ['192.0.2.0/24']);
    const burst = cluster.controller({
      arguments: ['--workers=4'],
      surroundings: { northbound: () => northbound },
    });
    await Promise.all(names.map((name) => cluster.service(name)));
    for (const name of names) {
      const service = await cluster.until(name, (candidate) => ipsOf(candidate).length > 0);
      expect(programmedOf(service)).toMatchObject({ status: 'True', reason: 'Programmed' });
    }
    await burst.wrote('services/status', names.length);
  }, 60_000);

  test('the database away: the address comes all the same and the condition says what is missing, then it is healed', async () => {
    central = new OvnCentral();
    await cluster.pool('a', ['192.0.2.10-192.0.2.20']);
    begin();
    await cluster.client.create(resources.endpointSlices, slice('web', ['10.16.0.2']));
    await cluster.service('web');
    const service = await cluster.until('web', (candidate) => ipsOf(candidate).length > 0);
    expect(programmedOf(service)).toMatchObject({ status: 'Unknown', reason: 'NotYetProgrammed' });
    await central.startNorthbound();
    central.makeKubeOvn();
    await cluster.until('web', (candidate) => programmedOf(candidate)?.status === 'True');
    expect(vips()).toMatch(/192\.0\.2\.10:80=10\.16\.0\.2:8080/);
    await controller.stop();
    begin();
    await northboundReady();
    await cluster.service('later');
    await cluster.until('later', (candidate) => ipsOf(candidate).length > 0);
    await controller.wrote('services/status', 1);
  }, 30_000);

  test('a restart deletes nothing that is still wanted, and takes away what went while nobody looked', async () => {
    central = new OvnCentral();
    await central.startNorthbound();
    central.makeKubeOvn();
    await cluster.pool('a', ['192.0.2.10-192.0.2.20']);
    begin();
    for (const name of ['one', 'two', 'three', 'four']) {
      await cluster.service(name);
      await cluster.until(name, (service) => programmedOf(service)?.status === 'True');
    }
    const uuids = () =>
      central
        .nbctl('--bare', '--columns=_uuid', 'find', 'Load_Balancer', 'external_ids:service!=default/none')
        .split(/\s+/)
        .sort();
    const before = uuids();
    await controller.stop();
    await cluster.delete('four');
    await cluster.patch('four', { metadata: { finalizers: null } });
    begin();
    await eventually(
      'the VIP has gone',
      async () => vips(),
      (text) => !text.includes('192.0.2.13'),
    );
    expect(before).toEqual(expect.arrayContaining(uuids()));
    for (const ip of ['192.0.2.10', '192.0.2.11', '192.0.2.12']) expect(vips()).toContain(ip);
  }, 30_000);

  test('in full mode ClusterIPs are carried too, and addresses that others gave to their Services', async () => {
    central = new OvnCentral();
    await central.startNorthbound();
    central.makeKubeOvn();
    begin('full');
    const other = await cluster.service('other', { spec: { loadBalancerClass: 'example.com/other' } });
    const status = { loadBalancer: { ingress: [{ ip: '203.0.113.5' }, { ip: '203.0.113.6', ipMode: 'Proxy' }] } };
    await cluster.client.patch(
      resources.services,
      { namespace: 'default', name: 'other' },
      { type: 'merge', subresource: 'status', body: { status } },
    );
    await eventually(
      'the VIPs',
      async () => vips(),
      (text) => text.includes('203.0.113.5:80') && text.includes(`${other.spec.clusterIP}:80`),
    );
    expect(vips()).not.toContain('203.0.113.6');
    expect(programmedOf(await cluster.get('other'))).toBeUndefined();
  });
});
