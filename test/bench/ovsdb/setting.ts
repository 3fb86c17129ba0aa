import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { connect } from '../../../src/ovsdb-client/index.ts';
import { type RealServer, standalone, tearDown } from '../../ovsdb-client/real-server.ts';
import { balancer } from './rows.ts';

const run = promisify(execFile);
const python = '/usr/bin/python3';
const schema = '/usr/share/ovn/ovn-nb.ovsschema';
/** How the product's processes are started. */
const nodeOptions = ['--max-semi-space-size=2', '--v8-pool-size=1'];

/** What the times hold: libraries are loaded once and used long, a command is all there is to it. */
export const clock = 'libraries from connect, commands from their start';

export type Work = 'insert' | 'initial' | 'stream';

/** What one run of a side measured: ms always, memory and the longest stall where they apply. */
export interface Figures {
  ms: number;
  baseMb?: number;
  rssMb?: number;
  peakMb?: number;
  stallMs?: number;
  /** Most CPU time between two turns of the event loop. */
  busyMs?: number;
}

/** Fails with one sentence when a peer is missing. */
export async function requirePeers(): Promise<{ ovs: string; python: string }> {
  for (const path of [schema, python, '/usr/bin/ovsdb-client', '/usr/bin/ovn-nbctl']) {
    if (!existsSync(path))
      throw new Error(`${path} is missing: install openvswitch-common, ovn-common and python3-openvswitch`);
  }
  const { stdout } = await run(python, ['-c', 'import ovs.version, ovs._json; print(ovs.version.VERSION)']).catch(
    () => {
      throw new Error('python3-openvswitch with its C parser is missing: install python3-openvswitch');
    },
  );
  const version = stdout.trim();
  return {
    ovs: (await run('ovsdb-client', ['--version'])).stdout.split('\n')[0]?.split(' ').at(-1) ?? version,
    python: version,
  };
}

/** A fresh northbound server with this many rows; `use` gets it, and it is gone afterwards. */
export async function withServer<T>(rows: number, use: (server: RealServer) => Promise<T>): Promise<T> {
  const server = await standalone(schema);
  try {
    if (rows > 0) {
      const client = await connect({ endpoints: server.endpoint, database: 'OVN_Northbound' });
      for (let from = 0; from < rows; from += 500) {
        const tx = client.transaction();
        for (let i = from; i < Math.min(rows, from + 500); i++) tx.insert('Load_Balancer', balancer(i));
        await client.transact(tx);
      }
      await client.close();
    }
    return await use(server);
  } finally {
    await tearDown(server);
  }
}

/** Bundles our side once; `use` gets the file. */
export async function withBundle<T>(use: (file: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'ovsdb-bench-'));
  const outfile = join(directory, 'client-child.mjs');
  try {
    await build({
      entryPoints: [join(import.meta.dirname, 'client-child.ts')],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
    });
    return await use(outfile);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Runs a side to its end. `onReady` is called when it prints `ready`. */
export async function runSide(
  side: { kind: 'ours'; bundle: string } | { kind: 'python' },
  work: Work,
  endpoint: string,
  rows: number,
  onReady: () => Promise<void> = async () => {},
): Promise<Figures> {
  const child =
    side.kind === 'ours'
      ? spawn(process.execPath, [...nodeOptions, side.bundle, work, endpoint, String(rows)], {
          stdio: ['ignore', 'pipe', 'inherit'],
        })
      : spawn(python, [join(import.meta.dirname, 'peer.py'), work, endpoint, String(rows)], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
  let figures: Figures | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'ready') await onReady();
    else figures = JSON.parse(line) as Figures;
  }
  if (figures === undefined) throw new Error(`${side.kind} ${work} measured nothing`);
  return figures;
}

/** Wall time of a command whose output is thrown away, ms. */
export async function timed(program: string, args: readonly string[]): Promise<number> {
  const start = performance.now();
  await finished(spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] }), program);
  return performance.now() - start;
}

export function finished(child: ChildProcess, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${what} ended with status ${code}`))));
  });
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
}

export const rounded = (value: number) => Math.round(value * 1000) / 1000;
