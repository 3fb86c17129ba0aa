import type { AddressStatus } from '../api/speaker-status.ts';
import { buildConfig, type Config } from '../config/index.ts';
import type { Service } from '../kube/objects.ts';
import { decideAnnouncements } from './announce-decision.ts';
import { type AddressAssignment, AnnouncementTable } from './announcement-table.ts';
import { type Dirty, type FollowedCaches, keysToLookAt, ServiceChanges } from './service-changes.ts';
import type { Expectation } from './wire.ts';

/** What the announcer needs of the wire worker. */
export interface AssignmentTarget {
  setAssignments(assignments: readonly AddressAssignment[]): void;
  /** Where addresses may come to be announced. */
  setExpectation(expectation: Expectation): void;
}

export interface AnnouncerOptions {
  caches: FollowedCaches<'services' | 'slices' | 'nodes' | 'pools' | 'advertisements'>;
  /** Name of this node. */
  node: string;
  /** Whether a Service is ours to announce. */
  isOurs(service: Service): boolean;
  target: AssignmentTarget;
  /** Whether this host can carry traffic; while it says no, this node does not stand for election. */
  hostReady(): boolean;
}

/**
 * Keeps the wire worker's assignments equal to what the caches say.
 *
 * A change of one Service or of its endpoints looks at that Service only; a change of nodes, pools or advertisements
 * looks at all. Changes that arrive together are handed over together. Nothing is handed over before every cache has
 * its first full list, so that a restart never withdraws what is announced.
 */
export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #table = new AnnouncementTable();
  readonly #changes: ServiceChanges;
  readonly #unsubscribe: (() => void)[];
  /** What the wire worker was told last, by address. An entry that did not change stays the same object. */
  readonly #assignments = new Map<string, AddressAssignment>();
  #config: Config | undefined;

  constructor(options: AnnouncerOptions) {
    this.#options = options;
    this.#changes = new ServiceChanges(options.caches, (dirty) => this.#look(dirty));
    const configChanged = () => {
      this.#config = undefined;
      this.#changes.touchAll();
    };
    const { nodes, pools, advertisements } = options.caches;
    this.#unsubscribe = [
      nodes.subscribe(() => this.#changes.touchAll()),
      pools.subscribe(configChanged),
      advertisements.subscribe(configChanged),
    ];
  }

  /** Call once, when every cache has its first full list. */
  start(): void {
    this.#changes.start();
  }

  stop(): void {
    this.#changes.stop();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  /** Looks at every Service again: after a change that concerns all, such as the host becoming ready. */
  touchAll(): void {
    this.#changes.touchAll();
  }

  #look(dirty: Dirty): void {
    const { services, slices, nodes, pools, advertisements } = this.#options.caches;
    if (!this.#config) {
      this.#config = buildConfig({ ipAddressPools: pools.store.list(), l2Advertisements: advertisements.store.list() });
      this.#options.target.setExpectation(expectationOf(this.#config));
    }
    const allNodes = nodes.store.list();
    const touched = new Set<string>();
    for (const key of keysToLookAt(dirty, this.#table.services(), services.store)) {
      const service = services.store.get(key);
      const decisions =
        service && this.#options.isOurs(service)
          ? decideAnnouncements(service, slices.store.listBy('service', key), allNodes, this.#config)
          : [];
      for (const address of this.#table.set(key, decisions)) touched.add(address);
    }
    for (const address of touched) this.#assign(address);
    this.#options.target.setAssignments([...this.#assignments.values()]);
  }

  #assign(address: string): void {
    const entry = this.#table.get(address);
    if (!entry) {
      this.#assignments.delete(address);
      return;
    }
    const { interfaces } = entry;
    const eligibleNodes = this.#options.hostReady()
      ? entry.eligibleNodes
      : entry.eligibleNodes.filter((name) => name !== this.#options.node);
    const old = this.#assignments.get(address);
    if (old && sameList(old.eligibleNodes, eligibleNodes) && sameList(old.interfaces, interfaces)) return;
    this.#assignments.set(address, { address, interfaces, eligibleNodes });
  }

  /**
   * The status of every address: what the wire worker says, or, where the decision already keeps the node out, why.
   *
   * @param onWire what the wire worker reports, by address
   */
  status(onWire: ReadonlyMap<string, readonly Omit<AddressStatus, 'services'>[]>): AddressStatus[] {
    return this.#table.addresses().flatMap((address): AddressStatus[] => {
      const entry = this.#table.get(address);
      if (!entry) return [];
      const { services, eligibleNodes, reason } = entry;
      if (eligibleNodes.length === 0) return [{ address, services, role: 'none', reason }];
      const reports = onWire.get(address) ?? [];
      const keptOut = eligibleNodes.includes(this.#options.node) && !this.#options.hostReady();
      if (keptOut) {
        const code = 'HostAgentNotReady';
        const message = `this host has no way for Services into the overlay (yet), so it leaves ${address} to others`;
        const owner = reports.find((report) => report.owner !== undefined)?.owner;
        return [
          { address, services, role: 'none', ...(owner === undefined ? {} : { owner }), reason: { code, message } },
        ];
      }
      return reports.map((report) => ({ ...report, services }));
    });
  }
}

/** Where the addresses of a configuration may come to be announced. */
export function expectationOf({ pools, l2Advertisements }: Config): Expectation {
  const anywhere = l2Advertisements.filter(({ interfaces }) => interfaces.length === 0);
  const covered = pools.filter(({ name }) => anywhere.some((ad) => ad.pools === undefined || ad.pools.includes(name)));
  return {
    named: [...new Set(l2Advertisements.flatMap(({ interfaces }) => interfaces))].sort(),
    ranges: covered.flatMap(({ ranges }) => ranges.map(String)),
  };
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, index) => text === b[index]);
}
