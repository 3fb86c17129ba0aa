import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AddressFamily } from '../../../src/bgp-speaker/index.ts';
import { ask } from './daemon.ts';
import { DaemonPeer } from './daemon-peer.ts';
import type { PeerDescription, PeerRoute, PeerSession, SessionView } from './peers.ts';
import { communityWord, extendedWord } from './route-words.ts';

/** BIRD 2. Each session is a protocol s0, s1, ...; dynamic neighbours get s0_1 and so on. */
export class BirdPeer extends DaemonPeer {
  static readonly programs = ['bird', 'birdc'];
  readonly kind = 'bird';

  async start(): Promise<void> {
    const { directory } = this.place;
    const path = join(directory, 'bird.conf');
    writeFileSync(path, birdConfig(this.description));
    const args = ['-f', '-c', path, '-s', join(directory, 'bird.ctl'), '-P', join(directory, 'bird.pid')];
    await this.begin(
      ['bird', ...args],
      () => this.#ask('show status'),
      (text) => text.includes('Daemon is up'),
    );
  }

  override lastWords(neighbor: string): Promise<string> {
    return this.#ask(`show protocols all ${this.#protocol(neighbor)}`);
  }

  async session(neighbor: string): Promise<SessionView> {
    const text = await this.#ask(`show protocols all "${this.#protocol(neighbor)}*"`);
    // A pattern of dynamic neighbours is passive itself; its children come after.
    const blocks = text.split(/\n(?=s\d)/).filter((block) => /^s\d/.test(block));
    const block = blocks.find((one) => /BGP state:\s+Established/.test(one)) ?? blocks.at(-1) ?? '';
    const state = /BGP state:\s+(\w+)/.exec(block)?.[1] ?? 'none';
    const remoteAs = /Neighbor AS:\s+(\d+)/.exec(block)?.[1];
    const hold = /Hold timer:\s+[\d.]+\/(\d+)/.exec(block)?.[1];
    return {
      established: state === 'Established',
      state,
      ...(remoteAs === undefined ? {} : { remoteAs: Number(remoteAs) }),
      ...(hold === undefined ? {} : { holdTimeSeconds: Number(hold) }),
    };
  }

  async routes(family: AddressFamily): Promise<PeerRoute[]> {
    const sessions = await this.#ask('show protocols all "s*"');
    // The table does not say which routes are kept for a neighbour that restarts; their session does.
    const waiting = new Set(
      sessions
        .split(/\n(?=s\d)/)
        .filter((block) => block.includes('graceful restart active'))
        .map((block) => block.split(' ')[0]),
    );
    return parseRoutes(await this.#ask(`show route table ${table(family)} where source = RTS_BGP all`), (protocol) =>
      waiting.has(protocol),
    );
  }

  async count(family: AddressFamily): Promise<number> {
    const text = await this.#ask(`show route table ${table(family)} where source = RTS_BGP count`);
    return Number(/(\d+) of \d+ routes/.exec(text)?.[1] ?? 0);
  }

  async refresh(neighbor: string): Promise<void> {
    await this.#ask(`reload in ${this.#protocol(neighbor)}`);
  }

  async reset(neighbor: string): Promise<void> {
    await this.#ask(`restart ${this.#protocol(neighbor)}`);
  }

  #protocol(neighbor: string): string {
    return `s${this.description.sessions.findIndex((session) => session.neighbor === neighbor)}`;
  }

  #ask(question: string): Promise<string> {
    const words = question.match(/"[^"]*"|\S+/g) ?? [];
    return ask(this.place.namespace, ['birdc', '-s', join(this.place.directory, 'bird.ctl'), ...words]);
  }
}

function table(family: AddressFamily): string {
  return family === 'ipv4-unicast' ? 'master4' : 'master6';
}

function birdConfig({ as, routerId, sessions, announces = [] }: PeerDescription): string {
  const statics = (channel: 'ipv4' | 'ipv6', list: readonly string[]) =>
    list.length === 0
      ? ''
      : `protocol static { ${channel}; ${list.map((one) => `route ${one} blackhole;`).join(' ')} }`;
  return `log stderr all;
router id ${routerId};
protocol device { scan time 1; }
protocol bfd { interface "*" { min rx interval 50 ms; min tx interval 50 ms; idle tx interval 1 s; multiplier 3; };
${sessions.flatMap((session) => besideLines(session)).join('')}}
${statics(
  'ipv4',
  announces.filter((one) => !one.includes(':')),
)}
${statics(
  'ipv6',
  announces.filter((one) => one.includes(':')),
)}
${sessions.map((session, index) => sessionConfig(`s${index}`, as, session)).join('\n')}
`;
}

function besideLines({ bfd, neighbor, local }: PeerSession): string[] {
  return bfd === 'beside' ? [`  neighbor ${neighbor} dev "eth0" local ${local};\n`] : [];
}

function sessionConfig(name: string, as: number, session: PeerSession): string {
  const { neighbor, local, families, remoteAs } = session;
  const range = neighbor.includes('/');
  const has = (text: string, wanted: unknown) => (wanted === undefined || wanted === false ? '' : `  ${text};\n`);
  const lowered = session.gracefulShutdown
    ? 'import filter { if (65535, 0) ~ bgp_community then bgp_local_pref = 0; accept; };'
    : 'import all;';
  const channel = (family: 'ipv4' | 'ipv6') =>
    families.includes(`${family}-unicast`)
      ? `  ${family} { ${lowered} export ${session.transit ? 'all' : 'where source = RTS_STATIC'}; next hop self; ${session.extendedNextHop && family === 'ipv4' ? 'extended next hop on; ' : ''}};\n`
      : '';
  return [
    `protocol bgp ${name} {\n  local ${local ?? ''} as ${as};\n`,
    range ? `  neighbor range ${neighbor} as ${remoteAs};\n  dynamic name "${name}_";\n` : '',
    range ? '' : `  neighbor ${neighbor} as ${remoteAs};\n`,
    has(`password "${session.password}"`, session.password),
    has(session.multihop === undefined ? '' : `multihop ${session.multihop}`, session.multihop),
    has(`multihop ${session.ttlSecurityHops}`, (session.ttlSecurityHops ?? 1) > 1),
    has('ttl security on', session.ttlSecurityHops),
    has('passive', session.passive),
    has('bfd on', session.bfd === 'tied'),
    has('enable extended messages on', session.extendedMessages),
    `  hold time ${session.holdTimeSeconds ?? 9};\n  connect delay time 1;\n  connect retry time 2;\n  error wait time 1, 2;\n`,
    session.gracefulRestart
      ? `  graceful restart on;\n  graceful restart time ${session.gracefulRestart.restartTimeSeconds};\n`
      : '  graceful restart off;\n',
    channel('ipv4'),
    channel('ipv6'),
    '}',
  ].join('');
}

/** `show route all`: a line with the prefix, or without when it is the same again, then attributes. */
function parseRoutes(text: string, isStale: (protocol: string) => boolean): PeerRoute[] {
  const routes: PeerRoute[] = [];
  let prefix = '';
  for (const block of text.split(/\n(?=\S| {10,}\w+ \[)/)) {
    const head = /^([0-9a-f.:]+\/\d+)?\s+\w+ \[(\w+)/.exec(block);
    if (!head) continue;
    prefix = head[1] ?? prefix;
    const value = (name: string) => new RegExp(`${name}: ?(.*)`).exec(block)?.[1]?.trim();
    const number = (name: string) => {
      const found = value(name);
      return found === undefined ? undefined : Number(found);
    };
    const groups = (name: string) => [...(value(name) ?? '').matchAll(/\(([^)]*)\)/g)].map((one) => one[1] ?? '');
    routes.push({
      prefix,
      nextHops: (value('BGP.next_hop') ?? '').split(/\s+/),
      asPath: (value('BGP.as_path') ?? '')
        .split(/\s+/)
        .filter((word) => word !== '')
        .map(Number),
      origin: (value('BGP.origin') ?? '').toLowerCase(),
      med: number('BGP.med'),
      localPreference: number('BGP.local_pref'),
      communities: groups('BGP.community')
        .map((one) => communityWord(one.replace(',', ':')))
        .sort(),
      largeCommunities: groups('BGP.large_community')
        .map((one) => one.replaceAll(/,\s*/g, ':'))
        .sort(),
      extendedCommunities: groups('BGP.ext_community')
        .map((one) => {
          const [kind = '', ...rest] = one.split(/,\s*/);
          return extendedWord(kind, rest.join(':'));
        })
        .sort(),
      stale: isStale(head[2] ?? ''),
    });
  }
  return routes;
}
