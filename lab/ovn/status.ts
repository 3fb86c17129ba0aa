import type { Lab, NodeSpec } from '../lab.ts';
import { isRunning } from '../processes.ts';
import { centralProcesses } from './central.ts';
import { joinAnswers, nodeProcesses } from './node.ts';
import { answers, transact } from './northbound.ts';
import { nodePortOf } from './northbound-topology.ts';
import { mapEntries, type OvsdbRow, setMembers } from './ovsdb.ts';
import { podPortsOf } from './pod-ports.ts';

/** How OVN does on one node. */
export interface OvnNodeStatus {
  readonly node: string;
  /** Its processes that do not run. */
  readonly missing: readonly string[];
  /** The southbound database knows its chassis and it has claimed ovn0. */
  readonly claimed: boolean;
  /** The join gateway answers through ovn0. */
  readonly joinAnswers: boolean;
  /** Pods plugged into its br-int. */
  readonly pods: number;
}

/** How OVN does; parts that do not answer count as not there. */
export interface OvnStatus {
  /** Its processes on `control` that do not run, and databases that do not answer. */
  readonly missing: readonly string[];
  readonly nodes: readonly OvnNodeStatus[];
  /** Load_Balancer rows, by `owner` in external_ids (empty: none), sorted. */
  readonly loadBalancers: Readonly<Record<string, number>>;
  readonly groups: readonly { readonly name: string; readonly members: number }[];
}

/** Looks at every part of OVN at the same time; never throws for parts that are broken. */
export async function ovnStatus(lab: Lab): Promise<OvnStatus> {
  const [northbound, southbound] = await Promise.all([answers(lab, 'northbound'), answers(lab, 'southbound')]);
  const [rows, claimed, nodes] = await Promise.all([
    northbound ? readLoadBalancers(lab) : { loadBalancers: {}, groups: [] },
    southbound ? claimedPorts(lab) : new Set<string>(),
    Promise.all(lab.nodes.map((node) => nodeStatus(lab, node))),
  ]);
  const missing = Object.values(centralProcesses).filter((name) => !isRunning(lab, name));
  const silent = [
    ...(northbound || missing.includes('ovn-nb') ? [] : ['ovn-nb (does not answer)']),
    ...(southbound || missing.includes('ovn-sb') ? [] : ['ovn-sb (does not answer)']),
  ];
  return {
    missing: [...missing, ...silent],
    nodes: nodes.map((node) => ({ ...node, claimed: claimed.has(nodePortOf(node.node)) })),
    ...rows,
  };
}

/** `ok` or what is wrong, one line a part. */
export function describeOvn(status: OvnStatus): string[] {
  const owners = Object.entries(status.loadBalancers).map(([owner, count]) => `${count} of ${owner || 'nobody'}`);
  return [
    `databases and northd: ${status.missing.length === 0 ? 'ok' : `not running: ${status.missing.join(', ')}`}`,
    ...status.nodes.map((node) => {
      const faults = [
        ...node.missing.map((name) => `${name} does not run`),
        ...(node.claimed ? [] : ['no chassis has claimed its ovn0']),
        ...(node.joinAnswers ? [] : ['the join gateway does not answer']),
      ];
      return `${node.node}: ${faults.length === 0 ? 'ok' : faults.join(', ')}; ${node.pods} pods`;
    }),
    `load balancers: ${owners.join(', ') || 'none'}; groups: ${status.groups.map(({ name, members }) => `${name} (${members})`).join(', ') || 'none'}`,
  ];
}

async function nodeStatus(lab: Lab, node: NodeSpec): Promise<Omit<OvnNodeStatus, 'claimed'>> {
  const missing = Object.values(nodeProcesses(node.name)).filter((name) => !isRunning(lab, name));
  if (missing.length > 0) return { node: node.name, missing, joinAnswers: false, pods: 0 };
  const [answering, pods] = await Promise.all([joinAnswers(lab, node), podPortsOf(lab, node)]);
  return { node: node.name, missing, joinAnswers: answering, pods: pods.length };
}

/** The logical ports that some chassis has claimed. */
async function claimedPorts(lab: Lab): Promise<Set<string>> {
  const [found] = await transact(lab, 'southbound', [
    { op: 'select', table: 'Port_Binding', where: [['up', '==', true]], columns: ['logical_port'] },
  ]);
  return new Set((found?.rows ?? []).map((row) => String(row.logical_port)));
}

async function readLoadBalancers(lab: Lab): Promise<Pick<OvnStatus, 'loadBalancers' | 'groups'>> {
  const [balancers, groups] = await transact(lab, 'northbound', [
    { op: 'select', table: 'Load_Balancer', where: [], columns: ['external_ids'] },
    { op: 'select', table: 'Load_Balancer_Group', where: [], columns: ['name', 'load_balancer'] },
  ]);
  const counts = new Map<string, number>();
  for (const row of balancers?.rows ?? []) {
    const owner = mapEntries(row.external_ids).owner ?? '';
    counts.set(owner, (counts.get(owner) ?? 0) + 1);
  }
  return {
    loadBalancers: Object.fromEntries([...counts].sort()),
    groups: (groups?.rows ?? []).map(groupOf).sort(byName),
  };
}

function groupOf(row: OvsdbRow): { name: string; members: number } {
  return { name: String(row.name), members: setMembers(row.load_balancer).length };
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : 1;
}
