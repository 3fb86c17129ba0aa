import { macOfIpv4 } from '../ovn/northbound-topology.ts';
import { addressesOf, configureEnd, layCable, removeCable } from './cable.ts';
import { createPort, deletePort, type PodAddress, portExists } from './northbound-port.ts';
import { type Attachment, CniError, hostInterfaceOf, type NetworkConfiguration, portNameOf } from './request.ts';
import { plugIn, podInterfaces, unplug, waitUntilInstalled } from './switch-port.ts';

/** How long ovn-controller may take to set up a port before the runtime is told to try again. */
const installWithinMs = 30_000;

/**
 * ADD: the pod has its address and its traffic flows when this returns. What was made is taken back when it fails.
 * @returns the result object of the specification.
 */
export async function add(configuration: NetworkConfiguration, attachment: Attachment): Promise<object> {
  try {
    const [pod] = await allOf([createPort(configuration, attachment), layCable(configuration, attachment)]);
    await allOf([configureEnd(configuration, attachment, pod), plugIn(configuration, attachment, pod)]);
    await waitUntilInstalled(configuration, attachment.containerId, installWithinMs);
    return resultOf(configuration, attachment, pod);
  } catch (thrown) {
    await remove(configuration, attachment.containerId).catch(() => {}); // the runtime calls DEL too
    throw thrown;
  }
}

/**
 * DEL and GC: nothing of the container is left, whatever was there. The node's own side goes first, so that it goes
 * even when the northbound database does not answer.
 */
export async function remove(configuration: NetworkConfiguration, containerId: string): Promise<void> {
  await unplug(configuration, containerId);
  await removeCable(containerId);
  await deletePort(configuration, containerId);
}

/** CHECK. @throws CniError `notAsExpected` naming what is missing. */
export async function check(configuration: NetworkConfiguration, attachment: Attachment): Promise<void> {
  const [inPod, onSwitch, inOvn] = await Promise.all([
    addressesOf(attachment),
    podInterfaces(configuration),
    portExists(configuration, attachment.containerId),
  ]);
  const missing = (configuration.prevResult?.ips ?? []).filter((ip) => !inPod.includes(ip.address));
  if (missing.length > 0) {
    throw new CniError('notAsExpected', `${attachment.interfaceName} has not the address ${missing[0]?.address ?? ''}`);
  }
  if (!onSwitch.some((port) => port.sandbox === attachment.containerId)) {
    throw new CniError('notAsExpected', `br-int has no port ${hostInterfaceOf(attachment.containerId)}`);
  }
  if (!inOvn) throw new CniError('notAsExpected', `OVN has no logical switch port ${portNameOf(attachment)}`);
}

/** GC: removes what belongs to none of the attachments that the runtime still knows. */
export async function collectGarbage(configuration: NetworkConfiguration): Promise<void> {
  const valid = new Set((configuration['cni.dev/valid-attachments'] ?? []).map((entry) => entry.containerID));
  const left = (await podInterfaces(configuration)).filter((port) => !valid.has(port.sandbox));
  for (const port of left) await remove(configuration, port.sandbox);
}

/** STATUS. @throws CniError `notAvailable` when no pod could be attached now. */
export async function reportStatus(configuration: NetworkConfiguration): Promise<void> {
  try {
    await Promise.all([podInterfaces(configuration), portExists(configuration, 'none')]);
  } catch (cause) {
    throw new CniError('notAvailable', 'Open vSwitch or the northbound database does not answer', { cause });
  }
}

/** Like Promise.all, but never leaves one running behind when another fails: what it makes could not be taken back. */
async function allOf<Work extends readonly Promise<unknown>[]>(
  work: [...Work],
): Promise<{ [At in keyof Work]: Awaited<Work[At]> }> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

function resultOf(configuration: NetworkConfiguration, attachment: Attachment, pod: PodAddress): object {
  return {
    cniVersion: configuration.cniVersion,
    interfaces: [
      { name: hostInterfaceOf(attachment.containerId) },
      { name: attachment.interfaceName, mac: macOfIpv4(pod.address), sandbox: attachment.netns },
    ],
    ips: [
      {
        interface: 1,
        address: `${pod.address}/${configuration.cidr.split('/')[1] ?? ''}`,
        gateway: configuration.gateway,
      },
    ],
    routes: [{ dst: '0.0.0.0/0', gw: configuration.gateway }],
    dns: {},
  };
}
