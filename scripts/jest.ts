/**
 * Runs jest for the named suites (`unit`, `integration`, `e2e`) under Node's ESM loader.
 *
 *   node scripts/jest.ts unit integration [-- jest arguments or file patterns]
 *
 * Words that are not suite names go to jest, so `npm test -- ovsdb-client` runs the files whose path matches.
 * The end-to-end suite shares one lab and therefore runs in one process, one file after another.
 */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const suites = new Set(['unit', 'integration', 'e2e']);
const words = process.argv.slice(2);
const selected = words.filter((word) => suites.has(word));
const rest = words.filter((word) => !suites.has(word));
const jest = createRequire(import.meta.url).resolve('jest/bin/jest');
// Unit tests only compute, so each core gets a worker; the others keep time and share the machine with daemons.
const workers = selected.includes('e2e') ? ['--runInBand'] : selected.join() === 'unit' ? ['--maxWorkers=100%'] : [];

const { status, signal } = spawnSync(
  process.execPath,
  ['--experimental-vm-modules', '--no-warnings', jest, ...rest, ...workers, '--selectProjects', ...selected],
  { stdio: 'inherit' },
);
process.exit(signal === null ? (status ?? 1) : 1);
