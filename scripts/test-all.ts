/**
 * `make test`: static checks, then the unit, integration and end-to-end suites, each in a process of its own.
 *
 * Everything runs even after a failure, so that one run tells all. The last line of output is
 * "N passed, N failed[, N skipped]", where each static check counts as one test. Exits 0 only when nothing failed and
 * every suite ran at least one test.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const results = join(root, '.test-results');
rmSync(results, { recursive: true, force: true });
mkdirSync(results);

interface Count {
  name: string;
  passed: number;
  failed: number;
  skipped: number;
  seconds: number;
}

function run(command: string, args: string[]): { ok: boolean; seconds: number } {
  const started = performance.now();
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  return { ok: status === 0, seconds: (performance.now() - started) / 1000 };
}

function check(name: string, command: string, args: string[]): Count {
  console.log(`\n== ${name}`);
  const { ok, seconds } = run(command, args);
  return { name, passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0, seconds };
}

function suite(name: string): Count {
  console.log(`\n== ${name} tests`);
  const file = join(results, `${name}.json`);
  const jest = [join(root, 'scripts/jest.ts'), name, '--json', `--outputFile=${file}`];
  const { ok, seconds } = run(process.execPath, jest);
  try {
    const report = JSON.parse(readFileSync(file, 'utf8')) as {
      numPassedTests: number;
      numFailedTests: number;
      numPendingTests: number;
      numRuntimeErrorTestSuites: number;
    };
    const failed = report.numFailedTests + report.numRuntimeErrorTestSuites;
    const broken = failed === 0 && (!ok || report.numPassedTests === 0) ? 1 : 0;
    return { name, passed: report.numPassedTests, failed: failed + broken, skipped: report.numPendingTests, seconds };
  } catch {
    return { name, passed: 0, failed: 1, skipped: 0, seconds };
  }
}

/** The end-to-end suite; the lab it brought up is taken down again, which is a check of its own. */
function endToEnd(): Count[] {
  const wasUp = existsSync(join(root, '.lab/state.json'));
  const tests = suite('e2e');
  return wasUp ? [tests] : [tests, check('lab down', process.execPath, [join(root, 'lab/main.ts'), 'down'])];
}

const npx = (tool: string) => join(root, 'node_modules/.bin', tool);
const counts = [
  // A fresh machine gets the packages and programs first; where it cannot, the suites that need them say so.
  check('tools', process.execPath, [join(root, 'lab/main.ts'), 'tools']),
  check('types', npx('tsc'), ['--noEmit']),
  check('style', npx('biome'), ['check', '.']),
  check('promises', npx('eslint'), ['src', 'test', 'lab', 'scripts']),
  check('import rules', npx('depcruise'), ['--config', '.dependency-cruiser.cjs', 'src']),
  check('dead code', npx('knip'), []),
  suite('unit'),
  suite('integration'),
  ...endToEnd(),
];

console.log('');
for (const { name, passed, failed, skipped, seconds } of counts) {
  const skips = skipped > 0 ? `, ${skipped} skipped` : '';
  console.log(
    `${name.padEnd(14)} ${String(passed).padStart(5)} passed, ${failed} failed${skips} (${seconds.toFixed(0)} s)`,
  );
}
const sum = (key: 'passed' | 'failed' | 'skipped') => counts.reduce((total, count) => total + count[key], 0);
const skipped = sum('skipped') > 0 ? `, ${sum('skipped')} skipped` : '';
console.log(`${sum('passed')} passed, ${sum('failed')} failed${skipped}`);
process.exit(sum('failed') === 0 ? 0 : 1);
