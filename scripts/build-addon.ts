/**
 * Compiles src/raw-socket/native into dist/raw-socket.node with one gcc call; no node-gyp, no uv.h.
 *
 *   node scripts/build-addon.ts              nothing to do when the result is newer than every source
 *   node scripts/build-addon.ts --force      compile anyway
 *   node scripts/build-addon.ts --sanitize   dist/raw-socket.sanitize.node with ASan and UBSan, for
 *                                            test/integration/raw-socket-sanitize.test.ts
 *
 * The result is for the machine's own architecture (`process.arch`) and C library; CC names another compiler. It is
 * written under a temporary name and renamed, so that builds side by side and running programs are safe.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const native = join(root, 'src/raw-socket/native');
const compilers: Partial<Record<NodeJS.Architecture, string>> = {
  x64: 'x86_64-linux-gnu-gcc',
  arm64: 'aarch64-linux-gnu-gcc',
};

export interface AddonBuild {
  /** Adds the address and undefined-behaviour sanitizers. */
  sanitize?: boolean;
  /** Compiles even when the result is up to date. */
  force?: boolean;
}

/** Compiles when needed and gives the path of the addon. @throws Error with the compiler's output */
export function buildAddon({ sanitize = false, force = false }: AddonBuild = {}): string {
  const output = join(root, 'dist', sanitize ? 'raw-socket.sanitize.node' : 'raw-socket.node');
  const sources = readdirSync(native).map((name) => join(native, name));
  const built = statSync(output, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const changed = Math.max(...[...sources, import.meta.filename].map((source) => statSync(source).mtimeMs));
  if (!force && built > changed) return output;

  mkdirSync(join(root, 'dist'), { recursive: true });
  const temporary = `${output}.${process.pid}.tmp`;
  const flags = [
    ...['-std=c17', '-fPIC', '-shared', '-fvisibility=hidden'],
    ...['-Wall', '-Wextra', '-Werror', '-Wshadow', '-Wvla', '-Wformat=2', '-Wundef'],
    ...['-fstack-protector-strong', '-Wl,-z,relro', '-Wl,-z,noexecstack'],
    ...(sanitize
      ? ['-O1', '-g', '-fno-omit-frame-pointer', '-fsanitize=address,undefined', '-fno-sanitize-recover=undefined']
      : ['-O2', '-s', '-D_FORTIFY_SOURCE=2']),
    ...['-I', join(root, 'node_modules/node-api-headers/include')],
    ...['-o', temporary],
    ...sources.filter((source) => source.endsWith('.c')),
  ];
  const compiler = process.env.CC ?? findCompiler();
  const { status, stderr, error } = spawnSync(compiler, flags, { encoding: 'utf8' });
  if (status !== 0) {
    rmSync(temporary, { force: true });
    throw new Error(
      error === undefined
        ? `${compiler} failed:\n${stderr}`
        : `${compiler} could not be run (${error.message}); install gcc, or name a C compiler in CC`,
    );
  }
  renameSync(temporary, output);
  return output;
}

/** The compiler of this process's own architecture, which need not be the machine's default. */
function findCompiler(): string {
  const named = compilers[process.arch];
  if (named !== undefined && spawnSync(named, ['--version'], { stdio: 'ignore' }).status === 0) return named;
  return 'gcc';
}

if (import.meta.main) {
  try {
    const output = buildAddon({
      sanitize: process.argv.includes('--sanitize'),
      force: process.argv.includes('--force'),
    });
    console.log(`${output.slice(root.length + 1)} ${(statSync(output).size / 1024).toFixed(0)} KiB`);
  } catch (thrown) {
    console.error(thrown instanceof Error ? thrown.message : thrown);
    process.exitCode = 1;
  }
}
