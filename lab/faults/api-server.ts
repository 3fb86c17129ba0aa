import { join } from 'node:path';
import { restartManagers, startApiServer, stopApiServer } from '../control-plane.ts';
import { LabError } from '../errors.ts';
import { addressing, type Lab } from '../lab.ts';
import { signalProcess } from '../process-table.ts';
import { run, startProcess, stopProcess, tryRun, waitFor } from '../processes.ts';
import type { Progress } from '../progress.ts';
import { processRecords } from '../state.ts';

const slowProcess = 'slow-api';
const table = 'lab-slow-api';
const slowPort = 16_443;

/** Ends the API server; connections to it are refused from now on until `apiUp`. etcd keeps what it had. */
export async function apiDown(lab: Lab): Promise<void> {
  await stopApiServer(lab);
  const check = ['-sk', '-m', '1', '-o', '/dev/null', addressing.apiServer];
  await waitFor('kube-apiserver: connections are refused', 10_000, async () => {
    const refused = 7;
    return (await tryRun(lab, { host: 'control', command: 'curl', args: check })).code === refused;
  });
}

/** Stops the API server from running without ending it: connections stay open and nothing answers. */
export async function apiFreeze(lab: Lab): Promise<void> {
  const record = processRecords(lab)['kube-apiserver'];
  if (!record || !signalProcess(record, 'SIGSTOP')) throw new LabError('NotReady', 'kube-apiserver does not run');
}

/** Undoes `apiDown` and `apiFreeze`; resolves when the API server is ready and the controllers work. */
export async function apiUp(lab: Lab, progress: Progress): Promise<void> {
  const record = processRecords(lab)['kube-apiserver'];
  if (record) signalProcess(record, 'SIGCONT');
  await startApiServer(lab, progress);
  await restartManagers(lab);
}

/**
 * Makes the API server slow for everything outside `control`: each chunk of bytes arrives `delayMs` late in either
 * direction. Open connections are cut, so that it holds for all from now on. 0 ends it, and cuts them again.
 */
export async function slowApi(lab: Lab, delayMs: number): Promise<void> {
  const { hostname, port } = new URL(addressing.apiServer);
  if (delayMs > 0) {
    await startProcess(lab, {
      name: slowProcess,
      host: 'control',
      command: process.execPath,
      args: [join(import.meta.dirname, 'slow-forwarder.ts'), hostname, `${slowPort}`, hostname, port, `${delayMs}`],
      ready: async () => {
        const check = ['-sk', '-m', '30', '-o', '/dev/null', `https://${hostname}:${slowPort}/livez`];
        return (await tryRun(lab, { host: 'control', command: 'curl', args: check })).code === 0;
      },
    });
  }
  await run(lab, { host: 'control', command: 'nft', args: ['-f', '-'], input: redirection(delayMs > 0, port) });
  if (delayMs === 0) await stopProcess(lab, slowProcess);
}

/** Packets in mid-connection are redirected too, to a port that knows nothing of them: that is what cuts them. */
function redirection(isOn: boolean, port: string): string {
  const chain = `table ip ${table} {
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "mgmt0" tcp dport ${port} redirect to :${slowPort}
  }
}`;
  return `table ip ${table} {}\ndelete table ip ${table}\n${isOn ? chain : ''}\n`;
}
