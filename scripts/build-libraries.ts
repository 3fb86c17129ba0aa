/**
 * Compiles the three libraries to JavaScript with type declarations, for projects that install the package (Node does
 * not strip types under node_modules): dist/lib/ROOM/*.js, *.d.ts and README.md, and the native addon beside raw-socket.
 * Types are not checked here; `tsc --noEmit` does.
 *
 * It is `prepare` of package.json, so npm calls it after `npm install` in a checkout, and before `npm pack`. Without a C
 * compiler the first leaves the addon out and says so; a package without it is not made.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { buildAddon } from './build-addon.ts';

const root = join(import.meta.dirname, '..');
const compiler = join(root, 'node_modules/.bin/tsc');
const libraries = ['bgp-speaker', 'ovsdb-client', 'raw-socket'] as const;

/** Compiles into dist/lib; what was there is replaced in one step. @throws Error with the compiler's output */
export function buildLibraries({ addonRequired }: { addonRequired: boolean }): void {
  const dist = join(root, 'dist');
  mkdirSync(dist, { recursive: true });
  const temporary = mkdtempSync(join(dist, 'lib-'));
  try {
    chmodSync(temporary, 0o755);
    const words = ['-p', join(root, 'tsconfig.libraries.json'), '--outDir', temporary];
    const { status, stdout, error } = spawnSync(compiler, words, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`the libraries do not compile: ${error?.message ?? stdout}`);
    // The name under which a compiled program looks for its worker.
    writeFileSync(join(temporary, 'bgp-speaker/bfd/bfd-worker.mjs'), "import './worker.js';\n");
    for (const room of libraries) {
      const readme = join(root, 'src', room, 'README.md');
      if (existsSync(readme)) copyFileSync(readme, join(temporary, room, 'README.md'));
    }
    try {
      copyFileSync(buildAddon(), join(temporary, 'raw-socket/raw-socket.node'));
    } catch (thrown) {
      if (addonRequired) throw thrown;
      console.warn(`without the addon of raw-socket: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    }
    swap(temporary, join(dist, 'lib'));
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** Puts the new directory in the place of the old one; another build may do the same at the same time. */
function swap(made: string, target: string): void {
  const old = `${made}.old`;
  for (let attempt = 0; ; attempt++) {
    try {
      if (existsSync(target)) renameSync(target, old);
      renameSync(made, target);
      return;
    } catch (thrown) {
      if (attempt === 5) throw thrown;
    } finally {
      rmSync(old, { recursive: true, force: true });
    }
  }
}

if (import.meta.main) {
  try {
    buildLibraries({ addonRequired: process.env.npm_command === 'pack' });
  } catch (thrown) {
    console.error(thrown instanceof Error ? thrown.message : thrown);
    process.exitCode = 1;
  }
}
