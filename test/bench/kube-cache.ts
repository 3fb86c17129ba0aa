import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { build } from 'esbuild';
import { type BenchResult, summarize } from './bench.ts';

const services = 10_000;
const folder = join(import.meta.dirname, 'kube');

/** What one process measured of itself: times in ms, resident memory in MB. */
interface Sample {
  syncMs: number;
  stallMs: number;
  baseMb: number;
  peakMb: number;
  restMb: number;
}

/**
 * Resident memory of a process that caches 10,000 Services, two seconds after it has them; with it the time to have them,
 * the longest stall of the event loop meanwhile, and the same for whole objects and for the informer of
 * @kubernetes/client-node. The server is a process of its own; each sample is a fresh process with the production flags.
 */
export async function run(options: { samples?: number; progress?(text: string): void } = {}): Promise<BenchResult> {
  const { samples = 5, progress = () => {} } = options;
  const server = spawn(process.execPath, [join(folder, 'server.ts'), String(services)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const bundle = await bundleClient();
  try {
    const line = await createInterface({ input: server.stdout })[Symbol.asyncIterator]().next();
    const { port, ca } = JSON.parse(String(line.value)) as { port: number; ca: string };
    const taken: Record<string, Sample[]> = { projected: [], whole: [], 'client-node': [] };
    for (let round = 0; round < samples; round++) {
      for (const [who, list] of Object.entries(taken)) {
        list.push(await measure(bundle.path, who, port, ca));
        progress(`${who} ${round + 1}/${samples}: ${JSON.stringify(list.at(-1))}`);
      }
    }
    const of = (who: string, figure: keyof Sample) => (taken[who] ?? []).map((sample) => sample[figure]);
    const conditions = { services, jsonBytes: 2_500, flags: '--max-semi-space-size=2' };
    const result = summarize('kube-cache', 'MB', of('projected', 'restMb'), conditions);
    const figures = (who: string) =>
      Object.fromEntries(
        (['syncMs', 'stallMs', 'baseMb', 'peakMb', 'restMb'] as const).map((figure) => [
          figure,
          summarize('', '', of(who, figure), {}).median,
        ]),
      );
    const named = (who: string) =>
      Object.fromEntries(Object.entries(figures(who)).map(([figure, value]) => [`${who} ${figure}`, value]));
    const peer = figures('client-node');
    const median = peer.restMb ?? Number.NaN;
    return {
      ...result,
      peer: { name: '@kubernetes/client-node informer', version: peerVersion(), median, ...peer },
      ratio: Math.round((result.median / median) * 1000) / 1000,
      details: { ...named('projected'), ...named('whole') },
    };
  } finally {
    await rm(bundle.directory, { recursive: true, force: true });
    server.stdin.end();
    await new Promise((resolve) => (server.exitCode === null ? server.once('exit', resolve) : resolve(undefined)));
  }
}

async function measure(path: string, who: string, port: number, ca: string): Promise<Sample> {
  const child = spawn(process.execPath, ['--max-semi-space-size=2', path, who, String(port), String(services)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(ca);
  const answer = await text(child.stdout);
  if (answer === '') throw new Error(`${who} measured nothing: see its error above`);
  return JSON.parse(answer) as Sample;
}

/**
 * Bundles the measuring process as the image's programs are: run from TypeScript it would carry the compiler, some 40 MB.
 * The peer's library stays as it is installed, and is loaded by its own runs only.
 */
async function bundleClient(): Promise<{ directory: string; path: string }> {
  const cache = join(import.meta.dirname, '../../node_modules/.cache');
  await mkdir(cache, { recursive: true });
  const directory = await mkdtemp(join(cache, 'ovenbird-bench-'));
  const path = join(directory, 'client.mjs');
  await build({
    entryPoints: [join(folder, 'client-child.ts')],
    outfile: path,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    external: ['@kubernetes/client-node', 'pino'],
    logLevel: 'silent',
  });
  return { directory, path };
}

function peerVersion(): string {
  const entry = createRequire(import.meta.url).resolve('@kubernetes/client-node');
  const path = join(entry.slice(0, entry.lastIndexOf('client-node') + 'client-node'.length), 'package.json');
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
}
