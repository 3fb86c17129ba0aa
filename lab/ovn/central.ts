import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from '../lab.ts';
import { run, startProcess, stopProcess } from '../processes.ts';
import {
  answers,
  databaseFile,
  databaseSocket,
  ensureSouthbound,
  ensureTopology,
  type OvnDatabase,
  ovnDirectory,
} from './northbound.ts';
import { podPortsOfNodes } from './pod-ports.ts';

const schemas: Readonly<Record<OvnDatabase, string>> = {
  northbound: '/usr/share/ovn/ovn-nb.ovsschema',
  southbound: '/usr/share/ovn/ovn-sb.ovsschema',
};

/** The processes of OVN on `control`, by what they are. */
export const centralProcesses = {
  northbound: 'ovn-nb',
  southbound: 'ovn-sb',
  northd: 'ovn-northd',
} as const;

/** Starts the two databases and ovn-northd on `control` and makes Kube-OVN's topology; what is right already stays. */
export async function startOvnCentral(lab: Lab): Promise<void> {
  await Promise.all([startDatabase(lab, 'northbound'), startDatabase(lab, 'southbound')]);
  await Promise.all([ensureTopology(lab, []), ensureSouthbound(lab)]);
  await startNorthd(lab);
}

/**
 * Restarts the northbound database server. With `empty` it comes back with nothing in it, and what Kube-OVN makes (its
 * topology and the ports of the running pods) is put back at once; rows of others are gone.
 */
export async function restartNorthbound(lab: Lab, options: { empty: boolean; signal?: NodeJS.Signals }): Promise<void> {
  const pods = options.empty ? await podPortsOfNodes(lab) : [];
  await stopProcess(lab, centralProcesses.northbound, { signal: options.signal ?? 'SIGTERM' });
  if (options.empty) rmSync(databaseFile(lab, 'northbound'), { force: true });
  await startDatabase(lab, 'northbound');
  await ensureTopology(lab, pods);
  // Pods that were plugged in meanwhile; one in the middle of it is tried again by its kubelet.
  if (options.empty) await ensureTopology(lab, await podPortsOfNodes(lab));
}

async function startDatabase(lab: Lab, database: OvnDatabase): Promise<void> {
  const file = databaseFile(lab, database);
  if (!existsSync(file)) await createDatabase(lab, file, schemas[database]);
  const socket = databaseSocket(lab, database).replace('unix:', 'punix:');
  const globalTable = database === 'northbound' ? 'OVN_Northbound,NB_Global' : 'OVN_Southbound,SB_Global';
  await startProcess(lab, {
    name: centralProcesses[database],
    host: 'control',
    command: 'ovsdb-server',
    args: [
      file,
      `--remote=${socket}`,
      `--remote=db:${globalTable},connections`,
      `--unixctl=${join(ovnDirectory(lab), `${centralProcesses[database]}.ctl`)}`,
      '-vsyslog:off',
    ],
    ready: () => answers(lab, database),
  });
}

async function startNorthd(lab: Lab): Promise<void> {
  const control = join(ovnDirectory(lab), 'ovn-northd.ctl');
  await startProcess(lab, {
    name: centralProcesses.northd,
    host: 'control',
    command: 'ovn-northd',
    args: [
      `--ovnnb-db=${databaseSocket(lab, 'northbound')}`,
      `--ovnsb-db=${databaseSocket(lab, 'southbound')}`,
      `--unixctl=${control}`,
      '-vsyslog:off',
    ],
    ready: async () => {
      const { stdout } = await run(lab, { command: 'ovn-appctl', args: ['-t', control, 'status'], timeoutMs: 5000 });
      return stdout.includes('active');
    },
  });
}

/** Makes an empty database; a kill in between leaves no half a file under the final name. */
export async function createDatabase(lab: Lab, file: string, schema: string): Promise<void> {
  const unfinished = `${file}.new`;
  rmSync(unfinished, { force: true });
  rmSync(`${unfinished}.~lock~`, { force: true });
  await run(lab, { command: 'ovsdb-tool', args: ['create', unfinished, schema] });
  renameSync(unfinished, file);
}
