/**
 * Writes docs/performance.md from the stored results of the benchmarks (test/bench/results/NAME.json), sorted by name.
 * `npm run bench -- NAME --store` stores a result and calls this.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchResult } from '../test/bench/bench.ts';

const root = join(import.meta.dirname, '..');
export const resultsDirectory = join(root, 'test/bench/results');
const page = join(root, 'docs/performance.md');

/** What a figure is held against (MetalLB 0.16.1 was measured for this project on a machine of the same kind). */
const references: Record<string, { peer: string; target: string }> = {
  'service-to-answer': { peer: 'MetalLB: median 22, max 37', target: 'median <= 30' },
  'endpoint-loss-to-silence': { peer: 'MetalLB: median 3.5, max 12', target: '' },
  'l2-failover': { peer: 'MetalLB: 5 600 after SIGKILL, 5 800 after link down', target: 'median <= 1 000' },
  'allocate-1000': { peer: 'MetalLB: 39 600, about 10 API writes a Service', target: '<= 15 000, <= 3 API writes' },
  rss: { peer: 'MetalLB: controller 58, speaker 65', target: 'speaker <= 80' },
  'bgp-announce-latency': { peer: '', target: 'p99 <= 2' },
  'bgp-encode': { peer: '', target: 'median <= 20' },
  'bfd-detection': { peer: '', target: '150 to 200' },
  'bfd-soak': { peer: '', target: '0 false downs' },
  'bgp-memory-1m-received': { peer: '', target: 'flat, KEEPALIVEs on time, stall <= 50 ms' },
  'bgp-resync-10k': { peer: '', target: 'median <= 50' },
  'bgp-sessions-1000': { peer: '', target: '1 000 sessions in one process' },
  'bgp-to-bird-1m': { peer: '', target: 'median <= 1 200, ratio <= 0.2' },
  'ovsdb-initial-20k': { peer: '', target: 'ratio <= 1, stall <= 50 ms' },
  'ovsdb-insert-10k': { peer: '', target: 'ratio <= 1, stall <= 50 ms' },
  'ovsdb-memory': { peer: '', target: 'ratio <= 0.5, of whole processes as well' },
  'ovsdb-update-stream': { peer: '', target: 'ratio <= 1, stall <= 50 ms' },
};

export function writePerformancePage(): void {
  const names = existsSync(resultsDirectory)
    ? readdirSync(resultsDirectory).filter((name) => name.endsWith('.json'))
    : [];
  const results = names
    .sort()
    .map((name) => JSON.parse(readFileSync(join(resultsDirectory, name), 'utf8')) as BenchResult);
  const lines = [
    '# Performance',
    '',
    'Made from `test/bench/results/*.json` by `npm run bench -- NAME --store`; repeat any row on your own machine with',
    '`npm run bench -- NAME`. Everything (etcd, API server, nodes, clients, prober) shares one small machine, so compare',
    'ratios and orders of magnitude, not milliseconds. Peer figures with a ratio come from the same run; the others were',
    'measured on a machine of the same kind.',
    '',
    '| benchmark | unit | n | median | p95 | max | held against | to reach |',
    '|---|---|---|---|---|---|---|---|',
    ...results.map(row),
    '',
    'The lab runs OVN mode full: three kubelets, three userspace switches, etcd and the API server share two cores with the',
    'product. A Service gets its address when its OVN rows are in the database, so `service-to-answer` includes writing them.',
    '',
    '## Details and conditions',
    '',
    ...results.flatMap(details),
  ];
  writeFileSync(page, `${lines.join('\n').trimEnd()}\n`);
}

function row({ name, unit, n, median, p95, max, peer, ratio }: BenchResult): string {
  const reference = references[name];
  const against = peer ? `${peer.name} ${peer.version}: ${peer.median} (ratio ${ratio})` : (reference?.peer ?? '');
  return `| \`${name}\` | ${unit} | ${n} | ${median} | ${p95} | ${max} | ${against} | ${reference?.target ?? ''} |`;
}

function details({ name, details: more = {}, conditions }: BenchResult): string[] {
  const list = (entries: object) =>
    Object.entries(entries)
      .map(([key, value]) => `${key}: ${value}`)
      .join('; ');
  const figures = Object.keys(more).length === 0 ? '' : `${list(more)}. `;
  return [`- \`${name}\`: ${figures}Conditions: ${list(conditions)}.`];
}

if (process.argv[1] === import.meta.filename) writePerformancePage();
