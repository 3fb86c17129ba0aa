/**
 * The lab for end-to-end tests: importing this file brings it up, or repairs it and installs the code as it is now.
 * It stays up afterwards, because the next file (or the next run) starts in seconds then; `npm run lab -- down` ends it.
 *
 * LAB_ARGS holds further words for `up`, for a run in another mode: LAB_ARGS='--ovn external --router frr'.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe } from '@jest/globals';
import { LabError } from '../../lab/errors.ts';
import { kubectl as labKubectl } from '../../lab/kubectl.ts';
import type { Lab } from '../../lab/lab.ts';
import { type CommandResult, run } from '../../lab/processes.ts';
import { existingLab } from '../../lab/up.ts';

const checkout = join(import.meta.dirname, '../..');

/** Why there can be no lab here; undefined when there can. */
const obstacle =
  process.platform !== 'linux' ? 'it needs Linux' : process.getuid?.() !== 0 ? 'it needs root' : undefined;

/** `describe` for suites that use the lab: skipped, with the reason in the name, where there can be none. */
export function describeLab(name: string, tests: () => void): void {
  if (obstacle) describe.skip(`${name} (no lab: ${obstacle})`, tests);
  else describe(name, tests);
}

/** Runs a command of the lab's own command line, such as `labCommand('fault', 'link-down', 'node-1')`. */
export function labCommand(...words: string[]): { code: number; stdout: string; stderr: string } {
  const main = join(checkout, 'lab/main.ts');
  const env = { ...process.env, NODE_OPTIONS: '' };
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...words], { encoding: 'utf8', env });
  return { code: status ?? -1, stdout, stderr };
}

/** Brings the lab up, or puts back what is missing of it. @throws LabError with what `up` said. */
export function repairLab(): Lab {
  const words = (process.env.LAB_ARGS ?? '').split(' ').filter(Boolean);
  const { code, stderr } = labCommand('up', ...words);
  if (code === 0) return existingLab(checkout);
  throw new LabError('NotReady', `npm run lab -- up ${words.join(' ')}: exit code ${code}\n${stderr}`);
}

/** The lab, up and ready. Not to be touched inside suites that `describeLab` skips. */
export const lab: Lab = obstacle ? (undefined as unknown as Lab) : repairLab();

/** kubectl as the cluster's administrator; rejects with its stderr when it fails. Gives stdout. */
export async function kubectl(args: readonly string[], input?: string): Promise<string> {
  return (await labKubectl(lab, args, input === undefined ? {} : { input })).stdout;
}

/** kubectl's answer in JSON. */
export async function kubectlJson<Body>(args: readonly string[]): Promise<Body> {
  return JSON.parse(await kubectl([...args, '-o', 'json'])) as Body;
}

/** Applies objects, as JSON; they may be of any kind. */
export async function apply(...objects: object[]): Promise<void> {
  await kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
}

/** Runs a command in a host: `exec('client', 'curl', '-s', 'http://10.77.0.100/')`. Rejects when it fails. */
export async function exec(host: string, command: string, ...args: string[]): Promise<CommandResult> {
  return run(lab, { host, command, args, timeoutMs: 60_000 });
}
