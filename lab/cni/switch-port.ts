import { mapEntries, OvsdbRefused, parseTransactReply, transactCommand } from '../ovn/ovsdb.ts';
import { execute } from './execute.ts';
import type { PodAddress } from './northbound-port.ts';
import { type Attachment, CniError, hostInterfaceOf, type PluginSettings, portNameOf } from './request.ts';

/** An interface of a pod on this node's integration bridge. */
interface PodInterface {
  readonly name: string;
  readonly portName: string;
  readonly sandbox: string;
}

/** Puts the node's end of the cable into br-int; interfaces left by earlier containers of this pod go. */
export async function plugIn(settings: PluginSettings, attachment: Attachment, pod: PodAddress): Promise<void> {
  const port = hostInterfaceOf(attachment.containerId);
  const stale = (await podInterfaces(settings)).filter(
    (other) => other.portName === portNameOf(attachment) && other.sandbox !== attachment.containerId,
  );
  const notes = {
    'iface-id': portNameOf(attachment),
    sandbox: attachment.containerId,
    pod_name: attachment.pod,
    pod_namespace: attachment.namespace,
    ip: pod.address,
    mac: pod.mac,
    vendor: 'kube-ovn',
  };
  await vsctl(settings, [
    ...stale.flatMap((other) => ['--', '--if-exists', 'del-port', 'br-int', other.name]),
    '--',
    '--may-exist',
    'add-port',
    'br-int',
    port,
    '--',
    'set',
    'Interface',
    port,
    ...Object.entries(notes).map(([key, value]) => `external_ids:${key}=${JSON.stringify(value)}`),
  ]);
}

/** Takes a container's interface out of br-int; none is fine. */
export async function unplug(settings: PluginSettings, containerId: string): Promise<void> {
  await vsctl(settings, ['--', '--if-exists', 'del-port', 'br-int', hostInterfaceOf(containerId)]);
}

/**
 * Waits until ovn-controller has installed the flows of the container's port.
 * @throws CniError `tryAgainLater` after `withinMs`.
 */
export async function waitUntilInstalled(
  settings: PluginSettings,
  containerId: string,
  withinMs: number,
): Promise<void> {
  const name = hostInterfaceOf(containerId);
  const operations = [
    {
      op: 'wait',
      table: 'Interface',
      where: [
        ['name', '==', name],
        ['external_ids', 'includes', ['map', [['ovn-installed', 'true']]]],
      ],
      columns: ['name'],
      until: '==',
      rows: [{ name }],
      timeout: withinMs,
    },
  ];
  const seconds = Math.ceil(withinMs / 1000);
  const { command, args } = transactCommand(settings.switchDatabase, 'Open_vSwitch', operations, seconds + 5);
  try {
    parseTransactReply(await execute(command, args), operations);
  } catch (thrown) {
    if (!(thrown instanceof OvsdbRefused)) throw thrown;
    const message = `${name}: ovn-controller has not set up this port within ${seconds} s; is it connected?`;
    throw new CniError('tryAgainLater', message, { cause: thrown });
  }
}

/** The pods' interfaces on this node. */
export async function podInterfaces(settings: PluginSettings): Promise<PodInterface[]> {
  const operations = [{ op: 'select', table: 'Interface', where: [], columns: ['name', 'external_ids'] }];
  const { command, args } = transactCommand(settings.switchDatabase, 'Open_vSwitch', operations, 10);
  const [found] = parseTransactReply(await execute(command, args), operations);
  return (found?.rows ?? []).flatMap((row) => {
    const { 'iface-id': portName, sandbox } = mapEntries(row.external_ids);
    if (portName === undefined || sandbox === undefined) return [];
    return [{ name: String(row.name), portName, sandbox }];
  });
}

async function vsctl(settings: PluginSettings, words: readonly string[]): Promise<void> {
  await execute('ovs-vsctl', [`--db=${settings.switchDatabase}`, '--timeout=10', '--no-wait', ...words]);
}
