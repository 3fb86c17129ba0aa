import { randomBytes } from 'node:crypto';
import { type Clock, describeError, type Logger, type Random, type Timer } from '../../base/index.ts';
import { Address, compareAddresses } from '../../net/index.ts';
import type { LinkEvent } from '../../raw-socket/index.ts';
import { macText } from './arp-frame.ts';
import { clusterNumber, HeartbeatAuth, type KeyRing } from './heartbeat-auth.ts';
import {
  chooseInterfaces,
  type Expectation,
  expectedInterfaces,
  interfaceProblem,
  isExcluded,
} from './interface-choice.ts';
import { type AnnounceInterface, InterfaceTable } from './interface-table.ts';
import type { Ownership, OwnershipReason } from './ownership-report.ts';
import type { DesiredAddress } from './segment.ts';
import { type SegmentIo, type SegmentReceiver, type SegmentReport, SegmentRuntime } from './segment-runtime.ts';
import type { L2Timing } from './timing.ts';

/** One address, who may own it and where. */
export interface Assignment {
  address: string;
  /** Names; empty: wherever it fits. */
  interfaces: readonly string[];
  eligible: ReadonlySet<string>;
}

/** How an address stands on one interface, or, with no interface, why on none. */
export interface AddressReport extends Ownership {
  address: string;
  interface?: string;
  /** ms in this role. */
  forMs: number;
}

export interface Layer2Options {
  readonly node: string;
  readonly clusterId: string;
  readonly keys: KeyRing;
  readonly port: number;
  readonly timing: L2Timing;
  /** Undefined: every suitable interface may be needed. */
  readonly expectation?: Expectation | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly openIo: (
    link: { index: number; name: string },
    receiver: SegmentReceiver,
    onError: (error: Error) => void,
  ) => SegmentIo;
  /** These addresses have other reports now; `gone`: they have none any more. */
  readonly onChanged: (addresses: ReadonlySet<string>) => void;
  readonly onPeersChanged: () => void;
}

interface Segment {
  readonly link: AnnounceInterface;
  readonly runtime: SegmentRuntime;
  readonly wanted: Set<string>;
}

interface Placement {
  readonly assignment: Assignment;
  readonly family: 4 | 6;
  /** Indexes of interfaces. */
  segments: readonly number[];
  /** Why there are none. */
  problem: Ownership | undefined;
  readonly sinceMs: number;
}

/** A segment that could not be opened is tried again after this long, and with each link event. */
const reopenMs = 1_000;
/** Events of interfaces that are not in use are looked at together. */
const refreshMs = 20;

/**
 * Layer 2 announcements of one node: follows the host's interfaces, decides which of them carry which address, and runs
 * one segment for each interface in use.
 *
 * Interfaces that could be used run from the start, so that the first address finds speakers that have long listened.
 */
export class Layer2 {
  readonly #options: Layer2Options;
  readonly #auth: HeartbeatAuth;
  readonly #cluster: number;
  readonly #table = new InterfaceTable();
  readonly #segments = new Map<number, Segment>();
  readonly #placements = new Map<string, Placement>();
  /** Why interfaces could not be opened, by index. */
  readonly #failures = new Map<number, string>();
  #retry: Timer | undefined;
  #interfaces: AnnounceInterface[] = [];
  /** Those that carry addresses for which no interface is named. */
  #candidates: AnnounceInterface[] = [];
  #expectation: Expectation | undefined;
  #synced = false;
  #refresh: Timer | undefined;
  #resigning: { withinMs: number; left: Set<number>; done: () => void } | undefined;
  #closed = false;

  /** @throws OvenbirdError `WeakKey` */
  constructor(options: Layer2Options) {
    this.#options = options;
    this.#auth = new HeartbeatAuth(options.keys);
    this.#expectation = options.expectation;
    this.#cluster = clusterNumber(options.clusterId);
  }

  /** @throws OvenbirdError `WeakKey` */
  setKeys(keys: KeyRing): void {
    this.#auth.setKeys(keys);
  }

  /** Where announcements may come to be made: segments run there before the first address comes. */
  setExpectation(expectation: Expectation): void {
    this.#expectation = expectation;
    if (this.#synced) this.#refreshInterfaces();
  }

  onLinkEvent(event: LinkEvent): void {
    this.#table.apply(event);
    if (!this.#synced) return;
    const isLink = event.type === 'link' || event.type === 'link-gone';
    if (isLink && this.#segments.has(event.link.index)) {
      // Carrier loss must not wait.
      this.#refreshInterfaces();
      return;
    }
    // Pods come and go by the dozen, and their interfaces with them.
    this.#refresh ??= this.#options.clock.setTimer(refreshMs, () => this.#refreshInterfaces());
  }

  /** All links and addresses are known: before that nothing is decided. */
  onLinksSynced(): void {
    this.#synced = true;
    this.#refreshInterfaces();
  }

  /** Sets and removes assignments; others stay. */
  changeAssignments(set: readonly Assignment[], remove: readonly string[]): void {
    const touched = new Set<string>();
    const changes = new Map<number, { set: DesiredAddress[]; remove: string[] }>();
    for (const address of remove) {
      const placement = this.#placements.get(address);
      if (!placement) continue;
      this.#placements.delete(address);
      touched.add(address);
      for (const index of placement.segments) changeOf(changes, index).remove.push(address);
    }
    for (const assignment of set) {
      touched.add(assignment.address);
      this.#place(assignment, changes, true);
    }
    this.#deliver(changes);
    if (touched.size > 0) this.#options.onChanged(touched);
  }

  /** Hands everything over; resolves when nothing is owned any more, at the latest after `withinMs` (plus a little). */
  async resign(withinMs: number): Promise<void> {
    if (this.#segments.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#resigning = { withinMs, left: new Set(this.#segments.keys()), done: resolve };
    for (const { runtime } of [...this.#segments.values()]) runtime.resign(withinMs);
    await promise;
  }

  /** Reports of one address, by interface name; empty when it is not assigned. */
  reports(address: string): AddressReport[] {
    const placement = this.#placements.get(address);
    if (!placement) return [];
    if (placement.problem) {
      return [
        { address, ...placement.problem, forMs: Math.max(0, this.#options.clock.monotonicMs() - placement.sinceMs) },
      ];
    }
    const reports: AddressReport[] = [];
    for (const index of placement.segments) {
      const segment = this.#segments.get(index);
      const ownership = segment?.runtime.ownership(address);
      if (segment && ownership) reports.push({ address, interface: segment.link.name, ...ownership });
    }
    return reports.sort((a, b) => ((a.interface ?? '') < (b.interface ?? '') ? -1 : 1));
  }

  /** All assigned addresses, sorted. */
  addresses(): string[] {
    return [...this.#placements.keys()]
      .map((text) => Address.parse(text))
      .sort(compareAddresses)
      .map(String);
  }

  segments(): SegmentReport[] {
    return [...this.#segments.values()]
      .map(({ runtime }) => runtime.report())
      .sort((a, b) => (a.interface < b.interface ? -1 : 1));
  }

  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
    this.#refresh?.cancel();
    for (const { runtime } of this.#segments.values()) runtime.close();
    this.#segments.clear();
  }

  #refreshInterfaces(): void {
    this.#refresh?.cancel();
    this.#refresh = undefined;
    if (this.#closed) return;
    const before = this.#interfaces;
    this.#interfaces = this.#table.list();
    this.#candidates = this.#interfaces.filter(
      (link) => interfaceProblem(link) === undefined && !isExcluded(link.name),
    );
    for (const [index, segment] of [...this.#segments]) {
      const link = this.#interfaces.find((candidate) => candidate.index === index);
      if (!link || link.name !== segment.link.name || interfaceProblem(link) !== undefined) this.#closeSegment(index);
      else this.#update(segment, link);
    }
    const expected = expectedInterfaces(this.#expectation, this.#interfaces);
    for (const index of expected) this.#segment(index);
    for (const [index, { wanted }] of [...this.#segments]) {
      if (wanted.size === 0 && !expected.has(index)) this.#closeSegment(index);
    }
    if (this.#isSameChoice(before)) this.#replaceMissing();
    else this.#placeAll();
  }

  /**
   * Whether the choice of interfaces comes out for every address as it did with those of before. Pods come and go, and
   * looking at thousands of addresses each time would delay heartbeats.
   */
  #isSameChoice(before: readonly AnnounceInterface[]): boolean {
    const named = new Set<string>();
    for (const { assignment } of this.#placements.values()) for (const name of assignment.interfaces) named.add(name);
    const matters = (link: AnnounceInterface) =>
      named.has(link.name) || (interfaceProblem(link) === undefined && !isExcluded(link.name));
    return sameFacts(before.filter(matters), this.#interfaces.filter(matters));
  }

  #placeAll(): void {
    const changes = new Map<number, { set: DesiredAddress[]; remove: string[] }>();
    const touched = new Set<string>();
    for (const { assignment } of [...this.#placements.values()]) {
      if (this.#place(assignment, changes, false)) touched.add(assignment.address);
    }
    this.#deliver(changes);
    if (touched.size > 0) this.#options.onChanged(touched);
  }

  /** Interfaces that could not be opened the last time. */
  #replaceMissing(): void {
    const missing = [...this.#placements.values()].some(
      ({ segments, problem: why }) =>
        why?.reason.code === 'InterfaceUnusable' || segments.some((index) => !this.#segments.has(index)),
    );
    if (missing) this.#placeAll();
  }

  /** Decides where an address goes and notes what that changes. True when anything does. */
  #place(
    assignment: Assignment,
    changes: Map<number, { set: DesiredAddress[]; remove: string[] }>,
    eligibleChanged: boolean,
  ): boolean {
    const { address, eligible } = assignment;
    const before = this.#placements.get(address);
    const parsed = Address.tryParse(address);
    const decided = this.#decide(assignment, parsed);
    const segments = decided.links.filter((index) => this.#segment(index) !== undefined);
    const problem = decided.problem ?? (segments.length === 0 ? this.#unusable(decided.links) : undefined);
    const sameProblem = before?.problem?.reason.message === problem?.reason.message;
    this.#placements.set(address, {
      assignment,
      family: parsed?.family ?? 4,
      segments,
      problem,
      sinceMs: before && sameProblem ? before.sinceMs : this.#options.clock.monotonicMs(),
    });
    let changed = !sameProblem;
    for (const index of before?.segments ?? []) {
      if (segments.includes(index) || !this.#segments.has(index)) continue;
      changeOf(changes, index).remove.push(address);
      changed = true;
    }
    for (const index of segments) {
      const isNew = !this.#segments.get(index)?.wanted.has(address);
      if (!isNew && !eligibleChanged) continue;
      changeOf(changes, index).set.push({ address, eligible });
      changed = true;
    }
    return changed;
  }

  #decide(
    { address, interfaces }: Assignment,
    parsed: Address | undefined,
  ): { links: readonly number[]; problem: Ownership | undefined } {
    if (!parsed) return { links: [], problem: problem('UnsupportedFamily', `"${address}" is no address`) };
    if (parsed.family === 6) {
      const message = `${address} is an IPv6 address; announce it by BGP, layer 2 announces IPv4 only`;
      return { links: [], problem: problem('UnsupportedFamily', message) };
    }
    if (!this.#synced)
      return { links: [], problem: problem('NoInterface', 'the interfaces of this node are not read yet') };
    const choice = chooseInterfaces(parsed, interfaces, interfaces.length > 0 ? this.#interfaces : this.#candidates);
    if (choice.kind === 'none') return { links: [], problem: problem('NoInterface', choice.message) };
    return { links: choice.interfaces.map(({ index }) => index), problem: undefined };
  }

  /** Why none of the chosen interfaces is in use. */
  #unusable(links: readonly number[]): Ownership {
    if (this.#resigning) return problem('Resigning', 'the speaker of this node is stopping');
    const failures = links.map((index) => this.#failures.get(index) ?? `interface ${index} cannot be opened`);
    return problem('InterfaceUnusable', `${failures.join('; ')}; trying again`);
  }

  #deliver(changes: ReadonlyMap<number, { set: DesiredAddress[]; remove: string[] }>): void {
    for (const [index, { set, remove }] of changes) {
      const segment = this.#segments.get(index);
      if (!segment) continue;
      for (const address of remove) segment.wanted.delete(address);
      for (const { address } of set) segment.wanted.add(address);
      segment.runtime.setDesired(set, remove);
    }
  }

  #update(segment: Segment, link: AnnounceInterface): void {
    const { runtime } = segment;
    if (link.sourceAddress !== segment.link.sourceAddress) runtime.setSourceAddress(link.sourceAddress);
    if (link.mac !== segment.link.mac) runtime.setMac(link.mac);
    if (link.working !== segment.link.working) runtime.setLink(link.working);
    this.#segments.set(link.index, { ...segment, link });
  }

  #segment(index: number): Segment | undefined {
    const known = this.#segments.get(index);
    if (known) return known;
    const link = this.#interfaces.find((candidate) => candidate.index === index);
    if (!link || this.#resigning || this.#closed) return undefined;
    const { node, port, timing, clock, random, openIo } = this.#options;
    const logger = this.#options.logger.child({ interface: link.name });
    try {
      const runtime = new SegmentRuntime({
        interfaceName: link.name,
        node,
        boot: randomBytes(8).toString('hex'),
        mac: link.mac,
        sourceAddress: link.sourceAddress,
        port,
        cluster: this.#cluster,
        auth: this.#auth,
        timing,
        clock,
        random,
        nonce: () => randomBytes(8).toString('hex'),
        logger,
        open: (receiver) =>
          openIo(link, receiver, (error) => {
            logger.warn({ error: describeError(error) }, 'packet socket trouble');
          }),
        onChanged: (addresses) => this.#options.onChanged(new Set(addresses)),
        onPeersChanged: () => this.#options.onPeersChanged(),
        onResigned: () => this.#onResigned(index),
      });
      const segment = { link, runtime, wanted: new Set<string>() };
      this.#segments.set(index, segment);
      this.#failures.delete(index);
      runtime.setLink(link.working);
      logger.info({ mac: macText(link.mac) }, 'announcing on this interface');
      return segment;
    } catch (thrown) {
      logger.warn({ error: describeError(thrown) }, 'the interface cannot be used now; trying again');
      this.#failures.set(index, `${link.name}: ${describeError(thrown)}`);
      this.#retry ??= clock.setTimer(reopenMs, () => {
        this.#retry = undefined;
        this.#refreshInterfaces();
      });
      return undefined;
    }
  }

  #closeSegment(index: number): void {
    const segment = this.#segments.get(index);
    this.#segments.delete(index);
    segment?.runtime.close();
    this.#onResigned(index);
    const touched = new Set(segment?.wanted);
    if (touched.size > 0) this.#options.onChanged(touched);
    this.#options.onPeersChanged();
  }

  #onResigned(index: number): void {
    const resigning = this.#resigning;
    resigning?.left.delete(index);
    if (resigning?.left.size === 0) resigning.done();
  }
}

function problem(code: OwnershipReason, message: string): Ownership {
  return { role: 'none', epoch: 0, reason: { code, message } };
}

function changeOf(
  changes: Map<number, { set: DesiredAddress[]; remove: string[] }>,
  index: number,
): { set: DesiredAddress[]; remove: string[] } {
  let change = changes.get(index);
  if (!change) {
    change = { set: [], remove: [] };
    changes.set(index, change);
  }
  return change;
}

function sameFacts(a: readonly AnnounceInterface[], b: readonly AnnounceInterface[]): boolean {
  const key = (link: AnnounceInterface) =>
    [link.index, link.name, link.up, interfaceProblem(link) ?? '', link.subnets.join(' ')].join('|');
  return a.length === b.length && a.every((link, i) => key(link) === key(b[i] ?? link));
}
