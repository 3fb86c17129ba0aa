/** A speaker under test, "us", and routers around it: a network namespace each, a cable to each. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Namespaces, namespacesUnavailable } from '../namespaces.ts';
import { isInstalled, makeDirectory } from './daemon.ts';
import { type BgpPeer, makePeer, type PeerDescription, type PeerKind, type PeerSession, programsOf } from './peers.ts';

export const ourAs = 65_000;
export const peerAs = 65_001;

/** A pair of addresses on a cable: routers tell sessions apart by the address of the neighbour. */
export interface Lane {
  ours4: string;
  theirs4: string;
  ours6: string;
  theirs6: string;
}

/** The cable between us and a router; its own addresses are those of the first lane. */
export interface Cable extends Lane {
  host: string;
  /** Our interface. */
  interface: string;
  lanes: readonly [Lane, Lane, Lane, Lane, Lane, Lane];
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

  /** A host with a cable to us: 10.64.N.1 and fd64:N::1 on our side, .2 and ::2 on its eth0; .11 and .12, and so on. */
  connect(host: string): Cable {
    const number = ++this.#cables;
    const lane = (index: number): Lane => ({
      ours4: `10.64.${number}.${index * 10 + 1}`,
      theirs4: `10.64.${number}.${index * 10 + 2}`,
      ours6: `fd64:${number}::${index * 10 + 1}`,
      theirs6: `fd64:${number}::${index * 10 + 2}`,
    });
    const lanes = [lane(0), lane(1), lane(2), lane(3), lane(4), lane(5)] as const;
    const cable: Cable = { ...lanes[0], host, interface: `to-${host}`, lanes };
    this.#addHost(host);
    this.namespaces.cable('us', cable.interface, host, 'eth0');
    const add = (address: string, device: string) =>
      `address add ${address}${address.includes(':') ? '/64' : '/24'} dev ${device}${address.includes(':') ? ' nodad' : ''}`;
    this.namespaces.ip(
      'us',
      ...lanes.flatMap(({ ours4, ours6 }) => [ours4, ours6].map((one) => add(one, cable.interface))),
    );
    this.namespaces.ip(
      host,
      ...lanes.flatMap(({ theirs4, theirs6 }) => [theirs4, theirs6].map((one) => add(one, 'eth0'))),
    );
    return cable;
  }

  /** A host behind another: each side's addresses are as with `connect`, but a router lies between. */
  connectBehind(router: Cable, host: string): Cable {
    const number = ++this.#cables;
    const far = (index: number) => `10.64.${number}.${index * 10 + 2}`;
    const lane = (own: Lane, index: number): Lane => ({
      ...own,
      theirs4: far(index),
      theirs6: `fd64:${number}::${index * 10 + 2}`,
    });
    const [a, b, c, d, e, f] = router.lanes;
    const lanes = [lane(a, 0), lane(b, 1), lane(c, 2), lane(d, 3), lane(e, 4), lane(f, 5)] as const;
    this.#addHost(host);
    this.namespaces.cable(router.host, `to-${host}`, host, 'eth0');
    this.namespaces.sysctl(router.host, { 'net/ipv4/ip_forward': '1', 'net/ipv6/conf/all/forwarding': '1' });
    this.namespaces.ip(
      router.host,
      `address add 10.64.${number}.1/24 dev to-${host}`,
      `address add fd64:${number}::1/64 dev to-${host} nodad`,
    );
    this.namespaces.ip(
      host,
      ...lanes.flatMap(({ theirs4, theirs6 }) => [
        `address add ${theirs4}/24 dev eth0`,
        `address add ${theirs6}/64 dev eth0 nodad`,
      ]),
      `route add default via 10.64.${number}.1`,
      `route add default via fd64:${number}::1`,
    );
    this.namespaces.ip(
      'us',
      `route add 10.64.${number}.0/24 via ${router.theirs4}`,
      `route add fd64:${number}::/64 via ${router.theirs6}`,
    );
    return { ...lanes[0], host, interface: router.interface, lanes };
  }

  /**
   * Pulls a cable out, or puts it back: nothing is told to either side's sockets. By rules, for a link that is down takes
   * its routes and addresses with it; where packets come in, for a kernel that is told that its own packets were dropped
   * sends them again every half second and gives the connection up by itself.
   */
  cut(cable: Cable, isCut: boolean): void {
    const table = `cut-${cable.host}`;
    const ends = [
      ['us', cable.interface],
      [cable.host, 'eth0'],
    ] as const;
    for (const [host, device] of ends) {
      const chain = `chain ingress { type filter hook ingress device "${device}" priority 0; policy drop; }`;
      if (isCut) this.namespaces.run(host, ['nft', '-f', '-'], `table netdev ${table} {\n${chain}\n}\n`);
      else this.namespaces.run(host, ['nft', 'delete', 'table', 'netdev', table]);
    }
  }

  /** Packets that fit an nft expression pass our host neither way, until `pass` with the same name. */
  drop(name: string, packets: string): void {
    const chains = ['input', 'output'].map(
      (hook) => `chain ${hook} { type filter hook ${hook} priority 0; ${packets} drop; }`,
    );
    this.namespaces.run('us', ['nft', '-f', '-'], `table inet ${name} {\n${chains.join('\n')}\n}`);
  }

  pass(name: string): void {
    this.namespaces.run('us', ['nft', 'delete', 'table', 'inet', name]);
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
export function sessionOver4(cable: Lane, more: Partial<PeerSession> = {}): PeerSession {
  const families = ['ipv4-unicast', 'ipv6-unicast'] as const;
  return { neighbor: cable.ours4, local: cable.theirs4, remoteAs: ourAs, families, ...more };
}

/** The router's session with us over IPv6, for IPv6 routes. */
export function sessionOver6(cable: Lane, more: Partial<PeerSession> = {}): PeerSession {
  return { neighbor: cable.ours6, local: cable.theirs6, remoteAs: ourAs, families: ['ipv6-unicast'], ...more };
}
