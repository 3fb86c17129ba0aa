import type { Lab, NodeSpec } from '../lab.ts';
import { tryRun } from '../processes.ts';
import { type PodPort, portGroupOf } from './northbound-topology.ts';
import { mapEntries, type OvsdbRow, parseTransactReply, transactCommand } from './ovsdb.ts';

/** The pods' ports as the nodes' own switches know them, sorted by name; nodes that do not answer have none. */
export async function podPortsOfNodes(lab: Pick<Lab, 'root' | 'nodes'>): Promise<PodPort[]> {
  const ports = await Promise.all(lab.nodes.map((node) => podPortsOf(lab, node)));
  return ports.flat().sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A pod's port with its interface on the node's br-int. */
export interface PluggedPort extends PodPort {
  readonly interfaceName: string;
}

/** The ports of one node; none when it does not answer. */
export async function podPortsOf(lab: Pick<Lab, 'root'>, node: NodeSpec): Promise<PluggedPort[]> {
  const select = [{ op: 'select', table: 'Interface', where: [], columns: ['name', 'external_ids'] }];
  const reply = await tryRun(lab, {
    host: node.name,
    ...transactCommand('unix:/run/openvswitch/db.sock', 'Open_vSwitch', select, 5),
  });
  if (reply.code !== 0) return [];
  const [found] = parseTransactReply(reply.stdout, select);
  return (found?.rows ?? []).flatMap((row) => podPortOf(row, node) ?? []);
}

/** What the CNI plugin noted on the interface; undefined for interfaces of no pod. */
function podPortOf(row: OvsdbRow, node: NodeSpec): PluggedPort | undefined {
  const { 'iface-id': name, mac, ip: address, sandbox } = mapEntries(row.external_ids);
  if (name === undefined || mac === undefined || address === undefined || sandbox === undefined) return undefined;
  return { name, mac, address, sandbox, portGroup: portGroupOf(node.name), interfaceName: String(row.name) };
}
