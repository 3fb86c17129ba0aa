import type { Reason } from '../api/speaker-status.ts';
import type { AnnounceDecision } from './announce-decision.ts';

/** One address for the wire worker: who may own it and where. */
export interface AddressAssignment {
  /** Canonical text. */
  address: string;
  /** Empty: every suitable interface. Sorted. */
  interfaces: string[];
  /** Sorted names of nodes; empty when nobody may announce. */
  eligibleNodes: string[];
}

/** What is known of one address over all Services that have it. */
export interface AddressEntry extends AddressAssignment {
  /** Sorted. */
  services: string[];
  /** Why nobody, or who, may announce. */
  reason: Reason;
}

/**
 * The decisions of all Services, joined by address.
 *
 * Services may come to share an address; then the nodes that may announce it are those that any of them allows.
 */
export class AnnouncementTable {
  readonly #byService = new Map<string, AnnounceDecision[]>();
  readonly #services = new Map<string, Set<string>>();

  /** Replaces the decisions of one Service; returns the addresses whose entry may have changed. */
  set(service: string, decisions: readonly AnnounceDecision[]): Set<string> {
    const touched = new Set<string>();
    for (const { address } of this.#byService.get(service) ?? []) {
      touched.add(address);
      const sharers = this.#services.get(address);
      sharers?.delete(service);
      if (sharers?.size === 0) this.#services.delete(address);
    }
    if (decisions.length === 0) this.#byService.delete(service);
    else this.#byService.set(service, [...decisions]);
    for (const { address } of decisions) {
      touched.add(address);
      let sharers = this.#services.get(address);
      if (!sharers) {
        sharers = new Set();
        this.#services.set(address, sharers);
      }
      sharers.add(service);
    }
    return touched;
  }

  /** The joined entry of an address, or undefined when no Service has it. */
  get(address: string): AddressEntry | undefined {
    const services = [...(this.#services.get(address) ?? [])].sort();
    const decisions = services.flatMap((service) =>
      (this.#byService.get(service) ?? []).filter((decision) => decision.address === address),
    );
    const first = decisions.find(({ eligibleNodes }) => eligibleNodes.length > 0) ?? decisions[0];
    if (!first) return undefined;
    const announcing = decisions.filter(({ eligibleNodes }) => eligibleNodes.length > 0);
    const anywhere = announcing.some(({ interfaces }) => interfaces.length === 0);
    return {
      address,
      services,
      interfaces: anywhere ? [] : [...new Set(announcing.flatMap(({ interfaces }) => interfaces))].sort(),
      eligibleNodes: [...new Set(announcing.flatMap(({ eligibleNodes }) => eligibleNodes))].sort(),
      reason: first.reason,
    };
  }

  /** Keys of the Services that have decisions. */
  services(): IterableIterator<string> {
    return this.#byService.keys();
  }

  /** Every address, sorted as text. */
  addresses(): string[] {
    return [...this.#services.keys()].sort();
  }
}
