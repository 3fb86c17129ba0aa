import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LabError } from './errors.ts';
import type { Lab, OvnMode, RouterKind } from './lab.ts';

/** A process of the lab: the pid alone may be reused, the pid with its start time may not. */
export interface ProcessRecord {
  readonly pid: number;
  /** /proc/PID/stat field 22: clock ticks since boot. */
  readonly startTime: string;
  /** The host whose namespaces it lives in; absent = the machine itself. */
  readonly host?: string;
  readonly command: string;
  /** Hash of everything it was started with: another hash means it must be restarted. */
  readonly fingerprint: string;
  readonly log: string;
}

/** What `.lab/state.json` holds. */
export interface LabState {
  readonly options: { readonly nodes: number; readonly ovn: OvnMode; readonly router: RouterKind };
  readonly processes: Readonly<Record<string, ProcessRecord>>;
  /** Settings of the machine as they were before the lab (path under /proc/sys -> value), put back by `down`. */
  readonly sysctls: Readonly<Record<string, string>>;
  /** True when /run/netns did not exist before the lab. */
  readonly madeNetnsDirectory: boolean;
}

/** The state of the lab in `root`, or undefined when there is none. @throws LabError `NotReady` when it is damaged. */
export function readState(root: string): LabState | undefined {
  const path = statePath(root);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
  try {
    return JSON.parse(text) as LabState;
  } catch (cause) {
    throw new LabError('NotReady', `${path} is damaged; end the processes it names by hand and remove ${root}`, {
      cause,
    });
  }
}

/**
 * Changes the state file in one synchronous step (so that tasks of one process cannot lose each other's changes) and
 * by rename (so that a kill at any point leaves the old or the new file).
 */
export function updateState(root: string, change: (state: LabState) => LabState): LabState {
  const before = readState(root);
  if (!before) throw new LabError('NotUp', 'there is no lab here; bring it up with: npm run lab -- up');
  return writeState(root, change(before));
}

/** Writes the first state of a lab, or replaces it. */
export function writeState(root: string, state: LabState): LabState {
  mkdirSync(root, { recursive: true });
  const path = statePath(root);
  writeFileSync(`${path}.new`, `${JSON.stringify(state, undefined, 2)}\n`);
  renameSync(`${path}.new`, path);
  return state;
}

/** The records of a lab's processes by name; empty when there is no lab. */
export function processRecords(lab: Pick<Lab, 'root'>): Readonly<Record<string, ProcessRecord>> {
  return readState(lab.root)?.processes ?? {};
}

function statePath(root: string): string {
  return join(root, 'state.json');
}
