import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AddressFamily } from '../../../src/bgp-speaker/index.ts';
import { ask, makeDirectory } from './daemon.ts';
import { DaemonPeer } from './daemon-peer.ts';
import type { PeerDescription, PeerRoute, PeerSession, SessionView } from './peers.ts';
import { communityWord, extendedWord } from './route-words.ts';

/** The home of the daemon's user, which it locks itself into; its package leaves making it to systemd. */
const chroot = '/run/openbgpd';

/** The next hops of what it announces itself. */
const ownHops: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** OpenBGPD. */
export class OpenbgpdPeer extends DaemonPeer {
  static readonly programs = ['bgpctl', '/usr/sbin/bgpd'];
  readonly kind = 'openbgpd';

  async start(): Promise<void> {
    const { directory } = this.place;
    makeDirectory(chroot);
    const path = join(directory, 'openbgpd.conf');
    writeFileSync(path, openbgpdConfig(this.description, this.#socket));
    chmodSync(path, 0o600);
    await this.begin(
      ['/usr/sbin/bgpd', '-d', '-v', '-f', path],
      () => this.#neighbors(),
      (neighbors) => neighbors.length > 0,
    );
  }

  /** Its session engine is a child. */
  override signal(name: NodeJS.Signals): void {
    const { pid } = this;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .split(' ')
      .filter((word) => word !== '');
    for (const one of children) process.kill(Number(one), name);
    super.signal(name);
  }

  async session(neighbor: string): Promise<SessionView> {
    const all = await this.#neighbors();
    const dynamic = neighbor.includes('/') ? all.find((one) => !one.remote_addr.includes('/')) : undefined;
    const found = all.find(({ remote_addr }) => remote_addr === neighbor && !neighbor.includes('/')) ?? dynamic;
    const hold = found?.session?.holdtime;
    return {
      established: found?.state === 'Established',
      state: found?.state ?? 'none',
      ...(found ? { remoteAs: Number(found.remote_as) } : {}),
      ...(hold === undefined ? {} : { holdTimeSeconds: hold }),
    };
  }

  async routes(family: AddressFamily): Promise<PeerRoute[]> {
    const text = await this.#ask('-j', 'show', 'rib', family === 'ipv4-unicast' ? 'inet' : 'inet6', 'detail');
    const { rib = [] } = JSON.parse(text) as { rib?: Path[] };
    return rib.filter(({ exit_nexthop: hop }) => !ownHops.has(hop)).map(routeOf);
  }

  async count(family: AddressFamily): Promise<number> {
    const text = await this.#ask('-j', 'show', 'rib', family === 'ipv4-unicast' ? 'inet' : 'inet6');
    const { rib = [] } = JSON.parse(text) as { rib?: { exit_nexthop: string }[] };
    return rib.filter(({ exit_nexthop: hop }) => !ownHops.has(hop)).length;
  }

  async refresh(neighbor: string): Promise<void> {
    await this.#ask('neighbor', neighbor, 'refresh');
  }

  async reset(neighbor: string): Promise<void> {
    await this.#ask('neighbor', neighbor, 'clear', 'asked for by a test');
  }

  /** It waits 30 s after a first failure, then twice as long, and so on. */
  async hurry(neighbor: string): Promise<void> {
    await this.#ask('neighbor', neighbor, 'up');
  }

  async #neighbors(): Promise<Neighbor[]> {
    const { neighbors = [] } = JSON.parse(await this.#ask('-j', 'show', 'neighbor')) as { neighbors?: Neighbor[] };
    return neighbors;
  }

  get #socket(): string {
    return join(this.place.directory, 'openbgpd.sock');
  }

  #ask(...words: string[]): Promise<string> {
    return ask(this.place.namespace, ['bgpctl', '-s', this.#socket, ...words]);
  }
}

interface Neighbor {
  remote_as: string;
  remote_addr: string;
  state: string;
  session?: { holdtime?: number };
}

interface Path {
  prefix: string;
  aspath: string;
  exit_nexthop: string;
  origin: string;
  metric: number;
  localpref: number;
  stale?: boolean;
  communities?: string[];
  large_communities?: string[];
  extended_communities?: string[];
}

function routeOf(path: Path): PeerRoute {
  return {
    prefix: path.prefix,
    nextHops: [path.exit_nexthop],
    asPath: path.aspath
      .split(' ')
      .filter((word) => word !== '')
      .map(Number),
    origin: path.origin.toLowerCase(),
    // It prints 0 where there is none.
    med: path.metric,
    localPreference: path.localpref,
    communities: (path.communities ?? []).map(communityWord).sort(),
    largeCommunities: [...(path.large_communities ?? [])].sort(),
    extendedCommunities: (path.extended_communities ?? [])
      .map((word) => {
        const [kind = '', value = ''] = word.split(' ');
        return extendedWord(kind, value);
      })
      .sort(),
    stale: path.stale ?? false,
  };
}

function openbgpdConfig({ as, routerId, sessions, announces = [] }: PeerDescription, socket: string): string {
  const locals = [...new Set(sessions.flatMap(({ local }) => (local === undefined ? [] : [local])))];
  return [
    `socket "${socket}"`,
    `AS ${as}`,
    `router-id ${routerId}`,
    ...locals.map((local) => `listen on ${local}`),
    'connect-retry 1',
    'fib-update no',
    'nexthop qualify via default',
    ...announces.map((one) => `network ${one}`),
    ...sessions.flatMap(neighborLines),
    'allow from any',
    'allow to any',
    ...(sessions.some((session) => session.gracefulShutdown)
      ? ['match from any community GRACEFUL_SHUTDOWN set { localpref 0 }']
      : []),
    '',
  ].join('\n');
}

function neighborLines(session: PeerSession): string[] {
  const { families, holdTimeSeconds = 9, local } = session;
  const yes = (wanted: unknown) => (wanted === undefined || wanted === false ? 'no' : 'yes');
  return [
    `neighbor ${session.neighbor} {`,
    `  remote-as ${session.remoteAs}`,
    ...(local === undefined ? [] : [`  local-address ${local}`]),
    `  holdtime ${holdTimeSeconds}`,
    '  holdtime min 3',
    `  announce IPv4 ${families.includes('ipv4-unicast') ? 'unicast' : 'none'}`,
    `  announce IPv6 ${families.includes('ipv6-unicast') ? 'unicast' : 'none'}`,
    '  announce refresh yes',
    '  announce enhanced refresh yes',
    `  announce restart ${yes(session.gracefulRestart)}`,
    ...(session.passive || session.neighbor.includes('/') ? ['  passive'] : []),
    ...(session.password === undefined ? [] : [`  tcp md5sig password "${session.password}"`]),
    ...(session.ttlSecurityHops === undefined ? [] : ['  ttl-security yes']),
    ...(session.multihop === undefined ? [] : [`  multihop ${session.multihop}`]),
    '}',
  ];
}
