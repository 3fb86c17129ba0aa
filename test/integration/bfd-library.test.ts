/** The README's example as it stands, and a program that was bundled into one file beside its worker. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { build } from 'esbuild';
import { eventually } from '../eventually.ts';
import { cable, Lan } from './bfd/lan.ts';
import { whyNo } from './bfd/routing-daemons.ts';

jest.setTimeout(60_000);
const root = join(import.meta.dirname, '../..');
const reason = whyNo();
const suite = reason === undefined ? describe : describe.skip;

suite(`BFD as a library${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  const closing: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  const [, example = ''] =
    /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, 'src/bgp-speaker/bfd/README.md'), 'utf8')) ?? [];

  function directory(): string {
    const made = mkdtempSync(join(tmpdir(), 'ovenbird-bfd-'));
    closing.push(() => rmSync(made, { recursive: true }));
    return made;
  }

  /** Runs a program that follows a peer of ours, interrupts it when the session is up, and gives what it printed. */
  async function follow(program: string): Promise<{ lines: string[]; status: unknown }> {
    const lan = new Lan(`library${closing.length}`);
    closing.push(() => lan.close());
    const peer = await lan.speaker('peer');
    await peer.add('s', { peer: cable.us, interface: 'ep', desiredMinTxMs: 100, requiredMinRxMs: 100 });
    const words = [`--net=/run/netns/${lan.namespaces.name('us')}`, process.execPath, '--no-warnings', program];
    const child: ChildProcess = spawn('nsenter', [...words, cable.peer, 'eu'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '', OVENBIRD_RAW_SOCKET: join(root, 'dist/raw-socket.node') },
    });
    closing.push(() => void child.kill('SIGKILL'));
    const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)));
    let output = '';
    child.stdout?.on('data', (chunk) => {
      output += String(chunk);
    });
    await eventually(
      'the session is up',
      () => output,
      (text) => text.includes('every 100 ms, down after 300 ms'),
      { timeoutMs: 20_000 },
    );
    child.kill('SIGINT');
    const status = await exited;
    await peer.untilState('s', 'down');
    expect(peer.states('s').at(-1)).toBe('down peer-admin-down');
    return { lines: output.split('\n'), status };
  }

  test('the example of the README', async () => {
    expect(example).toContain("from 'ovenbird/bgp-speaker'");
    const library = new URL('../../src/bgp-speaker/index.ts', import.meta.url).href;
    const program = join(directory(), 'follow.mts');
    writeFileSync(program, example.replace("'ovenbird/bgp-speaker'", JSON.stringify(library)));
    const { lines, status } = await follow(program);
    expect(lines).toEqual(expect.arrayContaining(['down: started', 'up: established', 'admin-down: admin-down']));
    expect(status).toBe(0);
  });

  test('bundled, with the worker beside it', async () => {
    const made = directory();
    await build({
      stdin: {
        contents: example.replace("'ovenbird/bgp-speaker'", JSON.stringify(join(root, 'src/bgp-speaker/index.ts'))),
        loader: 'ts',
        resolveDir: root,
        sourcefile: 'follow.ts',
      },
      outfile: join(made, 'follow.mjs'),
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'silent',
    });
    await build({
      entryPoints: { 'bfd-worker': join(root, 'src/bgp-speaker/bfd/worker.ts') },
      outdir: made,
      outExtension: { '.js': '.mjs' },
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'silent',
    });
    const { lines, status } = await follow(join(made, 'follow.mjs'));
    expect(lines).toContain('up: established');
    expect(status).toBe(0);
  });
});
