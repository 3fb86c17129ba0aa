import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addressing, type Lab } from './lab.ts';
import { type Command, type ProcessSpec, run, startProcess, stopProcess, tryRun, waitFor } from './processes.ts';
import { birdConfig } from './router/bird.ts';
import { frrConfig } from './router/frr.ts';

const frrDaemons = ['zebra', 'bfdd', 'bgpd'] as const;

/** What the router runs, by kind. */
export const routerProcesses = {
  bird: ['router.bird'],
  frr: frrDaemons.map((daemon) => `router.${daemon}`),
} as const;

/** Starts the router's BGP daemon; it takes sessions from any host of the fabric. The other kind's daemon ends. */
export async function startRouter(lab: Lab): Promise<void> {
  const others = routerProcesses[lab.router === 'bird' ? 'frr' : 'bird'];
  await Promise.all(others.map((name) => stopProcess(lab, name)));
  await (lab.router === 'bird' ? startBird(lab) : startFrr(lab));
}

/** The client needs no daemon; resolves when it reaches the router. */
export async function startClient(lab: Lab): Promise<void> {
  const { router } = addressing.fabric;
  await run(lab, { host: 'client', command: 'sysctl', args: ['-q', '-w', 'net/ipv4/conf/all/accept_redirects=0'] });
  const ping = { host: 'client', command: 'ping', args: ['-c', '1', '-W', '1', router] };
  await waitFor(`client: ping ${router}`, 10_000, async () => (await tryRun(lab, ping)).code === 0);
}

/** The command that asks the router's daemon: `show protocols` for birdc, `show bgp summary` for vtysh. */
export function askRouter(lab: Pick<Lab, 'root' | 'router'>, question: string): Command {
  const directory = routerDirectory(lab);
  return lab.router === 'bird'
    ? { host: 'router', command: 'birdc', args: ['-r', '-s', birdSocket(directory), ...question.split(' ')] }
    : { host: 'router', command: 'vtysh', args: ['--vty_socket', directory, '-c', question] };
}

async function startBird(lab: Lab): Promise<void> {
  const directory = routerDirectory(lab);
  const config = birdConfig();
  const path = join(directory, 'bird.conf');
  writeFileSync(path, config);
  await startProcess(lab, {
    name: 'router.bird',
    host: 'router',
    command: 'bird',
    args: ['-f', '-c', path, '-s', birdSocket(directory), '-P', join(directory, 'bird.pid')],
    dependsOn: config,
    ready: async () => (await run(lab, askRouter(lab, 'show status'))).stdout.includes('Daemon is up'),
  });
}

async function startFrr(lab: Lab): Promise<void> {
  const config = frrConfig();
  writeFileSync(join(routerDirectory(lab), 'frr.conf'), config);
  writeFileSync(join(routerDirectory(lab), 'group'), groupsForFrr(readFileSync('/etc/group', 'utf8')));
  // The others connect to zebra at their start.
  await startProcess(lab, frrDaemon(lab, 'zebra', config));
  await Promise.all([
    startProcess(lab, frrDaemon(lab, 'bfdd', config)),
    startProcess(lab, frrDaemon(lab, 'bgpd', config)),
  ]);
}

function frrDaemon(lab: Lab, daemon: (typeof frrDaemons)[number], config: string): ProcessSpec {
  const directory = routerDirectory(lab);
  return {
    name: `router.${daemon}`,
    host: 'router',
    command: 'unshare',
    args: [
      ...['--mount', '--propagation', 'private', 'sh', '-c', 'mount --bind "$0" /etc/group && exec "$@"'],
      ...[join(directory, 'group'), `/usr/lib/frr/${daemon}`],
      ...['-f', join(directory, 'frr.conf'), '-i', join(directory, `${daemon}.pid`)],
      ...['-z', join(directory, 'zserv.api'), '--vty_socket', directory, '-u', 'root', '-g', 'root'],
      ...(daemon === 'bfdd' ? ['--bfdctl', join(directory, 'bfdd.sock')] : ['-P', '0']),
    ],
    dependsOn: config,
    ready: async () => {
      const args = ['--vty_socket', directory, '-d', daemon, '-c', 'show version'];
      return (await run(lab, { host: 'router', command: 'vtysh', args })).stdout.includes('FRRouting');
    },
  };
}

/**
 * Debian's FRR insists that its user is in the group `frrvty`. Its own user may not be able to reach the checkout, so it
 * runs as root, and sees a list of groups (of its own mount namespace) that says root is.
 */
export function groupsForFrr(groups: string): string {
  return groups.replace(/^(frrvty:[^:]*:[^:]*:)(.*)$/m, (_, fields: string, members: string) =>
    members.split(',').includes('root') ? fields + members : `${fields}${members === '' ? '' : `${members},`}root`,
  );
}

function routerDirectory(lab: Pick<Lab, 'root'>): string {
  const path = join(lab.root, 'router');
  mkdirSync(path, { recursive: true });
  return path;
}

function birdSocket(directory: string): string {
  return join(directory, 'bird.ctl');
}
