import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from './lab.ts';
import { type LabState, updateState } from './state.ts';

/** What a kubelet changes for the whole machine, whatever its configuration says. */
const changedByKubelet = [
  'kernel/keys/root_maxbytes',
  'kernel/keys/root_maxkeys',
  'kernel/panic',
  'kernel/panic_on_oops',
  'vm/overcommit_memory',
  'vm/panic_on_oom',
];

/** What a machine gives by default is too little for several kubelets and containerds: each wants dozens of each. */
const minimums: Readonly<Record<string, number>> = {
  'fs/inotify/max_user_instances': 1024,
  'fs/inotify/max_user_watches': 262_144,
};

/** Remembers the machine's settings, once, before the first kubelet starts, and raises those that are too low. */
export function rememberSettings(lab: Pick<Lab, 'root'>): void {
  updateState(lab.root, (state) => {
    if (Object.keys(state.sysctls).length > 0) return state;
    const present = [...changedByKubelet, ...Object.keys(minimums)].filter((name) =>
      existsSync(join('/proc/sys', name)),
    );
    const values = present.map((name) => [name, readFileSync(join('/proc/sys', name), 'utf8').trim()]);
    return { ...state, sysctls: Object.fromEntries(values) };
  });
  for (const [name, minimum] of Object.entries(minimums)) {
    const path = join('/proc/sys', name);
    if (existsSync(path) && Number(readFileSync(path, 'utf8')) < minimum) writeFileSync(path, `${minimum}\n`);
  }
}

/** Puts them back. */
export function restoreSettings(state: LabState): void {
  for (const [name, value] of Object.entries(state.sysctls)) {
    const path = join('/proc/sys', name);
    if (readFileSync(path, 'utf8').trim() !== value) writeFileSync(path, `${value}\n`);
  }
}
