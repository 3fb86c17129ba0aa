import { existsSync, rmSync } from 'node:fs';
import { containerProcesses, removeCgroups } from './cgroups.ts';
import type { Lab } from './lab.ts';
import { restoreSettings } from './machine-settings.ts';
import { labNamespaceLinks, labNamespaces, removeNetwork } from './namespaces.ts';
import { refuseOthers, releaseMachine, withLock } from './ownership.ts';
import { endProcesses, isAlive, type ProcessIdentity, processesInNetns } from './process-table.ts';
import { waitFor } from './processes.ts';
import type { Progress } from './progress.ts';
import { readState } from './state.ts';

/**
 * Takes the lab down, whole or half-finished, and leaves nothing but the cache.
 *
 * It ends: the recorded processes (when pid and start time still match), the processes in the lab's own cgroups, and
 * whatever lives in its network namespaces. Nothing needs a farewell, because everything they wrote goes too.
 */
export async function takeDown(lab: Pick<Lab, 'root'>, progress: Progress): Promise<void> {
  refuseOthers(lab);
  await withLock(progress, () => sweep(lab, progress));
}

/** The work of `takeDown`, for a caller that holds the lock. */
export async function sweep(lab: Pick<Lab, 'root'>, progress: Progress): Promise<void> {
  const state = readState(lab.root);
  if (!state && labNamespaces().length === 0 && !existsSync(lab.root)) {
    releaseMachine();
    progress.say('down', 'there is no lab');
    return;
  }
  await progress.step('down', 'processes ended', endEverything(lab));
  const madeNetnsDirectory = state?.madeNetnsDirectory ?? false;
  await progress.step('down', 'namespaces removed', () => removeNetwork(lab, madeNetnsDirectory));
  await waitFor('down: the cgroups of the containers are empty', 10_000, async () => removeCgroups(lab).length === 0);
  if (state) restoreSettings(state);
  rmSync(lab.root, { recursive: true, force: true });
  releaseMachine();
  progress.say('down', `nothing left${existsSync(lab.root) ? ` but ${lab.root}` : ''}`);
}

/** Again until a look finds none: a shim may have started a container while its parent was ended. */
function endEverything(lab: Pick<Lab, 'root'>): () => Promise<void> {
  return async () => {
    for (let round = 0; round < 10; round++) {
      const left = living(lab);
      if (left.length === 0) return;
      await endProcesses(left, { signal: 'SIGKILL' });
    }
  };
}

function living(lab: Pick<Lab, 'root'>): ProcessIdentity[] {
  const recorded = Object.values(readState(lab.root)?.processes ?? {}).filter(isAlive);
  return [...recorded, ...containerProcesses(lab), ...processesInNetns(labNamespaceLinks())];
}
