import { existsSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { addressing, type Host, hostsOf, type Lab, type Nic, netnsOf, segments } from './lab.ts';
import { run, tryRun } from './processes.ts';

const netnsDirectory = '/run/netns';

/** Per role, settings under /proc/sys/net of the namespace. */
const sysctls: Readonly<Record<Host['role'], Readonly<Record<string, number>>>> = {
  switch: {},
  client: {},
  control: {
    // Service and pod addresses have a route over every node; dead nodes are skipped.
    'ipv4/fib_multipath_use_neigh': 1,
    'ipv4/fib_multipath_hash_policy': 1,
  },
  router: {
    'ipv4/ip_forward': 1,
    'ipv6/conf/all/forwarding': 1,
    'ipv4/fib_multipath_hash_policy': 1,
    'ipv6/fib_multipath_hash_policy': 1,
    // It sends packets back into the segment they came from, which is no news to the hosts.
    'ipv4/conf/all/send_redirects': 0,
    'ipv4/conf/default/send_redirects': 0,
  },
  node: {
    'ipv4/ip_forward': 1,
    'ipv6/conf/all/forwarding': 1,
    // Announced addresses enter by one NIC and leave by another.
    'ipv4/conf/all/rp_filter': 0,
    'ipv4/conf/default/rp_filter': 0,
    'ipv4/conf/all/send_redirects': 0,
    'ipv4/conf/default/send_redirects': 0,
  },
};

/** In every host, before its NICs exist: addresses are usable at once, and no router advertisement changes them. */
const commonSysctls: Readonly<Record<string, number>> = {
  'ipv6/conf/default/accept_dad': 0,
  'ipv6/conf/default/accept_ra': 0,
  'ipv6/conf/all/disable_ipv6': 0,
  'ipv6/conf/default/disable_ipv6': 0,
};

/**
 * Makes the namespaces, the two segments, the NICs, addresses and default routes; what is already right stays. A NIC
 * that was set down on purpose (`fault link-down`) comes up again.
 */
export async function setUpNetwork(lab: Lab): Promise<void> {
  await makeNamespaces(lab);
  const [switchHost, ...hosts] = hostsOf(lab);
  if (!switchHost) return;
  await setUpSwitch(lab);
  await Promise.all(hosts.map((host) => setUpHost(lab, host)));
}

/** Removes every namespace of the lab (also of more nodes than it has now), and /run/netns when the lab made it. */
export async function removeNetwork(lab: Pick<Lab, 'root'>, madeNetnsDirectory: boolean): Promise<void> {
  for (const name of labNamespaces()) {
    await run(lab, { command: 'ip', args: ['netns', 'delete', name] });
  }
  if (madeNetnsDirectory && existsSync(netnsDirectory) && readdirSync(netnsDirectory).length === 0) {
    await tryRun(lab, { command: 'umount', args: ['-l', netnsDirectory] });
    rmdirSync(netnsDirectory);
  }
}

/** The network namespaces of a lab that are there now, sorted. */
export function labNamespaces(): string[] {
  if (!existsSync(netnsDirectory)) return [];
  return readdirSync(netnsDirectory)
    .filter((name) => name.startsWith(netnsOf('')))
    .sort();
}

/** Namespaces of the lab (default: all) as the links under /proc/PID/ns/net show them, to find the processes inside. */
export function labNamespaceLinks(names: readonly string[] = labNamespaces()): Set<string> {
  const present = labNamespaces().filter((name) => names.includes(name) && isNamespace(name));
  return new Set(present.map((name) => `net:[${statSync(join(netnsDirectory, name)).ino}]`));
}

async function makeNamespaces(lab: Lab): Promise<void> {
  const present = new Set(labNamespaces());
  for (const { netns } of hostsOf(lab)) {
    // A kill between creating the file and mounting the namespace on it leaves an empty file behind.
    if (present.has(netns) && !isNamespace(netns)) {
      await run(lab, { command: 'ip', args: ['netns', 'delete', netns] });
      present.delete(netns);
    }
    if (!present.has(netns)) await run(lab, { command: 'ip', args: ['netns', 'add', netns] });
  }
}

function isNamespace(netns: string): boolean {
  const own = statSync(join(netnsDirectory, netns));
  return own.dev !== statSync(netnsDirectory).dev;
}

async function setUpSwitch(lab: Lab): Promise<void> {
  const present = await linkNames(lab, 'switch');
  const lines = ['link set lo up'];
  for (const bridge of segments) {
    if (!present.has(bridge)) {
      // No spanning tree, no learning delay, no snooping: frames pass from the first moment on.
      lines.push(`link add ${bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`);
    }
    lines.push(`link set ${bridge} up`);
  }
  await writeSysctls(lab, 'switch', { 'ipv6/conf/all/disable_ipv6': 1, 'ipv6/conf/default/disable_ipv6': 1 });
  await ipBatch(lab, 'switch', lines);
}

async function setUpHost(lab: Lab, host: Host): Promise<void> {
  const present = await linkNames(lab, host.name);
  if (!present.has(host.nics[0]?.name ?? '')) {
    await writeSysctls(lab, host.name, { ...commonSysctls, ...sysctls[host.role] });
  }
  const here = ['link set lo up'];
  const there: string[] = [];
  for (const nic of host.nics) {
    if (!present.has(nic.name)) {
      here.push(
        `link add name ${nic.name} address ${nic.mac} type veth peer name ${nic.switchPort} netns ${netnsOf('switch')}`,
      );
    }
    here.push(`link set ${nic.name} up`);
    there.push(`link set ${nic.switchPort} master ${nic.segment}`, `link set ${nic.switchPort} up`);
    for (const address of nic.addresses) {
      here.push(`address replace ${address} dev ${nic.name}${address.includes(':') ? ' nodad' : ''}`);
    }
  }
  await ipBatch(lab, host.name, here);
  await ipBatch(lab, 'switch', there);
  await ipBatch(lab, host.name, routesOf(lab, host));
  for (const nic of host.nics.filter(({ name }) => !present.has(name))) await setOffloadsOff(lab, host, nic);
}

function routesOf(lab: Lab, host: Host): string[] {
  const { fabric, pods, services } = addressing;
  switch (host.role) {
    case 'node':
    case 'client':
      return [`route replace default via ${fabric.router}`, `-6 route replace default via ${fabric.router6}`];
    case 'control': {
      const overNodes = lab.nodes.map((node) => `nexthop via ${node.mgmtAddress}`).join(' ');
      return [services.cidr, pods.cidr].map((cidr) => `route replace ${cidr} ${overNodes}`);
    }
    default:
      return [];
  }
}

/** Userspace Open vSwitch takes frames as they are, so nothing may leave a NIC with its checksum still to be filled. */
async function setOffloadsOff(lab: Lab, host: Host, nic: Nic): Promise<void> {
  const features = ['tx', 'rx', 'tso', 'gso', 'gro'].flatMap((feature) => [feature, 'off']);
  await run(lab, { host: host.name, command: 'ethtool', args: ['-K', nic.name, ...features] });
  await run(lab, { host: 'switch', command: 'ethtool', args: ['-K', nic.switchPort, ...features] });
}

async function linkNames(lab: Lab, host: string): Promise<Set<string>> {
  const { stdout } = await run(lab, { command: 'ip', args: ['-n', netnsOf(host), '-json', 'link', 'show'] });
  const links = JSON.parse(stdout || '[]') as { ifname: string }[];
  return new Set(links.map((link) => link.ifname));
}

async function ipBatch(lab: Lab, host: string, lines: readonly string[]): Promise<void> {
  const byFamily = Map.groupBy(lines, (line) => line.startsWith('-6 '));
  for (const [isIpv6, group] of byFamily) {
    const input = group.map((line) => line.replace(/^-6 /, '')).join('\n');
    const family = isIpv6 ? ['-6'] : [];
    await run(lab, { command: 'ip', args: ['-n', netnsOf(host), ...family, '-batch', '-'], input: `${input}\n` });
  }
}

async function writeSysctls(lab: Lab, host: string, values: Readonly<Record<string, number>>): Promise<void> {
  const settings = Object.entries(values).map(([key, value]) => `net/${key}=${value}`);
  await run(lab, { host, command: 'sysctl', args: ['-q', '-w', ...settings] });
}
