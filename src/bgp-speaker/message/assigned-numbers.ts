/** Numbers of the protocol, from the IANA registries "BGP Parameters", "Capability Codes" and "Address Family Numbers". */

/** RFC 4271 section 4.1, RFC 2918. */
export const messageType = { open: 1, update: 2, notification: 3, keepalive: 4, routeRefresh: 5 } as const;

/** Marker, length and type: the header of every message (RFC 4271 section 4.1). */
export const headerLength = 19;
/** Longest message without the extended message capability (RFC 4271 section 4). */
export const standardMessageLength = 4096;
/** Longest message with it (RFC 8654). */
export const extendedMessageLength = 65_535;

/** NOTIFICATION error codes: RFC 4271 section 4.5, RFC 7313 (7), RFC 9687 (8). */
export const errorCode = {
  header: 1,
  open: 2,
  update: 3,
  holdTimer: 4,
  fsm: 5,
  cease: 6,
  routeRefresh: 7,
  sendHoldTimer: 8,
} as const;

/** RFC 4271 section 6.1. */
export const headerError = { notSynchronized: 1, badLength: 2, badType: 3 } as const;

/** RFC 4271 section 6.2, RFC 5492, RFC 9234. */
export const openError = {
  unspecific: 0,
  unsupportedVersion: 1,
  badPeerAs: 2,
  badIdentifier: 3,
  unsupportedParameter: 4,
  unacceptableHoldTime: 6,
  unsupportedCapability: 7,
  roleMismatch: 11,
} as const;

/** RFC 4271 section 6.3. */
export const updateError = {
  malformedAttributeList: 1,
  unrecognizedWellKnown: 2,
  missingWellKnown: 3,
  attributeFlags: 4,
  attributeLength: 5,
  invalidOrigin: 6,
  invalidNextHop: 8,
  optionalAttribute: 9,
  invalidNetwork: 10,
  malformedAsPath: 11,
} as const;

/** RFC 6608. */
export const fsmError = { unspecific: 0, inOpenSent: 1, inOpenConfirm: 2, inEstablished: 3 } as const;

/** RFC 4486, RFC 8538 (hard reset), RFC 9384 (BFD down). */
export const cease = {
  maximumPrefixes: 1,
  administrativeShutdown: 2,
  peerDeconfigured: 3,
  administrativeReset: 4,
  connectionRejected: 5,
  configurationChange: 6,
  collision: 7,
  outOfResources: 8,
  hardReset: 9,
  bfdDown: 10,
} as const;

/** Path attribute type codes. */
export const attributeType = {
  origin: 1,
  asPath: 2,
  nextHop: 3,
  multiExitDiscriminator: 4,
  localPreference: 5,
  atomicAggregate: 6,
  aggregator: 7,
  communities: 8,
  originatorId: 9,
  clusterList: 10,
  mpReach: 14,
  mpUnreach: 15,
  extendedCommunities: 16,
  as4Path: 17,
  as4Aggregator: 18,
  ipv6ExtendedCommunities: 25,
  largeCommunities: 32,
  onlyToCustomer: 35,
} as const;

/** Attribute flags (RFC 4271 section 4.3). */
export const attributeFlag = { optional: 0x80, transitive: 0x40, partial: 0x20, extendedLength: 0x10 } as const;

/** Capability codes. */
export const capabilityCode = {
  multiprotocol: 1,
  routeRefresh: 2,
  extendedNextHop: 5,
  extendedMessage: 6,
  gracefulRestart: 64,
  fourOctetAs: 65,
  enhancedRouteRefresh: 70,
  longLivedGracefulRestart: 71,
  /** Route refresh before RFC 2918; some routers still send it beside 2. */
  routeRefreshLegacy: 128,
} as const;

/** Stands in two-byte fields for an AS number that needs four (RFC 6793). */
export const asTrans = 23_456;

/** The address families this library speaks. */
export type AddressFamily = 'ipv4-unicast' | 'ipv6-unicast';

export const addressFamilies: readonly AddressFamily[] = ['ipv4-unicast', 'ipv6-unicast'];

const safiUnicast = 1;

/** The family of an AFI and SAFI, or undefined when the library does not speak it. */
export function familyOf(afi: number, safi: number): AddressFamily | undefined {
  if (safi !== safiUnicast) return undefined;
  return afi === 1 ? 'ipv4-unicast' : afi === 2 ? 'ipv6-unicast' : undefined;
}

/** Address family identifier; the subsequent one is always 1 (unicast). */
export function afiOf(family: AddressFamily): 1 | 2 {
  return family === 'ipv4-unicast' ? 1 : 2;
}
