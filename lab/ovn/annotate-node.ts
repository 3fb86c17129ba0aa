import { kubectl } from '../kubectl.ts';
import { addressing, type Lab, type NodeSpec } from '../lab.ts';
import { macOfIpv4, names, nodePortOf } from './northbound-topology.ts';

/** Kube-OVN's annotations of a node: where its ovn0 is plugged in. */
export function nodeAnnotations(node: NodeSpec): Record<string, string> {
  const { join } = addressing;
  return {
    'ovn.kubernetes.io/allocated': 'true',
    'ovn.kubernetes.io/chassis': node.name,
    'ovn.kubernetes.io/cidr': join.cidr,
    'ovn.kubernetes.io/gateway': join.gateway,
    'ovn.kubernetes.io/ip_address': node.joinAddress,
    'ovn.kubernetes.io/logical_switch': names.joinSwitch,
    'ovn.kubernetes.io/mac_address': macOfIpv4(node.joinAddress),
    'ovn.kubernetes.io/port_name': nodePortOf(node.name),
  };
}

/** Writes Kube-OVN's annotations on the Node object, which has to exist. */
export async function annotateNode(lab: Lab, node: NodeSpec): Promise<void> {
  const words = Object.entries(nodeAnnotations(node)).map(([key, value]) => `${key}=${value}`);
  await kubectl(lab, ['annotate', 'node', node.name, '--overwrite', ...words]);
}
