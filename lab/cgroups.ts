import { existsSync, globSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Lab } from './lab.ts';
import { identify, type ProcessIdentity } from './process-table.ts';

const mountPoint = '/sys/fs/cgroup';
/** Where containerd puts the containers of the Kubernetes namespace when the kubelet makes no group for a pod. */
const group = 'k8s.io';

/** Every process of a node's containers (default: of all nodes), found by the cgroups of the containers it made. */
export function containerProcesses(lab: Pick<Lab, 'root'>, nodeName = '*'): ProcessIdentity[] {
  const pids = new Set<number>();
  for (const directory of containerCgroups(lab, nodeName).flatMap(tree)) {
    for (const pid of readPids(directory)) pids.add(pid);
  }
  return [...pids].flatMap((pid) => identify(pid) ?? []);
}

/** Removes the cgroups of the lab's containers; those that still hold a process stay. @returns the paths that stayed. */
export function removeCgroups(lab: Pick<Lab, 'root'>): string[] {
  const stayed: string[] = [];
  const own = containerCgroups(lab, '*');
  for (const directory of own.flatMap((path) => tree(path).toReversed())) {
    try {
      rmdirSync(directory);
    } catch {
      stayed.push(directory);
    }
  }
  for (const parent of groups()) {
    try {
      if (own.length > 0 && stayed.length === 0) rmdirSync(parent);
    } catch {
      // others have containers in it
    }
  }
  return stayed;
}

/** The groups of the containers that the lab's nodes have, in every hierarchy. */
function containerCgroups(lab: Pick<Lab, 'root'>, nodeName: string): string[] {
  const tasks = join(lab.root, 'nodes', nodeName, 'containerd/io.containerd.runtime.v2.task/k8s.io/*');
  const ids = globSync(tasks).map((path) => basename(path));
  return groups().flatMap((path) => ids.map((id) => join(path, id)).filter((directory) => existsSync(directory)));
}

/** One for cgroup v2, one a controller for v1. */
function groups(): string[] {
  if (!existsSync(mountPoint)) return [];
  const hierarchies = readdirSync(mountPoint).map((name) => join(mountPoint, name));
  return [mountPoint, ...hierarchies].map((path) => join(path, group)).filter((path) => existsSync(path));
}

/** A directory and all below it, parents first. */
function tree(directory: string): string[] {
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
