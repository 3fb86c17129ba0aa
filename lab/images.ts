import { createHash } from 'node:crypto';
import {
  copyFileSync,
  createReadStream,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { binary } from './binaries.ts';
import { LabError } from './errors.ts';
import { agnhostImage, pauseImage, projectImage } from './image-names.ts';
import type { Lab } from './lab.ts';
import { run } from './processes.ts';
import type { Progress } from './progress.ts';

/** An image as an archive in the cache, its layers not compressed: packing takes longer than reading. */
export interface Image {
  /** With its tag, as pods name it. */
  readonly name: string;
  readonly archive: string;
}

/** Release of the base image, and what must be in it: what the project's Dockerfile would install otherwise. */
const baseSuite = 'bookworm';
const basePackages = ['ca-certificates', 'conntrack', 'iproute2', 'libstdc++6', 'nftables'];

/** Files that go into the project's image besides the Dockerfile, as `.dockerignore` lets them through. */
const projectInputs = ['dist/*.mjs', 'dist/node', 'dist/raw-socket.node', 'deploy/ovenbird'];

/** Builds (or finds in the cache) what pods need besides the project: the sandbox and the workload. */
export async function ensureWorkloadImages(lab: Lab, progress: Progress): Promise<Image[]> {
  return [await pause(lab, progress), await agnhost(lab, progress)];
}

/**
 * Builds the project's image from the checkout's own Dockerfile on a minimal Debian root, or finds it in the cache
 * when no input changed. dist/ must be built. Its tag is `dev-HASH`.
 */
export async function ensureProjectImage(lab: Lab, progress: Progress): Promise<Image> {
  const inputs = globSync(projectInputs, { cwd: lab.checkout }).sort();
  for (const pattern of projectInputs) {
    if (globSync(pattern, { cwd: lab.checkout }).length === 0) {
      throw new LabError('NotReady', `${join(lab.checkout, pattern)}: missing; run: npm run build`);
    }
  }
  const base = await baseImage(lab, progress);
  const files = ['Dockerfile', ...inputs].map((path) => join(lab.checkout, path));
  const hash = await hashOf([base.archive], files);
  const name = `${projectImage}:dev-${hash}`;
  const archive = await cached(lab, progress, name, hash, async (scratch) => {
    for (const path of ['Dockerfile', '.dockerignore', ...inputs]) {
      const target = join(scratch, 'context', path);
      mkdirSync(join(target, '..'), { recursive: true });
      copyFileSync(join(lab.checkout, path), target);
    }
    return [`--build-arg=BASE_IMAGE=docker-archive:${base.archive}`];
  });
  const now = new Date();
  utimesSync(archive, now, now);
  removeOldArchives(lab, 'ovenbird');
  return { name, archive };
}

/** Runs the project's build when dist/ is missing or older than what it is made of. */
export async function ensureBuilt(lab: Lab, progress: Progress): Promise<void> {
  const newest = (patterns: readonly string[]) =>
    Math.max(0, ...globSync(patterns, { cwd: lab.checkout }).map((path) => statSync(join(lab.checkout, path)).mtimeMs));
  const built = newest(['dist/ovenbird.mjs']);
  const inputs = ['src/**/*.{ts,c,h,cc}', 'scripts/build*.ts', 'package-lock.json', 'package.json'];
  if (built > newest(inputs) && existsSync(join(lab.checkout, 'dist/node'))) return;
  await progress.step('build', 'dist/ built', () =>
    run(lab, {
      command: process.execPath,
      args: [join(lab.checkout, 'scripts/build.ts')],
      cwd: lab.checkout,
      env: { NODE_OPTIONS: '' },
      timeoutMs: 600_000,
    }),
  );
}

async function pause(lab: Lab, progress: Progress): Promise<Image> {
  const source = join(lab.checkout, 'lab/images/pause.c');
  const dockerfile = 'FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT ["/pause"]\n';
  const archive = await cached(lab, progress, pauseImage, await hashOf([dockerfile], [source]), async (scratch) => {
    const output = join(scratch, 'context/pause');
    await run(lab, { command: 'gcc', args: ['-static', '-Os', '-s', '-Wall', '-o', output, source] });
    writeFileSync(join(scratch, 'context/Dockerfile'), dockerfile);
    return [];
  });
  return { name: pauseImage, archive };
}

async function agnhost(lab: Lab, progress: Progress): Promise<Image> {
  const program = binary(lab, 'agnhost');
  const dockerfile = 'FROM scratch\nCOPY agnhost /agnhost\nENTRYPOINT ["/agnhost"]\nCMD ["pause"]\n';
  const archive = await cached(lab, progress, agnhostImage, await hashOf([dockerfile], [program]), async (scratch) => {
    copyFileSync(program, join(scratch, 'context/agnhost'));
    writeFileSync(join(scratch, 'context/Dockerfile'), dockerfile);
    return [];
  });
  return { name: agnhostImage, archive };
}

/** A Debian root with nothing but the packages that the project's image needs, made from the machine's own sources. */
async function baseImage(lab: Lab, progress: Progress): Promise<Image> {
  const name = 'registry.local/base:1';
  const dockerfile = 'FROM scratch\nADD root.tar /\nCMD ["/bin/sh"]\n';
  const hash = await hashOf([dockerfile, baseSuite, ...basePackages], []);
  const archive = await cached(lab, progress, name, hash, async (scratch) => {
    await run(lab, {
      command: 'mmdebstrap',
      args: [
        ...['--variant=essential', '--mode=root', `--include=${basePackages.join(',')}`],
        ...['--dpkgopt=path-exclude=/usr/share/doc/*', '--dpkgopt=path-exclude=/usr/share/locale/*'],
        ...['--dpkgopt=path-exclude=/usr/share/man/*', '--dpkgopt=path-exclude=/usr/share/info/*'],
        ...[baseSuite, join(scratch, 'context/root.tar'), ...aptSources()],
      ],
      timeoutMs: 900_000,
    });
    writeFileSync(join(scratch, 'context/Dockerfile'), dockerfile);
    return [];
  });
  return { name, archive };
}

/** The machine's package sources when it runs the same release; else mmdebstrap's own default. */
function aptSources(): string[] {
  const files = globSync(['/etc/apt/sources.list', '/etc/apt/sources.list.d/*.{list,sources}']);
  return files.filter((path) => new RegExp(`\\b${baseSuite}\\b`).test(readFileSync(path, 'utf8'))).sort();
}

/**
 * The archive of one image, built when the cache has none for these inputs. `prepare` fills `SCRATCH/context` and
 * gives further arguments of the build. The archive is renamed into place when whole.
 */
async function cached(
  lab: Lab,
  progress: Progress,
  name: string,
  hash: string,
  prepare: (scratch: string) => Promise<string[]>,
): Promise<string> {
  const directory = join(lab.cache, 'images');
  const label = name.replace(/^.*\//, '').replace(/:.*$/, '');
  const archive = join(directory, `${label}-${hash}.tar`);
  if (existsSync(archive)) return archive;
  mkdirSync(directory, { recursive: true });
  const scratch = mkdtempSync(join(directory, '.build-'));
  try {
    mkdirSync(join(scratch, 'context'));
    await progress.step('images', `${name} built`, async () => {
      const args = await prepare(scratch);
      // Storage of its own: nothing is left in, and nothing is taken from, the machine's.
      const storage = [
        '--root',
        join(scratch, 'storage'),
        '--runroot',
        join(scratch, 'run'),
        '--storage-driver',
        'vfs',
      ];
      const context = join(scratch, 'context');
      const build = ['bud', '--isolation', 'chroot', '--timestamp', '0', '--tag', name, ...args, context];
      await run(lab, { command: 'buildah', args: [...storage, ...build], timeoutMs: 600_000 });
      const push = ['push', name, `docker-archive:${join(scratch, 'image.tar')}:${name}`];
      await run(lab, { command: 'buildah', args: [...storage, ...push], timeoutMs: 600_000 });
    });
    renameSync(join(scratch, 'image.tar'), archive);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return archive;
}

/** A build of the project is worth its space while it is used: by this checkout or by others that share the cache. */
const projectArchives = 4;

function removeOldArchives(lab: Lab, label: string): void {
  const byUse = globSync(join(lab.cache, 'images', `${label}-*.tar`))
    .map((path) => ({ path, usedMs: statSync(path).mtimeMs }))
    .sort((a, b) => b.usedMs - a.usedMs);
  for (const { path } of byUse.slice(projectArchives)) rmSync(path, { force: true });
}

async function hashOf(texts: readonly string[], files: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(texts));
  for (const file of files) {
    hash.update(`\0${file.replace(/^.*\//, '')}\0`);
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  }
  return hash.digest('hex').slice(0, 12);
}
