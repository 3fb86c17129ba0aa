import { closeSync, existsSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { AddressFamily } from '../../../src/bgp-speaker/index.ts';
import { ask } from './daemon.ts';
import { DaemonPeer } from './daemon-peer.ts';
import type { PeerDescription, PeerRoute, PeerSession, SessionView } from './peers.ts';
import { extendedNumber } from './route-words.ts';

/** ExaBGP: it has no table; what it reports is gathered here. Commands and reports pass through a small script. */
export class ExabgpPeer extends DaemonPeer {
  static readonly programs = ['exabgp'];
  readonly kind = 'exabgp';
  #commands: number | undefined;

  async start(): Promise<void> {
    const { directory, namespace } = this.place;
    const script = join(directory, 'exabgp.sh');
    const fifo = join(directory, 'exabgp.in');
    if (!existsSync(fifo)) await ask(namespace, ['mkfifo', fifo]);
    // Open for both, so that neither side waits for the other; closing it ends the reader in the script.
    this.#commands ??= openSync(fifo, 'r+');
    writeFileSync(script, `#!/bin/sh\ncat ${fifo} &\nexec cat > ${this.#events}\n`, { mode: 0o755 });
    writeFileSync(this.#events, '');
    const path = join(directory, 'exabgp.conf');
    writeFileSync(path, exabgpConfig(this.description, script));
    const locals = this.description.sessions.flatMap(({ local }) => (local === undefined ? [] : [local]));
    const settings = {
      'exabgp.daemon.user': 'root',
      'exabgp.tcp.bind': [...new Set(locals)].join(' '),
      'exabgp.tcp.port': '179',
      'exabgp.log.destination': 'stdout',
      'exabgp.api.ack': 'false',
      'exabgp.api.cli': 'false',
    };
    await this.begin(
      ['exabgp', path],
      (daemon) => daemon.log(),
      (text) => text.includes('loaded new configuration'),
      settings,
    );
  }

  override async stop(signal?: NodeJS.Signals): Promise<void> {
    await super.stop(signal);
    if (this.#commands !== undefined) closeSync(this.#commands);
    this.#commands = undefined;
  }

  override log(): string {
    return `${super.log()}${readFileSync(this.#events, 'utf8')}`;
  }

  async session(neighbor: string): Promise<SessionView> {
    const view: { state: string; remoteAs?: number; holdTimeSeconds?: number } = { state: 'none' };
    for (const report of this.#reports()) {
      if (report.neighbor?.address.peer !== neighbor) continue;
      if (report.type === 'state') {
        view.state = report.neighbor.state ?? 'none';
        view.remoteAs = report.neighbor.asn.peer;
      }
      if (report.type === 'negotiated') view.holdTimeSeconds = report.neighbor.negotiated?.hold_time ?? 0;
    }
    return { established: view.state === 'up', ...view };
  }

  async routes(family: AddressFamily): Promise<PeerRoute[]> {
    return [...this.#table(family).values()];
  }

  async count(family: AddressFamily): Promise<number> {
    return this.#table(family).size;
  }

  async refresh(neighbor: string): Promise<void> {
    for (const family of ['ipv4', 'ipv6'])
      this.command(`neighbor ${neighbor} announce route-refresh ${family} unicast`);
  }

  /** There is no command for it that lets the session come again: the daemon starts over. */
  async reset(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Any command of its API. */
  command(text: string): void {
    if (this.#commands !== undefined) writeSync(this.#commands, `${text}\n`);
  }

  get #events(): string {
    return join(this.place.directory, 'exabgp.json');
  }

  #reports(): Report[] {
    const lines = readFileSync(this.#events, 'utf8').split('\n');
    // The last one may be half written; reports of ROUTE-REFRESH are no JSON; extended communities are large numbers.
    return lines
      .slice(0, -1)
      .filter((line) => !line.includes('"type": "refresh"'))
      .map((line) => JSON.parse(line.replaceAll(/"value": (\d+)/g, '"value": "$1"')) as Report);
  }

  #table(family: AddressFamily): Map<string, PeerRoute> {
    const name = family.replace('-', ' ');
    const table = new Map<string, PeerRoute & { from: string }>();
    for (const { type, neighbor } of this.#reports()) {
      const from = neighbor?.address.peer ?? '';
      if (type === 'state' && neighbor?.state === 'down') {
        for (const [key, route] of table) if (route.from === from) table.delete(key);
      }
      const update = type === 'update' ? neighbor?.message?.update : undefined;
      for (const { nlri } of update?.withdraw?.[name] ?? []) table.delete(`${from} ${nlri}`);
      for (const [hop, list] of Object.entries(update?.announce?.[name] ?? {})) {
        for (const { nlri } of list) {
          const key = `${from} ${nlri}`;
          const route = { ...routeOf(nlri, hop, update?.attribute ?? {}), from };
          // One prefix under two next hops of one message: the global and the link-local one.
          const same = table.get(key);
          const both = same && isLinkLocal(hop) && !isLinkLocal(same.nextHops[0] ?? '');
          table.set(key, both ? { ...route, nextHops: [...same.nextHops, hop] } : route);
        }
      }
    }
    return table;
  }
}

interface Attributes {
  origin?: string;
  'as-path'?: number[];
  med?: number;
  'local-preference'?: number;
  community?: (readonly [number, number])[];
  'large-community'?: number[][];
  'extended-community'?: { value: string }[];
}

interface Report {
  type: string;
  neighbor?: {
    address: { peer: string };
    asn: { peer: number };
    state?: string;
    negotiated?: { hold_time: number };
    message?: {
      update?: {
        attribute?: Attributes;
        announce?: Record<string, Record<string, { nlri: string }[]>>;
        withdraw?: Record<string, { nlri: string }[]>;
      };
    };
  };
}

function isLinkLocal(address: string): boolean {
  return address.startsWith('fe80:');
}

function routeOf(prefix: string, nextHop: string, attributes: Attributes): PeerRoute {
  return {
    prefix,
    nextHops: [nextHop],
    asPath: attributes['as-path'] ?? [],
    origin: attributes.origin ?? 'none',
    med: attributes.med,
    localPreference: attributes['local-preference'],
    communities: (attributes.community ?? []).map((pair) => pair.join(':')).sort(),
    largeCommunities: (attributes['large-community'] ?? []).map((triple) => triple.join(':')).sort(),
    extendedCommunities: (attributes['extended-community'] ?? [])
      .map(({ value }) => extendedNumber(BigInt(value)))
      .sort(),
    stale: false,
  };
}

function exabgpConfig({ as, routerId, sessions, announces = [] }: PeerDescription, script: string): string {
  return [
    `process api { run ${script}; encoder json; }`,
    ...sessions.map((session) => neighborBlock(session, as, routerId, announces)),
    '',
  ].join('\n');
}

function neighborBlock(session: PeerSession, as: number, routerId: string, announces: readonly string[]): string {
  const { neighbor, local, families, holdTimeSeconds = 9, gracefulRestart: restart } = session;
  const has = (line: string, wanted: unknown) => (wanted === undefined || wanted === false ? [] : [`  ${line};`]);
  // Its "next-hop self" is the session's own address, of whatever family.
  const own = announces.filter((one) => one.includes(':') === local?.includes(':'));
  return [
    `neighbor ${neighbor} {`,
    `  router-id ${routerId};`,
    `  local-address ${local};`,
    `  local-as ${as};`,
    `  peer-as ${session.remoteAs};`,
    `  hold-time ${holdTimeSeconds};`,
    ...has('passive', session.passive),
    ...has(`md5-password "${session.password}"`, session.password),
    // ExaBGP takes the least TTL of incoming packets.
    ...has(`incoming-ttl ${256 - (session.ttlSecurityHops ?? 1)}`, session.ttlSecurityHops),
    ...has('outgoing-ttl 255', session.ttlSecurityHops),
    ...has(`outgoing-ttl ${session.multihop}`, session.multihop),
    '  capability {',
    `    route-refresh enable; asn4 enable; ${restart ? `graceful-restart ${restart.restartTimeSeconds};` : 'graceful-restart disable;'}`,
    `    nexthop ${session.extendedNextHop ? 'enable' : 'disable'};`,
    '  }',
    ...(session.extendedNextHop ? ['  nexthop { ipv4 unicast ipv6; }'] : []),
    `  family { ${families.map((family) => `${family.replace('-', ' ')};`).join(' ')} }`,
    '  api { processes [api]; neighbor-changes; negotiated; receive { parsed; open; update; notification; refresh; } }',
    `  static { ${own.map((one) => `route ${one} next-hop self;`).join(' ')} }`,
    '}',
  ].join('\n');
}
