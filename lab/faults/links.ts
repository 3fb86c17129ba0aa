import { type Host, type Lab, netnsOf, type Segment } from '../lab.ts';
import { run, tryRun } from '../processes.ts';
import { hostNamed, nodeNamed } from './hosts-named.ts';

/** The direction, seen from the partitioned host, in which frames are lost. */
export type LostDirection = 'in' | 'out' | 'both';

const table = 'lab-partition';

/**
 * Pulls a host's cables of one segment (default: of all): its NICs lose their carrier. `mgmt` takes the tunnel NIC
 * along, which is plugged into the same segment.
 */
export async function linkDown(lab: Lab, hostName: string, segment?: Segment): Promise<void> {
  await setPorts(lab, hostNamed(lab, hostName), segment, 'down');
}

/** Plugs the cables in again. */
export async function linkUp(lab: Lab, hostName: string, segment?: Segment): Promise<void> {
  await setPorts(lab, hostNamed(lab, hostName), segment, 'up');
}

/**
 * Loses every frame (ARP and heartbeats too) between a node and the other nodes on the fabric; client and router still
 * reach all of them, and no NIC loses its carrier. Replaces an earlier partition.
 */
export async function partition(lab: Lab, nodeName: string, lost: LostDirection = 'both'): Promise<void> {
  const own = fabricPort(hostNamed(lab, nodeNamed(lab, nodeName).name));
  const others = lab.nodes
    .filter((node) => node.name !== nodeName)
    .map((node) => `"${fabricPort(hostNamed(lab, node.name))}"`)
    .join(', ');
  await healPartition(lab);
  if (others === '') return;
  await run(lab, {
    host: 'switch',
    command: 'nft',
    args: ['-f', '-'],
    input: partitionRules(own, others, lost),
  });
}

/** Ends a partition; none is fine. */
export async function healPartition(lab: Pick<Lab, 'root'>): Promise<void> {
  const listed = await tryRun(lab, { host: 'switch', command: 'nft', args: ['list', 'table', 'bridge', table] });
  if (listed.code !== 0) return;
  await run(lab, { host: 'switch', command: 'nft', args: ['delete', 'table', 'bridge', table] });
}

/** Every switch port up again, the partition ended. */
export async function healNetwork(lab: Lab): Promise<void> {
  const hosts = ['control', 'router', 'client', ...lab.nodes.map((node) => node.name)];
  await Promise.all([healPartition(lab), ...hosts.map((name) => linkUp(lab, name))]);
}

function partitionRules(own: string, others: string, lost: LostDirection): string {
  const outward = `iifname "${own}" oifname { ${others} } counter drop`;
  const inward = `iifname { ${others} } oifname "${own}" counter drop`;
  const rules = [...(lost === 'in' ? [] : [outward]), ...(lost === 'out' ? [] : [inward])];
  return `table bridge ${table} {
  chain forward {
    type filter hook forward priority 0; policy accept;
    ${rules.join('\n    ')}
  }
}
`;
}

function fabricPort(host: Host): string {
  return host.nics.find((nic) => nic.segment === 'fabric')?.switchPort ?? '';
}

async function setPorts(lab: Lab, host: Host, segment: Segment | undefined, state: 'up' | 'down'): Promise<void> {
  const ports = host.nics.filter((nic) => segment === undefined || nic.segment === segment);
  const lines = ports.map((nic) => `link set ${nic.switchPort} ${state}`);
  await run(lab, {
    command: 'ip',
    args: ['-n', netnsOf('switch'), '-batch', '-'],
    input: `${lines.join('\n')}\n`,
  });
}
