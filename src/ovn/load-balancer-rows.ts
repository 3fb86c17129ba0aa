import { createHash } from 'node:crypto';
import type { Address, Family } from '../net/index.ts';
import { asAddress, type Backend, isPort, socketText, unusableVip, usableBackends } from './backends.ts';
import type { Capabilities } from './capabilities.ts';
import { compareProblems, type OvnProblem } from './problems.ts';
import type { OvnMode, OvnNode, OvnProtocol, OvnService, OvnServicePort } from './service-input.ts';
import { uuidV5 } from './uuid-v5.ts';

/** Which addresses of a Service a row carries. */
export type Scope = 'cluster-ip' | 'external' | 'node-port';

/**
 * Where a row acts: on `every` switch the writer attaches to, or only on those where `hosts` send from, so that a packet
 * of a pod reaches it by way of its host (which can filter it).
 */
export type Reach = 'every' | 'hosts';

/** One row of OVN's Load_Balancer table, complete. Maps are in ascending order of their keys. */
export interface LoadBalancerRow {
  /** Derived from cluster, Service, protocol, scope and options; see {@link uuidV5}. */
  uuid: string;
  name: string;
  protocol: 'tcp' | 'udp' | 'sctp';
  /** "ip:port" to "ip:port,ip:port"; "" answers with a refusal. */
  vips: ReadonlyMap<string, string>;
  selectionFields: readonly string[];
  options: ReadonlyMap<string, string>;
  externalIds: ReadonlyMap<string, string>;
  reach: Reach;
  /** "namespace/name". */
  service: string;
}

/** VIPs of load balancers that do not carry our mark, by "protocol vip". */
export interface ForeignVips {
  /** On switches where hosts send from. */
  onHostSwitches: ReadonlyMap<string, ForeignHolder>;
  /** On every other switch the writer attaches to. */
  onPodSwitches: ReadonlyMap<string, ForeignHolder>;
}

/** The row that has a VIP. */
export interface ForeignHolder {
  name: string;
  /** If this is the uuid of the row in question, that is ours, and somebody took its mark away. */
  uuid: string;
}

export interface DesiredRowsInput {
  services: readonly OvnService[];
  nodes: readonly OvnNode[];
  mode: OvnMode;
  /** Names this cluster in a database that several may share. */
  clusterId: string;
  capabilities: Capabilities;
  /** Whether there are switches where only hosts send from. Default true. */
  hostSwitches?: boolean;
  /** `hosts` where somebody else already balances the ClusterIPs of pods. Default `every`. */
  clusterIpReach?: Reach;
  foreign?: ForeignVips;
  /** Above this many NodePort VIPs in all (nodes x node ports) none is written. Default 20000. */
  nodePortVipLimit?: number;
}

export interface DesiredRows {
  /** In order of namespace, name, protocol, scope. */
  rows: LoadBalancerRow[];
  problems: OvnProblem[];
}

/** Owner mark of every row of a cluster, in external_ids:owner. */
export function ownerOf(clusterId: string): string {
  return `ovenbird.dev/${clusterId}`;
}

/**
 * Remembers what was built for a Service object, as long as nothing else that matters changes. Handing the same memo to
 * every call makes a call cost by what changed.
 */
export class RowMemo {
  #context = '';
  #built = new WeakMap<OvnService, BuiltService>();
  readonly #replaced = new WeakMap<LoadBalancerRow, LoadBalancerRow>();
  readonly #claims = new WeakMap<LoadBalancerRow, readonly Claim[]>();

  /** @internal */
  get(service: OvnService, context: BuildContext): BuiltService {
    if (context.key !== this.#context) {
      this.#context = context.key;
      this.#built = new WeakMap();
    }
    let built = this.#built.get(service);
    if (!built) {
      built = buildService(service, context);
      this.#built.set(service, built);
    }
    return built;
  }

  /** What the row claims for itself. @internal */
  claims(row: LoadBalancerRow): readonly Claim[] {
    let claims = this.#claims.get(row);
    if (!claims) {
      claims = Array.from(row.vips.keys(), (vip) => ({ vip, key: `${row.protocol} ${vip}` }));
      this.#claims.set(row, claims);
    }
    return claims;
  }

  /** A row with fewer VIPs or another reach; the same object again while the result is the same. @internal */
  adjusted(row: LoadBalancerRow, vips: ReadonlyMap<string, string>, reach: Reach): LoadBalancerRow {
    const known = this.#replaced.get(row);
    if (known && known.reach === reach && sameMap(known.vips, vips)) return known;
    const adjusted = finish({ ...row, vips, reach });
    this.#replaced.set(row, adjusted);
    return adjusted;
  }
}

/** A VIP, by itself and together with its protocol. */
interface Claim {
  vip: string;
  key: string;
}

interface BuildContext {
  key: string;
  mode: OvnMode;
  clusterId: string;
  capabilities: Capabilities;
  nodes: readonly { name: string; addresses: readonly Address[] }[];
  nodePorts: boolean;
  hostSwitches: boolean;
  clusterIpReach: Reach;
}

interface BuiltService {
  rows: LoadBalancerRow[];
  problems: OvnProblem[];
}

/**
 * The rows that should exist for these Services, and what is wrong with the rest. Pure; a Service with a fault keeps
 * everything that is not touched by it.
 *
 * Session affinity is made with `selection_fields`, never with `affinity_timeout`: on the userspace datapath the latter
 * loses the first connection of every window. So a client stays with its backend as long as the set of backends does, and
 * the timeout has no meaning.
 */
export function desiredRows(input: DesiredRowsInput, memo: RowMemo = new RowMemo()): DesiredRows {
  if (input.mode === 'off') return { rows: [], problems: [] };
  const problems: OvnProblem[] = [];
  const context = prepare(input, problems);
  const claims = new Map<string, string>();
  const rows: LoadBalancerRow[] = [];
  const services = [...input.services].sort(compareServices);
  for (const service of services) {
    const built = memo.get(service, context);
    problems.push(...built.problems);
    for (const row of built.rows) {
      const settled = settle(row, claims, input.foreign, context.hostSwitches, memo, problems);
      if (settled) rows.push(settled);
    }
  }
  return { rows, problems: problems.sort(compareProblems) };
}

function prepare(input: DesiredRowsInput, problems: OvnProblem[]): BuildContext {
  const nodes = usableNodes(input.nodes, problems);
  const nodeAddresses = nodes.reduce((sum, node) => sum + node.addresses.length, 0);
  const nodePorts = input.services.reduce((sum, { ports }) => sum + ports.filter((port) => port.nodePort).length, 0);
  const limit = input.nodePortVipLimit ?? 20_000;
  const tooMany = nodeAddresses * nodePorts > limit;
  if (tooMany) {
    problems.push({
      code: 'TooManyNodePortVips',
      message: `${nodePorts} node ports on ${nodeAddresses} node addresses would take ${nodePorts * nodeAddresses} VIPs, more than ${limit}; node ports are left to the hosts`,
      blocking: false,
    });
  }
  const { mode, clusterId, capabilities, hostSwitches = true, clusterIpReach = 'every' } = input;
  const key = JSON.stringify([
    mode,
    clusterId,
    [...capabilities.selectionFields].sort(),
    hostSwitches,
    clusterIpReach,
    tooMany ? [] : nodes,
  ]);
  return { key, mode, clusterId, capabilities, nodes, nodePorts: !tooMany, hostSwitches, clusterIpReach };
}

function usableNodes(nodes: readonly OvnNode[], problems: OvnProblem[]): { name: string; addresses: Address[] }[] {
  const owners = new Map<string, string>();
  return [...nodes]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, addresses }) => {
      const usable: Address[] = [];
      for (const given of addresses) {
        const address = asAddress(given);
        if (!address || unusableVip(address) !== undefined) continue;
        const owner = owners.get(address.toString());
        if (owner === undefined) {
          owners.set(address.toString(), name);
          usable.push(address);
        } else if (owner !== name) {
          problems.push({
            code: 'NodeAddressShared',
            message: `nodes ${owner} and ${name} both have address ${address}; its node ports go by ${owner}`,
            blocking: false,
          });
        }
      }
      return { name, addresses: usable };
    });
}

/** Takes the VIPs of a row that nobody else has. Undefined when none is left. */
function settle(
  row: LoadBalancerRow,
  claims: Map<string, string>,
  foreign: ForeignVips | undefined,
  hostSwitches: boolean,
  memo: RowMemo,
  problems: OvnProblem[],
): LoadBalancerRow | undefined {
  let dropped: Set<string> | undefined;
  let reach = row.reach;
  const drop = (vip: string) => {
    dropped ??= new Set();
    dropped.add(vip);
  };
  for (const { vip, key } of memo.claims(row)) {
    const holder = claims.get(key);
    if (holder !== undefined) {
      drop(vip);
      problems.push({
        code: 'DuplicateVip',
        service: row.service,
        message: `${row.protocol.toUpperCase()} ${vip} is already served for Service ${holder}; Service ${row.service} is not reachable there until one of the two changes`,
        blocking: true,
      });
      continue;
    }
    claims.set(key, row.service);
    const onHosts = holderBeside(row, foreign?.onHostSwitches.get(key));
    const onPods = holderBeside(row, foreign?.onPodSwitches.get(key));
    if (onHosts !== undefined || (onPods !== undefined && row.reach === 'every' && !hostSwitches)) {
      drop(vip);
      problems.push({
        code: 'ForeignVip',
        service: row.service,
        message: `${row.protocol.toUpperCase()} ${vip} is also in the load balancer "${onHosts ?? onPods}", which is not Ovenbird's; Ovenbird leaves it to that one until it is removed there`,
        blocking: true,
      });
    } else if (onPods !== undefined && row.reach === 'every') {
      reach = 'hosts';
      problems.push({
        code: 'ForeignVip',
        service: row.service,
        message: `${row.protocol.toUpperCase()} ${vip} is also in the load balancer "${onPods}", which is not Ovenbird's; pods are left to that one, hosts and outside clients are served by Ovenbird`,
        blocking: false,
      });
    }
  }
  if (!dropped && reach === row.reach) return row;
  const taken = dropped;
  const vips = taken ? new Map([...row.vips].filter(([vip]) => !taken.has(vip))) : row.vips;
  return vips.size === 0 ? undefined : memo.adjusted(row, vips, reach);
}

function holderBeside(row: LoadBalancerRow, holder: ForeignHolder | undefined): string | undefined {
  return holder && holder.uuid !== row.uuid ? holder.name : undefined;
}

function buildService(service: OvnService, context: BuildContext): BuiltService {
  const id = `${service.namespace}/${service.name}`;
  const problems: OvnProblem[] = [];
  const byRow = new Map<string, { protocol: OvnProtocol; scope: Scope; vips: Map<string, string> }>();
  const put = (protocol: OvnProtocol, scope: Scope, address: Address, port: number, backends: readonly Backend[]) => {
    const key = `${protocol}/${scope}`;
    let row = byRow.get(key);
    if (!row) {
      row = { protocol, scope, vips: new Map() };
      byRow.set(key, row);
    }
    const value = backends.filter((backend) => backend.address.family === address.family).map(({ text }) => text);
    row.vips.set(socketText(address, port), value.join(','));
  };

  const clusterIPs = context.mode === 'full' ? addresses(service.clusterIPs, 'spec.clusterIPs', id, problems) : [];
  const external = addresses(service.externalAddresses, 'status.loadBalancer.ingress', id, problems);
  const enforceable = !service.sourceRestricted || context.hostSwitches;
  if (!enforceable && external.length > 0) {
    problems.push({
      code: 'SourceRangesNotEnforceable',
      service: id,
      field: 'spec.loadBalancerSourceRanges',
      message: `Service ${id} limits its sources, but this OVN topology has no switch where only hosts send from; its external addresses are not programmed, because OVN would let every pod in`,
      blocking: true,
    });
  }
  for (const port of service.ports) {
    if (!isPort(port.port)) {
      problems.push(invalidPort(id, port));
      continue;
    }
    const backends = checkedBackends(id, port, problems);
    for (const address of clusterIPs) put(port.protocol, 'cluster-ip', address, port.port, backends);
    if (enforceable) for (const address of external) put(port.protocol, 'external', address, port.port, backends);
    if (port.nodePort === undefined || !context.nodePorts || !isPort(port.nodePort)) continue;
    for (const node of context.nodes) {
      const local = service.externalTrafficPolicy === 'Local';
      const usable = local ? backends.filter(({ nodeName }) => nodeName === node.name) : backends;
      for (const address of node.addresses) put(port.protocol, 'node-port', address, port.nodePort, usable);
    }
  }
  if (service.internalTrafficPolicy === 'Local' && clusterIPs.length > 0) {
    problems.push({
      code: 'InternalLocalServedAsCluster',
      service: id,
      field: 'spec.internalTrafficPolicy',
      message: `Service ${id} asks for internalTrafficPolicy Local; OVN shares its row among all nodes, so pods are served as with Cluster (hosts keep to their own endpoints)`,
      blocking: false,
    });
  }

  const rows: LoadBalancerRow[] = [];
  for (const [, { protocol, scope, vips }] of [...byRow].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const sorted = new Map([...vips].sort(([a], [b]) => (a < b ? -1 : 1)));
    const reach = reachOf(scope, service, context);
    const selectionFields = selection(service, sorted, context, id, problems);
    rows.push(makeRow(service, protocol, scope, sorted, selectionFields, reach, context.clusterId));
  }
  return { rows, problems: distinct(problems) };
}

function reachOf(scope: Scope, service: OvnService, context: BuildContext): Reach {
  if (scope === 'cluster-ip') return context.clusterIpReach;
  return scope === 'external' && service.sourceRestricted ? 'hosts' : 'every';
}

function selection(
  service: OvnService,
  vips: ReadonlyMap<string, string>,
  context: BuildContext,
  id: string,
  problems: OvnProblem[],
): string[] {
  if (service.sessionAffinity !== 'ClientIP') return [];
  const fields: string[] = [];
  for (const family of familiesOf(vips)) {
    const field = family === 4 ? 'ip_src' : 'ipv6_src';
    if (context.capabilities.selectionFields.has(field)) {
      fields.push(field);
      continue;
    }
    problems.push({
      code: 'AffinityUnsupported',
      service: id,
      field: 'spec.sessionAffinity',
      message: `Service ${id} asks for session affinity, but this OVN cannot choose by IPv${family} client (no "${field}" in Load_Balancer.selection_fields, OVN 25.03 has both); IPv${family} clients are spread without it`,
      blocking: false,
    });
  }
  return fields;
}

function familiesOf(vips: ReadonlyMap<string, string>): Family[] {
  const families = new Set<Family>();
  for (const vip of vips.keys()) families.add(vip.startsWith('[') ? 6 : 4);
  return [...families].sort();
}

function makeRow(
  service: OvnService,
  protocol: OvnProtocol,
  scope: Scope,
  vips: ReadonlyMap<string, string>,
  selectionFields: readonly string[],
  reach: Reach,
  clusterId: string,
): LoadBalancerRow {
  const lower = protocol === 'TCP' ? 'tcp' : protocol === 'UDP' ? 'udp' : 'sctp';
  // neighbor_responder=none: the speakers answer for the address, and OVN would answer once per gateway router.
  // ct_flush: without it a UDP client that never pauses stays with a backend that is gone.
  const options = new Map([
    ...(protocol === 'UDP' ? ([['ct_flush', 'true']] as const) : []),
    ['neighbor_responder', 'none'],
    ['reject', 'true'],
  ]);
  const id = `${service.namespace}/${service.name}`;
  // OVN 23.09 ignores some options that change on a standing row, so options are part of the identity.
  const generation = [...options].map(([key, value]) => `${key}=${value}`).join(',');
  return finish({
    uuid: uuidV5(`load-balancer/${clusterId}/${id}/${service.uid}/${lower}/${scope}/${generation}`),
    name: `ovenbird/${id}/${lower}/${scope}`,
    protocol: lower,
    vips,
    selectionFields,
    options,
    externalIds: new Map([
      ['generation', ''],
      ['owner', ownerOf(clusterId)],
      ['schema', '1'],
      ['scope', scope],
      ['service', id],
      ['service-uid', service.uid],
    ]),
    reach,
    service: id,
  });
}

/** Fills in external_ids:generation, the hash of everything else that is written. */
function finish(row: LoadBalancerRow): LoadBalancerRow {
  const hash = createHash('sha1');
  hash.update(JSON.stringify([row.name, row.protocol, [...row.vips], row.selectionFields, [...row.options]]));
  const externalIds = new Map(row.externalIds).set('generation', hash.digest('hex').slice(0, 16));
  return { ...row, externalIds };
}

function addresses(given: readonly (Address | string)[], field: string, id: string, problems: OvnProblem[]): Address[] {
  const usable = new Map<string, Address>();
  for (const value of given) {
    const address = asAddress(value);
    const why = address ? unusableVip(address) : 'malformed';
    if (address && why === undefined) {
      usable.set(address.toString(), address);
    } else {
      problems.push({
        code: 'InvalidAddress',
        service: id,
        field,
        message: `${field} of Service ${id} holds ${JSON.stringify(String(value))}, a ${why} address; it is not programmed`,
        blocking: true,
      });
    }
  }
  return [...usable.values()];
}

function checkedBackends(id: string, port: OvnServicePort, problems: OvnProblem[]): Backend[] {
  const { backends, rejected } = usableBackends(port.endpoints);
  if (rejected.length > 0) {
    const shown = rejected.slice(0, 3).join('; ');
    const more = rejected.length > 3 ? `; and ${rejected.length - 3} more` : '';
    problems.push({
      code: 'InvalidEndpoint',
      service: id,
      field: `spec.ports[${port.name || port.port}]`,
      message: `${rejected.length} of ${port.endpoints.length} endpoints of Service ${id}, port ${port.name || port.port}, are left out: ${shown}${more}`,
      blocking: false,
    });
  }
  return backends;
}

function invalidPort(id: string, port: OvnServicePort): OvnProblem {
  return {
    code: 'InvalidPort',
    service: id,
    field: `spec.ports[${port.name || port.port}].port`,
    message: `port ${port.port} of Service ${id} is outside 1 to 65535; it is not programmed`,
    blocking: true,
  };
}

function distinct(problems: OvnProblem[]): OvnProblem[] {
  const seen = new Map<string, OvnProblem>();
  for (const problem of problems) seen.set(`${problem.code} ${problem.message}`, problem);
  return [...seen.values()];
}

function sameMap(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}

function compareServices(a: OvnService, b: OvnService): number {
  if (a.namespace !== b.namespace) return a.namespace < b.namespace ? -1 : 1;
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.uid < b.uid ? -1 : a.uid > b.uid ? 1 : 0;
}
