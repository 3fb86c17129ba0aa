import { homedir } from 'node:os';
import { join } from 'node:path';

/** Who serves Services in OVN: `full` = Ovenbird alone, `external` = kube-proxy plus Ovenbird, `off` = kube-proxy only. */
export const ovnModes = ['full', 'external', 'off'] as const;
export type OvnMode = (typeof ovnModes)[number];

/** The daemon that the router runs. */
export const routerKinds = ['bird', 'frr'] as const;
export type RouterKind = (typeof routerKinds)[number];

/** One Kubernetes node of the lab and every address it has. */
export interface NodeSpec {
  /** `node-1` .. `node-N`: host name, node name and (with `ovb-` before it) network namespace. */
  readonly name: string;
  /** 1 .. N. */
  readonly index: number;
  /** On NIC `fabric0`, /24: where Service addresses are announced. */
  readonly fabricAddress: string;
  /** On NIC `fabric0`, /64. */
  readonly fabricAddress6: string;
  /** On NIC `mgmt0`, /24: the node's InternalIP, reaches the API server and the OVN databases. */
  readonly mgmtAddress: string;
  /**
   * Geneve endpoint, /24. NIC `tun0` is plugged into the `mgmt` segment and gets no address of its own: a userspace
   * datapath needs the address on the internal port of the bridge that holds the NIC. So the kubelet (mgmt0) does not
   * hang on ovs-vswitchd, while a fault on the management segment still hits both.
   */
  readonly tunnelAddress: string;
  /** On the OVN port `ovn0`, /16. */
  readonly joinAddress: string;
  /** The node's own directory under `.lab/nodes/`. */
  readonly dir: string;
}

/** The lab as the command line (or the state file) describes it. Immutable. */
export interface Lab {
  /** The checkout: where charts/ and Dockerfile are. */
  readonly checkout: string;
  /** The `.lab` directory: state, keys, logs, node roots. */
  readonly root: string;
  /** `${XDG_CACHE_HOME:-~/.cache}/ovenbird/lab`: programs and images, kept by `down`. */
  readonly cache: string;
  readonly nodes: readonly NodeSpec[];
  readonly ovn: OvnMode;
  readonly router: RouterKind;
}

/** The fixed addressing of the lab. All of it lives inside network namespaces. */
export const addressing = {
  fabric: { cidr: '10.77.0.0/24', cidr6: 'fd77::/64', router: '10.77.0.1', router6: 'fd77::1' },
  client: { fabric: '10.77.0.10', fabric6: 'fd77::10' },
  mgmt: { cidr: '172.31.40.0/24', control: '172.31.40.1' },
  tunnel: { cidr: '172.31.41.0/24' },
  pods: { cidr: '10.16.0.0/16', gateway: '10.16.0.1' },
  join: { cidr: '100.64.0.0/16', gateway: '100.64.0.1' },
  services: { cidr: '10.96.0.0/12', kubernetes: '10.96.0.1' },
  /** Service addresses that the demo hands out on the fabric segment. */
  pool: { range: '10.77.0.100-10.77.0.199', cidr6: 'fd77::1:0/112' },
  apiServer: 'https://172.31.40.1:6443',
  ovnNorthbound: 'tcp:172.31.40.1:6641',
  ovnSouthbound: 'tcp:172.31.40.1:6642',
} as const;

/** The segments, each a Linux bridge of that name in the namespace of `switch`. */
export const segments = ['fabric', 'mgmt'] as const;
export type Segment = (typeof segments)[number];

/** A NIC of a host; its other end is the port `switchPort` of the segment's bridge. */
export interface Nic {
  readonly name: string;
  readonly segment: Segment;
  readonly switchPort: string;
  readonly mac: string;
  /** With prefix length; empty for `tun0`. */
  readonly addresses: readonly string[];
}

/** A network namespace `ovb-NAME` with what is plugged into it. */
export interface Host {
  readonly name: string;
  readonly role: 'node' | 'client' | 'router' | 'control' | 'switch';
  readonly netns: string;
  readonly nics: readonly Nic[];
}

/** The largest lab the addressing has room for. */
export const maximumNodes = 20;

/** Where programs and images are kept between labs. */
export function cacheDirectory(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ovenbird', 'lab');
}

/** Describes a lab; touches nothing. `nodes` is 1 to `maximumNodes`. */
export function describeLab(options: { checkout: string; nodes: number; ovn: OvnMode; router: RouterKind }): Lab {
  const root = join(options.checkout, '.lab');
  return {
    checkout: options.checkout,
    root,
    cache: cacheDirectory(),
    nodes: Array.from({ length: options.nodes }, (_, at) => describeNode(root, at + 1)),
    ovn: options.ovn,
    router: options.router,
  };
}

function describeNode(root: string, index: number): NodeSpec {
  const name = `node-${index}`;
  return {
    name,
    index,
    fabricAddress: `10.77.0.${20 + index}`,
    fabricAddress6: `fd77::${20 + index}`,
    mgmtAddress: `172.31.40.${20 + index}`,
    tunnelAddress: `172.31.41.${20 + index}`,
    joinAddress: `100.64.0.${1 + index}`,
    dir: join(root, 'nodes', name),
  };
}

/** Every host of the lab, `switch` first (the others are plugged into it). */
export function hostsOf(lab: Lab): Host[] {
  const { fabric, client, mgmt } = addressing;
  return [
    host('switch', 'switch', []),
    host('control', 'control', [nic('control', 'mgmt', 1, [`${mgmt.control}/24`])]),
    host('router', 'router', [nic('router', 'fabric', 1, [`${fabric.router}/24`, `${fabric.router6}/64`])]),
    host('client', 'client', [nic('client', 'fabric', 10, [`${client.fabric}/24`, `${client.fabric6}/64`])]),
    ...lab.nodes.map((node) =>
      host(node.name, 'node', [
        nic(node.name, 'fabric', 20 + node.index, [`${node.fabricAddress}/24`, `${node.fabricAddress6}/64`]),
        nic(node.name, 'mgmt', 20 + node.index, [`${node.mgmtAddress}/24`]),
        tunnelNic(node),
      ]),
    ),
  ];
}

/** The network namespace of a host, as `ip netns` names it. */
export function netnsOf(hostName: string): string {
  return `ovb-${hostName}`;
}

function host(name: string, role: Host['role'], nics: Nic[]): Host {
  return { name, role, netns: netnsOf(name), nics };
}

function nic(hostName: string, segment: Segment, number: number, addresses: string[]): Nic {
  return {
    name: `${segment}0`,
    segment,
    switchPort: `${segment[0]}-${hostName}`,
    mac: macOf(segment === 'fabric' ? 0x77 : 0x40, number),
    addresses,
  };
}

function tunnelNic(node: NodeSpec): Nic {
  return {
    name: 'tun0',
    segment: 'mgmt',
    switchPort: `t-${node.name}`,
    mac: macOf(0x41, 20 + node.index),
    addresses: [],
  };
}

/** Locally administered, and readable in a capture: the last byte is the last byte of the IPv4 address. */
function macOf(segmentByte: number, number: number): string {
  return ['02', '0b', segmentByte.toString(16), '00', '00', number.toString(16)]
    .map((b) => b.padStart(2, '0'))
    .join(':');
}
