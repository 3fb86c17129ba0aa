export type { IPAddressPool } from './ip-address-pool.ts';
export type { L2Advertisement, LabelSelector } from './l2-advertisement.ts';
export * from './names.ts';
export type { ObjectMetadata } from './object-metadata.ts';
export {
  type AdvertisementReason,
  type AllocationReason,
  advertisementReasons,
  allocationReasons,
  type PoolReason,
  type ProgrammingReason,
  poolReasons,
  programmingReasons,
} from './reasons.ts';
