import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ovnStatus } from '../../lab/ovn/index.ts';
import { transact } from '../../lab/ovn/northbound.ts';
import { setMembers, uuidText } from '../../lab/ovn/ovsdb.ts';
import { run, tryRun, waitFor } from '../../lab/processes.ts';
import { describeLab, lab } from './lab-setup.ts';
import { ask, askFromPod, askTimes, type Backend, removeWorkload, startWorkload } from './workload.ts';

const vip = '10.77.0.190';
const groupName = 'hand-made';
/** A routing table and a rule of this test's own, beside those of Ovenbird. */
const routeTable = '7790';

let backends: Backend[] = [];

/**
 * The ground Ovenbird stands on: the ways a packet takes through the lab, programmed by hand as Ovenbird programs
 * them. When one of these fails, nothing that is built on top can work.
 */
describeLab('packet paths', () => {
  beforeAll(async () => {
    backends = await startWorkload(lab, 'data-path', 4);
  }, 120_000);

  afterAll(async () => {
    await removeHandMade();
    await removeWorkload(lab, 'data-path');
  }, 120_000);

  describe('the pod network', () => {
    test('every part of OVN is well', async () => {
      const status = await ovnStatus(lab);
      expect(status.missing).toEqual([]);
      expect(
        status.nodes.map(({ node, missing, claimed, joinAnswers }) => ({ node, missing, claimed, joinAnswers })),
      ).toEqual(lab.nodes.map(({ name }) => ({ node: name, missing: [], claimed: true, joinAnswers: true })));
    });

    test('pods are spread over the nodes and reach each other, the first packet included', async () => {
      expect(new Set(backends.map(({ node }) => node)).size).toBe(lab.nodes.length);
      for (const from of backends) {
        for (const to of backends) {
          const target = { address: to.address, port: 8080, request: 'hostname' };
          expect([from.name, to.name, await askFromPod(lab, from, target, 1)]).toEqual([from.name, to.name, [to.name]]);
        }
      }
    }, 60_000);

    test('a pod sees the address of a pod, and the join address of a node', async () => {
      const [to] = backends;
      const from = backends.find(({ node }) => node !== to?.node);
      if (!from || !to) throw new Error('the workload is not spread over two nodes');
      const [fromPod] = await askFromPod(lab, from, { address: to.address, port: 8080, request: 'clientip' }, 1);
      expect(fromPod?.replace(/:\d+$/, '')).toBe(from.address);
      const fromNode = await ask(lab, from.node, `http://${to.address}:8080/clientip`);
      const node = lab.nodes.find(({ name }) => name === from.node);
      expect(fromNode?.replace(/:\d+$/, '')).toBe(node?.joinAddress);
    });

    test('a pod reaches the world with its node’s address', async () => {
      const [pod] = backends;
      if (!pod) throw new Error('no pod');
      const args = ['10', 'tcpdump', '-c', '1', '-nn', '-i', 'fabric0', 'tcp dst port 7'];
      let seen: string | undefined;
      const watching = tryRun(lab, { host: 'client', command: 'timeout', args }).then(({ stdout }) => {
        seen = stdout;
      });
      const target = { address: '10.77.0.10', port: 7, request: 'hostname' };
      while (seen === undefined) await askFromPod(lab, pod, target, 1);
      await watching;
      expect(seen).toContain(`IP ${fabricOf(pod.node)}.`);
    }, 30_000);
  });

  describe('a load balancer in a group on join and ovn-default', () => {
    beforeAll(async () => {
      await makeLoadBalancer();
      for (const node of lab.nodes) await routeOnNode(node.name, true);
      await run(lab, {
        host: 'client',
        command: 'ip',
        args: ['route', 'replace', vip, 'via', fabricOf(firstNode())],
      });
    }, 60_000);

    test('node -> VIP through ovn0: 8 of 8, on every node', async () => {
      for (const { name } of lab.nodes) {
        expect(await namesOf(askTimes(lab, name, `http://${vip}/hostname`, 8))).toBe(8);
      }
    }, 60_000);

    test('pod -> VIP: 8 of 8 from every pod, itself as the backend included', async () => {
      for (const pod of backends) {
        const answers = await askFromPod(lab, pod, { address: vip, port: 80, request: 'hostname' }, 8);
        expect(answers.filter((name) => backends.some((backend) => backend.name === name))).toHaveLength(8);
      }
    }, 60_000);

    test('client -> VIP through a node, masqueraded: 16 of 16, several backends, seen as the join address', async () => {
      const answers = await askTimes(lab, 'client', `http://${vip}/hostname`, 16);
      expect(await namesOf(Promise.resolve(answers))).toBe(16);
      expect(new Set(answers).size).toBeGreaterThan(1);
      const seen = await ask(lab, 'client', `http://${vip}/clientip`);
      expect(seen?.replace(/:\d+$/, '')).toBe(lab.nodes[0]?.joinAddress);
    }, 60_000);

    test('no backend: refused at once, not swallowed', async () => {
      await transact(lab, 'northbound', [setVips({ [`${vip}:80`]: '' })]);
      try {
        await waitFor('connection refused', 5_000, async () => {
          const started = performance.now();
          const answer = await ask(lab, 'client', `http://${vip}/hostname`);
          return answer === undefined && performance.now() - started < 1_000;
        });
      } finally {
        await transact(lab, 'northbound', [setVips(allBackends())]);
      }
    }, 30_000);

    test('DNAT to a pod of this node in prerouting keeps the client’s address (policy Local): 8 of 8', async () => {
      const local = backends.find(({ node }) => node === firstNode());
      const rules = `table ip hand-made-local {
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr ${vip} tcp dport 81 dnat to ${local?.address}:8080
  }
}`;
      await run(lab, { host: firstNode(), command: 'nft', args: ['-f', '-'], input: rules });
      const answers = await askTimes(lab, 'client', `http://${vip}:81/clientip`, 8);
      expect(answers.map((answer) => answer?.replace(/:\d+$/, ''))).toEqual(
        Array.from({ length: 8 }, () => '10.77.0.10'),
      );
    }, 30_000);
  });
});

function firstNode(): string {
  return lab.nodes[0]?.name ?? '';
}

async function namesOf(answers: Promise<(string | undefined)[]>): Promise<number> {
  return (await answers).filter((answer) => backends.some(({ name }) => name === answer)).length;
}

function fabricOf(nodeName: string): string {
  return lab.nodes.find(({ name }) => name === nodeName)?.fabricAddress ?? '';
}

function allBackends(): Record<string, string> {
  return { [`${vip}:80`]: backends.map(({ address }) => `${address}:8080`).join(',') };
}

function setVips(vips: Record<string, string>) {
  return {
    op: 'update',
    table: 'Load_Balancer',
    where: [['name', '==', groupName]],
    row: { vips: ['map', Object.entries(vips)] },
  };
}

/** One row, in a group that is attached to both switches: the shape of what Ovenbird writes. */
async function makeLoadBalancer(): Promise<void> {
  const options = { reject: 'true', neighbor_responder: 'none' };
  const attach = (name: string) => ({
    op: 'mutate',
    table: 'Logical_Switch',
    where: [['name', '==', name]],
    mutations: [['load_balancer_group', 'insert', ['named-uuid', 'group']]],
  });
  await transact(lab, 'northbound', [
    {
      op: 'insert',
      table: 'Load_Balancer',
      'uuid-name': 'balancer',
      row: {
        name: groupName,
        protocol: 'tcp',
        vips: ['map', Object.entries(allBackends())],
        options: ['map', Object.entries(options)],
      },
    },
    {
      op: 'insert',
      table: 'Load_Balancer_Group',
      'uuid-name': 'group',
      row: { name: groupName, load_balancer: ['named-uuid', 'balancer'] },
    },
    attach('join'),
    attach('ovn-default'),
  ]);
}

/** The host's part of policy Cluster: a route in a table of its own, a rule to it, masquerade out of ovn0. */
async function routeOnNode(host: string, add: boolean): Promise<void> {
  const rules = add
    ? `table ip hand-made {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "ovn0" ip daddr ${vip} masquerade
  }
}`
    : ['hand-made', 'hand-made-local'].map((name) => `table ip ${name} {}\ndelete table ip ${name}`).join('\n');
  await run(lab, { host, command: 'nft', args: ['-f', '-'], input: `${rules}\n` });
  const route = [vip, 'via', '100.64.0.1', 'dev', 'ovn0', 'table', routeTable];
  const lines = add
    ? [`route replace ${route.join(' ')}`, `rule add pref ${routeTable} to ${vip} lookup ${routeTable}`]
    : [`rule delete pref ${routeTable}`, `route flush table ${routeTable}`];
  await run(lab, { host, command: 'ip', args: ['-batch', '-'], input: `${lines.join('\n')}\n` });
}

async function removeHandMade(): Promise<void> {
  for (const node of lab.nodes) await routeOnNode(node.name, false).catch(() => {});
  await run(lab, { host: 'client', command: 'ip', args: ['route', 'delete', vip] }).catch(() => {});
  const [group] = await transact(lab, 'northbound', [
    { op: 'select', table: 'Load_Balancer_Group', where: [['name', '==', groupName]], columns: ['_uuid'] },
  ]);
  const uuid = uuidText(group?.rows?.[0]?._uuid);
  if (uuid === '') return;
  await transact(lab, 'northbound', [
    {
      op: 'mutate',
      table: 'Logical_Switch',
      where: [],
      mutations: [['load_balancer_group', 'delete', ['uuid', uuid]]],
    },
    { op: 'delete', table: 'Load_Balancer_Group', where: [['name', '==', groupName]] },
    { op: 'delete', table: 'Load_Balancer', where: [['name', '==', groupName]] },
  ]);
  const [left] = await transact(lab, 'northbound', [
    { op: 'select', table: 'Logical_Switch', where: [], columns: ['load_balancer_group'] },
  ]);
  expect(left?.rows?.flatMap((row) => setMembers(row.load_balancer_group)).map(String)).not.toContain(uuid);
}
