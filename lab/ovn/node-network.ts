import { addressing, type NodeSpec } from '../lab.ts';

/** What a geneve header leaves of the 1500 bytes, rounded down as Kube-OVN does. */
export const podMtu = 1400;

/** The bridge that holds `tun0`; its internal port has the tunnel address. */
export const tunnelBridge = 'br-tun';

/** What ovn-controller reads at its start, and the chassis' name. */
export function chassisSettings(node: NodeSpec): Record<string, string> {
  return {
    'system-id': node.name,
    hostname: node.name,
    'ovn-remote': addressing.ovnSouthbound,
    'ovn-remote-probe-interval': '60000',
    'ovn-openflow-probe-interval': '60',
    'ovn-encap-type': 'geneve',
    'ovn-encap-ip': node.tunnelAddress,
    'ovn-bridge-datapath-type': 'netdev',
    'ovn-monitor-all': 'true',
  };
}

/** The lines of `ip -batch` that give the switch's own ports their addresses, and the node its way to the pods. */
export function addressLines(node: NodeSpec): string[] {
  const { tunnel, join, pods } = addressing;
  const length = (cidr: string) => cidr.split('/')[1] ?? '';
  return [
    `address replace ${node.tunnelAddress}/${length(tunnel.cidr)} dev ${tunnelBridge}`,
    `link set ${tunnelBridge} up`,
    `address replace ${node.joinAddress}/${length(join.cidr)} dev ovn0`,
    `link set ovn0 mtu ${podMtu} up`,
    `route replace ${pods.cidr} via ${join.gateway} dev ovn0`,
  ];
}

/**
 * Pods reach the world with the address of the NIC by which they leave the node (Kube-OVN's natOutgoing). The API server
 * reaches a pod by any node, so the answer must come back by that one and not by the pod's own. A table of the lab's
 * own, replaced as a whole.
 */
export function masqueradeRules(): string {
  const { pods, join, mgmt } = addressing;
  return `
table ip lab-nat {}
delete table ip lab-nat
table ip lab-nat {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${pods.cidr} ip daddr != { ${pods.cidr}, ${join.cidr} } oifname { "fabric0", "mgmt0" } masquerade
    ip saddr ${mgmt.control} ip daddr ${pods.cidr} oifname "ovn0" masquerade
  }
}
`;
}
