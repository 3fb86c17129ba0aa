/** A speaker under test, "us", and routers around it: a network namespace each, a cable to each. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Namespaces, namespacesUnavailable } from '../namespaces.ts';
import { isInstalled, makeDirectory } from './daemon.ts';
import { type BgpPeer, makePeer, type PeerDescription, type PeerKind, type PeerSession, programsOf } from './peers.ts';

export const ourAs = 65_000;
export const peerAs = 65_001;

/** The cable between us and a router. */
export interface Cable {
  host: string;
  /** Our interface. */
  interface: string;
  ours4: string;
  theirs4: string;
  ours6: string;
  theirs6: string;
}

/** Why these programs cannot be tested with here, or undefined. */
export function bedUnavailable(...kinds: readonly PeerKind[]): string | undefined {
  const why = namespacesUnavailable();
  if (why !== undefined) return why;
  const missing = kinds.flatMap((kind) => programsOf(kind)).filter((program) => !isInstalled(program));
  return missing.length === 0 ? undefined : `${missing.join(', ')} missing; "npm run lab -- tools" installs it`;
}

/** Makes the namespaces; `close` takes everything away. */
export class BgpBed {
  readonly namespaces: Namespaces;
  readonly directory: string;
  readonly #peers: BgpPeer[] = [];
  readonly #onClose: (() => Promise<void>)[] = [];
  #cables = 0;

  /** @param word tells the beds of test files apart, a few letters */
  constructor(word: string) {
    this.namespaces = new Namespaces(`bgp${word}`);
    this.directory = mkdtempSync(join(tmpdir(), `ovenbird-bgp-${word}-`));
    this.#addHost('us');
  }

  /** The name of our namespace. */
  get us(): string {
    return this.namespaces.name('us');
  }

  #addHost(host: string): void {
    this.namespaces.add(host);
    const settings = Object.fromEntries(
      ['all', 'default'].map((name) => [`net/ipv6/conf/${name}/accept_dad`, '0'] as const),
    );
    this.namespaces.sysctl(host, settings);
  }

  /** A host with a cable to us: 10.64.N.1 and fd64:N::1 on our side, .2 and ::2 on its eth0. */
  connect(host: string): Cable {
    const number = ++this.#cables;
    const cable: Cable = {
      host,
      interface: `to-${host}`,
      ours4: `10.64.${number}.1`,
      theirs4: `10.64.${number}.2`,
      ours6: `fd64:${number}::1`,
      theirs6: `fd64:${number}::2`,
    };
    this.#addHost(host);
    this.namespaces.cable('us', cable.interface, host, 'eth0');
    this.namespaces.ip(
      'us',
      `address add ${cable.ours4}/24 dev ${cable.interface}`,
      `address add ${cable.ours6}/64 dev ${cable.interface} nodad`,
    );
    this.namespaces.ip(
      host,
      `address add ${cable.theirs4}/24 dev eth0`,
      `address add ${cable.theirs6}/64 dev eth0 nodad`,
    );
    return cable;
  }

  /** Pulls a cable out, or puts it back: nothing is told to either side's sockets. */
  cut(cable: Cable, isCut: boolean): void {
    // A rule, for a link that is down takes its routes and addresses with it.
    if (isCut) {
      this.namespaces.run('us', ['nft', 'add', 'table', 'netdev', 'cut']);
      for (const hook of ['ingress', 'egress']) {
        const chain = `{ type filter hook ${hook} device "${cable.interface}" priority 0; policy drop; }`;
        this.namespaces.run('us', ['nft', 'add', 'chain', 'netdev', 'cut', `${hook}-${cable.host}`, chain]);
      }
    } else {
      this.namespaces.run('us', ['nft', 'delete', 'table', 'netdev', 'cut']);
    }
  }

  /** Puts a router at the end of a cable; it is not started yet. */
  peer(kind: PeerKind, cable: Cable, description: Partial<PeerDescription>): BgpPeer {
    const { host } = cable;
    const directory = makeDirectory(this.directory, host);
    const full = { as: peerAs, routerId: cable.theirs4, sessions: [], ...description };
    const peer = makePeer(kind, full, { namespace: this.namespaces.name(host), directory });
    this.#peers.push(peer);
    return peer;
  }

  /** Something else that must end with the bed. */
  onClose(work: () => Promise<void>): void {
    this.#onClose.push(work);
  }

  async close(): Promise<void> {
    for (const work of this.#onClose.toReversed()) await work();
    await Promise.all(this.#peers.map((peer) => peer.stop('SIGKILL')));
    await this.namespaces.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The router's session with us over IPv4, with both families. */
export function sessionOver4(cable: Cable, more: Partial<PeerSession> = {}): PeerSession {
  const families = ['ipv4-unicast', 'ipv6-unicast'] as const;
  return { neighbor: cable.ours4, local: cable.theirs4, remoteAs: ourAs, families, ...more };
}

/** The router's session with us over IPv6, for IPv6 routes. */
export function sessionOver6(cable: Cable, more: Partial<PeerSession> = {}): PeerSession {
  return { neighbor: cable.ours6, local: cable.theirs6, remoteAs: ourAs, families: ['ipv6-unicast'], ...more };
}
