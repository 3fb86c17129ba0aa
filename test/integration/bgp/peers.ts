/** Routers of other projects as BGP peers: described once, configured in each one's own language, read alike. */
import type { AddressFamily } from '../../../src/bgp-speaker/index.ts';
import { eventually } from '../../eventually.ts';
import { BirdPeer } from './bird.ts';
import { ExabgpPeer } from './exabgp.ts';
import { FrrPeer } from './frr.ts';
import { GobgpPeer } from './gobgp.ts';
import { OpenbgpdPeer } from './openbgpd.ts';

export type PeerKind = 'bird' | 'frr' | 'gobgp' | 'exabgp' | 'openbgpd';

/** A session as the router sees it: "neighbor" is the speaker under test. */
export interface PeerSession {
  /** Its address, a prefix in which it may be (dynamic neighbours), or an interface (unnumbered). */
  neighbor: string;
  /** The router's own address; none for an interface. */
  local?: string;
  remoteAs: number;
  families: readonly AddressFamily[];
  password?: string;
  /** RFC 5082: hops away at most. */
  ttlSecurityHops?: number;
  /** TTL of eBGP packets. */
  multihop?: number;
  /** Wait for the neighbour to connect. */
  passive?: boolean;
  /** Default 9. */
  holdTimeSeconds?: number;
  /** RFC 4724: keep the neighbour's routes while it restarts; where the router has a switch for it, RFC 9494 too. */
  gracefulRestart?: { restartTimeSeconds: number; longLivedSeconds?: number };
  /** RFC 8950. */
  extendedNextHop?: boolean;
  /** BIRD, FRR. "tied": BFD that is down ends the session; "beside": there is BFD with the neighbour, of which BGP knows nothing. */
  bfd?: 'tied' | 'beside';
  /** RFC 8654. FRR always has it. */
  extendedMessages?: boolean;
  /** FRR: an OPEN with the long form of RFC 9072, though it is short. */
  longOpen?: boolean;
  /** Hand on what other neighbours announce. FRR, GoBGP and OpenBGPD do that anyway. */
  transit?: boolean;
  /** RFC 8326: routes with the community get a local preference of 0. FRR does that anyway. */
  gracefulShutdown?: boolean;
}

/** A router. */
export interface PeerDescription {
  as: number;
  routerId: string;
  sessions: readonly PeerSession[];
  /** Host routes that it announces to every neighbour, of the families of the session. */
  announces?: readonly string[];
}

/** Where it runs. */
export interface PeerPlace {
  /** The name of its network namespace. */
  namespace: string;
  /** For its configuration, sockets and log. */
  directory: string;
}

/** What a router knows of a session. */
export interface SessionView {
  established: boolean;
  /** The router's own word for the state. */
  state: string;
  remoteAs?: number;
  holdTimeSeconds?: number;
}

/** A route of the speaker under test, in the router's table. Communities are sorted. */
export interface PeerRoute {
  prefix: string;
  /** The global ones first. */
  nextHops: readonly string[];
  asPath: readonly number[];
  origin: string;
  med: number | undefined;
  localPreference: number | undefined;
  /** "65000:1", well-known ones as numbers too. */
  communities: readonly string[];
  largeCommunities: readonly string[];
  /** "rt:65000:1", "ro:65000:1", or the router's own word for other kinds. */
  extendedCommunities: readonly string[];
  /** Kept for a neighbour that restarts. */
  stale: boolean;
}

/** A router that runs. */
export interface BgpPeer {
  readonly kind: PeerKind;
  /** Ready to take connections when it resolves. */
  start(): Promise<void>;
  /** SIGTERM, or another signal. `start` brings it back. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** To all of its processes, such as SIGSTOP. */
  signal(name: NodeJS.Signals): void;
  session(neighbor: string): Promise<SessionView>;
  /** What neighbours announced. */
  routes(family: AddressFamily): Promise<PeerRoute[]>;
  /** The number of such routes. */
  count(family: AddressFamily): Promise<number>;
  /** Asks the neighbour for its routes again (RFC 2918). */
  refresh(neighbor: string): Promise<void>;
  /** Ends the session and lets it come again, with Cease. */
  reset(neighbor: string): Promise<void>;
  /** Ends the wait of a session that it holds back after failures, where that may be long. */
  hurry?(neighbor: string): Promise<void>;
  log(): string;
  /** Where it tells why the session ended last: its log, or its own view of the neighbour. */
  lastWords(neighbor: string): Promise<string>;
}

interface Maker {
  /** The programs that must be there. */
  programs: readonly string[];
  make(description: PeerDescription, place: PeerPlace): BgpPeer;
}

const makers: Readonly<Record<PeerKind, Maker>> = {
  bird: { programs: BirdPeer.programs, make: (description, place) => new BirdPeer(description, place) },
  frr: { programs: FrrPeer.programs, make: (description, place) => new FrrPeer(description, place) },
  gobgp: { programs: GobgpPeer.programs, make: (description, place) => new GobgpPeer(description, place) },
  exabgp: { programs: ExabgpPeer.programs, make: (description, place) => new ExabgpPeer(description, place) },
  openbgpd: { programs: OpenbgpdPeer.programs, make: (description, place) => new OpenbgpdPeer(description, place) },
};

export const peerKinds = Object.keys(makers) as PeerKind[];

/** The programs of a router. */
export function programsOf(kind: PeerKind): readonly string[] {
  return makers[kind].programs;
}

export function makePeer(kind: PeerKind, description: PeerDescription, place: PeerPlace): BgpPeer {
  return makers[kind].make(description, place);
}

/** Waits for the session to be up. */
export async function established(peer: BgpPeer, neighbor: string, timeoutMs = 20_000): Promise<SessionView> {
  const what = `${peer.kind}: session with ${neighbor}`;
  const look = async () => {
    const view = await peer.session(neighbor);
    if (/idle/i.test(view.state)) await peer.hurry?.(neighbor);
    return view;
  };
  return eventually(what, look, (view) => view.established, { timeoutMs });
}

/** Waits until the router has exactly these prefixes from us; gives their routes, sorted by prefix. */
export async function hasRoutes(
  peer: BgpPeer,
  family: AddressFamily,
  prefixes: readonly string[],
  timeoutMs = 5_000,
): Promise<PeerRoute[]> {
  const wanted = [...prefixes].sort().join(' ');
  const listed = (routes: readonly PeerRoute[]) =>
    routes
      .map(({ prefix }) => prefix)
      .sort()
      .join(' ');
  const what = `${peer.kind}: ${family} routes ${wanted || 'none'}`;
  const routes = await eventually(
    what,
    () => peer.routes(family),
    (all) => listed(all) === wanted,
    { timeoutMs },
  );
  return routes.sort((a, b) => (a.prefix < b.prefix ? -1 : 1));
}
