import { execute, tryExecute } from './execute.ts';
import type { PodAddress } from './northbound-port.ts';
import { type Attachment, CniError, hostInterfaceOf, type PluginSettings } from './request.ts';

/** Makes the veth pair between the node and the pod; one of this name that is there already is replaced. */
export async function layCable(settings: PluginSettings, attachment: Attachment): Promise<void> {
  const host = hostInterfaceOf(attachment.containerId);
  const netns = needNetns(attachment);
  await tryExecute('ip', ['link', 'delete', host]);
  const lines = [
    `link add name ${host} mtu ${settings.mtu} type veth peer name ${attachment.interfaceName} mtu ${settings.mtu} netns ${netns}`,
    // The node itself does not speak on the pod's cable.
    `link set ${host} addrgenmode none`,
    `link set ${host} up`,
  ];
  await execute('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
  await Promise.all([
    offloadsOff([], host),
    offloadsOff(['nsenter', `--net=${netns}`, '--'], attachment.interfaceName),
  ]);
}

/** Gives the pod's end its addresses and the default route. */
export async function configureEnd(settings: PluginSettings, attachment: Attachment, pod: PodAddress): Promise<void> {
  const name = attachment.interfaceName;
  const length = settings.cidr.split('/')[1] ?? '';
  const lines = [
    'link set lo up',
    `link set ${name} address ${pod.mac}`,
    `link set ${name} addrgenmode none`,
    `link set ${name} up`,
    `address replace ${pod.address}/${length} dev ${name}`,
    `route replace default via ${settings.gateway} dev ${name}`,
  ];
  await execute('nsenter', [`--net=${needNetns(attachment)}`, '--', 'ip', '-batch', '-'], `${lines.join('\n')}\n`);
}

/** Removes the veth pair; none is fine. */
export async function removeCable(containerId: string): Promise<void> {
  const host = hostInterfaceOf(containerId);
  const ended = await tryExecute('ip', ['link', 'delete', host]);
  if (ended.code === 0 || /Cannot find device|does not exist|No such device/.test(ended.stderr)) return;
  throw new CniError('commandFailed', `ip link delete ${host}: ${ended.stderr.trim()}`);
}

/** The pod's addresses as they are now, `a.b.c.d/len`. */
export async function addressesOf(attachment: Attachment): Promise<string[]> {
  const words = ['-json', 'address', 'show', 'dev', attachment.interfaceName];
  const shown = await execute('nsenter', [`--net=${needNetns(attachment)}`, '--', 'ip', ...words]);
  const links = JSON.parse(shown) as { addr_info?: { local: string; prefixlen: number }[] }[];
  return links.flatMap((link) => (link.addr_info ?? []).map((entry) => `${entry.local}/${entry.prefixlen}`));
}

/** Userspace Open vSwitch forwards frames as they are: checksums must be filled in and segments cut before it. */
async function offloadsOff(prefix: readonly string[], name: string): Promise<void> {
  const features = ['tx', 'rx', 'tso', 'gso', 'gro'].flatMap((feature) => [feature, 'off']);
  const [command = 'ethtool', ...args] = [...prefix, 'ethtool', '-K', name, ...features];
  await execute(command, args);
}

function needNetns(attachment: Attachment): string {
  if (attachment.netns === undefined) throw new CniError('invalidEnvironment', 'CNI_NETNS is not set');
  return attachment.netns;
}
