import { type Address, Cidr, familyBits } from '../../net/index.ts';
import {
  type DynamicPrefix,
  judgeNeighbour,
  type LiveNeighbour,
  type Neighbour,
} from '../transport/dynamic-neighbours.ts';
import type { PeerEndpoint } from '../transport/transport.ts';
import { isLinkLocal } from './outbound-policy.ts';
import type { Session } from './session.ts';

/** Every link-local address: whom an unnumbered peer may turn out to be. */
const linkLocalPeers: Cidr = Cidr.parse('fe80::/10');

/** A prefix whose addresses may connect without being named. */
export interface DynamicRange extends DynamicPrefix {
  readonly interface: string | undefined;
  readonly maximumPeers: number;
}

/** A session that came from a range. */
export interface DynamicSession extends LiveNeighbour {
  readonly session: Session;
}

/** What a connection is. */
export type Owner<Range> =
  | { kind: 'session'; session: Session }
  /** A new peer of this range; `evict` gives way to it. */
  | { kind: 'new'; range: Range; evict: Session | undefined }
  | { kind: 'refused'; reason: 'not-admitted' | 'too-many' };

/** Who a connection comes from: a configured peer, else what `judgeNeighbour` says about the ranges on this link. */
export function ownerOf<Range extends DynamicRange>(
  from: PeerEndpoint,
  configured: readonly Session[],
  live: readonly DynamicSession[],
  ranges: readonly Range[],
  nowMs: number,
): Owner<Range> {
  const own =
    configured.find(({ options }) => isAt(options, from)) ?? configured.find((one) => isUnnumbered(one, from));
  if (own) return { kind: 'session', session: own };
  const prefixes = ranges.filter((range) => isOnLink(from, range.interface));
  const verdict = judgeNeighbour({ configured: [], prefixes }, live, from, nowMs);
  const sessionOf = (neighbour: Neighbour) => live.find((one) => one === neighbour)?.session;
  switch (verdict.outcome) {
    case 'known': {
      const session = sessionOf(verdict.neighbour);
      return session ? { kind: 'session', session } : { kind: 'refused', reason: 'not-admitted' };
    }
    case 'new': {
      const { prefix } = verdict.neighbour;
      const range = prefixes.find(({ peers }) => String(peers) === String(prefix));
      if (!range) return { kind: 'refused', reason: 'not-admitted' };
      return { kind: 'new', range, evict: verdict.evict && sessionOf(verdict.evict) };
    }
    case 'refused':
      return { kind: 'refused', reason: verdict.reason === 'full' ? 'too-many' : 'not-admitted' };
    case 'configured':
      return { kind: 'refused', reason: 'not-admitted' };
  }
}

/** Whose connections a listener must admit for this session. */
export function admitted({ options: { address } }: Session): Cidr {
  return address ? Cidr.of(address, familyBits(address.family)) : linkLocalPeers;
}

function isAt(options: { address: Address | undefined; interface: string | undefined }, from: PeerEndpoint): boolean {
  return isOnLink(from, options.interface) && (options.address?.equals(from.address) ?? false);
}

function isUnnumbered({ options }: Session, from: PeerEndpoint): boolean {
  return options.address === undefined && options.interface === from.interface && isLinkLocal(from.address);
}

/** Link-local addresses mean something on their link only. */
function isOnLink({ address, interface: link }: PeerEndpoint, wanted: string | undefined): boolean {
  return !isLinkLocal(address) || link === undefined || wanted === link;
}
