import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { systemClock } from '../src/base/index.ts';

/** A process, told apart from a later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** /proc/PID/stat field 22: clock ticks since boot. */
  readonly startTime: string;
}

/** The identity of a running process; undefined when there is none, or only its zombie. */
export function identify(pid: number): ProcessIdentity | undefined {
  const fields = statFields(pid) ?? [];
  const [state, startTime] = [fields[0], fields[19]];
  return state === undefined || startTime === undefined || 'ZX'.includes(state) ? undefined : { pid, startTime };
}

/** True while exactly this process runs. */
export function isAlive(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startTime === process.startTime;
}

/** Signals exactly this process; false when it is gone. */
export function signalProcess(target: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(target)) return false;
  try {
    process.kill(target.pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** Ends processes: `signal`, then SIGKILL for those still alive after `graceMs`. Resolves when all are gone. */
export async function endProcesses(
  targets: readonly ProcessIdentity[],
  options: { signal?: NodeJS.Signals; graceMs?: number } = {},
): Promise<void> {
  for (const target of targets) signalProcess(target, options.signal ?? 'SIGTERM');
  if (await waitUntilGone(targets, options.graceMs ?? 5000)) return;
  for (const target of targets) signalProcess(target, 'SIGKILL');
  await waitUntilGone(targets, 5000);
}

async function waitUntilGone(targets: readonly ProcessIdentity[], withinMs: number): Promise<boolean> {
  const deadline = systemClock.monotonicMs() + withinMs;
  for (let pauseMs = 5; targets.some(isAlive); pauseMs = Math.min(100, pauseMs * 2)) {
    if (systemClock.monotonicMs() > deadline) return false;
    await systemClock.sleep(pauseMs);
  }
  return true;
}

/** Every pid there is now. */
function allPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/**
 * The processes living in one of these network namespaces (given by the links' text, such as `net:[4026531840]`), and
 * all that descend from them: a container has a namespace of its own, but its parent has not.
 */
export function processesInNetns(namespaces: ReadonlySet<string>): ProcessIdentity[] {
  const found = new Set<number>();
  const children = new Map<number, number[]>();
  for (const pid of allPids()) {
    const parent = parentOf(pid);
    if (parent === undefined) continue;
    children.set(parent, [...(children.get(parent) ?? []), pid]);
    if (namespaces.has(netnsLink(pid))) found.add(pid);
  }
  // A set that grows while it is walked hands out what was added.
  for (const pid of found) for (const child of children.get(pid) ?? []) found.add(child);
  return [...found].flatMap((pid) => identify(pid) ?? []);
}

function netnsLink(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return '';
  }
}

function parentOf(pid: number): number | undefined {
  const parent = statFields(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

/** The fields of /proc/PID/stat from the third on (its state). */
function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Field 2 is the program's name in parentheses and may hold anything, so look for the last one.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
