import type { NorthboundView, RouterRow, SwitchRow } from './northbound-view.ts';
import type { OvnMode } from './service-input.ts';

/** Names that Kube-OVN lets its operator change; these are its defaults. */
export interface KubeOvnNames {
  /** `--cluster-router`. */
  router: string;
  /** `--node-switch`. */
  nodeSwitch: string;
}

/** A fixed answer by the operator to where load balancers act, by name; for OVN that no known system manages. */
export interface AttachTo {
  switches: readonly string[];
  routers: readonly string[];
}

export interface TopologyOptions {
  kubeOvn: KubeOvnNames;
  attachTo?: AttachTo;
}

export const defaultTopologyOptions: TopologyOptions = { kubeOvn: { router: 'ovn-cluster', nodeSwitch: 'join' } };

/** Where a group is to be attached. */
export interface Attachment {
  table: 'Logical_Switch' | 'Logical_Router';
  uuid: string;
  name: string;
  /** `hosts`: packets enter from hosts only; `pods`: from workloads. */
  side: 'hosts' | 'pods';
}

/** Who manages the database and what that means for load balancers. */
export type Topology =
  | {
      kind: 'kube-ovn';
      attachments: Attachment[];
      /** Kube-OVN runs with --enable-lb and balances the ClusterIPs of pods itself. */
      ownsClusterIps: boolean;
      /** What keeps the wiring from being complete; the rest is attached meanwhile. */
      missing: string[];
    }
  | { kind: 'bare'; attachments: Attachment[]; missing: string[] }
  | { kind: 'ovn-kubernetes' | 'openstack'; reason: string }
  | { kind: 'empty'; reason: string };

/**
 * Finds out who manages the database and which switches and routers load balancers must be attached to.
 *
 * On a switch a load balancer acts on packets from its workloads and hosts; on a router only when the router is bound
 * to one chassis or has exactly one gateway port. On a plain distributed router the flows appear and traffic fails.
 */
export function discoverTopology(view: NorthboundView, options: TopologyOptions = defaultTopologyOptions): Topology {
  const foreign = foreignManager(view);
  if (foreign) return foreign;
  if (options.attachTo) return named(view, options.attachTo);
  const { router: routerName, nodeSwitch } = options.kubeOvn;
  const routers = byName(view.routers.values());
  const kubeOvnSwitches = byName(view.switches.values()).filter(
    ({ externalIds }) => externalIds.get('vendor') === 'kube-ovn',
  );
  const clusterRouter = routers.find(({ name }) => name === routerName);
  const isKubeOvn = kubeOvnSwitches.length > 0 || clusterRouter?.externalIds.get('vendor') === 'kube-ovn';
  if (isKubeOvn) return kubeOvn(view, clusterRouter, kubeOvnSwitches, routerName, nodeSwitch);
  if (view.switches.size === 0 && view.routers.size === 0) {
    return { kind: 'empty', reason: 'the northbound database has no logical switch or router yet' };
  }
  return bare(view, routers);
}

function foreignManager(view: NorthboundView): Topology | undefined {
  for (const { name, externalIds } of [...view.switches.values(), ...view.routers.values()]) {
    if (name === 'ovn_cluster_router' || hasKeyWith(externalIds, 'k8s.ovn.org/')) {
      return {
        kind: 'ovn-kubernetes',
        reason: `OVN-Kubernetes manages this database (it owns "${name}") and programs Service addresses itself; Ovenbird only announces them`,
      };
    }
    if (hasKeyWith(externalIds, 'neutron:')) {
      return {
        kind: 'openstack',
        reason: `OpenStack Neutron manages this database (it owns "${name}"); Ovenbird only announces addresses and writes nothing`,
      };
    }
  }
  return undefined;
}

function hasKeyWith(map: ReadonlyMap<string, string>, prefix: string): boolean {
  for (const key of map.keys()) if (key.startsWith(prefix)) return true;
  return false;
}

function kubeOvn(
  view: NorthboundView,
  router: RouterRow | undefined,
  switches: SwitchRow[],
  routerName: string,
  nodeSwitch: string,
): Topology {
  const missing: string[] = [];
  const attachments: Attachment[] = [];
  if (!router) missing.push(`logical router "${routerName}" does not exist yet`);
  const ports = router ? portNames(view, router) : new Set<string>();
  for (const { uuid, name, ...row } of switches) {
    const kinds = portKinds(view, row.ports);
    // Switches of other VPCs hang on other routers; their pods must not reach these backends.
    if (name !== nodeSwitch && !kinds.routerPorts.some((port) => ports.has(port))) continue;
    // A load balancer on a switch with a wire acts on every chassis that sees a frame of that wire.
    if (kinds.localnet) continue;
    attachments.push({ table: 'Logical_Switch', uuid, name, side: name === nodeSwitch ? 'hosts' : 'pods' });
  }
  if (!attachments.some(({ side }) => side === 'hosts'))
    missing.push(`logical switch "${nodeSwitch}" does not exist yet`);
  if (!attachments.some(({ side }) => side === 'pods')) {
    missing.push(`no pod switch is connected to logical router "${routerName}" yet`);
  }
  let ownsClusterIps = false;
  for (const { name, externalIds } of view.loadBalancers.values()) {
    if (
      /^cluster-(tcp|udp|sctp)-(session-)?loadbalancer$/.test(name) &&
      !externalIds.get('owner')?.startsWith('ovenbird')
    ) {
      ownsClusterIps = true;
      break;
    }
  }
  return { kind: 'kube-ovn', attachments, ownsClusterIps, missing };
}

function bare(view: NorthboundView, routers: RouterRow[]): Topology {
  const attachments: Attachment[] = [];
  const routed = new Set(routers.flatMap((router) => [...portNames(view, router)]));
  const missing: string[] = [];
  for (const { uuid, name, ports } of byName(view.switches.values())) {
    const kinds = portKinds(view, ports);
    if (kinds.localnet) continue;
    if (!kinds.routerPorts.some((port) => routed.has(port))) {
      missing.push(`logical switch "${name}" has no router, and OVN cannot balance there`);
      continue;
    }
    attachments.push({ table: 'Logical_Switch', uuid, name, side: 'pods' });
  }
  for (const { uuid, name, options, ports } of routers) {
    const gateways = ports.filter((port) => view.routerPorts.get(port)?.gateway === true).length;
    if (options.has('chassis') || gateways === 1)
      attachments.push({ table: 'Logical_Router', uuid, name, side: 'pods' });
  }
  return { kind: 'bare', attachments, missing };
}

function named(view: NorthboundView, { switches, routers }: AttachTo): Topology {
  const attachments: Attachment[] = [];
  const missing: string[] = [];
  const find = (
    table: Attachment['table'],
    rows: ReadonlyMap<string, SwitchRow | RouterRow>,
    names: readonly string[],
  ) => {
    for (const wanted of [...names].sort()) {
      const found = byName(rows.values()).filter(({ name }) => name === wanted);
      const word = table === 'Logical_Switch' ? 'switch' : 'router';
      if (found.length === 0) missing.push(`logical ${word} "${wanted}" does not exist`);
      // Names are not unique in OVN: all of that name are meant.
      for (const { uuid, name } of found) attachments.push({ table, uuid, name, side: 'pods' });
    }
  };
  find('Logical_Switch', view.switches, switches);
  find('Logical_Router', view.routers, routers);
  return { kind: 'bare', attachments, missing };
}

function portNames(view: NorthboundView, router: RouterRow): Set<string> {
  const names = new Set<string>();
  for (const uuid of router.ports) {
    const port = view.routerPorts.get(uuid);
    if (port) names.add(port.name);
  }
  return names;
}

function portKinds(view: NorthboundView, ports: readonly string[]): { routerPorts: string[]; localnet: boolean } {
  const routerPorts: string[] = [];
  let localnet = false;
  for (const uuid of ports) {
    const port = view.switchPorts.get(uuid);
    const peer = port?.type === 'router' ? port.options.get('router-port') : undefined;
    if (peer !== undefined) routerPorts.push(peer);
    if (port?.type === 'localnet') localnet = true;
  }
  return { routerPorts, localnet };
}

function byName<Row extends { name: string; uuid: string }>(rows: Iterable<Row>): Row[] {
  return [...rows].sort((a, b) => {
    const left = `${a.name} ${a.uuid}`;
    const right = `${b.name} ${b.uuid}`;
    return left < right ? -1 : left > right ? 1 : 0;
  });
}

/** What the operator asked for. */
export type RequestedMode = OvnMode | 'auto';

/**
 * What is done about it. `wait`: too little is known yet, so nothing is written and nothing taken away; `never`: the same
 * for good, since the database is somebody else's.
 */
export type ModeDecision = { mode: OvnMode | 'wait' | 'never'; reason: string };

/**
 * Settles the mode. `auto` is never `full`: that replaces kube-proxy, needs a host agent on every node and an address of
 * the API server, and only an operator can know that nobody else serves ClusterIPs.
 *
 * @param previous the mode of the decision before: an emptied database (restored, or not yet filled again) changes nothing
 */
export function decideMode(requested: RequestedMode, topology: Topology, previous?: OvnMode): ModeDecision {
  if (requested === 'off') return { mode: 'off', reason: 'the mode is set to off' };
  switch (topology.kind) {
    case 'ovn-kubernetes':
    case 'openstack':
      return { mode: 'never', reason: topology.reason };
    case 'empty':
      if (requested !== 'auto') return { mode: requested, reason: `the mode is set to ${requested}` };
      if (previous !== undefined && previous !== 'off') return { mode: previous, reason: topology.reason };
      return { mode: 'wait', reason: topology.reason };
    case 'kube-ovn':
      if (requested !== 'auto') return { mode: requested, reason: `the mode is set to ${requested}` };
      if (topology.missing.length > 0 && !topology.ownsClusterIps) {
        // Kube-OVN makes its load balancers before its switches: with both switches there, their absence means something.
        if (previous !== undefined && previous !== 'off')
          return { mode: previous, reason: topology.missing.join('; ') };
        return { mode: 'wait', reason: topology.missing.join('; ') };
      }
      return topology.ownsClusterIps
        ? { mode: 'external', reason: 'Kube-OVN balances ClusterIPs itself (--enable-lb)' }
        : {
            mode: 'external',
            reason: `Kube-OVN runs without its own load balancers (--enable-lb=false); ${askForFull}`,
          };
    case 'bare':
      if (requested !== 'auto') return { mode: requested, reason: `the mode is set to ${requested}` };
      return { mode: 'external', reason: `no other system balances Services in this database; ${askForFull}` };
  }
}

const askForFull = 'set the mode to full to serve ClusterIPs and NodePorts too, in place of kube-proxy';
