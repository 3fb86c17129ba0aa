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

/** Remembers the machine's settings, once, before the first kubelet starts. */
export function rememberSettings(lab: Pick<Lab, 'root'>): void {
  updateState(lab.root, (state) => {
    if (Object.keys(state.sysctls).length > 0) return state;
    const present = changedByKubelet.filter((name) => existsSync(join('/proc/sys', name)));
    const values = present.map((name) => [name, readFileSync(join('/proc/sys', name), 'utf8').trim()]);
    return { ...state, sysctls: Object.fromEntries(values) };
  });
}

/** Puts them back. */
export function restoreSettings(state: LabState): void {
  for (const [name, value] of Object.entries(state.sysctls)) {
    const path = join('/proc/sys', name);
    if (readFileSync(path, 'utf8').trim() !== value) writeFileSync(path, `${value}\n`);
  }
}
