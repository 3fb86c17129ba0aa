import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import {
  apiDown,
  apiFreeze,
  apiUp,
  crashNode,
  deleteLoadBalancers,
  healNetwork,
  killController,
  killSpeaker,
  linkDown,
  linkUp,
  ovenbirdProcesses,
  partition,
  restartNodeSwitch,
  restartNorthboundDatabase,
  restoreNode,
  runFault,
  slowApi,
} from '../../lab/faults.ts';
import { agnhostImage } from '../../lab/image-names.ts';
import { apiGet, apiRead, kubectl } from '../../lab/kubectl.ts';
import { addressing, type NodeSpec } from '../../lab/lab.ts';
import { ovnStatus } from '../../lab/ovn/index.ts';
import { transact } from '../../lab/ovn/northbound.ts';
import { isAlive } from '../../lab/process-table.ts';
import { tryRun, waitFor } from '../../lab/processes.ts';
import { silentProgress } from '../../lab/progress.ts';
import { processRecords } from '../../lab/state.ts';
import { describeLab, lab } from './lab-setup.ts';
import { ask, askFromPod, type Backend, removeWorkload, startWorkload, waitForBackends } from './workload.ts';

let backends: Backend[] = [];

/** Each fault does what it says, hits nothing else, and its end restores everything. */
describeLab('faults of the lab', () => {
  beforeAll(async () => {
    backends = await startWorkload(lab, 'faults', 4);
  }, 120_000);

  afterEach(async () => {
    await healNetwork(lab);
  });

  afterAll(async () => {
    await removeWorkload(lab, 'faults');
  }, 120_000);

  describe('cables', () => {
    test('link-down on the fabric: unreachable there, no carrier, everything else goes on', async () => {
      const [, victim] = witnessAndVictim();
      await linkDown(lab, victim.name, 'fabric');
      expect(await reaches('client', victim.fabricAddress)).toBe(false);
      expect(await carrier(victim.name, 'fabric0')).toBe(false);
      expect(await reaches('control', victim.mgmtAddress)).toBe(true);
      expect(await crossesNodes()).toBe(true);
      await linkUp(lab, victim.name, 'fabric');
      await becomes('the node is back', () => reaches('client', victim.fabricAddress));
      expect(await carrier(victim.name, 'fabric0')).toBe(true);
      expect(await reaches(victim.name, addressing.client.fabric6)).toBe(true);
    }, 30_000);

    test('link-down on the management segment: no API, no overlay, but the fabric goes on', async () => {
      const [, victim] = witnessAndVictim();
      await linkDown(lab, victim.name, 'mgmt');
      expect(await reaches('control', victim.mgmtAddress)).toBe(false);
      expect(await crossesNodes()).toBe(false);
      expect(await reaches('client', victim.fabricAddress)).toBe(true);
      await linkUp(lab, victim.name);
      await becomes('the overlay is back', crossesNodes);
    }, 30_000);

    test('partition: the nodes do not hear each other on the fabric, the client hears all', async () => {
      const [witness, victim] = witnessAndVictim();
      await partition(lab, victim.name);
      expect(await arpAnswered(witness.name, victim.fabricAddress)).toBe(false);
      expect(await arpAnswered(victim.name, witness.fabricAddress)).toBe(false);
      expect(await arpAnswered('client', victim.fabricAddress)).toBe(true);
      expect(await arpAnswered('client', witness.fabricAddress)).toBe(true);
      expect(await carrier(victim.name, 'fabric0')).toBe(true);
      expect(await crossesNodes()).toBe(true);
      await healNetwork(lab);
      expect(await arpAnswered(witness.name, victim.fabricAddress)).toBe(true);
    }, 30_000);

    test('partition in one direction: what the node says is heard, what is said to it is not', async () => {
      const [witness, victim] = witnessAndVictim();
      await partition(lab, victim.name, 'in');
      const heard = tryRun(lab, {
        host: witness.name,
        command: 'timeout',
        args: ['5', 'tcpdump', '-c', '1', '-nn', '-i', 'fabric0', `arp and src host ${victim.fabricAddress}`],
      });
      let done = false;
      const watching = heard.finally(() => {
        done = true;
      });
      while (!done) expect(await arpAnswered(victim.name, witness.fabricAddress)).toBe(false);
      expect((await watching).code).toBe(0);
    }, 30_000);
  });

  describe('the API server', () => {
    test('api-down refuses connections and api-up brings back what it knew', async () => {
      const before = await nodeNames();
      await apiDown(lab);
      const refused = await curlApi(witnessAndVictim()[0].name);
      expect(refused.code).toBe(7);
      expect(await crossesNodes()).toBe(true);
      await apiUp(lab, silentProgress);
      expect(await nodeNames()).toEqual(before);
    }, 120_000);

    test('api-down --freeze keeps connections open without an answer', async () => {
      await apiFreeze(lab);
      try {
        expect((await curlApi(witnessAndVictim()[0].name)).code).toBe(28);
      } finally {
        await apiUp(lab, silentProgress);
      }
      expect((await apiGet(lab, '/readyz')).status).toBe(200);
    }, 60_000);

    test('slow-api delays what the nodes say and hear, and ends', async () => {
      const node = witnessAndVictim()[0].name;
      await slowApi(lab, 300);
      try {
        // At least: client hello there and server hello back, then request and answer.
        expect((await curlApi(node)).seconds).toBeGreaterThan(1.1);
      } finally {
        await slowApi(lab, 0);
      }
      expect((await curlApi(node)).seconds).toBeLessThan(1.1);
    }, 60_000);
  });

  describe('OVN', () => {
    test('ovn-nb-restart keeps what is in it', async () => {
      const before = await portNames();
      await insertForeignBalancer();
      await restartNorthboundDatabase(lab, { signal: 'SIGKILL' });
      expect(await portNames()).toEqual(before);
      expect((await ovnStatus(lab)).loadBalancers).toHaveProperty('fault-test', 1);
      expect(await deleteLoadBalancers(lab)).toBeGreaterThanOrEqual(1);
      expect((await ovnStatus(lab)).loadBalancers).not.toHaveProperty('fault-test');
      expect(await crossesNodes()).toBe(true);
    }, 60_000);

    test('ovn-nb-restart --empty: topology and pods are made anew, rows of others are gone', async () => {
      const before = await portNames();
      await insertForeignBalancer();
      await restartNorthboundDatabase(lab, { empty: true });
      expect(await portNames()).toEqual(before);
      expect((await ovnStatus(lab)).loadBalancers).not.toHaveProperty('fault-test');
      await becomes('pods reach each other', crossesNodes);
      const [witness] = witnessAndVictim();
      const pod = backends.find(({ node }) => node !== witness.name);
      await becomes('nodes reach pods', async () => (await ask(lab, witness.name, hostname(pod))) === pod?.name);
    }, 60_000);

    test('ovs-restart: ovn0 and the pods’ ports are back, and routes through ovn0 were kept', async () => {
      const [, victim] = witnessAndVictim();
      const host = victim.name;
      const route = ['192.0.2.1', 'via', addressing.join.gateway, 'dev', 'ovn0', 'table', '7791'];
      await tryRun(lab, { host, command: 'ip', args: ['route', 'add', ...route] });
      const record = processRecords(lab)[`${host}.ovs-vswitchd`];
      await restartNodeSwitch(lab, host);
      expect(record && isAlive(record)).toBe(false);
      const { stdout } = await tryRun(lab, { host, command: 'ip', args: ['route', 'show', 'table', '7791'] });
      expect(stdout).toContain('192.0.2.1');
      await tryRun(lab, { host, command: 'ip', args: ['route', 'flush', 'table', '7791'] });
      await becomes('pods reach each other', crossesNodes);
    }, 60_000);
  });

  describe('Ovenbird’s processes', () => {
    test('kill-speaker and kill-controller hit exactly the one', async () => {
      const [witness, victim] = witnessAndVictim();
      const standIns = ovenbirdProcesses(lab, victim.name, 'speaker').length === 0;
      if (standIns) await startStandIns([witness, victim]);
      try {
        const [other] = ovenbirdProcesses(lab, witness.name, 'speaker');
        const speaker = await killSpeaker(lab, victim.name, 'SIGKILL');
        expect(other && isAlive(other)).toBe(true);
        await becomes('a new speaker', async () => {
          const [again] = ovenbirdProcesses(lab, victim.name, 'speaker');
          return again !== undefined && again.pid !== speaker;
        });
        const controllers = runningControllers();
        const killed = await killController(lab, 'SIGKILL');
        expect(killed).toHaveLength(1);
        expect(controllers).toContain(killed[0]);
        await becomes('a new controller', async () => {
          const now = runningControllers();
          return now.length === controllers.length && !now.some((pid) => killed.includes(pid));
        });
      } finally {
        if (standIns) await kubectl(lab, ['delete', 'namespace', 'ovenbird-system', '--timeout=60s']);
      }
    }, 120_000);
  });

  describe('power', () => {
    test('node-crash ends everything at once; node-restore brings node, network and pods back', async () => {
      const [witness, victim] = witnessAndVictim();
      const lost = backends.filter(({ node }) => node === victim.name);
      expect(lost.length).toBeGreaterThan(0);
      await crashNode(lab, victim.name);
      expect(await reaches('client', victim.fabricAddress)).toBe(false);
      expect(await reaches('control', victim.mgmtAddress)).toBe(false);
      expect(await ask(lab, witness.name, hostname(lost[0]))).toBeUndefined();
      const survivor = backends.find(({ node }) => node === witness.name);
      expect(await ask(lab, witness.name, hostname(survivor))).toBe(survivor?.name);

      await restoreNode(lab, victim.name, silentProgress);
      await becomes('every pod answers the other node', async () => {
        // Until its kubelet has spoken, the API server shows the node's pods as they were before.
        backends = await waitForBackends(lab, 'faults', 4);
        for (const pod of backends) {
          if ((await ask(lab, witness.name, hostname(pod))) !== pod.name) return false;
        }
        return true;
      });
      const status = await ovnStatus(lab);
      const plugged = status.nodes.find(({ node }) => node === victim.name)?.pods;
      expect(plugged).toBe(await podsWithNetwork(victim.name));
    }, 180_000);
  });

  test('words that make no sense are refused with what would', async () => {
    for (const words of [['no-such'], ['link-down', 'mars'], ['link-down', 'node-1', 'wifi'], ['slow-api', 'fast']]) {
      await expect(runFault(lab, words)).rejects.toMatchObject({ code: 'BadUsage' });
    }
    await expect(runFault(lab, ['kill-speaker', 'node-1', 'SIGNO'])).rejects.toMatchObject({ code: 'BadUsage' });
  });
});

/** The node that stays well, and the one that is hit. */
function witnessAndVictim(): [NodeSpec, NodeSpec] {
  const [witness, victim] = lab.nodes;
  if (!witness || !victim) throw new Error('these tests need two nodes');
  return [witness, victim];
}

function runningControllers(): number[] {
  return lab.nodes.flatMap((node) => ovenbirdProcesses(lab, node.name, 'controller').map(({ pid }) => pid));
}

async function becomes(what: string, check: () => Promise<boolean>): Promise<void> {
  await waitFor(what, 30_000, check);
}

async function reaches(host: string, address: string): Promise<boolean> {
  return (await tryRun(lab, { host, command: 'ping', args: ['-c', '1', '-W', '1', address] })).code === 0;
}

async function arpAnswered(host: string, address: string): Promise<boolean> {
  const args = ['-c', '2', '-w', '1', '-f', '-I', 'fabric0', address];
  return (await tryRun(lab, { host, command: 'arping', args })).code === 0;
}

async function carrier(host: string, nic: string): Promise<boolean> {
  const { stdout } = await tryRun(lab, { host, command: 'ip', args: ['-json', 'link', 'show', 'dev', nic] });
  return (JSON.parse(stdout) as { flags: string[] }[])[0]?.flags.includes('LOWER_UP') ?? false;
}

/** True when a pod of one node gets an answer from a pod of another. */
async function crossesNodes(): Promise<boolean> {
  const [witness, victim] = witnessAndVictim();
  const from = backends.find(({ node }) => node === witness.name);
  const to = backends.find(({ node }) => node === victim.name);
  if (!from || !to) return false;
  const target = { address: to.address, port: 8080, request: 'hostname' };
  const answer = askFromPod(lab, from, target, 1);
  return (await answer).includes(to.name);
}

function hostname(pod: Backend | undefined): string {
  return `http://${pod?.address}:8080/hostname`;
}

async function curlApi(host: string): Promise<{ code: number; seconds: number }> {
  const args = ['-sk', '-m', '5', '-o', '/dev/null', '-w', '%{time_total}', `${addressing.apiServer}/livez`];
  const { code, stdout } = await tryRun(lab, { host, command: 'curl', args });
  return { code, seconds: Number(stdout) };
}

async function nodeNames(): Promise<string[]> {
  const { items } = await apiRead<{ items: { metadata: { name: string } }[] }>(lab, '/api/v1/nodes');
  return items.map(({ metadata }) => metadata.name);
}

async function portNames(): Promise<string[]> {
  const [found] = await transact(lab, 'northbound', [
    { op: 'select', table: 'Logical_Switch_Port', where: [], columns: ['name', 'addresses'] },
  ]);
  return (found?.rows ?? []).map((row) => `${String(row.name)} ${String(row.addresses)}`).sort();
}

async function insertForeignBalancer(): Promise<void> {
  await transact(lab, 'northbound', [
    {
      op: 'insert',
      table: 'Load_Balancer',
      row: { name: 'foreign', external_ids: ['map', [['owner', 'fault-test']]] },
    },
  ]);
}

/** Pods of a node that have an address of their own, by the API server. */
async function podsWithNetwork(node: string): Promise<number> {
  interface Pods {
    items: { spec: { nodeName?: string; hostNetwork?: boolean } }[];
  }
  const { items } = await apiRead<Pods>(lab, '/api/v1/pods');
  return items.filter(({ spec }) => spec.nodeName === node && spec.hostNetwork !== true).length;
}

/** Where Ovenbird is not installed: containers whose words are those of its speaker and controller. */
async function startStandIns(nodes: readonly NodeSpec[]): Promise<void> {
  const namespace = 'ovenbird-system';
  const pod = (node: NodeSpec, role: string, port: number) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `${role}-${node.name}`, namespace },
    spec: {
      nodeName: node.name,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: role,
          image: agnhostImage,
          imagePullPolicy: 'Never',
          args: ['netexec', '--http-port', `${port}`, '--http-override', role, '--tls-private-key-file', 'ovenbird'],
          env: [{ name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
        },
      ],
    },
  });
  const [, victim] = witnessAndVictim();
  const lease = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'ovenbird-controller', namespace },
    spec: { holderIdentity: `controller-${victim.name}` },
  };
  const objects = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    ...nodes.flatMap((node) => [pod(node, 'speaker', 8080), pod(node, 'controller', 8081)]),
    lease,
  ];
  for (const object of objects) await kubectl(lab, ['apply', '-f', '-'], { input: JSON.stringify(object) });
  await becomes('the stand-ins run', async () =>
    nodes.every((node) =>
      (['speaker', 'controller'] as const).every((role) => ovenbirdProcesses(lab, node.name, role).length === 1),
    ),
  );
}
