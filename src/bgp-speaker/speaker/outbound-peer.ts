import { Address } from '../../net/index.ts';
import type { Negotiated } from '../session/negotiation.ts';
import type { ResolvedPeer } from './options.ts';
import { isLinkLocal, type OutboundPeer } from './outbound-policy.ts';

/** What the routes to a peer depend on, from its options and the session just established. */
export function outboundPeer(
  options: ResolvedPeer,
  address: Address | undefined,
  localAddress: string | undefined,
  negotiated: Negotiated,
): OutboundPeer {
  const { peer, internal, families, ipv4NextHopOverIpv6 } = negotiated;
  const own = localAddress === undefined ? undefined : parseSocketAddress(localAddress);
  const linkLocal = own && isLinkLocal(own) ? own : undefined;
  const global = linkLocal ? undefined : own;
  return {
    view: Object.freeze({
      name: options.name,
      address: address ?? peer.identifier,
      asNumber: peer.asNumber,
      identifier: peer.identifier,
      internal,
      families,
    }),
    ownPath: options.ownPath,
    nextHops: {
      ipv4: options.nextHopIpv4 ?? (global?.family === 4 ? global : undefined),
      ipv6: options.nextHopIpv6 ?? (global?.family === 6 ? global : undefined),
      linkLocal,
    },
    ipv4NextHopOverIpv6,
    exportRoute: options.exportRoute,
  };
}

/** As sockets print them: with a zone, or an IPv4 one mapped into IPv6. */
export function parseSocketAddress(text: string): Address | undefined {
  const plain = text.split('%')[0] ?? text;
  return Address.tryParse(plain.startsWith('::ffff:') && plain.includes('.') ? plain.slice(7) : plain);
}
