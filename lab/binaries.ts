import { existsSync, mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { LabError } from './errors.ts';
import type { Lab } from './lab.ts';
import { isInstalled } from './packages.ts';
import { run, tryRun } from './processes.ts';
import type { Progress } from './progress.ts';

/** Versions that the lab builds from source; Kubernetes' is the one of lab/tools/go.mod. */
const containerdVersion = 'v2.4.2';
export const helmVersion = 'v3.22.0';

interface Program {
  readonly name: string;
  readonly family: 'kubernetes' | 'containerd' | 'helm';
  /** The Go package. */
  readonly source: string;
  /** Arguments that print the version; absent = a copy on the PATH is not trusted. */
  readonly versionArgs?: readonly string[];
}

const programs: readonly Program[] = [
  ...['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy'].map((name) => ({
    name,
    family: 'kubernetes' as const,
    source: `k8s.io/kubernetes/cmd/${name}`,
    versionArgs: ['--version'],
  })),
  {
    name: 'kubectl',
    family: 'kubernetes',
    source: 'k8s.io/kubernetes/cmd/kubectl',
    versionArgs: ['version', '--client'],
  },
  { name: 'agnhost', family: 'kubernetes', source: 'k8s.io/kubernetes/test/images/agnhost' },
  ...['containerd', 'containerd-shim-runc-v2', 'ctr'].map((name) => ({
    name,
    family: 'containerd' as const,
    source: `github.com/containerd/containerd/v2/cmd/${name}`,
    versionArgs: [name === 'containerd-shim-runc-v2' ? '-v' : '--version'],
  })),
  { name: 'helm', family: 'helm', source: 'helm.sh/helm/v3/cmd/helm', versionArgs: ['version', '--short'] },
];

/** The path by which the lab runs one of these programs: a link that `ensureBinaries` made. */
export function binary(lab: Pick<Lab, 'root'>, name: string): string {
  return join(lab.root, 'bin', name);
}

/**
 * Finds or builds every program and links it under `.lab/bin/`. Order: KUBEBUILDER_ASSETS, the PATH when the version
 * is the wanted one, the cache, a build with Go (minutes the first time, said as it goes).
 * @throws LabError `MissingProgram` when one is nowhere and Go is missing too; `CommandFailed` when a build fails.
 */
export async function ensureBinaries(lab: Lab, progress: Progress): Promise<void> {
  mkdirSync(join(lab.root, 'bin'), { recursive: true });
  const found = await Promise.all(programs.map(async (program) => ({ program, path: await find(lab, program) })));
  for (const { program, path } of found) {
    link(lab, program.name, path ?? (await build(lab, program, progress)));
  }
}

/** The Kubernetes version of the lab, such as `v1.36.3`. */
export function kubernetesVersion(lab: Pick<Lab, 'checkout'>): string {
  const path = join(lab.checkout, 'lab/tools/go.mod');
  const version = /^require k8s\.io\/kubernetes (v[\d.]+)$/m.exec(readFileSync(path, 'utf8'))?.[1];
  if (!version) throw new LabError('MissingProgram', `${path}: has no line "require k8s.io/kubernetes vX.Y.Z"`);
  return version;
}

function versionOf(lab: Lab, family: Program['family']): string {
  if (family === 'kubernetes') return kubernetesVersion(lab);
  return family === 'containerd' ? containerdVersion : helmVersion;
}

function cacheDirectory(lab: Lab, family: Program['family']): string {
  return join(lab.cache, `${family}-${versionOf(lab, family)}`);
}

async function find(lab: Lab, program: Program): Promise<string | undefined> {
  const assets = process.env.KUBEBUILDER_ASSETS;
  if (assets && existsSync(join(assets, program.name))) return join(assets, program.name);
  for (const directory of program.versionArgs ? (process.env.PATH ?? '').split(delimiter) : []) {
    const path = join(directory, program.name);
    if (directory === '' || !existsSync(path)) continue;
    const said = await tryRun(lab, { command: path, args: program.versionArgs ?? [], timeoutMs: 10_000 });
    // Whole words: `v1.3.1` must not be taken for `v1.3.10`. Some print their version without the `v`.
    const words = said.stdout.split(/[^\w.-]+/).map((word) => word.replace(/^v/, ''));
    if (words.includes(versionOf(lab, program.family).slice(1))) return path;
  }
  const cached = join(cacheDirectory(lab, program.family), program.name);
  return existsSync(cached) ? cached : undefined;
}

/** Builds into a directory of its own and renames, so that a half-written program is never taken for a whole one. */
async function build(lab: Lab, program: Program, progress: Progress): Promise<string> {
  if (!isInstalled('go')) {
    throw new LabError(
      'MissingProgram',
      `${program.name} ${versionOf(lab, program.family)}: not in KUBEBUILDER_ASSETS, on the PATH or in ${lab.cache}; ` +
        'install it, or Go to build it (https://go.dev/doc/install)',
    );
  }
  const directory = cacheDirectory(lab, program.family);
  const scratch = join(directory, `.build-${process.pid}`);
  mkdirSync(scratch, { recursive: true });
  progress.say('programs', `building ${program.name} ${versionOf(lab, program.family)} (minutes, once)`);
  try {
    await progress.step('programs', `${program.name} built`, () =>
      run(lab, {
        command: 'go',
        args: goArguments(lab, program, join(scratch, program.name)),
        cwd: join(lab.checkout, 'lab/tools'),
        env: { CGO_ENABLED: '0', GOBIN: scratch, GOFLAGS: '', GOWORK: 'off' },
        timeoutMs: 3_600_000,
      }),
    );
    renameSync(join(scratch, program.name), join(directory, program.name));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return join(directory, program.name);
}

function goArguments(lab: Lab, program: Program, output: string): string[] {
  const version = versionOf(lab, program.family);
  const set = (name: string, value: string) => `-X ${name}=${value}`;
  switch (program.family) {
    case 'kubernetes': {
      const [, major = '', minor = ''] = /^v(\d+)\.(\d+)/.exec(version) ?? [];
      const flags = [
        '-s -w',
        set('k8s.io/component-base/version.gitVersion', version),
        set('k8s.io/component-base/version.gitMajor', major),
        set('k8s.io/component-base/version.gitMinor', minor),
        set('k8s.io/component-base/version.gitTreeState', 'clean'),
      ];
      return ['build', '-mod=readonly', '-trimpath', `-ldflags=${flags.join(' ')}`, '-o', output, program.source];
    }
    case 'containerd': {
      const flags = `-s -w ${set('github.com/containerd/containerd/v2/version.Version', version)}`;
      const tags = '-tags=no_btrfs no_zfs no_devmapper';
      return ['install', '-trimpath', tags, `-ldflags=${flags}`, `${program.source}@${version}`];
    }
    case 'helm': {
      const flags = `-s -w ${set('helm.sh/helm/v3/internal/version.version', version)}`;
      return ['install', '-trimpath', `-ldflags=${flags}`, `${program.source}@${version}`];
    }
  }
}

function link(lab: Lab, name: string, target: string): void {
  const path = binary(lab, name);
  try {
    if (readlinkSync(path) === target) return;
  } catch {
    // absent
  }
  rmSync(path, { force: true });
  symlinkSync(target, path);
}
