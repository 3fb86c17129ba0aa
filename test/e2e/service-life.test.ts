import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { waitFor } from '../../lab/processes.ts';
import {
  allocatedFromPoolAnnotations,
  claimedForClassAnnotation,
  cleanupFinalizer,
  requestAnnotations,
  serviceConditionTypes,
} from '../../src/api/index.ts';
import type { Service } from '../../src/kube/index.ts';
import { type ArpWatch, monotonicMs } from '../bench/lab/arp-watch.ts';
import { becomesSilent, ownerOf, watchArp } from './arp-history.ts';
import { describeLab, lab } from './lab-setup.ts';
import { shown } from './measured.ts';
import { RowWatch, rowsOf } from './northbound-rows.ts';
import { addressIn, curlCode, Stage } from './stage.ts';
import { ask, askTimes, type Backend } from './workload.ts';

const name = 'e2e-life';
jest.setTimeout(90_000);

/** From the request to the last trace: what comes to a Service, what stays through its changes, what goes with it. */
describeLab('the life of a Service', () => {
  let stage: Stage;
  let watch: ArpWatch;
  let pods: Backend[] = [];

  beforeAll(async () => {
    stage = await Stage.open(lab, name, ['10.77.0.60-10.77.0.69']);
    watch = await watchArp();
    pods = await stage.pods('web', 3);
  }, 240_000);

  afterAll(async () => {
    watch?.close();
    await stage?.close();
  }, 180_000);

  const answers = (url: string) =>
    waitFor(`${url}: an answer`, 30_000, async () => (await ask(lab, 'client', url)) !== undefined);
  const scopes = async (service: string) => (await rowsOf(lab, `${name}/${service}`)).map(({ scope }) => scope);

  test('gets the address it asks for in spec.loadBalancerIP', async () => {
    await stage.createService('by-field', 'web', { spec: { loadBalancerIP: '10.77.0.67' } });
    expect(await stage.addressOf('by-field')).toBe('10.77.0.67');
    await answers('http://10.77.0.67/hostname');
  });

  test('gets the address it asks for by annotation, ours or an alias', async () => {
    for (const [index, key] of requestAnnotations.loadBalancerIPs.entries()) {
      const address = `10.77.0.${64 + index}`;
      await stage.createService(`by-annotation-${index}`, 'web', { spec: {}, annotations: { [key]: address } });
      expect(await stage.addressOf(`by-annotation-${index}`)).toBe(address);
    }
    for (const index of requestAnnotations.loadBalancerIPs.keys()) await stage.deleteService(`by-annotation-${index}`);
  });

  test('deleted: rows, ARP answers and finalizer go, and the next Service can have the address', async () => {
    const address = '10.77.0.61';
    const annotations = { [requestAnnotations.loadBalancerIPs[0]]: address };
    await stage.createService('leaving', 'web', { spec: {}, annotations });
    await stage.addressOf('leaving');
    expect((await stage.service('leaving')).metadata.finalizers).toContain(cleanupFinalizer);
    watch.probe(address, 20);
    await ownerOf(lab, watch, address);
    expect(await scopes('leaving')).toEqual(['cluster-ip', 'external', 'node-port']);

    await stage.deleteService('leaving');
    await waitFor('no row of the Service', 30_000, async () => (await scopes('leaving')).length === 0);
    await becomesSilent(watch, address, 1_500);

    await stage.createService('next', 'web', { spec: {}, annotations });
    expect(await stage.addressOf('next')).toBe(address);
    await answers(`http://${address}/hostname`);
    await stage.deleteService('next');
    watch.stop(address);
  });

  test('turned into a ClusterIP: nothing of the load balancer is left, the ClusterIP goes on', async () => {
    const before = await stage.createService('typed', 'web');
    const address = await stage.addressOf('typed');
    watch.probe(address, 20);
    await ownerOf(lab, watch, address);

    await stage.changeService('typed', { spec: { type: 'ClusterIP' } });
    const after = await stage.until('typed', 'without any trace', (service) => traces(service).length === 0);
    expect(after.spec.clusterIP).toBe(before.spec.clusterIP);
    await waitFor('only the ClusterIP in OVN', 30_000, async () => (await scopes('typed')).join() === 'cluster-ip');
    await stage.event(
      'Service',
      'typed',
      'Released',
      `${address} released: the Service does not ask for a load balancer of this class any more`,
    );
    await becomesSilent(watch, address, 1_500);
    const node = lab.nodes[0]?.name ?? '';
    expect(pods.map((pod) => pod.name)).toContain(await ask(lab, node, `http://${after.spec.clusterIP}/hostname`));

    await stage.changeService('typed', { spec: { type: 'LoadBalancer' } });
    await answers(`http://${await stage.addressOf('typed')}/hostname`);
    await stage.deleteService('typed');
    watch.stop(address);
  });

  test('a changed port: the address stays, the new port answers, the old one is refused', async () => {
    await stage.createService('ports', 'web');
    const address = await stage.addressOf('ports');
    await answers(`http://${address}/hostname`);
    await stage.changeService('ports', { spec: { ports: [{ port: 8088, targetPort: 8080 }] } });
    await answers(`http://${address}:8088/hostname`);
    expect(await stage.addressOf('ports')).toBe(address);
    const external = (await rowsOf(lab, `${name}/ports`)).find(({ scope }) => scope === 'external');
    expect(Object.keys(external?.vips ?? {})).toEqual([`${address}:8088`]);
    const refused = 7;
    await waitFor(
      'port 80: refused',
      30_000,
      async () => (await curlCode(lab, 'client', `http://${address}/`)) === refused,
    );
    await stage.deleteService('ports');
  });

  test('rows follow the EndpointSlices', async () => {
    await stage.createService('timed', '', { spec: { selector: {}, ports: [{ port: 80, targetPort: 8080 }] } });
    const [first] = pods;
    if (!first) throw new Error('no pod runs');
    await stage.applySlice('timed', pods);
    const address = await stage.addressOf('timed');
    const row = `ovenbird/${name}/timed/tcp/external`;
    const rows = await RowWatch.start(lab);
    const tookMs: number[] = [];
    try {
      for (let round = 0; round < 10; round++) {
        const backends = round % 2 === 0 ? [first] : pods;
        const vips = {
          [`${address}:80`]: backends
            .map((pod) => `${pod.address}:8080`)
            .sort()
            .join(','),
        };
        const seen = rows.changes.length;
        const sentMs = monotonicMs();
        await stage.applySlice('timed', backends);
        tookMs.push((await rows.carries(row, vips, seen)).atMs - sentMs);
      }
      shown('EndpointSlice sent to the API server until its row is changed', tookMs);
      expect(tookMs.sort((a, b) => a - b)[4]).toBeLessThan(1_000);

      await stage.applySlice('timed', [first]);
      await waitFor('only the first pod answers', 30_000, async () => {
        const names = await askTimes(lab, 'client', `http://${address}/hostname`, 6);
        return names.every((answer) => answer === first.name);
      });
    } finally {
      rows.close();
    }
  });

  test('rows follow the pods, up and down', async () => {
    await stage.createService('scaled', 'web');
    const address = await stage.addressOf('scaled');
    for (const replicas of [5, 2, 3]) {
      pods = await stage.pods('web', replicas);
      const wanted = pods
        .map((pod) => `${pod.address}:8080`)
        .sort()
        .join(',');
      await waitFor(`the ${replicas} pods in OVN`, 30_000, async () => {
        const external = (await rowsOf(lab, `${name}/scaled`)).find(({ scope }) => scope === 'external');
        return external?.vips[`${address}:80`] === wanted;
      });
    }
    await waitFor('only pods that run answer', 30_000, async () => {
      const names = await askTimes(lab, 'client', `http://${address}/hostname`, 6);
      return names.every((answer) => pods.some((pod) => pod.name === answer));
    });
  }, 240_000);
});

/** What a load balancer of ours leaves on a Service. */
function traces({ metadata, status }: Service): string[] {
  const { finalizers = [], annotations = {} } = metadata;
  const ours = [claimedForClassAnnotation, allocatedFromPoolAnnotations[0]];
  const conditions: readonly string[] = serviceConditionTypes;
  return [
    ...finalizers.filter((finalizer) => finalizer === cleanupFinalizer),
    ...ours.filter((key) => key in annotations),
    ...(status?.conditions ?? []).map(({ type }) => type).filter((type) => conditions.includes(type)),
    ...(addressIn({ metadata, spec: {}, ...(status ? { status } : {}) }) === '' ? [] : ['status.loadBalancer.ingress']),
  ];
}
