import { addressing, type Lab, type NodeSpec } from '../lab.ts';
import { run, startProcess, stopProcess, tryRun, waitFor } from '../processes.ts';
import { removeLostPorts } from './lost-ports.ts';
import { addressLines, chassisSettings, masqueradeRules, podMtu, tunnelBridge } from './node-network.ts';
import { macOfIpv4, nodePortOf } from './northbound-topology.ts';
import { withoutZeroSnat } from './zero-snat.ts';

const switchDatabase = '/etc/openvswitch/conf.db';
const switchSocket = '/run/openvswitch/db.sock';

/** The processes of OVN on a node. */
export function nodeProcesses(nodeName: string): { database: string; switch: string; controller: string } {
  return {
    database: `${nodeName}.ovsdb-server`,
    switch: `${nodeName}.ovs-vswitchd`,
    controller: `${nodeName}.ovn-controller`,
  };
}

/**
 * Starts Open vSwitch (userspace datapath, no kernel module) and ovn-controller on a node and gives it its `ovn0`.
 * Resolves when the join gateway answers there. Whatever is right already stays; what a crash took
 * (ports, addresses, routes) comes back.
 */
export async function startOvnNode(lab: Lab, node: NodeSpec): Promise<void> {
  await startSwitchDatabase(lab, node);
  await configureSwitch(lab, node);
  await removeLostPorts(lab, node);
  await startSwitch(lab, node);
  await withoutZeroSnat(lab, node);
  await Promise.all([
    run(lab, { host: node.name, command: 'ip', args: ['-batch', '-'], input: `${addressLines(node).join('\n')}\n` }),
    run(lab, { host: node.name, command: 'nft', args: ['-f', '-'], input: masqueradeRules() }),
    startController(lab, node),
  ]);
  await waitFor(`${node.name}: ping ${addressing.join.gateway} through ovn0`, 30_000, () => joinAnswers(lab, node));
}

/** Restarts ovs-vswitchd, as an upgrade of it does. */
export async function restartSwitch(lab: Lab, node: NodeSpec): Promise<void> {
  await stopProcess(lab, nodeProcesses(node.name).switch);
  await startOvnNode(lab, node);
}

/** True when the node reaches OVN's router through ovn0. */
export async function joinAnswers(lab: Pick<Lab, 'root'>, node: NodeSpec): Promise<boolean> {
  const ping = ['-c', '1', '-W', '0.3', '-I', 'ovn0', addressing.join.gateway];
  return (await tryRun(lab, { host: node.name, command: 'ping', args: ping })).code === 0;
}

async function startSwitchDatabase(lab: Lab, node: NodeSpec): Promise<void> {
  const host = node.name;
  await run(lab, { host, command: 'mkdir', args: ['-p', '/run/openvswitch', '/run/ovn', '/etc/openvswitch'] });
  if ((await tryRun(lab, { host, command: 'test', args: ['-e', switchDatabase] })).code !== 0) {
    const schema = '/usr/share/openvswitch/vswitch.ovsschema';
    await run(lab, { host, command: 'rm', args: ['-f', `${switchDatabase}.new`] });
    await run(lab, { host, command: 'ovsdb-tool', args: ['create', `${switchDatabase}.new`, schema] });
    await run(lab, { host, command: 'mv', args: [`${switchDatabase}.new`, switchDatabase] });
  }
  await startProcess(lab, {
    name: nodeProcesses(host).database,
    host,
    command: 'ovsdb-server',
    args: [switchDatabase, `--remote=punix:${switchSocket}`, '--pidfile', '-vsyslog:off'],
    ready: async () => {
      const args = ['--timeout=2', 'list-dbs', `unix:${switchSocket}`];
      return (await tryRun(lab, { host, command: 'ovsdb-client', args })).stdout.includes('Open_vSwitch');
    },
  });
}

/** All that the switch has to know before it starts; it does not wait for the switch. */
async function configureSwitch(lab: Lab, node: NodeSpec): Promise<void> {
  const settings = Object.entries(chassisSettings(node)).map(([key, value]) => `external_ids:${key}=${value}`);
  const commands = [
    // One thread of each kind: the machine has few cores and many switches.
    [
      'set',
      'Open_vSwitch',
      '.',
      ...settings,
      'other_config:n-handler-threads=1',
      'other_config:n-revalidator-threads=1',
    ],
    ['--may-exist', 'add-br', tunnelBridge],
    ['set', 'Bridge', tunnelBridge, 'datapath_type=netdev'],
    ['--may-exist', 'add-port', tunnelBridge, 'tun0'],
    ['--may-exist', 'add-br', 'br-int'],
    ['set', 'Bridge', 'br-int', 'datapath_type=netdev', 'fail_mode=secure', 'other_config:disable-in-band=true'],
    ['--may-exist', 'add-port', 'br-int', 'ovn0'],
    [
      'set',
      'Interface',
      'ovn0',
      'type=internal',
      `mac="${macOfIpv4(node.joinAddress)}"`,
      `mtu_request=${podMtu}`,
      `external_ids:iface-id=${nodePortOf(node.name)}`,
      `external_ids:ip=${node.joinAddress}`,
    ],
  ];
  const words = commands.flatMap((command) => ['--', ...command]);
  await run(lab, { host: node.name, command: 'ovs-vsctl', args: ['--no-wait', 'init', ...words] });
}

async function startSwitch(lab: Lab, node: NodeSpec): Promise<void> {
  const host = node.name;
  await startProcess(lab, {
    name: nodeProcesses(host).switch,
    host,
    command: 'ovs-vswitchd',
    args: [`unix:${switchSocket}`, '--disable-system', '--pidfile', '-vsyslog:off'],
    ready: async () => {
      // The devices outlive the process, so they alone do not say that it has set up its bridges.
      const running = ['-t', 'ovs-vswitchd', '--timeout=2', 'dpif/show-dp-features', 'br-int'];
      await run(lab, { host, command: 'ovs-appctl', args: running });
      const links = await run(lab, { host, command: 'ip', args: ['-json', 'link', 'show'] });
      const present = new Set((JSON.parse(links.stdout) as { ifname: string }[]).map((link) => link.ifname));
      return present.has(tunnelBridge) && present.has('ovn0');
    },
  });
}

async function startController(lab: Lab, node: NodeSpec): Promise<void> {
  const host = node.name;
  await startProcess(lab, {
    name: nodeProcesses(host).controller,
    host,
    command: 'ovn-controller',
    args: [`unix:${switchSocket}`, '--pidfile', '-vsyslog:off'],
    ready: async () => {
      const args = ['-t', 'ovn-controller', '--timeout=2', 'connection-status'];
      return (await run(lab, { host, command: 'ovn-appctl', args })).stdout.trim() === 'connected';
    },
  });
}
