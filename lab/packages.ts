import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { LabError } from './errors.ts';
import type { Lab } from './lab.ts';
import { run, tryRun } from './processes.ts';
import type { Progress } from './progress.ts';

interface Package {
  readonly name: string;
  /** A program it brings: where this is found, the package is not asked for. */
  readonly program: string;
  readonly wanted?: (lab: Lab) => boolean;
}

const packages: readonly Package[] = [
  { name: 'bird2', program: 'bird', wanted: (lab) => lab.router === 'bird' },
  { name: 'buildah', program: 'buildah' },
  { name: 'conntrack', program: 'conntrack' },
  { name: 'curl', program: 'curl' },
  { name: 'etcd-server', program: 'etcd' },
  { name: 'ethtool', program: 'ethtool' },
  { name: 'frr', program: 'vtysh', wanted: (lab) => lab.router === 'frr' },
  { name: 'gcc', program: 'gcc' },
  { name: 'iproute2', program: 'ip' },
  { name: 'iputils-arping', program: 'arping' },
  { name: 'iputils-ping', program: 'ping' },
  { name: 'libc6-dev', program: '/usr/include/stdlib.h' },
  { name: 'mmdebstrap', program: 'mmdebstrap' },
  { name: 'nftables', program: 'nft' },
  { name: 'openssl', program: 'openssl' },
  { name: 'openvswitch-switch', program: 'ovs-vswitchd' },
  { name: 'ovn-central', program: 'ovn-northd' },
  { name: 'ovn-host', program: 'ovn-controller' },
  { name: 'procps', program: 'sysctl' },
  { name: 'runc', program: 'runc' },
  { name: 'tcpdump', program: 'tcpdump' },
  { name: 'util-linux', program: 'nsenter' },
];

/** The routers and the protocol analyser that the integration tests meet. */
const packagesForTests: readonly Package[] = [
  { name: 'bird2', program: 'bird' },
  { name: 'exabgp', program: 'exabgp' },
  { name: 'frr', program: 'vtysh' },
  { name: 'gobgpd', program: 'gobgpd' },
  { name: 'openbgpd', program: 'bgpctl' },
  { name: 'tshark', program: 'tshark' },
];

/**
 * Installs the Debian packages whose programs are missing, with `forTests` also those that only tests need. Their services are kept from starting: the lab runs its own
 * copies, and the machine gets no daemon it did not have.
 * @throws LabError `MissingProgram` naming what cannot be had.
 */
export async function ensurePackages(lab: Lab, progress: Progress, { forTests = false } = {}): Promise<void> {
  const wanted = [...packages.filter((entry) => entry.wanted?.(lab) ?? true), ...(forTests ? packagesForTests : [])];
  const missing = wanted.filter((entry) => !isInstalled(entry.program));
  if (missing.length === 0) return;
  const names = new Set(missing.map((entry) => entry.name));
  if (!isInstalled('apt-get')) {
    const programs = missing.map((entry) => entry.program).join(', ');
    throw new LabError('MissingProgram', `${programs}: missing, and there is no apt-get here; install them yourself`);
  }
  await withServicesKeptOff(async () => {
    await progress.step('packages', 'package lists read', () => aptGet(lab, ['update']));
    for (const name of names) {
      await progress.step('packages', `${name} installed`, () =>
        aptGet(lab, ['install', '--yes', '--no-install-recommends', name]),
      );
    }
  });
  const absent = missing.filter((entry) => !isInstalled(entry.program)).map((entry) => entry.program);
  if (absent.length > 0) throw new LabError('MissingProgram', `${absent.join(', ')}: still missing after apt-get`);
}

/** True when a program is on the PATH (or, given as a path, exists). */
export function isInstalled(program: string): boolean {
  if (program.startsWith('/')) return existsSync(program);
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return directories.some((directory) => directory !== '' && existsSync(join(directory, program)));
}

async function aptGet(lab: Lab, args: readonly string[]): Promise<void> {
  const result = await tryRun(lab, {
    command: 'apt-get',
    args: ['-q', ...args],
    env: { DEBIAN_FRONTEND: 'noninteractive' },
    timeoutMs: 900_000,
  });
  if (result.code === 0) return;
  const reason = result.stderr.trim().split('\n').slice(-3).join(' ');
  throw new LabError('MissingProgram', `apt-get ${args.join(' ')}: ${result.ending}: ${reason}`);
}

/** Debian asks this program before it starts a service; 101 means no. */
async function withServicesKeptOff(work: () => Promise<void>): Promise<void> {
  const policy = '/usr/sbin/policy-rc.d';
  const own = !existsSync(policy);
  if (own) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    await work();
  } finally {
    if (own) rmSync(policy, { force: true });
  }
}

/** @throws LabError `MissingProgram` unless this is Linux and the caller is root. */
export async function requireRoot(lab: Pick<Lab, 'root'>): Promise<void> {
  if (process.platform !== 'linux') throw new LabError('MissingProgram', 'the lab needs Linux');
  if (process.getuid?.() !== 0) throw new LabError('BadUsage', 'the lab needs root: it makes network namespaces');
  if (isInstalled('unshare')) await run(lab, { command: 'unshare', args: ['--net', 'true'] });
}
