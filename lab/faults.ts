import { constants } from 'node:os';
import { LabError } from './errors.ts';
import { apiDown, apiFreeze, apiUp, slowApi } from './faults/api-server.ts';
import { healNetwork, type LostDirection, linkDown, linkUp, partition } from './faults/links.ts';
import { crashNode, restoreNode } from './faults/nodes.ts';
import { killController, killSpeaker } from './faults/ovenbird-processes.ts';
import { deleteLoadBalancers, restartNodeSwitch, restartNorthboundDatabase } from './faults/ovn.ts';
import { type Lab, type Segment, segments } from './lab.ts';
import { terminalProgress } from './progress.ts';

export { apiDown, apiFreeze, apiUp, slowApi } from './faults/api-server.ts';
export { healNetwork, type LostDirection, linkDown, linkUp, partition } from './faults/links.ts';
export { crashNode, restoreNode } from './faults/nodes.ts';
export { killController, killSpeaker, ovenbirdProcesses } from './faults/ovenbird-processes.ts';
export { deleteLoadBalancers, restartNodeSwitch, restartNorthboundDatabase } from './faults/ovn.ts';

/** What a person may break, a line a fault. */
export const faultUsage = `npm run lab -- fault KIND ...

  node-crash NODE                  cut the power: cables dead, every process and container ended by SIGKILL
  node-restore NODE                power back; waits until the node is Ready
  link-down HOST [fabric|mgmt]     pull its cables (default: fabric)
  link-up HOST [fabric|mgmt]       plug them in again (default: all)
  partition NODE [in|out|both]     lose every frame between it and the other nodes on the fabric; links stay up
  kill-speaker NODE [SIGNAL]       SIGKILL (default), SIGTERM, SIGSTOP (it hangs), SIGCONT
  kill-controller [SIGNAL] [--all] the one that leads (default), or all
  api-down [--freeze]              end kube-apiserver, or let it hang
  api-up                           start it, or let it go on
  slow-api MS                      every answer and request late by MS; 0 ends it
  ovn-nb-restart [--empty] [--kill]  restart the northbound database, with --empty as Kube-OVN would make it anew
  ovn-lb-delete                    delete all load balancers in one transaction, as Kube-OVN does at its start
  ovs-restart NODE                 restart ovs-vswitchd: flows and connection tracking begin empty; ovn0 and its routes stay
  heal                             undo link-down, partition, slow-api and api-down
`;

type Fault = (lab: Lab, words: string[]) => Promise<string>;

const faults: Readonly<Record<string, Fault>> = {
  'node-crash': async (lab, [node = '']) => {
    await crashNode(lab, node);
    return `${node} has no power; back with: npm run lab -- fault node-restore ${node}`;
  },
  'node-restore': async (lab, [node = '']) => {
    await restoreNode(lab, node, terminalProgress());
    return `${node} is Ready again`;
  },
  'link-down': async (lab, [host = '', segment = 'fabric']) => {
    await linkDown(lab, host, segmentNamed(segment));
    return `${host}: the ${segment} cable is pulled; back with: npm run lab -- fault link-up ${host}`;
  },
  'link-up': async (lab, [host = '', segment]) => {
    await linkUp(lab, host, segment === undefined ? undefined : segmentNamed(segment));
    return `${host}: ${segment ?? 'all'} plugged in`;
  },
  partition: async (lab, [node = '', lost = 'both']) => {
    await partition(lab, node, directionNamed(lost));
    return `${node} and the other nodes do not hear each other on the fabric; end it with: npm run lab -- fault heal`;
  },
  'kill-speaker': async (lab, [node = '', signal = 'SIGKILL']) => {
    const pid = await killSpeaker(lab, node, signalNamed(signal));
    return `${node}: ${signal} sent to the speaker (pid ${pid})`;
  },
  'kill-controller': async (lab, words) => {
    const all = takeFlag(words, '--all');
    const signal = words[0] ?? 'SIGKILL';
    const pids = await killController(lab, signalNamed(signal), { all });
    return `${signal} sent to ${all ? 'every controller' : 'the leading controller'} (pid ${pids.join(', ')})`;
  },
  'api-down': async (lab, words) => {
    if (takeFlag(words, '--freeze')) {
      await apiFreeze(lab);
      return 'kube-apiserver hangs; it goes on with: npm run lab -- fault api-up';
    }
    await apiDown(lab);
    return 'kube-apiserver is gone; back with: npm run lab -- fault api-up';
  },
  'api-up': async (lab) => {
    await apiUp(lab, terminalProgress());
    return 'kube-apiserver is ready';
  },
  'slow-api': async (lab, [text = '']) => {
    const delayMs = Number(text || 'none');
    if (!Number.isInteger(delayMs) || delayMs < 0 || delayMs > 60_000) {
      throw new LabError('BadUsage', `slow-api ${text}: must be a number of milliseconds from 0 to 60000`);
    }
    await slowApi(lab, delayMs);
    return delayMs === 0 ? 'kube-apiserver is as fast as before' : `kube-apiserver is ${delayMs} ms away each way`;
  },
  'ovn-nb-restart': async (lab, words) => {
    const empty = takeFlag(words, '--empty');
    const signal = takeFlag(words, '--kill') ? 'SIGKILL' : 'SIGTERM';
    await restartNorthboundDatabase(lab, { empty, signal });
    return `the northbound database is back${empty ? ', with the topology and the pods of the cluster only' : ''}`;
  },
  'ovn-lb-delete': async (lab) => `${await deleteLoadBalancers(lab)} load balancers deleted`,
  'ovs-restart': async (lab, [node = '']) => {
    await restartNodeSwitch(lab, node);
    return `${node}: ovs-vswitchd restarted, ovn0 is back`;
  },
  heal: async (lab) => {
    await healNetwork(lab);
    await slowApi(lab, 0);
    await apiUp(lab, terminalProgress());
    return 'cables plugged in, no partition, kube-apiserver ready';
  },
};

/**
 * Breaks or mends something, as words on a command line say.
 * @returns the sentence to print.
 * @throws LabError `BadUsage` for words that make no sense; others when it cannot be done.
 */
export async function runFault(lab: Lab, words: string[]): Promise<string> {
  const [kind = '', ...rest] = words;
  const fault = Object.hasOwn(faults, kind) ? faults[kind] : undefined;
  if (!fault) throw new LabError('BadUsage', `fault ${kind}: no such fault\n\n${faultUsage}`);
  return fault(lab, rest);
}

function segmentNamed(word: string): Segment {
  const segment = segments.find((candidate) => candidate === word);
  if (segment === undefined) throw new LabError('BadUsage', `${word}: must be ${segments.join(' or ')}`);
  return segment;
}

function directionNamed(word: string): LostDirection {
  if (word === 'in' || word === 'out' || word === 'both') return word;
  throw new LabError('BadUsage', `${word}: must be in, out or both`);
}

function signalNamed(word: string): NodeJS.Signals {
  const name = (word.startsWith('SIG') ? word : `SIG${word}`).toUpperCase();
  if (Object.hasOwn(constants.signals, name)) return name as NodeJS.Signals;
  throw new LabError('BadUsage', `${word}: no such signal`);
}

/** Takes a flag out of the words; true when it was there. */
function takeFlag(words: string[], flag: string): boolean {
  const at = words.indexOf(flag);
  if (at >= 0) words.splice(at, 1);
  return at >= 0;
}
