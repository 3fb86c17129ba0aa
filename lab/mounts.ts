import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab, NodeSpec } from './lab.ts';
import { mountsProcess, startProcess } from './processes.ts';
import { processRecords } from './state.ts';

/** Directories of the machine that each node sees as its own copy: what it writes there stays under `.lab/nodes/`. */
const ownTrees = ['/etc', '/opt', '/var/lib', '/var/log'];

/**
 * Gives a node a mount namespace and a host name of its own, kept by a sleeping process: a fresh /run, private copies
 * of /etc, /opt, /var/lib and /var/log, and its kubelet's directory at /var/lib/kubelet. So three kubelets do not meet in the places
 * that kubelet and containerd fix in their code, hostPath volumes are per node, and every mount goes away with the
 * node's processes. Every other process of the node must start after this.
 */
export async function startMounts(lab: Lab, node: NodeSpec): Promise<void> {
  const kubelet = join(node.dir, 'kubelet');
  mkdirSync(kubelet, { recursive: true });
  const lines = [
    'set -e',
    'umount -l -R /run/netns 2>/dev/null || true', // copies of the namespaces' mounts would keep them from going away
    'mount -t tmpfs -o mode=755,nosuid,nodev lab /run',
    'mkdir -p /run/lock /run/netns /run/containerd /run/openvswitch /run/ovn',
    ...ownTrees.filter((tree) => existsSync(tree) && !isUnder(lab, tree)).flatMap((tree) => ownCopy(node, tree)),
    'mkdir -p /var/lib/kubelet /var/log/pods /var/log/containers',
    `mount --bind '${kubelet}' /var/lib/kubelet`,
    'rm -f /etc/resolv.conf && touch /etc/resolv.conf', // there is no DNS in the lab
    `echo ${node.name} > /etc/hostname && hostname ${node.name}`,
    'mount --make-rshared /', // volumes that the kubelet mounts must show up in containers
    'touch /run/lab-ready',
    'exec sleep infinity',
  ];
  await startProcess(lab, {
    name: mountsProcess(node.name),
    host: node.name,
    command: 'unshare',
    args: ['--mount', '--uts', '--propagation', 'private', 'sh', '-c', lines.join('\n')],
    ready: async () => {
      const record = processRecords(lab)[mountsProcess(node.name)];
      return record !== undefined && existsSync(`/proc/${record.pid}/root/run/lab-ready`);
    },
  });
}

function ownCopy(node: NodeSpec, tree: string): string[] {
  const layer = join(node.dir, 'layers', tree.slice(1).replaceAll('/', '-'));
  const [upper, work] = [join(layer, 'upper'), join(layer, 'work')];
  mkdirSync(upper, { recursive: true });
  mkdirSync(work, { recursive: true });
  return [`mount -t overlay -o 'lowerdir=${tree},upperdir=${upper},workdir=${work}' lab ${tree}`];
}

/** The checkout itself must stay the same everywhere. */
function isUnder(lab: Lab, tree: string): boolean {
  return [lab.checkout, lab.cache].some((path) => path === tree || path.startsWith(`${tree}/`));
}
