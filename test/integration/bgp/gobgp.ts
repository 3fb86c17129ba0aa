import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AddressFamily } from '../../../src/bgp-speaker/index.ts';
import { ask } from './daemon.ts';
import { DaemonPeer } from './daemon-peer.ts';
import type { PeerDescription, PeerRoute, PeerSession, SessionView } from './peers.ts';
import { communityNumber, extendedWord } from './route-words.ts';

/** Session states as GoBGP numbers them. */
const states = ['unknown', 'idle', 'connect', 'active', 'opensent', 'openconfirm', 'established'];
const origins = ['igp', 'egp', 'incomplete'];

/** GoBGP, whose library MetalLB's rivals are built on. */
export class GobgpPeer extends DaemonPeer {
  static readonly programs = ['gobgpd', 'gobgp'];
  readonly kind = 'gobgp';

  async start(): Promise<void> {
    const { directory } = this.place;
    // One that was killed leaves it, and it cannot be bound again.
    rmSync(join(directory, 'gobgp.sock'), { force: true });
    const path = join(directory, 'gobgp.toml');
    writeFileSync(path, gobgpConfig(this.description));
    const args = ['-t', 'toml', '-f', path, '--log-plain', '--log-level', 'debug', '--pprof-disable'];
    const { sessions, announces = [] } = this.description;
    const expected = sessions.filter(({ neighbor }) => !neighbor.includes('/')).length;
    await this.begin(
      ['gobgpd', ...args, '--api-hosts', this.#socket],
      () => this.#neighbors(),
      (neighbors) => neighbors.length >= expected,
    );
    for (const route of announces) {
      const hop = sessions.find(({ local }) => local?.includes(':') === route.includes(':'))?.local;
      const nextHop = hop === undefined ? [] : ['nexthop', hop];
      await this.#ask('global', 'rib', 'add', route, ...nextHop, '-a', route.includes(':') ? 'ipv6' : 'ipv4');
    }
  }

  async session(neighbor: string): Promise<SessionView> {
    const all = await this.#neighbors();
    const dynamic = neighbor.includes('/') ? all[0] : undefined;
    const found = all.find(({ state }) => state.neighbor_address === neighbor) ?? dynamic;
    const state = states[found?.state.session_state ?? 0] ?? 'unknown';
    const hold = found?.timers?.state?.negotiated_hold_time;
    return {
      established: state === 'established',
      state,
      ...(found?.state.peer_asn === undefined ? {} : { remoteAs: found.state.peer_asn }),
      ...(hold === undefined ? {} : { holdTimeSeconds: hold }),
    };
  }

  async routes(family: AddressFamily): Promise<PeerRoute[]> {
    const text = await this.#ask('-j', 'global', 'rib', '-a', family === 'ipv4-unicast' ? 'ipv4' : 'ipv6');
    const table = JSON.parse(text) as Record<string, Path[]>;
    return Object.entries(table).flatMap(([prefix, paths]) =>
      paths.flatMap((path) => (path['neighbor-ip'] && path['neighbor-ip'] !== '<nil>' ? [routeOf(prefix, path)] : [])),
    );
  }

  async count(family: AddressFamily): Promise<number> {
    return (await this.routes(family)).length;
  }

  async refresh(neighbor: string): Promise<void> {
    await this.#ask('neighbor', neighbor, 'softresetin');
  }

  async reset(neighbor: string): Promise<void> {
    // After its own "reset" it stays down for half a minute.
    await this.#ask('neighbor', neighbor, 'disable');
    await this.#ask('neighbor', neighbor, 'enable');
  }

  async #neighbors(): Promise<Neighbor[]> {
    return (JSON.parse(await this.#ask('-j', 'neighbor')) as Neighbor[] | null) ?? [];
  }

  get #socket(): string {
    return `unix://${join(this.place.directory, 'gobgp.sock')}`;
  }

  #ask(...words: string[]): Promise<string> {
    return ask(this.place.namespace, ['gobgp', '--target', this.#socket, ...words]);
  }
}

interface Neighbor {
  state: { neighbor_address: string; peer_asn?: number; session_state?: number };
  timers?: { state?: { negotiated_hold_time?: number } };
}

interface Attribute {
  type: number;
  value?: unknown;
  nexthop?: string;
  metric?: number;
  communities?: number[];
  as_paths?: { asns: number[] }[];
}

interface Path {
  attrs: Attribute[];
  stale?: boolean;
  'neighbor-ip'?: string;
}

function routeOf(prefix: string, { attrs, stale = false }: Path): PeerRoute {
  const attribute = (type: number) => attrs.find((one) => one.type === type);
  const large = (attribute(32)?.value ?? []) as { ASN: number; LocalData1: number; LocalData2: number }[];
  const extended = (attribute(16)?.value ?? []) as { type: number; subtype: number; value: string }[];
  const kinds: Readonly<Record<number, string>> = { 2: 'rt', 3: 'ro' };
  const local = attribute(5)?.value;
  return {
    prefix,
    nextHops: [attribute(14)?.nexthop ?? attribute(3)?.nexthop ?? ''],
    asPath: (attribute(2)?.as_paths ?? []).flatMap(({ asns }) => asns),
    origin: origins[Number(attribute(1)?.value ?? 0)] ?? 'unknown',
    med: attribute(4)?.metric,
    localPreference: local === undefined ? undefined : Number(local),
    communities: (attribute(8)?.communities ?? []).map(communityNumber).sort(),
    largeCommunities: large.map((one) => `${one.ASN}:${one.LocalData1}:${one.LocalData2}`).sort(),
    extendedCommunities: extended
      .map(({ subtype, value }) => extendedWord(kinds[subtype] ?? String(subtype), String(value)))
      .sort(),
    stale,
  };
}

function gobgpConfig({ as, routerId, sessions }: PeerDescription): string {
  const locals = [...new Set(sessions.flatMap(({ local }) => (local === undefined ? [] : [local])))];
  return [
    '[global.config]',
    `  as = ${as}`,
    `  router-id = "${routerId}"`,
    `  local-address-list = [${locals.map((local) => `"${local}"`).join(', ')}]`,
    ...sessions.flatMap((session, index) => neighborLines(session, index)),
    '',
  ].join('\n');
}

function neighborLines(session: PeerSession, index: number): string[] {
  const { neighbor, local, remoteAs, families, holdTimeSeconds = 9, gracefulRestart } = session;
  const range = neighbor.includes('/');
  const table = range ? 'peer-groups' : 'neighbors';
  const lines = [
    `[[${table}]]`,
    `  [${table}.config]`,
    range ? `    peer-group-name = "group${index}"` : `    neighbor-address = "${neighbor}"`,
    `    peer-as = ${remoteAs}`,
    ...(session.password === undefined ? [] : [`    auth-password = "${session.password}"`]),
    `  [${table}.timers.config]`,
    `    hold-time = ${holdTimeSeconds}`,
    `    keepalive-interval = ${Math.floor(holdTimeSeconds / 3)}`,
    '    connect-retry = 1',
    '    idle-hold-time-after-reset = 1',
    `  [${table}.transport.config]`,
    ...(local === undefined || range ? [] : [`    local-address = "${local}"`]),
    `    passive-mode = ${session.passive ?? false}`,
  ];
  if (session.ttlSecurityHops !== undefined) {
    lines.push(
      `  [${table}.ttl-security.config]`,
      '    enabled = true',
      `    ttl-min = ${256 - session.ttlSecurityHops}`,
    );
  }
  if (session.multihop !== undefined) {
    lines.push(`  [${table}.ebgp-multihop.config]`, '    enabled = true', `    multihop-ttl = ${session.multihop}`);
  }
  if (gracefulRestart) {
    lines.push(`  [${table}.graceful-restart.config]`, '    enabled = true', '    notification-enabled = true');
    lines.push(`    restart-time = ${gracefulRestart.restartTimeSeconds}`);
    if (gracefulRestart.longLivedSeconds !== undefined) lines.push('    long-lived-enabled = true');
  }
  for (const family of families) {
    lines.push(`  [[${table}.afi-safis]]`, `    [${table}.afi-safis.config]`, `      afi-safi-name = "${family}"`);
    if (gracefulRestart) lines.push(`    [${table}.afi-safis.mp-graceful-restart.config]`, '      enabled = true');
    if (gracefulRestart?.longLivedSeconds !== undefined) {
      const kept = `      restart-time = ${gracefulRestart.longLivedSeconds}`;
      lines.push(`    [${table}.afi-safis.long-lived-graceful-restart.config]`, '      enabled = true', kept);
    }
  }
  if (range)
    lines.push(
      '[[dynamic-neighbors]]',
      '  [dynamic-neighbors.config]',
      `    prefix = "${neighbor}"`,
      `    peer-group = "group${index}"`,
    );
  return lines;
}
