import type { Address } from '../../net/index.ts';
import { BgpArgumentError } from '../errors.ts';
import { type AddressFamily, afiOf, asTrans, attributeFlag, attributeType } from './assigned-numbers.ts';
import { checkLinkLocal, checkValues, origins } from './attribute-checks.ts';
import type { LargeCommunity } from './communities.ts';
import { OctetWriter } from './octets.ts';

/** What is said about a route. */
export interface PathAttributes {
  /** Default "igp". */
  origin?: 'igp' | 'egp' | 'incomplete';
  /** AS numbers, the nearest first; one sequence, never a set (RFC 9774). Empty for a route of one's own to iBGP. */
  asPath: readonly number[];
  nextHop: Address;
  /** Sent beside a global IPv6 next hop to peers on the same link (RFC 2545 section 3). */
  linkLocalNextHop?: Address;
  /** 0-4294967295. */
  multiExitDiscriminator?: number;
  /** 0-4294967295; to internal peers only. */
  localPreference?: number;
  /** RFC 1997. */
  communities?: readonly number[];
  /** RFC 4360: eight bytes each, as a number. */
  extendedCommunities?: readonly bigint[];
  /** RFC 8092. */
  largeCommunities?: readonly LargeCommunity[];
}

/** As PathAttributes, where the speaker fills in for each peer what is left out. */
export interface RouteAttributes extends Omit<PathAttributes, 'asPath' | 'nextHop'> {
  /** What comes before the speaker's own AS number, which it adds to external peers itself. Default: nothing. */
  asPath?: readonly number[];
  /** Default: the speaker's own address on the session. */
  nextHop?: Address;
}

/** What was negotiated, as far as UPDATEs depend on it. */
export interface UpdateContext {
  /** Both sides have RFC 6793. */
  fourOctetAs: boolean;
  /** Both sides have RFC 8950 for IPv4. */
  ipv4NextHopOverIpv6: boolean;
  /** Longest message that the peer takes: 4096, or up to 65535 (RFC 8654). */
  maximumLength: number;
}

/** True when the family's prefixes travel in MP_REACH_NLRI; else they stand at the end of the UPDATE. */
export function usesMpReach(family: AddressFamily, nextHop: Address): boolean {
  return family === 'ipv6-unicast' || nextHop.family === 6;
}

/**
 * The attributes of one set without MP_REACH_NLRI, sorted by type.
 *
 *     attribute: flags (1)  type (1)  length (1, or 2 with the flag 0x10)  value     RFC 4271 section 4.3
 *       1  origin (1)                           4  metric (4)        5  preference (4)
 *       2  { segment type (1) = 2  count (1)  as (4, or 2 without RFC 6793) ... } ...
 *       3  next hop (4)                         8  community (4) ...
 *      16  community (8) ...                   17  as AS_PATH with four bytes (RFC 6793 section 4.2.2)
 *      32  community (12) ...
 *
 * @throws BgpArgumentError naming the field
 */
export function encodeAttributes(
  attributes: PathAttributes,
  family: AddressFamily,
  context: UpdateContext,
): Uint8Array {
  const writer = new OctetWriter();
  const { optional, transitive } = attributeFlag;
  const { asPath, nextHop, multiExitDiscriminator: metric, localPreference } = attributes;
  checkValues(attributes);
  put(writer, transitive, attributeType.origin, [origins.indexOf(attributes.origin ?? 'igp')]);
  put(writer, transitive, attributeType.asPath, encodeAsPath(asPath, context.fourOctetAs));
  if (!usesMpReach(family, nextHop)) put(writer, transitive, attributeType.nextHop, nextHop.toBytes());
  if (metric !== undefined) put(writer, optional, attributeType.multiExitDiscriminator, word(metric));
  if (localPreference !== undefined) put(writer, transitive, attributeType.localPreference, word(localPreference));
  putList(writer, attributeType.communities, communityBytes(attributes.communities ?? []));
  putList(writer, attributeType.extendedCommunities, extendedCommunityBytes(attributes.extendedCommunities ?? []));
  if (!context.fourOctetAs && asPath.some((asNumber) => asNumber > 0xffff)) {
    put(writer, optional | transitive, attributeType.as4Path, encodeAsPath(asPath, true));
  }
  putList(writer, attributeType.largeCommunities, largeCommunityBytes(attributes.largeCommunities ?? []));
  return writer.toBytes();
}

/**
 * The start of an MP_REACH_NLRI value (RFC 4760 section 3): afi (2) safi (1) length (1) next hop reserved (1).
 * @throws BgpArgumentError when the next hop is not one that the family and the peer can take
 */
export function encodeMpReachHead(
  family: AddressFamily,
  attributes: PathAttributes,
  context: UpdateContext,
): Uint8Array {
  const { nextHop, linkLocalNextHop } = attributes;
  if (nextHop.family !== 6) {
    throw new BgpArgumentError(`nextHop ${nextHop}: IPv6 prefixes need an IPv6 next hop`);
  }
  if (family === 'ipv4-unicast' && !context.ipv4NextHopOverIpv6) {
    throw new BgpArgumentError(`nextHop ${nextHop}: the peer takes only IPv4 next hops for IPv4 prefixes (RFC 8950)`);
  }
  if (linkLocalNextHop) checkLinkLocal(linkLocalNextHop);
  const hops = [...nextHop.toBytes(), ...(linkLocalNextHop?.toBytes() ?? [])];
  return Uint8Array.of(0, afiOf(family), 1, hops.length, ...hops, 0);
}

/** Identifies equal attribute sets that were checked: order and repetition of communities do not matter. */
export function attributesKey(attributes: RouteAttributes): string {
  return [
    attributes.origin ?? 'igp',
    attributes.asPath?.join(' ') ?? '',
    attributes.nextHop ?? '',
    attributes.linkLocalNextHop ?? '',
    attributes.multiExitDiscriminator ?? '',
    attributes.localPreference ?? '',
    communityBytes(attributes.communities ?? []),
    extendedCommunityBytes(attributes.extendedCommunities ?? []),
    largeCommunityBytes(attributes.largeCommunities ?? []),
  ].join('|');
}

function encodeAsPath(asPath: readonly number[], fourOctets: boolean): Uint8Array {
  const writer = new OctetWriter();
  for (let at = 0; at < asPath.length; at += 255) {
    const segment = asPath.slice(at, at + 255);
    writer.uint8(2).uint8(segment.length);
    for (const asNumber of segment) {
      if (fourOctets) writer.uint32(asNumber);
      else writer.uint16(asNumber > 0xffff ? asTrans : asNumber);
    }
  }
  return writer.toBytes();
}

function communityBytes(communities: readonly number[]): Uint8Array {
  const writer = new OctetWriter();
  for (const value of [...new Set(communities)].sort((a, b) => a - b)) writer.uint32(value);
  return writer.toBytes();
}

function extendedCommunityBytes(communities: readonly bigint[]): Uint8Array {
  const writer = new OctetWriter();
  for (const value of [...new Set(communities)].sort((a, b) => (a < b ? -1 : 1))) {
    writer.uint32(Number(value >> 32n)).uint32(Number(value & 0xffff_ffffn));
  }
  return writer.toBytes();
}

function largeCommunityBytes(communities: readonly LargeCommunity[]): Uint8Array {
  const writer = new OctetWriter();
  const order = [...communities].sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
  for (const [index, community] of order.entries()) {
    const before = order[index - 1];
    if (before?.every((part, i) => part === community[i])) continue;
    for (const part of community) writer.uint32(part);
  }
  return writer.toBytes();
}

function word(value: number): Uint8Array {
  return new OctetWriter().uint32(value).toBytes();
}

function putList(writer: OctetWriter, type: number, value: Uint8Array): void {
  if (value.length > 0) put(writer, attributeFlag.optional | attributeFlag.transitive, type, value);
}

function put(writer: OctetWriter, flags: number, type: number, value: ArrayLike<number> & Iterable<number>): void {
  if (value.length > 0xffff) throw new BgpArgumentError(`attribute ${type}: ${value.length} bytes are too many`);
  if (value.length > 255)
    writer
      .uint8(flags | attributeFlag.extendedLength)
      .uint8(type)
      .uint16(value.length);
  else writer.uint8(flags).uint8(type).uint8(value.length);
  writer.bytes(value);
}
