import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { addressing } from '../../lab/lab.ts';
import { run, waitFor } from '../../lab/processes.ts';
import type { ArpWatch } from '../bench/lab/arp-watch.ts';
import { nodeOfMac, ownerOf, reigns, watchArp } from './arp-history.ts';
import { describeLab, lab } from './lab-setup.ts';
import { rowsOf } from './northbound-rows.ts';
import { Stage } from './stage.ts';
import { ask, askFromPod, askTimes, type Backend } from './workload.ts';

const name = 'e2e-data-path';

/** Every way to a Service of type LoadBalancer, taken by real packets. */
describeLab('a Service of type LoadBalancer', () => {
  let stage: Stage;
  let watch: ArpWatch;
  let pods: Backend[] = [];
  let vip = '';
  let clusterIP = '';
  let nodePort = 0;

  beforeAll(async () => {
    stage = await Stage.open(lab, name, ['10.77.0.50-10.77.0.59']);
    watch = await watchArp();
    pods = await stage.pods('web', 4);
    const ports = [
      { name: 'http', protocol: 'TCP' as const, port: 80, targetPort: 8080 },
      { name: 'echo', protocol: 'UDP' as const, port: 81, targetPort: 8081 },
    ];
    await stage.createService('web', 'web', { spec: { ports } });
    vip = await stage.addressOf('web');
    watch.probe(vip, 20);
    const { spec } = await stage.service('web');
    clusterIP = spec.clusterIP ?? '';
    nodePort = spec.ports?.find((port) => port.name === 'http')?.nodePort ?? 0;
    await waitFor(
      `http://${vip}/: an answer`,
      30_000,
      async () => (await ask(lab, 'client', `http://${vip}/`)) !== undefined,
    );
  }, 240_000);

  afterAll(async () => {
    watch?.close();
    await stage?.close();
  }, 180_000);

  const podNames = () => pods.map((pod) => pod.name);
  const names = async (host: string, url: string, times: number) => {
    const answers = await askTimes(lab, host, `${url}/hostname`, times);
    expect({ host, url, answers: answers.filter((answer) => !podNames().includes(answer ?? '')) }).toEqual({
      host,
      url,
      answers: [],
    });
    return new Set(answers);
  };
  const seenFrom = async (host: string, url: string, times: number) => {
    const answers = await askTimes(lab, host, `${url}/clientip`, times);
    return [...new Set(answers.map((answer) => answer?.replace(/:\d+$/, '')))];
  };

  test('gets an address of the pool it names', () => {
    expect(vip).toMatch(/^10\.77\.0\.5\d$/);
  });

  test('is in OVN with every ready pod, by ClusterIP, NodePort and load-balancer address', async () => {
    const rows = await rowsOf(lab, `${name}/web`);
    expect(rows.map(({ protocol, scope }) => `${protocol} ${scope}`)).toEqual([
      'tcp cluster-ip',
      'tcp external',
      'tcp node-port',
      'udp cluster-ip',
      'udp external',
      'udp node-port',
    ]);
    const http = pods
      .map(({ address }) => `${address}:8080`)
      .sort()
      .join(',');
    const vips = (protocol: string, scope: string) =>
      rows.find((row) => row.protocol === protocol && row.scope === scope)?.vips;
    expect(vips('tcp', 'external')).toEqual({ [`${vip}:80`]: http });
    expect(vips('udp', 'external')).toEqual({ [`${vip}:81`]: http.replaceAll(':8080', ':8081') });
    expect(vips('tcp', 'cluster-ip')).toEqual({ [`${clusterIP}:80`]: http });
    expect(vips('tcp', 'node-port')).toEqual(
      Object.fromEntries(lab.nodes.map(({ mgmtAddress }) => [`${mgmtAddress}:${nodePort}`, http])),
    );
  });

  test('exactly one node answers ARP for the address', async () => {
    const fromMs = (await watch.next('an ARP answer', 10_000, (seen) => seen.address === vip)).atMs;
    await watch.next('ARP answers for a second', 10_000, (seen) => seen.address === vip && seen.atMs > fromMs + 1_000);
    const [reign, ...others] = reigns(watch.sightings, vip);
    expect(others).toEqual([]);
    expect(lab.nodes.map((node) => node.name)).toContain(nodeOfMac(lab, reign?.mac ?? ''));
  });

  test('a client reaches several pods through the address: 16 of 16', async () => {
    expect((await names('client', `http://${vip}`, 16)).size).toBeGreaterThan(1);
  }, 60_000);

  test('UDP: a client reaches several pods through the address: 16 of 16', async () => {
    const { stdout } = await run(lab, {
      host: 'client',
      command: process.execPath,
      args: [join(import.meta.dirname, 'udp-asker.ts'), vip, '81', '16', 'hostname'],
      timeoutMs: 60_000,
    });
    const answers = JSON.parse(stdout) as (string | null)[];
    expect(answers.filter((answer) => !podNames().includes(answer ?? ''))).toEqual([]);
    expect(new Set(answers).size).toBeGreaterThan(1);
  }, 90_000);

  test('a client reaches the NodePort on every node', async () => {
    for (const { fabricAddress } of lab.nodes) {
      expect((await names('client', `http://${fabricAddress}:${nodePort}`, 8)).size).toBeGreaterThan(1);
    }
  }, 60_000);

  test('a node reaches the NodePort of every node, its own included', async () => {
    const [node] = lab.nodes;
    for (const { mgmtAddress } of lab.nodes) await names(node?.name ?? '', `http://${mgmtAddress}:${nodePort}`, 2);
  }, 60_000);

  test('every node and every pod reach the ClusterIP and the load-balancer address', async () => {
    for (const node of lab.nodes) {
      for (const address of [clusterIP, vip]) await names(node.name, `http://${address}`, 4);
    }
    for (const pod of pods) {
      for (const address of [clusterIP, vip]) {
        const answers = await askFromPod(lab, pod, { address, port: 80, request: 'hostname' }, 4);
        expect({ pod, address, answers: answers.filter((answer) => podNames().includes(answer)).length }).toEqual({
          pod,
          address,
          answers: 4,
        });
      }
    }
  }, 120_000);

  test('a port that the Service does not have is refused, not swallowed', async () => {
    await expect(
      run(lab, { host: 'client', command: 'curl', args: ['-s', '-m', '5', `http://${vip}:82/`] }),
    ).rejects.toThrow(/exit code 7/);
  }, 30_000);

  test('externalTrafficPolicy Cluster: the pod sees the join address of the owner', async () => {
    const owner = await ownerOf(lab, watch, vip);
    const join = lab.nodes.find((node) => node.name === owner)?.joinAddress;
    expect(await seenFrom('client', `http://${vip}`, 6)).toEqual([join]);
  }, 30_000);

  describe('externalTrafficPolicy Local', () => {
    let solo: Backend[] = [];
    let home = '';
    let address = '';

    beforeAll(async () => {
      // Its first owner is a node without a pod, so that the policy must move it.
      await stage.createService('local', 'web');
      address = await stage.addressOf('local');
      watch.probe(address, 20);
      const owner = await ownerOf(lab, watch, address);
      home = lab.nodes.find((node) => node.name !== owner)?.name ?? '';
      solo = await stage.pods('solo', 2, home);
      await stage.changeService('local', { spec: { selector: { app: 'solo' }, externalTrafficPolicy: 'Local' } });
      await waitFor(`${address}: owned by ${home}`, 30_000, async () => (await ownerOf(lab, watch, address)) === home);
      await waitFor(`http://${address}: the pod sees the client`, 30_000, async () =>
        Boolean((await ask(lab, 'client', `http://${address}/clientip`))?.startsWith(addressing.client.fabric)),
      );
    }, 180_000);

    test('the address keeps and the node with the pods owns it', async () => {
      expect(await stage.addressOf('local')).toBe(address);
      expect(await ownerOf(lab, watch, address)).toBe(home);
    }, 30_000);

    test('the pods see the client itself', async () => {
      expect(await seenFrom('client', `http://${address}`, 8)).toEqual([addressing.client.fabric]);
    }, 30_000);

    test('with pods on every node: only those of the owner answer', async () => {
      await stage.changeService('local', { spec: { selector: { app: 'web' } } });
      let owner = '';
      await waitFor('only pods of "web" answer', 30_000, async () => {
        owner = await ownerOf(lab, watch, address);
        return podNames().includes((await ask(lab, 'client', `http://${address}/hostname`)) ?? '');
      });
      const local = pods.filter(({ node }) => node === owner).map((pod) => pod.name);
      const answers = await askTimes(lab, 'client', `http://${address}/hostname`, 12);
      expect([...new Set(answers)].sort()).toEqual(local.sort());
      expect(await seenFrom('client', `http://${address}`, 4)).toEqual([addressing.client.fabric]);
    }, 60_000);

    test('pods and nodes reach it too, on nodes without a pod of it as well', async () => {
      await stage.changeService('local', { spec: { selector: { app: 'solo' } } });
      const isSolo = (answer: string | undefined) => solo.some((pod) => pod.name === answer);
      for (const { name: host } of lab.nodes) {
        await waitFor(`${host} -> ${address}`, 30_000, async () =>
          isSolo(await ask(lab, host, `http://${address}/hostname`)),
        );
      }
      for (const pod of pods) {
        const answers = await askFromPod(lab, pod, { address, port: 80, request: 'hostname' }, 4);
        expect({ pod, answered: answers.filter(isSolo).length }).toEqual({ pod, answered: 4 });
      }
    }, 90_000);

    test('the NodePort answers on the nodes with a pod, and is refused on the others', async () => {
      const port = (await stage.service('local')).spec.ports?.[0]?.nodePort;
      for (const { name: node, fabricAddress } of lab.nodes) {
        const url = `http://${fabricAddress}:${port}`;
        if (node === home) expect(await seenFrom('client', url, 4)).toEqual([addressing.client.fabric]);
        else expect({ node, answer: await ask(lab, 'client', `${url}/hostname`) }).toEqual({ node, answer: undefined });
      }
    }, 60_000);
  });
});
