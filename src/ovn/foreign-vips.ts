import { type ForeignVips, ownerOf } from './load-balancer-rows.ts';
import { foreignRows, membersOf, type NorthboundView, type RealisedRow } from './northbound-view.ts';
import type { Attachment } from './topology.ts';

/**
 * The VIPs that load balancers of others have where ours act. Two load balancers with one VIP on one switch give an
 * undefined result, so whoever was not asked to own the address steps back: us. Load balancers that are attached nowhere
 * do nothing and do not count.
 */
export function foreignVips(view: NorthboundView, attachments: readonly Attachment[], clusterId: string): ForeignVips {
  const foreign = foreignRows(view, ownerOf(clusterId));
  const onHostSwitches = new Map<string, { name: string; uuid: string }>();
  const onPodSwitches = new Map<string, { name: string; uuid: string }>();
  const seen = { hosts: new Set<string>(), pods: new Set<string>() };
  for (const { table, uuid, side } of attachments) {
    const row = (table === 'Logical_Switch' ? view.switches : view.routers).get(uuid);
    if (!row || foreign.size === 0) continue;
    const groups = row.groups.flatMap((group) => view.groups.get(group) ?? []).map(membersOf);
    for (const [member, loadBalancer] of foreign) {
      if (seen[side].has(member)) continue;
      if (!row.loadBalancers.includes(member) && !groups.some((members) => members.has(member))) continue;
      seen[side].add(member);
      addVips(loadBalancer, side === 'hosts' ? onHostSwitches : onPodSwitches);
    }
  }
  return { onHostSwitches, onPodSwitches };
}

function addVips(
  { name, uuid, protocol = 'tcp', vips }: RealisedRow,
  into: Map<string, { name: string; uuid: string }>,
): void {
  for (const vip of vips.keys()) {
    const key = `${protocol} ${vip}`;
    if (!into.has(key)) into.set(key, { name: name || uuid, uuid });
  }
}
