/**
 * Peers that nobody configured by address: whoever connects from a prefix that is listened to becomes a peer, as long as
 * there is room. Pure: who is a peer now, and the time, are handed in.
 *
 * A configured peer beats every prefix, and the longest prefix that holds the address beats the others, also when it is
 * full. At the cap a newcomer is refused, unless a peer of the prefix has been connected for `openingGraceMs` without
 * a session: the oldest of those gives way. So established sessions are never ended for a newcomer, and connections
 * that lead nowhere (scanners, routers with the wrong AS number) cannot fill a prefix for longer than the grace.
 */
import { type Address, type Cidr, compareAddresses } from '../../net/index.ts';
import { BgpOptionsError } from '../errors.ts';
import { isLinkLocal } from './connection-options.ts';
import type { PeerEndpoint } from './transport.ts';

export interface DynamicPrefix {
  peers: Cidr;
  /** Peers at a time, 1-100000. Default 100. */
  maximumPeers?: number;
}

export interface DynamicNeighbourConfig {
  /** Peers with a configuration of their own. `interface` where the address is link-local. */
  configured: readonly Neighbour[];
  prefixes: readonly DynamicPrefix[];
  /** How long a connection may take to a session before it gives way to a newcomer, ms. Default 10000. */
  openingGraceMs?: number;
}

/** The identity of a peer: an address, with the interface where that is link-local. */
export interface Neighbour {
  readonly address: Address;
  readonly interface?: string;
}

/** A dynamic peer as it is now. */
export interface LiveNeighbour extends Neighbour {
  /** The prefix that admitted it. */
  readonly prefix: Cidr;
  /** When its connection was taken, on the clock of `nowMs`. */
  readonly sinceMs: number;
  readonly isEstablished: boolean;
}

export type NeighbourVerdict =
  /** It has a configuration of its own: that decides. */
  | { readonly outcome: 'configured'; readonly neighbour: Neighbour }
  /** It is a dynamic peer already: this is a second connection of it (RFC 4271 section 6.8). */
  | { readonly outcome: 'known'; readonly neighbour: LiveNeighbour }
  /** A new dynamic peer; `evict`, if any, must end first (Cease/8, out of resources). */
  | { readonly outcome: 'new'; readonly neighbour: LiveNeighbour; readonly evict?: LiveNeighbour }
  | { readonly outcome: 'refused'; readonly reason: 'unknown' }
  | { readonly outcome: 'refused'; readonly reason: 'full'; readonly prefix: Cidr; readonly maximumPeers: number };

const defaultMaximumPeers = 100;
const defaultOpeningGraceMs = 10_000;

/** @throws BgpOptionsError that names every prefix that is wrong */
export function checkDynamicPrefixes(prefixes: readonly DynamicPrefix[]): void {
  const problems: { field: string; text: string }[] = [];
  const seen = new Set<string>();
  for (const { peers, maximumPeers = defaultMaximumPeers } of prefixes) {
    if (seen.has(String(peers))) problems.push({ field: 'peers', text: `${peers} is given twice` });
    seen.add(String(peers));
    if (!Number.isInteger(maximumPeers) || maximumPeers < 1 || maximumPeers > 100_000) {
      const text = `${maximumPeers} is not a whole number from 1 to 100000 (for ${peers})`;
      problems.push({ field: 'maximumPeers', text });
    }
  }
  if (problems.length > 0) throw new BgpOptionsError(problems);
}

/** Names a neighbour: the address, with "%interface" where it is link-local. Serves as a map key. */
export function neighbourKey({ address, interface: name }: Neighbour): string {
  return isLinkLocal(address) && name !== undefined ? `${address}%${name}` : String(address);
}

/** What a connection from here is. `nowMs` is monotonic. */
export function judgeNeighbour(
  config: DynamicNeighbourConfig,
  live: readonly LiveNeighbour[],
  from: PeerEndpoint,
  nowMs: number,
): NeighbourVerdict {
  const key = neighbourKey(from);
  const own = config.configured.find((neighbour) => neighbourKey(neighbour) === key);
  if (own) return { outcome: 'configured', neighbour: own };
  const known = live.find((neighbour) => neighbourKey(neighbour) === key);
  if (known) return { outcome: 'known', neighbour: known };
  const found = longestPrefix(config.prefixes, from.address);
  if (!found) return { outcome: 'refused', reason: 'unknown' };
  const { peers: prefix, maximumPeers = defaultMaximumPeers } = found;
  const { address, interface: name } = from;
  const scope = isLinkLocal(address) && name !== undefined ? { interface: name } : {};
  const neighbour: LiveNeighbour = { address, ...scope, prefix, sinceMs: nowMs, isEstablished: false };
  const others = live.filter((other) => samePrefix(other.prefix, prefix));
  if (others.length < maximumPeers) return { outcome: 'new', neighbour };
  const evict = others
    .filter((other) => !other.isEstablished)
    .filter((other) => nowMs - other.sinceMs >= (config.openingGraceMs ?? defaultOpeningGraceMs))
    .sort((a, b) => a.sinceMs - b.sinceMs || compareAddresses(a.address, b.address))[0];
  // A cap that was lowered: only when the count is at it again does one come for one.
  if (evict && others.length === maximumPeers) return { outcome: 'new', neighbour, evict };
  return { outcome: 'refused', reason: 'full', prefix, maximumPeers };
}

/**
 * Which dynamic peers have no right to be there under a new configuration, by address: a configured peer has taken the
 * address (`configured`), or another prefix than the one that admitted it counts now, or none (`prefix`). A lowered cap
 * ends nobody: it counts for newcomers.
 */
export function endingNeighbours(
  config: DynamicNeighbourConfig,
  live: readonly LiveNeighbour[],
): { neighbour: LiveNeighbour; reason: 'configured' | 'prefix' }[] {
  const configured = new Set(config.configured.map(neighbourKey));
  const ending: { neighbour: LiveNeighbour; reason: 'configured' | 'prefix' }[] = [];
  for (const neighbour of live) {
    const now = longestPrefix(config.prefixes, neighbour.address);
    if (configured.has(neighbourKey(neighbour))) ending.push({ neighbour, reason: 'configured' });
    else if (!now || !samePrefix(now.peers, neighbour.prefix)) ending.push({ neighbour, reason: 'prefix' });
  }
  return ending.sort((a, b) => compareAddresses(a.neighbour.address, b.neighbour.address));
}

function longestPrefix(prefixes: readonly DynamicPrefix[], address: Address): DynamicPrefix | undefined {
  let longest: DynamicPrefix | undefined;
  for (const prefix of prefixes) {
    if (!prefix.peers.contains(address)) continue;
    if (!longest || prefix.peers.prefixLength > longest.peers.prefixLength) longest = prefix;
  }
  return longest;
}

function samePrefix(a: Cidr, b: Cidr): boolean {
  return a.prefixLength === b.prefixLength && a.address.equals(b.address);
}
