import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { groupsForFrr } from '../../../lab/hosts.ts';
import type { AddressFamily } from '../../../src/bgp-speaker/index.ts';
import { ask } from './daemon.ts';
import { DaemonPeer } from './daemon-peer.ts';
import type { PeerDescription, PeerRoute, PeerSession, SessionView } from './peers.ts';
import { communityWord, extendedWord } from './route-words.ts';

const programs = ['zebra', 'bfdd', 'bgpd'] as const;

/** FRR: zebra (interfaces, router advertisements for unnumbered sessions), bfdd, bgpd. */
export class FrrPeer extends DaemonPeer {
  static readonly programs = ['vtysh', ...programs.map((program) => `/usr/lib/frr/${program}`)];
  readonly kind = 'frr';

  async start(): Promise<void> {
    const { directory } = this.place;
    writeFileSync(join(directory, 'frr.conf'), frrConfig(this.description));
    writeFileSync(join(directory, 'group'), groupsForFrr(readFileSync('/etc/group', 'utf8')));
    // The others connect to zebra at their start.
    for (const program of programs) await this.#startDaemon(program);
  }

  async #startDaemon(program: (typeof programs)[number]): Promise<void> {
    const { directory } = this.place;
    const argv = [
      ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c'],
      ...['mount --bind "$0" /etc/group && exec "$@"', join(directory, 'group'), `/usr/lib/frr/${program}`],
      ...['-f', join(directory, 'frr.conf'), '-i', join(directory, `${program}.pid`)],
      ...['-z', join(directory, 'zserv.api'), '--vty_socket', directory, '-u', 'root', '-g', 'root'],
      ...(program === 'bfdd' ? ['--bfdctl', join(directory, 'bfdd.sock')] : ['-P', '0']),
    ];
    await this.begin(
      argv,
      () => this.#ask(program, 'show version'),
      (text) => text.includes('FRRouting'),
    );
  }

  override lastWords(neighbor: string): Promise<string> {
    return this.#ask('bgpd', `show bgp neighbors ${neighbor} json`);
  }

  async session(neighbor: string): Promise<SessionView> {
    const all = JSON.parse(await this.#ask('bgpd', 'show bgp neighbors json')) as Record<string, Neighbor | undefined>;
    // A dynamic neighbour is listed by its address.
    const found =
      all[neighbor] ?? (neighbor.includes('/') ? Object.values(all).find((one) => one?.bgpState) : undefined);
    const hold = found?.bgpTimerHoldTimeMsecs;
    return {
      established: found?.bgpState === 'Established',
      state: found?.bgpState ?? 'none',
      ...(found ? { remoteAs: found.remoteAs } : {}),
      ...(hold === undefined ? {} : { holdTimeSeconds: hold / 1000 }),
    };
  }

  async routes(family: AddressFamily): Promise<PeerRoute[]> {
    const { routes } = await this.#table(family);
    return Object.entries(routes).flatMap(([prefix, paths]) =>
      paths.flatMap((path) => (path.peer && path.sourced !== true ? [routeOf(prefix, path)] : [])),
    );
  }

  async count(family: AddressFamily): Promise<number> {
    const text = await this.#ask('bgpd', `show bgp ${afi(family)} unicast summary json`);
    const { peers = {} } = JSON.parse(text) as { peers?: Record<string, { pfxRcd?: number }> };
    return Object.values(peers).reduce((sum, { pfxRcd = 0 }) => sum + pfxRcd, 0);
  }

  async refresh(neighbor: string): Promise<void> {
    await this.#ask('bgpd', `clear bgp ${neighbor} soft in`);
  }

  async reset(neighbor: string): Promise<void> {
    await this.#ask('bgpd', `clear bgp ${neighbor}`);
  }

  async #table(family: AddressFamily): Promise<{ routes: Record<string, Path[]> }> {
    return JSON.parse(await this.#ask('bgpd', `show bgp ${afi(family)} unicast json detail`));
  }

  #ask(daemon: (typeof programs)[number], question: string): Promise<string> {
    const { namespace, directory } = this.place;
    return ask(namespace, ['vtysh', '--vty_socket', directory, '-d', daemon, '-c', question]);
  }
}

interface Neighbor {
  remoteAs: number;
  bgpState?: string;
  bgpTimerHoldTimeMsecs?: number;
}

interface Path {
  aspath?: { segments?: { list: number[] }[] };
  origin?: string;
  metric?: number;
  locPrf?: number;
  stale?: boolean;
  /** Its own. */
  sourced?: boolean;
  community?: { list: string[] };
  largeCommunity?: { list: string[] };
  extendedCommunity?: { string: string };
  nexthops?: { ip: string }[];
  peer?: { peerId: string };
}

function routeOf(prefix: string, path: Path): PeerRoute {
  const extended = (path.extendedCommunity?.string ?? '').split(' ').filter((word) => word !== '');
  return {
    prefix,
    nextHops: (path.nexthops ?? []).map(({ ip }) => ip),
    asPath: (path.aspath?.segments ?? []).flatMap(({ list }) => list),
    origin: (path.origin ?? '').toLowerCase(),
    med: path.metric,
    localPreference: path.locPrf,
    communities: (path.community?.list ?? []).map((word) => communityWord(camelToDashes(word))).sort(),
    largeCommunities: [...(path.largeCommunity?.list ?? [])].sort(),
    extendedCommunities: extended
      .map((word) => {
        const at = word.indexOf(':');
        return extendedWord(word.slice(0, at), word.slice(at + 1));
      })
      .sort(),
    stale: path.stale ?? false,
  };
}

/** FRR's JSON has "noExport" where its text has "no-export". */
function camelToDashes(word: string): string {
  return word.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function afi(family: AddressFamily): string {
  return family === 'ipv4-unicast' ? 'ipv4' : 'ipv6';
}

function frrConfig({ as, routerId, sessions, announces = [] }: PeerDescription): string {
  const lines = [
    'hostname peer',
    'log stdout debugging',
    'debug bgp neighbor-events',
    'debug bgp updates in',
    'debug bgp graceful-restart',
    `router bgp ${as}`,
    ` bgp router-id ${routerId}`,
    ' bgp log-neighbor-changes',
    ' no bgp ebgp-requires-policy',
    ' no bgp default ipv4-unicast',
    ' no bgp network import-check',
    ' bgp listen limit 100',
    ...(sessions.some(({ gracefulRestart }) => gracefulRestart) ? [' bgp graceful-restart notification'] : []),
    ...sessions.flatMap(({ gracefulRestart: { longLivedSeconds } = {} }) =>
      longLivedSeconds === undefined ? [] : [` bgp long-lived-graceful-restart stale-time ${longLivedSeconds}`],
    ),
    ...sessions.flatMap((session, index) => neighborLines(session, index)),
  ];
  for (const family of ['ipv4-unicast', 'ipv6-unicast'] as const) {
    lines.push(` address-family ${afi(family)} unicast`);
    for (const [index, session] of sessions.entries()) {
      if (session.families.includes(family)) lines.push(`  neighbor ${nameOf(session, index)} activate`);
    }
    const own = announces.filter((one) => one.includes(':') === (family === 'ipv6-unicast'));
    lines.push(...own.map((one) => `  network ${one}`), ' exit-address-family');
  }
  lines.push(...besideLines(sessions));
  return `${lines.join('\n')}\n`;
}

/** Last, for bgpd does not know the node. */
function besideLines(sessions: readonly PeerSession[]): string[] {
  const beside = sessions.filter(({ bfd }) => bfd === 'beside');
  if (beside.length === 0) return [];
  const peers = beside.flatMap(({ neighbor, local }) => [
    ` peer ${neighbor} local-address ${local} interface eth0`,
    '  receive-interval 100',
    '  transmit-interval 100',
  ]);
  return ['bfd', ...peers];
}

function nameOf({ neighbor }: PeerSession, index: number): string {
  return neighbor.includes('/') ? `group${index}` : neighbor;
}

function neighborLines(session: PeerSession, index: number): string[] {
  const { neighbor, local, remoteAs, holdTimeSeconds = 9 } = session;
  const name = nameOf(session, index);
  const isInterface = !/[.:]/.test(neighbor);
  const first = neighbor.includes('/')
    ? [` neighbor ${name} peer-group`, ` neighbor ${name} remote-as ${remoteAs}`]
    : [` neighbor ${name} ${isInterface ? 'interface ' : ''}remote-as ${remoteAs}`];
  const has = (line: string, wanted: unknown) =>
    wanted === undefined || wanted === false ? [] : [` neighbor ${name} ${line}`];
  return [
    ...first,
    ...has(`timers ${Math.floor(holdTimeSeconds / 3)} ${holdTimeSeconds}`, true),
    ...(neighbor.includes('/') ? [] : has('timers connect 1', true)),
    ...has(`update-source ${local}`, local !== undefined && !neighbor.includes('/')),
    ...has(`password ${session.password}`, session.password),
    ...has(`ttl-security hops ${session.ttlSecurityHops}`, session.ttlSecurityHops),
    ...has(`ebgp-multihop ${session.multihop}`, session.multihop),
    ...has('passive', session.passive),
    ...has('bfd 3 100 100', session.bfd === 'tied'),
    ...has('capability extended-nexthop', session.extendedNextHop),
    ...has('extended-optional-parameters', session.longOpen),
    ...has('graceful-restart-helper', session.gracefulRestart),
    ...(neighbor.includes('/') ? [` bgp listen range ${neighbor} peer-group ${name}`] : []),
  ];
}
