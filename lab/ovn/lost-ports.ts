import type { Lab, NodeSpec } from '../lab.ts';
import { run } from '../processes.ts';
import { transact } from './northbound.ts';
import { names } from './northbound-topology.ts';
import { uuidText } from './ovsdb.ts';
import { podPortsOf } from './pod-ports.ts';

/**
 * Removes the ports of pods whose interface is gone: after a power cut the switch's database still names those of every
 * pod that ran, and the kubelet takes a minute to clean up after pods that were deleted meanwhile. The CNI plugin makes
 * an interface before its port and removes it after, so a port without an interface belongs to nobody.
 */
export async function removeLostPorts(lab: Pick<Lab, 'root'>, node: NodeSpec): Promise<void> {
  const { stdout } = await run(lab, { host: node.name, command: 'ip', args: ['-json', 'link', 'show'] });
  const present = new Set((JSON.parse(stdout) as { ifname: string }[]).map((link) => link.ifname));
  const lost = (await podPortsOf(lab, node)).filter((port) => !present.has(port.interfaceName));
  if (lost.length === 0) return;
  const words = lost.flatMap((port) => ['--', '--if-exists', 'del-port', 'br-int', port.interfaceName]);
  await run(lab, { host: node.name, command: 'ovs-vsctl', args: ['--no-wait', ...words] });
  const found = await transact(
    lab,
    'northbound',
    lost.map(({ sandbox }) => ({
      op: 'select',
      table: 'Logical_Switch_Port',
      where: [['external_ids', 'includes', ['map', [['sandbox', sandbox]]]]],
      columns: ['_uuid'],
    })),
  );
  const uuids = found.flatMap((result) => result.rows ?? []).map((row) => ['uuid', uuidText(row._uuid)]);
  await transact(lab, 'northbound', [
    {
      op: 'mutate',
      table: 'Logical_Switch',
      where: [['name', '==', names.podSwitch]],
      mutations: [['ports', 'delete', ['set', uuids]]],
    },
  ]);
}
