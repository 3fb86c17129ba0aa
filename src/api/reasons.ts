/**
 * Every reason a decision can have, each with the sentence that explains it. The same word appears in conditions, in
 * Events and in the user's commands; the messages beside it name the objects at hand.
 */

/** Why a Service has, or has not, its addresses: condition `ovenbird.dev/IPAllocated`. */
export const allocationReasons = {
  Allocated: 'The Service has the addresses it asks for.',
  AllocatedPartially:
    'The Service prefers two address families and has one; the other follows when a pool can give it.',
  OutsidePools:
    'The Service keeps an address that no pool holds any more. It moves only when it asks for another address or pool.',
  NoPool: 'There is no IPAddressPool that gives addresses to Services that do not name a pool.',
  UnknownPool: 'The Service asks for an IPAddressPool that does not exist.',
  PoolNotReady: 'No IPAddressPool that may serve the Service has a usable range; the conditions of the pools say why.',
  PoolExhausted: 'The pools that may serve the Service have no free address left.',
  FamilyNotInPool: 'No pool that may serve the Service holds addresses of a family it needs.',
  AddressNotInPools: 'The Service asks for an address that no pool holds.',
  AddressNotInRequestedPool: 'The Service asks for an address and for a pool that does not hold that address.',
  AddressExcluded: 'The Service asks for an address that its pool leaves out because of avoidBuggyIPs.',
  AddressInUse: 'The Service asks for an address that another Service has.',
  InvalidRequest: 'The addresses or the pool that the Service asks for cannot be read, or do not fit its IP families.',
  ConflictingRequests: 'The annotation and spec.loadBalancerIP of the Service ask for different addresses.',
  HeadlessService: 'The Service has clusterIP None, so there is nothing to balance.',
  StatusOverwritten:
    'Another program put something else into the status of the Service. It is corrected, by and by at most every ten seconds. Seen as an Event only.',
  Released:
    'The Service does not ask for a load balancer any more, so its addresses were taken back. Seen as an Event only.',
} as const;

/** Whether a Service is in the OVN database: condition `ovenbird.dev/Programmed`. */
export const programmingReasons = {
  Programmed: 'The OVN load balancers of the Service are in the database.',
  NotExpressible: 'OVN cannot carry the Service as it is written.',
  NotYetProgrammed:
    'The OVN load balancers are not in effect yet: the database is away, or no switch carries them. The controller keeps trying.',
} as const;

/** The state of an IPAddressPool: condition `Ready`. */
export const poolReasons = {
  Valid: 'Every range of the pool is in use.',
  InvalidRange: 'A range cannot be read or is reversed; the other ranges of the pool are in use.',
  OverlapsPool: 'A range overlaps an older pool and is left out until that pool lets go of it.',
  OverlapsRange: 'A range overlaps another range of the same pool and is left out.',
} as const;

/** The state of an L2Advertisement: condition `Ready`. */
export const advertisementReasons = {
  Valid: 'The advertisement is in use as written.',
  UnknownPool: 'A pool named by the advertisement does not exist; the other pools are announced.',
  InvalidSelector: 'A node selector cannot be read and matches no node; the other selectors are in use.',
} as const;

/** Whether a node announces an address, and why: in the status of each speaker. */
export const announcementReasons = {
  Eligible: 'The address may be announced; the speakers elect one owner on the local network.',
  NotAdvertised: 'No L2Advertisement covers the pool of the address.',
  NoEndpoints: 'The Service has no endpoint that is ready, so nobody answers for its address.',
  NoLocalEndpoints: 'externalTrafficPolicy is Local and no node that may announce runs a ready endpoint.',
  NoEligibleNode: 'Every node is left out by the node selectors, by label or by its conditions.',
  HostAgentNotReady:
    'The host agent has not programmed this node yet, or its overlay interface is away, so the node leaves the address to others.',
  ServiceDeleted: 'The Service is being deleted.',
} as const;

export type AllocationReason = keyof typeof allocationReasons;
export type ProgrammingReason = keyof typeof programmingReasons;
export type PoolReason = keyof typeof poolReasons;
export type AdvertisementReason = keyof typeof advertisementReasons;
export type AnnouncementReason = keyof typeof announcementReasons;
