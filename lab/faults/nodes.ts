import { removeCgroups } from '../cgroups.ts';
import { apiRead } from '../kubectl.ts';
import type { Lab } from '../lab.ts';
import { crashNode as endNode } from '../node.ts';
import { waitFor } from '../processes.ts';
import type { Progress } from '../progress.ts';
import { bringUpNode } from '../up.ts';
import { nodeNamed } from './hosts-named.ts';
import { linkDown, linkUp } from './links.ts';

/**
 * Cuts a node's power: its cables go dead at once, then everything on it is ended by SIGKILL. Its disk stays. The API
 * server still calls it Ready until its grace period is over (40 s).
 */
export async function crashNode(lab: Lab, nodeName: string): Promise<void> {
  const node = nodeNamed(lab, nodeName);
  await linkDown(lab, node.name);
  await endNode(lab, node);
  // A power cut leaves no cgroups; a kubelet that finds those of dead containers waits three seconds for each.
  removeCgroups(lab);
}

interface NodeObject {
  readonly status: { readonly conditions?: readonly { type: string; status: string; lastHeartbeatTime: string }[] };
}

/** Gives a node its power back and waits until the API server hears from it and calls it Ready. */
export async function restoreNode(lab: Lab, nodeName: string, progress: Progress): Promise<void> {
  const node = nodeNamed(lab, nodeName);
  await linkUp(lab, node.name);
  // The API server's times are whole seconds.
  const since = Math.floor(Date.now() / 1000) * 1000;
  await bringUpNode(lab, node, [], progress);
  await waitFor(`${node.name}: Ready`, 90_000, async () => {
    const { status } = await apiRead<NodeObject>(lab, `/api/v1/nodes/${node.name}`);
    const ready = status.conditions?.find((condition) => condition.type === 'Ready');
    return ready?.status === 'True' && Date.parse(ready.lastHeartbeatTime) >= since;
  });
}
