/**
 * Who a connection comes from. A configured peer beats every range. Else it may come from a range, whose peers nobody
 * configured by address: the longest prefix that holds the address counts, also when it is full. At its cap a newcomer
 * is refused, unless a peer of the range has been connected for `openingGraceMs` without a session: the oldest of those
 * gives way. So established sessions are never ended for a newcomer, and connections that lead nowhere (scanners,
 * routers with the wrong AS number) cannot fill a range for longer than the grace.
 */
import { type Address, Cidr, compareAddresses, familyBits } from '../../net/index.ts';
import type { PeerEndpoint } from '../transport/transport.ts';
import { isLinkLocal } from './outbound-policy.ts';

/** Every link-local address: whom an unnumbered peer may turn out to be. */
const linkLocalPeers: Cidr = Cidr.parse('fe80::/10');

/** How long a connection may take to a session before it gives way to a newcomer. */
const openingGraceMs = 10_000;

/** A session, as far as it matters here. */
export interface ConfiguredPeer {
  /** Of an unnumbered peer, once it was found. */
  readonly address: Address | undefined;
  /** No address: whoever is found on the interface. */
  readonly options: { readonly address: Address | undefined; readonly interface: string | undefined };
}

/** A prefix whose addresses may connect without being named. Prefix and interface tell one from another. */
export interface DynamicRange {
  readonly peers: Cidr;
  /** Where its link-local addresses are. */
  readonly interface: string | undefined;
  /** Sessions at a time. A lowered one ends nobody: it counts for newcomers. */
  readonly maximumPeers: number;
}

/** A session that came from a range. */
export interface DynamicPeer<One> {
  readonly session: One;
  readonly address: Address;
  /** The prefix of the range that admitted it, and its interface. */
  readonly prefix: Cidr;
  readonly interface: string | undefined;
  /** When its connection was taken, on the clock of `nowMs`. */
  readonly sinceMs: number;
  readonly isEstablished: boolean;
}

/** What a connection is. */
export type Owner<One, Range> =
  /** Of a configured peer, or the second of a dynamic one (RFC 4271 section 6.8). */
  | { kind: 'session'; session: One }
  /** A new peer of this range; `evict` gives way to it. */
  | { kind: 'new'; range: Range; evict: One | undefined }
  | { kind: 'refused'; reason: 'not-admitted' | 'too-many' };

/** Who connects from here, given those who are there. `nowMs` is monotonic. */
export function ownerOf<One extends ConfiguredPeer, Range extends DynamicRange>(
  from: PeerEndpoint,
  configured: readonly One[],
  live: readonly DynamicPeer<One>[],
  ranges: readonly Range[],
  nowMs: number,
): Owner<One, Range> {
  const here = configured.filter(({ address, options }) => isAt({ address, interface: options.interface }, from));
  const own = here.find(({ options }) => options.address !== undefined) ?? here[0];
  if (own) return { kind: 'session', session: own };
  const known = live.find((peer) => isAt(peer, from));
  if (known) return { kind: 'session', session: known.session };
  const range = longest(ranges.filter((one) => one.peers.contains(from.address) && isOnLink(from, one.interface)));
  if (!range) return { kind: 'refused', reason: 'not-admitted' };
  const others = live.filter((peer) => isOf(range, peer));
  if (others.length < range.maximumPeers) return { kind: 'new', range, evict: undefined };
  const evict = others
    .filter(({ isEstablished, sinceMs }) => !isEstablished && nowMs - sinceMs >= openingGraceMs)
    .sort((a, b) => a.sinceMs - b.sinceMs || compareAddresses(a.address, b.address))[0];
  // A cap that was lowered: only when the count is at it again does one come for one.
  if (evict && others.length === range.maximumPeers) return { kind: 'new', range, evict: evict.session };
  return { kind: 'refused', reason: 'too-many' };
}

/** The peer at this address; undefined: whoever is on the link. */
export function peersAt(address: Address | undefined): Cidr {
  return address ? Cidr.of(address, familyBits(address.family)) : linkLocalPeers;
}

function longest<Range extends DynamicRange>(ranges: readonly Range[]): Range | undefined {
  return ranges.toSorted((a, b) => b.peers.prefixLength - a.peers.prefixLength)[0];
}

function isOf(range: DynamicRange, peer: { prefix: Cidr; interface: string | undefined }): boolean {
  const { prefixLength, address } = range.peers;
  const isSamePrefix = peer.prefix.prefixLength === prefixLength && peer.prefix.address.equals(address);
  return isSamePrefix && peer.interface === range.interface;
}

function isAt(options: { address: Address | undefined; interface: string | undefined }, from: PeerEndpoint): boolean {
  return isOnLink(from, options.interface) && (options.address?.equals(from.address) ?? false);
}

/** Link-local addresses mean something on their link only. */
function isOnLink({ address, interface: link }: PeerEndpoint, wanted: string | undefined): boolean {
  return !isLinkLocal(address) || link === undefined || wanted === link;
}
