import type { AdvertisementReason, IPAddressPool, L2Advertisement, LabelSelector, PoolReason } from '../api/index.ts';
import type { AddressRange } from '../net/index.ts';

/** What is wrong with one part of one object. The rest of the object, and every other object, is in use. */
export interface Problem<Reason extends string> {
  reason: Reason;
  /** Path in the object, e.g. `spec.addresses[1]`. */
  field: string;
  /** Names the field, shows the value, says what to do. */
  message: string;
}

/** A pool that addresses are taken from. */
export interface Pool {
  readonly name: string;
  /** Of the object that this was made from. */
  readonly generation: number | undefined;
  /** Usable ranges, sorted, disjoint here and with every other pool's. Empty when none is usable. */
  readonly ranges: readonly AddressRange[];
  readonly autoAssign: boolean;
  readonly avoidBuggyIPs: boolean;
  /** Empty: the pool is in use as written. */
  readonly problems: readonly Problem<PoolReason>[];
}

/** An order to announce on the local network. */
export interface L2Announcement {
  readonly name: string;
  /** Of the object that this was made from. */
  readonly generation: number | undefined;
  /** Names of the pools announced; undefined: all pools. Holds also names of pools that do not exist (yet). */
  readonly pools: readonly string[] | undefined;
  /** Interfaces by exact name; empty: every suitable one. */
  readonly interfaces: readonly string[];
  /** A node may announce when one of them matches it; undefined: all nodes. */
  readonly nodeSelectors: readonly LabelSelector[] | undefined;
  readonly problems: readonly Problem<AdvertisementReason>[];
}

/** All custom resources, validated: immutable, every list sorted by name. */
export interface Config {
  readonly pools: readonly Pool[];
  readonly l2Advertisements: readonly L2Announcement[];
}

/** What a Config is made from. */
export interface ConfigResources {
  ipAddressPools: Iterable<IPAddressPool>;
  l2Advertisements: Iterable<L2Advertisement>;
}
