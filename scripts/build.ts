/**
 * `make build`: one program in dist/, bundled by esbuild, beside the native addon.
 *
 *   dist/ovenbird.mjs      sub-command dispatch; each sub-command is a chunk loaded on demand, so that the speaker
 *                          never loads the controller's code
 *   dist/wire-worker.mjs   the speaker's worker thread
 *   dist/bfd-worker.mjs    BFD's worker thread
 *   dist/raw-socket.node   built by scripts/build-addon.ts
 *   dist/node              the Node runtime that the image carries (the one that runs this script)
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
mkdirSync(dist, { recursive: true });
for (const name of readdirSync(dist)) if (name.endsWith('.mjs')) rmSync(join(dist, name));

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
await build({
  entryPoints: {
    ovenbird: join(root, 'src/main.ts'),
    'wire-worker': join(root, 'src/speaker/wire-worker.ts'),
    'bfd-worker': join(root, 'src/bgp-speaker/bfd/worker.ts'),
  },
  outdir: dist,
  outExtension: { '.js': '.mjs' },
  chunkNames: '[name]-[hash]',
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  minifySyntax: true,
  legalComments: 'none',
  define: { 'process.env.OVENBIRD_VERSION': JSON.stringify(version) },
  // CommonJS dependencies inside an ES module bundle need `require`.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
execFileSync(process.execPath, [join(root, 'scripts/build-addon.ts')], { stdio: 'inherit' });

const runtime = join(dist, 'node');
if (statSync(runtime, { throwIfNoEntry: false })?.size !== statSync(process.execPath).size) {
  rmSync(runtime, { force: true });
  copyFileSync(process.execPath, runtime);
  chmodSync(runtime, 0o755);
}
const size = (name: string) => `${(statSync(join(dist, name)).size / 1024).toFixed(0)} KiB`;
console.log(`dist/ovenbird.mjs ${size('ovenbird.mjs')}, dist/raw-socket.node ${size('raw-socket.node')}`);
