import { type Address, Cidr, familyBits } from '../../net/index.ts';
import type { PeerEndpoint } from '../transport/transport.ts';
import { isLinkLocal } from './outbound-policy.ts';
import type { Session } from './session.ts';

/** Every link-local address: whom an unnumbered peer may turn out to be. */
export const linkLocalPeers: Cidr = Cidr.parse('fe80::/10');

/** A prefix whose addresses may connect without being named. */
export interface DynamicRange<Range> {
  readonly prefix: Cidr;
  readonly interface: string | undefined;
  readonly range: Range;
}

/** Who a connection comes from: a configured peer, else the longest prefix that holds its address. */
export function whose<Range>(
  from: PeerEndpoint,
  sessions: Iterable<Session>,
  ranges: Iterable<DynamicRange<Range>>,
): { session: Session } | { range: Range } | undefined {
  let unnumbered: Session | undefined;
  for (const session of sessions) {
    if (!isOnLink(from, session.options.interface)) continue;
    if (isPeer(session, from.address)) return { session };
    const isUnnumbered = session.options.address === undefined && session.options.interface === from.interface;
    if (isUnnumbered && isLinkLocal(from.address)) unnumbered = session;
  }
  if (unnumbered) return { session: unnumbered };
  let best: DynamicRange<Range> | undefined;
  for (const candidate of ranges) {
    if (!candidate.prefix.contains(from.address) || !isOnLink(from, candidate.interface)) continue;
    if (!best || candidate.prefix.prefixLength > best.prefix.prefixLength) best = candidate;
  }
  return best && { range: best.range };
}

/** Whose connections a listener must admit for this session. */
export function admitted({ options }: Session): Cidr {
  const { address } = options;
  return address ? Cidr.of(address, familyBits(address.family)) : linkLocalPeers;
}

function isPeer({ options }: Session, address: Address): boolean {
  return options.address?.equals(address) ?? false;
}

/** Link-local addresses mean something on their link only. */
function isOnLink({ address, interface: link }: PeerEndpoint, wanted: string | undefined): boolean {
  return !isLinkLocal(address) || link === undefined || wanted === link;
}
