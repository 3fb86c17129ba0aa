import type { Lab, NodeSpec } from '../lab.ts';
import { run } from '../processes.ts';

/**
 * Keeps ovn-controller from using all-zero source NAT, which it adds to connections that no load balancer touches as
 * soon as the switch says it can. In the userspace datapath of Open vSwitch 3.1.0 such a connection has two entries
 * with one hash, and the lookup may find the wrong one: ovs-vswitchd then aborts ("assertion conn->conn_type ==
 * CT_CONN_TYPE_DEFAULT failed in conn_update_state()"), here after some thousand connections through a load balancer.
 * The switch says what it can at each of its starts, so this is to be said after each.
 */
export async function withoutZeroSnat(lab: Pick<Lab, 'root'>, node: NodeSpec): Promise<void> {
  const host = node.name;
  const feature = ['dpif/set-dp-features', 'br-int', 'ct_zero_snat', 'false'];
  await run(lab, { host, command: 'ovs-appctl', args: ['-t', 'ovs-vswitchd', '--timeout=10', ...feature] });
  // The record that ovn-controller reads; it makes it at its first start, when the switch has been told already.
  const shown = ['--no-wait', '--if-exists', 'get', 'Open_vSwitch', '.', 'datapaths:netdev'];
  const datapath = (await run(lab, { host, command: 'ovs-vsctl', args: shown })).stdout.trim();
  if (datapath === '') return;
  const change = ['set', 'Datapath', datapath, 'capabilities:ct_zero_snat=false'];
  await run(lab, { host, command: 'ovs-vsctl', args: ['--no-wait', ...change] });
}
