/**
 * `npm run bench -- NAME [--json] [--samples N] [--store]`, `npm run bench -- --list`.
 *
 * --store keeps the result under test/bench/results and makes docs/performance.md anew.
 * With --json the last line of stdout is one JSON object (see BenchResult). Progress goes to stderr. A benchmark that
 * cannot run exits 1 with one sentence.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { resultsDirectory, writePerformancePage } from '../../scripts/performance.ts';
import type { Bench, BenchResult } from './bench.ts';
import { benches } from './catalogue.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean' },
    store: { type: 'boolean' },
    list: { type: 'boolean' },
    samples: { type: 'string' },
  },
});

async function main(): Promise<number> {
  if (values.list) {
    for (const [name, { what }] of Object.entries(benches)) console.log(`${name.padEnd(28)} ${what}`);
    return 0;
  }
  const [name = ''] = positionals;
  const entry = Object.hasOwn(benches, name) ? benches[name] : undefined;
  if (!entry) {
    console.error(`bench: there is no benchmark "${name}"; npm run bench -- --list shows them`);
    return 2;
  }
  const samples = values.samples === undefined ? undefined : Number(values.samples);
  if (samples !== undefined && !(Number.isInteger(samples) && samples > 0)) {
    console.error(`bench: --samples ${values.samples}: give a whole number above 0`);
    return 2;
  }
  const bench: Bench = await entry.load();
  const result = await bench({
    ...(samples === undefined ? {} : { samples }),
    progress: (text) => void process.stderr.write(`${text}\n`),
  });
  const machine = { cores: cpus().length, kernel: release(), node: process.version };
  const full: BenchResult = { ...result, conditions: { ...result.conditions, ...machine } };
  if (values.store) {
    mkdirSync(resultsDirectory, { recursive: true });
    writeFileSync(join(resultsDirectory, `${full.name}.json`), `${JSON.stringify(full, undefined, 1)}\n`);
    writePerformancePage();
  }
  console.log(values.json ? JSON.stringify(full) : render(full));
  return 0;
}

function render(result: BenchResult): string {
  const { name, unit, n, median, p95, p99, max, peer, ratio, details, conditions } = result;
  const lines = [`${name}: median ${median} ${unit}, p95 ${p95}, p99 ${p99}, max ${max} (n ${n})`];
  if (peer) lines.push(`  ${peer.name} ${peer.version}: median ${peer.median}; ratio ${ratio}`);
  for (const [key, value] of Object.entries(details ?? {})) lines.push(`  ${key}: ${value}`);
  lines.push(
    `  ${Object.entries(conditions)
      .map(([key, value]) => `${key}=${value}`)
      .join(' ')}`,
  );
  return lines.join('\n');
}

process.once('beforeExit', () => {
  console.error('bench: nothing is left to wait for, and the benchmark has not ended');
  process.exit(1);
});
main().then(
  (code) => process.exit(code),
  (thrown: unknown) => {
    console.error(`bench: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    process.exit(1);
  },
);
