import type { Lab } from '../lab.ts';
import { restartNorthbound, restartSwitch } from '../ovn/index.ts';
import { transact } from '../ovn/northbound.ts';
import { nodeNamed } from './hosts-named.ts';

/** Restarts the northbound database server, by SIGTERM or SIGKILL, with `empty` without what was in it. */
export async function restartNorthboundDatabase(
  lab: Lab,
  options: { empty?: boolean; signal?: NodeJS.Signals } = {},
): Promise<void> {
  await restartNorthbound(lab, { empty: options.empty ?? false, signal: options.signal ?? 'SIGTERM' });
}

/**
 * What kube-ovn-controller does at its start with default flags: every load balancer row it does not know goes, in one
 * transaction; groups and their attachments stay.
 * @returns how many rows went.
 */
export async function deleteLoadBalancers(lab: Lab): Promise<number> {
  const [deleted] = await transact(lab, 'northbound', [{ op: 'delete', table: 'Load_Balancer', where: [] }]);
  return deleted?.count ?? 0;
}

/**
 * Restarts ovs-vswitchd of a node: no packet passes until it is back, and its connection tracking begins empty, so what
 * a load balancer had translated is cut. Its tap devices outlive it, and with them ovn0's addresses and routes.
 */
export async function restartNodeSwitch(lab: Lab, nodeName: string): Promise<void> {
  await restartSwitch(lab, nodeNamed(lab, nodeName));
}
