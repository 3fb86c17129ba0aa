import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeSpec } from './lab.ts';
import { identify, type ProcessIdentity } from './process-table.ts';

const mountPoint = '/sys/fs/cgroup';
const labGroup = 'ovenbird-lab';

/** The cgroup under which a node's kubelet puts all containers, as the kubelet's configuration wants it. */
export function cgroupOf(node: NodeSpec): string {
  return `/${labGroup}/${node.name}`;
}

/** Every process of a node's containers, or (no node given) of all of them. */
export function containerProcesses(node?: NodeSpec): ProcessIdentity[] {
  const pids = new Set<number>();
  for (const root of roots()) {
    for (const directory of tree(node ? join(root, node.name) : root)) {
      for (const pid of readPids(directory)) pids.add(pid);
    }
  }
  return [...pids].flatMap((pid) => identify(pid) ?? []);
}

/** Removes the lab's cgroups; those that still hold a process stay. @returns the paths that stayed. */
export function removeCgroups(): string[] {
  const stayed: string[] = [];
  for (const directory of roots().flatMap((root) => tree(root).toReversed())) {
    try {
      rmdirSync(directory);
    } catch {
      stayed.push(directory);
    }
  }
  return stayed;
}

/** The lab's group in each hierarchy: one for cgroup v2, one a controller for v1. */
function roots(): string[] {
  if (!existsSync(mountPoint)) return [];
  const hierarchies = readdirSync(mountPoint).map((name) => join(mountPoint, name));
  return [mountPoint, ...hierarchies].map((path) => join(path, labGroup)).filter((path) => existsSync(path));
}

/** A directory and all below it, parents first. */
function tree(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const below = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [directory, ...below.flatMap((entry) => tree(join(directory, entry.name)))];
}

function readPids(directory: string): number[] {
  try {
    return readFileSync(join(directory, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
