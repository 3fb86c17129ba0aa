import { BgpMessageError } from '../errors.ts';
import { type AddressFamily, afiOf, errorCode, familyOf, headerError, messageType } from './assigned-numbers.ts';
import { frameMessage } from './framing.ts';
import { readUint16 } from './octets.ts';

/** What a ROUTE-REFRESH says. `unknown` is a subtype or family to ignore. */
export type RouteRefreshKind = 'request' | 'begin' | 'end' | 'unknown';

export interface RouteRefresh {
  kind: RouteRefreshKind;
  /** Undefined for a family that the library does not speak. */
  family: AddressFamily | undefined;
}

const kinds: readonly RouteRefreshKind[] = ['request', 'begin', 'end'];

/**
 *     afi (2)  subtype (1)  safi (1)        RFC 2918 section 3; RFC 7313 section 3.2: subtype 0 request, 1 BoRR, 2 EoRR
 */
export function encodeRouteRefresh(family: AddressFamily, kind: 'request' | 'begin' | 'end'): Uint8Array {
  return frameMessage(messageType.routeRefresh, Uint8Array.of(0, afiOf(family), kinds.indexOf(kind), 1));
}

/**
 * Decodes what follows the header. A longer message of subtype 0 carries filters (ORF, RFC 5291), which nobody was
 * told we take: it is a request.
 * @throws BgpMessageError 7/1 with the whole message for BoRR and EoRR of another length, 1/2 when it is too short
 */
export function decodeRouteRefresh(bytes: Uint8Array): RouteRefresh {
  const body = bytes.subarray(19);
  const subtype = body[2];
  if ((subtype === 1 || subtype === 2) && body.length !== 4) {
    throw new BgpMessageError('ROUTE-REFRESH: BoRR and EoRR have 23 bytes', errorCode.routeRefresh, 1, bytes);
  }
  if (body.length < 4) {
    const length = bytes.subarray(16, 18);
    throw new BgpMessageError('ROUTE-REFRESH: shorter than 23 bytes', errorCode.header, headerError.badLength, length);
  }
  return { kind: kinds[subtype ?? 0xff] ?? 'unknown', family: familyOf(readUint16(body, 0), body[3] ?? 0) };
}
