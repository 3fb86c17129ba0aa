import { BgpMessageError } from '../errors.ts';
import {
  type AddressFamily,
  addressFamilies,
  afiOf,
  capabilityCode,
  errorCode,
  extendedMessageLength,
  openError,
  standardMessageLength,
} from '../message/assigned-numbers.ts';
import type { OpenMessage } from '../message/open.ts';

/** Which AS number a peer may have: one, one of several, any but ours, ours, or whatever it says. */
export type ExpectedAs = number | readonly number[] | 'external' | 'internal' | 'any';

/** What both OPENs together amount to. */
export interface Negotiated {
  peer: OpenMessage;
  /** iBGP: the peer has our AS number. */
  internal: boolean;
  /** The smaller of both; 0 means no hold timer and no keepalives. */
  holdTimeSeconds: number;
  /** A third of the hold time, at least 1; 0 with a hold time of 0. */
  keepaliveSeconds: number;
  /** Families both announced, sorted; never empty. */
  families: readonly AddressFamily[];
  /** RFC 6793 on both sides. */
  fourOctetAs: boolean;
  /** RFC 8950 on both sides. */
  ipv4NextHopOverIpv6: boolean;
  /** Longest message the peer takes (RFC 8654). */
  maximumLength: number;
  /** The peer answers, and may send, ROUTE-REFRESH. */
  routeRefresh: boolean;
  enhancedRouteRefresh: boolean;
  /** The peer keeps our routes for this long when we restart (it has RFC 4724 too), or undefined. */
  gracefulRestart: { peerRestartTimeSeconds: number; peerRestarted: boolean; notification: boolean } | undefined;
}

/**
 * Judges the peer's OPEN against ours (RFC 4271 section 6.2, RFC 5492, RFC 6286).
 * @throws BgpMessageError 2/2 another AS than expected, 2/3 our own identifier in our own AS, 2/7 no family in common
 */
export function negotiate(local: OpenMessage, peer: OpenMessage, expected: ExpectedAs): Negotiated {
  const internal = peer.asNumber === local.asNumber;
  if (!isExpected(expected, peer.asNumber, internal)) {
    const wanted = typeof expected === 'object' ? expected.join(' or ') : expected;
    throw new BgpMessageError(`OPEN: AS ${peer.asNumber}, expected ${wanted}`, errorCode.open, openError.badPeerAs);
  }
  if (internal && peer.identifier.equals(local.identifier)) {
    const text = `OPEN: the peer has our BGP identifier ${peer.identifier}; give each speaker one of its own`;
    throw new BgpMessageError(text, errorCode.open, openError.badIdentifier);
  }
  const ours = familiesOf(local);
  const theirs = familiesOf(peer);
  const families = ours.filter((family) => theirs.includes(family));
  if (families.length === 0) {
    const wanted = ours.flatMap((family) => [capabilityCode.multiprotocol, 4, 0, afiOf(family), 0, 1]);
    const text = `OPEN: the peer speaks none of ${ours.join(', ')}`;
    throw new BgpMessageError(text, errorCode.open, openError.unsupportedCapability, Uint8Array.from(wanted));
  }
  const a = local.capabilities;
  const b = peer.capabilities;
  const holdTimeSeconds = Math.min(local.holdTimeSeconds, peer.holdTimeSeconds);
  return {
    peer,
    internal,
    holdTimeSeconds,
    keepaliveSeconds: Math.floor(holdTimeSeconds / 3),
    families,
    fourOctetAs: a.fourOctetAs !== undefined && b.fourOctetAs !== undefined,
    ipv4NextHopOverIpv6: a.ipv4NextHopOverIpv6 && b.ipv4NextHopOverIpv6,
    maximumLength: a.extendedMessages && b.extendedMessages ? extendedMessageLength : standardMessageLength,
    routeRefresh: a.routeRefresh && b.routeRefresh,
    enhancedRouteRefresh: a.enhancedRouteRefresh && b.enhancedRouteRefresh,
    gracefulRestart:
      a.gracefulRestart && b.gracefulRestart
        ? {
            peerRestartTimeSeconds: b.gracefulRestart.restartTimeSeconds,
            peerRestarted: b.gracefulRestart.restarted,
            notification: a.gracefulRestart.notification && b.gracefulRestart.notification,
          }
        : undefined,
  };
}

function isExpected(expected: ExpectedAs, asNumber: number, internal: boolean): boolean {
  switch (expected) {
    case 'any':
      return true;
    case 'internal':
      return internal;
    case 'external':
      return !internal;
    default:
      return typeof expected === 'number' ? expected === asNumber : expected.includes(asNumber);
  }
}

/** Without the multiprotocol capability a speaker speaks IPv4 unicast (RFC 4760 section 8). */
function familiesOf({ capabilities: { families, otherFamilies = false } }: OpenMessage): readonly AddressFamily[] {
  if (families.length === 0) return otherFamilies ? [] : ['ipv4-unicast'];
  return addressFamilies.filter((family) => families.includes(family));
}
