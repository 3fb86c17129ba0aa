import { readFileSync } from 'node:fs';
import { containerProcesses } from '../cgroups.ts';
import { release } from '../chart.ts';
import { LabError } from '../errors.ts';
import { apiRead } from '../kubectl.ts';
import type { Lab } from '../lab.ts';
import { type ProcessIdentity, signalProcess } from '../process-table.ts';
import { nodeNamed } from './hosts-named.ts';

/**
 * Signals the speaker of a node and nothing else there. SIGKILL: it is gone without a word; SIGSTOP: it hangs (SIGCONT
 * ends that); SIGTERM: it is told to leave.
 * @returns its pid.
 * @throws LabError `NotReady` when none runs there.
 */
export async function killSpeaker(lab: Lab, nodeName: string, signal: NodeJS.Signals): Promise<number> {
  const [speaker] = ovenbirdProcesses(lab, nodeNamed(lab, nodeName).name, 'speaker');
  if (!speaker || !signalProcess(speaker, signal)) throw new LabError('NotReady', `${nodeName}: no speaker runs there`);
  return speaker.pid;
}

/**
 * Signals the controller that holds the Lease, or with `all` every controller.
 * @returns the pids that were signalled.
 * @throws LabError `NotReady` when there is none, or the leader cannot be found out.
 */
export async function killController(
  lab: Lab,
  signal: NodeJS.Signals,
  options: { all?: boolean } = {},
): Promise<number[]> {
  const running = lab.nodes.flatMap((node) => ovenbirdProcesses(lab, node.name, 'controller'));
  const leader = options.all === true ? undefined : await leaderIdentity(lab);
  const targets = running.filter((target) => leader === undefined || leader.startsWith(podNameOf(target)));
  const signalled = targets.filter((target) => signalProcess(target, signal));
  if (signalled.length === 0) {
    throw new LabError('NotReady', leader === undefined ? 'no controller runs' : `no process of the leader, ${leader}`);
  }
  return signalled.map((target) => target.pid);
}

/** The processes `ovenbird ROLE` in the containers of a node. */
export function ovenbirdProcesses(lab: Lab, nodeName: string, role: 'speaker' | 'controller'): ProcessIdentity[] {
  return containerProcesses(lab, nodeName).filter((candidate) => {
    const words = readWords(candidate.pid, 'cmdline');
    return words.includes(role) && words.some((word) => word.includes('ovenbird'));
  });
}

async function leaderIdentity(lab: Lab): Promise<string> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${release.namespace}/leases/${release.name}-controller`;
  try {
    const lease = await apiRead<{ spec?: { holderIdentity?: string } }>(lab, path);
    const holder = lease.spec?.holderIdentity;
    if (holder) return holder;
  } catch (cause) {
    throw new LabError('NotReady', 'the leader is not known (its Lease cannot be read); name all: --all', { cause });
  }
  throw new LabError('NotReady', 'no controller leads now; name all: --all');
}

function podNameOf(target: ProcessIdentity): string {
  const prefix = 'POD_NAME=';
  const entry = readWords(target.pid, 'environ').find((word) => word.startsWith(prefix));
  return entry?.slice(prefix.length) || 'unknown';
}

function readWords(pid: number, file: 'cmdline' | 'environ'): string[] {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0').filter(Boolean);
  } catch {
    return [];
  }
}
