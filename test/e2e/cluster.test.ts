import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { isAlive, signalProcess } from '../../lab/process-table.ts';
import { run } from '../../lab/processes.ts';
import { processRecords } from '../../lab/state.ts';
import { apply, describeLab, exec, kubectl, kubectlJson, lab, labCommand, repairLab } from './lab-setup.ts';

interface Pod {
  metadata: { name: string };
  spec: { nodeName: string };
  status: { podIP: string };
}

const namespace = 'e2e-cluster';

/** One pod a node, answering with its name on port 8080. */
const workload = {
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name: 'web', namespace },
  spec: {
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'web',
            image: 'registry.local/agnhost:2',
            args: ['netexec', '--http-port=8080'],
            readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1 },
          },
        ],
      },
    },
  },
};

describeLab('the cluster of the lab', () => {
  let pods: Pod[] = [];

  beforeAll(async () => {
    await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    await apply(workload);
    await kubectl(['-n', namespace, 'rollout', 'status', 'daemonset/web', '--timeout=90s']);
    pods = (await kubectlJson<{ items: Pod[] }>(['-n', namespace, 'get', 'pods'])).items;
  }, 120_000);

  afterAll(async () => {
    await kubectl(['delete', 'namespace', namespace, '--wait=false']);
  });

  test('every node is Ready, known by its management address and named as its host', async () => {
    interface Node {
      metadata: { name: string };
      status: { addresses: { type: string; address: string }[]; conditions: { type: string; status: string }[] };
    }
    const { items } = await kubectlJson<{ items: Node[] }>(['get', 'nodes']);
    const seen = items.map(({ metadata, status }) => ({
      name: metadata.name,
      address: status.addresses.find(({ type }) => type === 'InternalIP')?.address,
      ready: status.conditions.find(({ type }) => type === 'Ready')?.status,
    }));
    expect(seen).toEqual(lab.nodes.map((node) => ({ name: node.name, address: node.mgmtAddress, ready: 'True' })));
    for (const node of lab.nodes) expect((await exec(node.name, 'hostname')).stdout.trim()).toBe(node.name);
  });

  test('a pod runs on each node, with an address of the pod network', () => {
    expect(pods.map((pod) => pod.spec.nodeName).sort()).toEqual(lab.nodes.map((node) => node.name));
    for (const pod of pods) expect(pod.status.podIP).toMatch(/^10\.16\./);
  });

  test('logs and exec reach every kubelet', async () => {
    for (const { metadata } of pods) {
      expect(await kubectl(['-n', namespace, 'logs', metadata.name])).toContain('Started HTTP server on port 8080');
      const said = await kubectl(['-n', namespace, 'exec', metadata.name, '--', '/agnhost', '--version']);
      expect(said).toMatch(/version/);
    }
  });

  test('every pod reaches every other, and nodes and API server reach all of them', async () => {
    for (const from of pods) {
      for (const to of pods) {
        const target = `${to.status.podIP}:8080`;
        const connect = ['/agnhost', 'connect', '--timeout=3s', target];
        await kubectl(['-n', namespace, 'exec', from.metadata.name, '--', ...connect]);
      }
    }
    for (const host of ['control', ...lab.nodes.map((node) => node.name)]) {
      for (const { metadata, status } of pods) {
        const { stdout } = await exec(host, 'curl', '-s', '-m', '3', `http://${status.podIP}:8080/hostname`);
        expect(stdout).toBe(metadata.name);
      }
    }
  }, 60_000);

  test('the client and the router are on the fabric only', async () => {
    for (const host of ['client', 'router']) {
      await exec(host, 'ping', '-c', '1', '-W', '2', '10.77.0.21');
      await expect(exec(host, 'ping', '-c', '1', '-W', '1', '172.31.40.1')).rejects.toThrow(/ping/);
    }
  });

  test('the machine itself has no address, route or bridge of the lab', async () => {
    for (const args of [['address'], ['route', 'show', 'table', 'all'], ['link']]) {
      const { stdout } = await run(lab, { command: 'ip', args });
      expect(stdout).not.toMatch(/10\.77\.0\.|172\.31\.4[01]\.|10\.16\.0\.0|100\.64\.0\.|fd77::|fabric|mgmt/);
    }
  });

  test('up changes nothing where nothing is missing, and puts back what is', () => {
    const before = processRecords(lab);
    repairLab();
    expect(processRecords(lab)).toEqual(before);

    const victims = ['kube-scheduler', 'node-1.kubelet'];
    for (const name of victims) {
      const record = before[name];
      expect(record && signalProcess(record, 'SIGKILL')).toBe(true);
    }
    repairLab();
    const after = processRecords(lab);
    for (const [name, record] of Object.entries(after)) {
      expect({ name, alive: isAlive(record) }).toEqual({ name, alive: true });
      if (victims.includes(name)) expect(record.pid).not.toBe(before[name]?.pid);
      else expect(record).toEqual(before[name]);
    }
  }, 120_000);

  test('status shows every host, with no process dead', () => {
    const { code, stdout } = labCommand('status');
    expect(code).toBe(0);
    expect(stdout).toMatch(/API server +ready/);
    for (const node of lab.nodes) expect(stdout).toMatch(new RegExp(`^${node.name} .* Ready `, 'm'));
    expect(stdout).not.toContain('(dead)');
  });

  test('wrong usage is told in a sentence, with exit code 2', () => {
    expect(labCommand('exec', 'node-99', '--', 'true')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^lab: exec: say a host \(.*node-1.*\)/),
    });
    expect(labCommand('up', '--nodes', '0')).toMatchObject({
      code: 2,
      stderr: 'lab: --nodes: must be a number from 1 to 20\n',
    });
  });
});
