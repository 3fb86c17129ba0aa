import type { AllocationReason } from '../api/index.ts';
import type { Address, Family } from '../net/index.ts';

export type FamilyPolicy = 'SingleStack' | 'PreferDualStack' | 'RequireDualStack';

/** What a Service asks for. */
export interface AllocationRequest {
  /** The Service's IP families, in its order: one or two different ones. */
  readonly families: readonly Family[];
  readonly policy: FamilyPolicy;
  /** Addresses asked for: at most one a family, and only of the families above. */
  readonly addresses: readonly Address[];
  /** The pool asked for. */
  readonly pool: string | undefined;
}

/** One address of a Service. */
export interface AssignedAddress {
  readonly address: Address;
  /** The pool that holds it now; undefined when no pool does (any more). */
  readonly pool: string | undefined;
}

/** What a Service gets, and why. The same request in the same state gets the same decision. */
export interface Decision {
  /** In the order of the request's families; a family that gets none is missing. */
  readonly addresses: readonly AssignedAddress[];
  /** Names of the pools the addresses were taken from, sorted as the addresses; kept when a pool loses them. */
  readonly allocatedFrom: readonly string[];
  /** The Service has what it asks for (as far as it insists on it). */
  readonly satisfied: boolean;
  /** A changed pool or a freed address may change the decision. */
  readonly waiting: boolean;
  readonly reason: AllocationReason;
  /** For people: names addresses, pools and other Services. */
  readonly message: string;
}

/** Why one family of a request gets no (new) address. */
export interface Refusal {
  readonly family: Family;
  readonly reason: AllocationReason;
  readonly message: string;
  /** The Service asked for this very address, and will take no other. */
  readonly explicit: boolean;
}

/** "192.0.2.1 and 2001:db8::1 from pool "a"", or each with its pool where they differ. */
export function describeAssigned(assigned: readonly AssignedAddress[]): string {
  const groups = new Map<string | undefined, string[]>();
  for (const { address, pool } of assigned) groups.set(pool, [...(groups.get(pool) ?? []), String(address)]);
  return [...groups]
    .map(([pool, addresses]) => addresses.join(' and ') + (pool === undefined ? '' : ` from pool "${pool}"`))
    .join(', ');
}

/** A short list of names for a message: `"a", "b" and 3 more`. */
export function listNames(names: readonly string[], show = 4): string {
  const shown = names.slice(0, show).map((name) => `"${name}"`);
  const more = names.length - shown.length;
  return more > 0 ? `${shown.join(', ')} and ${more} more` : shown.join(', ');
}
