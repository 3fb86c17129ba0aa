import { createHash } from 'node:crypto';
import type { Address, Family } from '../../net/index.ts';
import type { HostEndpoint, HostInputs } from './host-inputs.ts';
import type { NftChain, NftSet, NftTable } from './nft-table.ts';
import type { Overlay } from './overlay.ts';
import type { Treatment } from './treatment.ts';

export interface ServiceTableOptions {
  /** Name of the nftables table; nothing outside it is touched. */
  table: string;
  /**
   * The bit of the packet mark that asks for masquerading, between the choice of an endpoint and the packet's leaving.
   * It is cleared again. 0x4000 is what proxies use by convention.
   */
  masqueradeMark: number;
}

/**
 * The nftables table of a node. A packet costs a few lookups in hashed sets and maps, however many Services there are:
 *
 *     filter-prerouting  who may come (source ranges), what is refused (Local without an endpoint here)
 *     nat-prerouting     address.protocol.port -> chain of the port, if the host chooses; node port -> ClusterIP.port
 *     nat-output         the same for the host's own packets
 *     filter-forward     Service addresses have no other ports than those of the Service
 *     nat-postrouting    masquerade towards the overlay, so that the answer comes back through this node
 */
export function serviceTable(
  treatments: readonly Treatment[],
  { peerAddresses = [] }: Pick<HostInputs, 'peerAddresses'>,
  overlay: Overlay,
  options: ServiceTableOptions,
  memo = new WeakMap<Treatment, Contribution>(),
): NftTable {
  const sets = new Sets();
  for (const peer of peerAddresses) sets.put(setName('peers', peer.family), peer.toString(), undefined);
  const chains: NftChain[] = [];
  for (const treatment of treatments) {
    let contribution = memo.get(treatment);
    if (!contribution) {
      contribution = contribute(treatment, overlay, options);
      memo.set(treatment, contribution);
    }
    for (const { set, key, value } of contribution.elements) sets.put(set, key, value);
    chains.push(...contribution.chains);
  }
  return { name: options.table, sets: sets.all(), chains: [...chains, ...baseChains(overlay, options)] };
}

/** What one Service port brings into the table. */
export interface Contribution {
  elements: { set: string; key: string; value: string | undefined }[];
  chains: NftChain[];
}

function contribute(treatment: Treatment, overlay: Overlay, options: ServiceTableOptions): Contribution {
  const { protocol, family, port, nodePort, clusterIPs, externalAddresses, admission } = treatment;
  const elements: Contribution['elements'] = [];
  const chains = new Map<string, NftChain>();
  const proto = protocol.toLowerCase();
  const keyOf = (address: Address) => `${address} . ${proto} . ${port}`;
  const put = (set: SetName, key: string, value?: string) => {
    elements.push({ set: setName(set, family), key, value });
  };
  const jumpTo = (kind: ChainKind, endpoints: readonly HostEndpoint[]) => {
    const chain = endpointChain(kind, endpoints, treatment, overlay, options);
    chains.set(chain.name, chain);
    return `jump ${chain.name}`;
  };
  const toAll = treatment.fromOutside && jumpTo('all', treatment.fromOutside);
  const local = treatment.externalLocal;
  const toLocal = local && local.length > 0 ? jumpTo('local', local) : undefined;
  const fromClients = local ? toLocal : toAll;

  for (const address of [...clusterIPs, ...externalAddresses]) {
    put('service_addresses', address.toString());
    put('service_ports', keyOf(address));
  }
  for (const address of clusterIPs) {
    const internal = treatment.internalLocal;
    if (internal && internal.length === 0) put('refused_output', keyOf(address));
    else if (internal) put('dispatch_output', keyOf(address), jumpTo('internal', internal));
    else if (treatment.fromHost && toAll) put('dispatch_output', keyOf(address), toAll);
    if (toAll) put('dispatch', keyOf(address), toAll);
  }
  for (const address of externalAddresses) {
    if (fromClients) put('dispatch', keyOf(address), fromClients);
    else if (local) put('refused', keyOf(address));
    if (treatment.fromHost && toAll) put('dispatch_output', keyOf(address), toAll);
    if (admission.kind === 'everyone') continue;
    put('restricted', keyOf(address));
    for (const cidr of admission.cidrs) {
      if (cidr.family === family) put('admitted', `${keyOf(address)} . ${cidr}`);
    }
  }
  const [clusterIP] = clusterIPs;
  if (nodePort !== undefined && clusterIP) {
    const nodeKey = `${proto} . ${nodePort}`;
    put('node_ports', nodeKey, `${clusterIP} . ${port}`);
    if (fromClients) put('node_port_dispatch', nodeKey, fromClients);
    else if (local) put('refused_node_ports', nodeKey);
    if (treatment.fromHost && toAll) put('node_port_dispatch_output', nodeKey, toAll);
  }
  return { elements, chains: [...chains.values()] };
}

type ChainKind = 'all' | 'local' | 'internal';

/**
 * - `all`: any endpoint, for anyone; masqueraded, since the answer must come back here
 * - `local`: an endpoint of this node, for clients from outside, whose address is kept unless they are other nodes, to
 *   whom the overlay would answer by another way; pods go on as with Cluster
 * - `internal`: an endpoint of this node, for packets of this host
 */
function endpointChain(
  kind: ChainKind,
  endpoints: readonly HostEndpoint[],
  treatment: Treatment,
  overlay: Overlay,
  { masqueradeMark }: ServiceTableOptions,
): NftChain {
  const { family, protocol } = treatment;
  const ip = family === 4 ? 'ip' : 'ip6';
  const rules: string[] = [];
  if (kind === 'all') rules.push(`meta mark set meta mark | ${hex(masqueradeMark)}`);
  if (kind === 'local') {
    const onward = treatment.fromOutside ? `goto ${chainName('all', treatment)}` : 'return';
    rules.push(`iifname "${overlay.device}" ${onward}`);
    rules.push(`${ip} saddr @${setName('peers', family)} meta mark set meta mark | ${hex(masqueradeMark)}`);
  }
  const targets = endpoints.map(({ address, port }) => ({ address, port }));
  const match = `meta l4proto ${protocol.toLowerCase()} dnat ${ip} to`;
  const [only] = targets;
  if (only && targets.length === 1) {
    rules.push(`${match} ${family === 4 ? only.address : `[${only.address}]`}:${only.port}`);
  } else {
    const pick = treatment.sticky
      ? `jhash ${ip} saddr mod ${targets.length} seed 0x6f76656e`
      : `numgen random mod ${targets.length}`;
    const map = targets.map(({ address, port }, i) => `${i} : ${address} . ${port}`).join(', ');
    rules.push(`${match} ${pick} map { ${map} }`);
  }
  return { name: chainName(kind, treatment), rules };
}

function chainName(kind: ChainKind, { id, family }: Treatment): string {
  return `${kind}${family}_${createHash('sha1').update(id).digest('hex').slice(0, 16)}`;
}

function baseChains({ device }: Overlay, { masqueradeMark }: ServiceTableOptions): NftChain[] {
  const refuse = 'goto refuse';
  const inbound: string[] = [];
  const outbound: string[] = [];
  const forward: string[] = [];
  const choose: string[] = [];
  const chooseOwn: string[] = [];
  const leave: string[] = [];
  for (const family of [4, 6] as const) {
    const ip = family === 4 ? 'ip' : 'ip6';
    const own = `meta nfproto ipv${family}`;
    const key = `${ip} daddr . meta l4proto . th dport`;
    const nodeKey = 'meta l4proto . th dport';
    const notLoopback = family === 4 ? 'ip daddr != 127.0.0.0/8' : 'ip6 daddr != ::1';
    const set = (name: SetName) => `@${setName(name, family)}`;
    inbound.push(
      `${key} ${set('restricted')} ${key} . ${ip} saddr != ${set('admitted')} drop`,
      `iifname != "${device}" ct state new ${key} ${set('refused')} ${refuse}`,
      `iifname != "${device}" ct state new ${own} fib daddr type local ${nodeKey} ${set('refused_node_ports')} ${refuse}`,
    );
    outbound.push(`ct state new ${key} ${set('refused_output')} ${refuse}`);
    forward.push(
      `oifname "${device}" meta l4proto { tcp, udp, sctp } ${ip} daddr ${set('service_addresses')} ${key} != ${set('service_ports')} ${refuse}`,
    );
    choose.push(
      `${key} vmap ${set('dispatch')}`,
      `${own} fib daddr type local ${nodeKey} vmap ${set('node_port_dispatch')}`,
      `${own} fib daddr type local dnat ${ip} to ${nodeKey} map ${set('node_ports')}`,
    );
    chooseOwn.push(
      `${key} vmap ${set('dispatch_output')}`,
      `${own} fib daddr type local ${notLoopback} ${nodeKey} vmap ${set('node_port_dispatch_output')}`,
      `${own} fib daddr type local ${notLoopback} dnat ${ip} to ${nodeKey} map ${set('node_ports')}`,
    );
    leave.push(`oifname "${device}" ${ip} daddr ${set('service_addresses')} masquerade fully-random`);
  }
  const mark = hex(masqueradeMark);
  const unmarked = hex(~masqueradeMark >>> 0);
  leave.push(`meta mark & ${mark} == ${mark} meta mark set meta mark & ${unmarked} masquerade fully-random`);
  return [
    { name: 'refuse', rules: ['meta l4proto tcp reject with tcp reset', 'reject with icmpx type port-unreachable'] },
    { name: 'filter-prerouting', hook: 'type filter hook prerouting priority dstnat - 10', rules: inbound },
    { name: 'filter-output', hook: 'type filter hook output priority -110', rules: outbound },
    { name: 'filter-forward', hook: 'type filter hook forward priority filter', rules: forward },
    { name: 'filter-output-late', hook: 'type filter hook output priority filter', rules: forward },
    { name: 'nat-prerouting', hook: 'type nat hook prerouting priority dstnat', rules: choose },
    { name: 'nat-output', hook: 'type nat hook output priority -100', rules: chooseOwn },
    { name: 'nat-postrouting', hook: 'type nat hook postrouting priority srcnat', rules: leave },
  ];
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

const setTypes = {
  peers: 'address',
  service_addresses: 'address',
  service_ports: 'address . inet_proto . inet_service',
  dispatch: 'address . inet_proto . inet_service : verdict',
  dispatch_output: 'address . inet_proto . inet_service : verdict',
  refused: 'address . inet_proto . inet_service',
  refused_output: 'address . inet_proto . inet_service',
  restricted: 'address . inet_proto . inet_service',
  admitted: 'address . inet_proto . inet_service . address',
  node_ports: 'inet_proto . inet_service : address . inet_service',
  node_port_dispatch: 'inet_proto . inet_service : verdict',
  node_port_dispatch_output: 'inet_proto . inet_service : verdict',
  refused_node_ports: 'inet_proto . inet_service',
} as const;

type SetName = keyof typeof setTypes;

function setName(name: SetName, family: Family): string {
  return `${name}${family}`;
}

/** Every set in both families, also the empty ones: the rules name them. */
class Sets {
  readonly #sets = new Map<string, NftSet>();

  constructor() {
    for (const family of [4, 6] as const) {
      for (const [name, type] of Object.entries(setTypes) as [SetName, string][]) {
        this.#sets.set(setName(name, family), {
          name: setName(name, family),
          type: type.replaceAll('address', `ipv${family}_addr`),
          kind: type.includes(':') ? 'map' : 'set',
          ...(name === 'admitted' ? { interval: true } : {}),
          elements: new Map(),
        });
      }
    }
  }

  put(set: string, key: string, value: string | undefined): void {
    this.#sets.get(set)?.elements.set(key, value);
  }

  all(): NftSet[] {
    return [...this.#sets.values()];
  }
}
