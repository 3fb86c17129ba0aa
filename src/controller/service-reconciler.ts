import type { Clock } from '../base/index.ts';
import type { Allocator, Decision } from '../ipam/index.ts';
import {
  isKubeError,
  type KubeClient,
  kubeTime,
  type LoadBalancerIngress,
  type ObjectName,
  objectKey,
  parseKey,
  type ReconcileResult,
  resources,
  type Service,
} from '../kube/index.ts';
import type { Address } from '../net/index.ts';
import { ingressOf, isOurs, readRequest, type ServiceClass, tracesOn } from '../service/index.ts';
import { ForeignAddresses, isForeignTo, isLeftBehind } from './foreign-addresses.ts';
import type { LatestObjects } from './latest-objects.ts';
import {
  type Announcement,
  claimPatch,
  clearedStatusPatch,
  hadAddress,
  type MetadataPatch,
  overwrittenNews,
  type Programming,
  type StatusPatch,
  statusPatch,
  unclaimPatch,
} from './service-changes.ts';
import { StatusContests } from './status-contest.ts';

/** What the reconciler needs of its surroundings. */
export interface ServiceReconcilerOptions {
  client: Pick<KubeClient, 'get' | 'patch'>;
  services: LatestObjects<Service>;
  allocator: Allocator;
  serviceClass: ServiceClass;
  clock: Clock;
  /** Throws when this process does not lead any more; called before each write. */
  guard(): void;
  /** Tells people; must not block or throw. */
  announce(service: Service, announcement: Announcement): void;
  /** Has OVN carry the addresses that the allocator has for the Service now. */
  handOver(key: string): void;
  /** Whether OVN carries them. */
  programming(key: string, service: Service): Programming;
  /** Addresses became free, or a Service's share changed. */
  onChange(change: { freed: readonly Address[] }): void;
}

/**
 * Longest time a new address waits for OVN to carry it before it is published all the same, ms: longer than the writer
 * takes for a burst of a thousand Services, shorter than people wait.
 */
const patienceMs = 2_000;
/** Longest time for one request, so that a write never outlives the lease it was made under. */
const requestTimeoutMs = 8_000;

/**
 * Brings one Service in line: claims it, decides its addresses, writes its status; or lets it go.
 *
 * The order makes a crash harmless at every step: the claim (with the finalizer) is on the Service before its address,
 * the address is free for others only after no status says it, and the finalizer goes last. Each write carries the
 * resource version it was decided on, so whoever decided on an older state fails with a conflict and looks again.
 */
export class ServiceReconciler {
  readonly #options: ServiceReconcilerOptions;
  /** Which incarnation of a Service holds addresses. */
  readonly #uids = new Map<string, string>();
  /** Services that a changed pool or a freed address may help, those that wait longest first. */
  readonly #waiting = new Set<string>();
  /** Services with new addresses that are not published yet, because OVN does not carry them yet. */
  readonly #heldBack = new Map<string, { addresses: string; sinceMs: number }>();
  readonly #contests: StatusContests;
  readonly #foreign: ForeignAddresses;

  constructor(options: ServiceReconcilerOptions) {
    this.#options = options;
    this.#contests = new StatusContests(options.clock);
    this.#foreign = new ForeignAddresses(options.allocator);
  }

  /** Keys of the Services that wait for an address, those that wait longest first. */
  get waiting(): Iterable<string> {
    return this.#waiting;
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Keys of the Services whose new addresses wait until OVN carries them; to be reconciled again when it does. */
  get heldBack(): Iterable<string> {
    return this.#heldBack.keys();
  }

  /**
   * Takes over the addresses that Services, as the server lists them now, have in their status; what a cache shows that is
   * behind is not believed from here on. Of two with one address the older keeps it; ours go before foreign ones.
   */
  adopt(services: Iterable<Service>): void {
    const oldestFirst = [...services].sort((a, b) => (ageOf(a) < ageOf(b) ? -1 : 1));
    for (const service of oldestFirst) {
      this.#options.services.answered(service);
      this.#adopt(objectKey(service), service);
    }
    for (const service of oldestFirst) {
      const key = objectKey(service);
      if (isForeignTo(service, this.#options.serviceClass) && !this.#uids.has(key)) this.#foreign.set(key, service);
    }
  }

  /** The allocator has other pools now: to be called before anything is reconciled with them. */
  poolsChanged(): void {
    this.#foreign.poolsChanged();
  }

  /** Reconciles the Service called `key`; see WorkQueue. */
  async reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { serviceClass } = this.#options;
    const service = this.#options.services.get(key) ?? (await this.#unseen(key, signal));
    if (!service) {
      this.#options.services.gone(key);
      this.#forget(key);
      return {};
    }
    const uid = service.metadata.uid ?? '';
    if ((this.#uids.get(key) ?? uid) !== uid) this.#forget(key);
    try {
      if (isOurs(service, serviceClass) && service.metadata.deletionTimestamp === undefined) {
        return await this.#ensure(key, service, signal);
      } else {
        await this.#letGo(key, service, signal);
      }
    } catch (thrown) {
      // Deleted between two looks: the watch says so, and then its addresses are released.
      if (!isKubeError(thrown, 'NotFound')) throw thrown;
    }
    return {};
  }

  async #ensure(key: string, observed: Service, signal: AbortSignal): Promise<ReconcileResult> {
    const { allocator, serviceClass, clock, announce, onChange } = this.#options;
    this.#adopt(key, observed);
    const decision = this.#decide(key, observed);
    if (decision.waiting) this.#waiting.add(key);
    else this.#waiting.delete(key);
    const holdMs = this.#holdBack(key, observed, decision);
    if (holdMs > 0) return { requeueAfterMs: holdMs };
    const programming: Programming =
      decision.addresses.length === 0 ? { kind: 'unused' } : this.#options.programming(key, observed);
    // One write carries finalizer and address, so that no Service ever shows an address without the finalizer.
    const claim = claimPatch(observed, decision, serviceClass.loadBalancerClass);
    const change = statusPatch(observed, decision, programming, kubeTime(clock.nowMs()));
    const ingress = change?.patch.loadBalancer && (change.patch.loadBalancer.ingress ?? []).map(({ ip }) => ip).join();
    const waitMs = ingress === undefined ? 0 : this.#contests.waitMs(key, ingress);
    if (waitMs > 0) return { requeueAfterMs: waitMs };
    if (claim || change) {
      const both = { ...(claim ? { metadata: claim } : {}), ...(change ? { status: change.patch } : {}) };
      const written = await this.#patch(observed, both, signal);
      const unclaimed = claimPatch(written, decision, serviceClass.loadBalancerClass);
      // A server that takes no metadata along with a status gets it by itself.
      if (unclaimed) await this.#patch(written, { metadata: unclaimed }, signal);
      const overwritten = ingress !== undefined && this.#contests.isCorrection(key, ingress);
      if (ingress !== undefined) this.#contests.wrote(key, ingress);
      const rival = overwritten ? overwrittenNews(observed, ingress) : undefined;
      for (const news of rival ? [rival] : (change?.announcements ?? [])) announce(written, news);
    }
    const freed = this.#foreign.reclaim(allocator.settle(key));
    if (freed.length > 0) this.#freed(key, freed);
    else if (change) onChange({ freed });
    this.#heldBack.delete(key);
    return {};
  }

  /**
   * A new address is held back for a moment until OVN carries it, so that who reads it can use it; but OVN being slow or
   * away never keeps a Service from getting its address. Gives how long to hold it back at most, ms; 0 to publish now.
   */
  #holdBack(key: string, observed: Service, { addresses }: Decision): number {
    const { clock, handOver, programming } = this.#options;
    const shown = ingressOf(observed);
    const isNew = addresses.some(({ address }) => !shown.some((other) => other.equals(address)));
    if (!isNew) return 0;
    const text = addresses.map(({ address }) => String(address)).join();
    let held = this.#heldBack.get(key);
    if (held?.addresses !== text) {
      held = { addresses: text, sinceMs: clock.monotonicMs() };
      this.#heldBack.set(key, held);
      handOver(key);
    }
    const answer = programming(key, observed);
    const isSettling = answer.kind !== 'unused' && answer.settling === true;
    return isSettling ? held.sinceMs + patienceMs - clock.monotonicMs() : 0;
  }

  #decide(key: string, service: Service): Decision {
    const { allocator } = this.#options;
    const reading = readRequest(service);
    return reading.kind === 'problem' ? allocator.keep(key, reading) : allocator.allocate(key, reading.request);
  }

  /** Withdraws, releases and removes every trace; leaves a Service that was never ours alone. */
  async #letGo(key: string, observed: Service, signal: AbortSignal): Promise<void> {
    const { allocator, serviceClass, announce } = this.#options;
    let service = observed;
    this.#waiting.delete(key);
    const { claimedFor, conditions, finalizer } = tracesOn(service);
    const isForeign = isForeignTo(service, serviceClass);
    // Another class's Service is touched only to remove what was left on it when it was ours.
    const leavesTraces = claimedFor === serviceClass.loadBalancerClass || (!isForeign && (claimedFor ?? conditions));
    if (leavesTraces) {
      const isOurEntry = ({ ip = '' }: LoadBalancerIngress) => !isForeign || isLeftBehind(allocator, service, ip);
      const shown = (service.status?.loadBalancer?.ingress ?? []).filter(isOurEntry).map(({ ip }) => ip);
      const held = isForeign ? [] : allocator.addressesOf(key);
      const addresses = (held.length > 0 ? held : shown).join(' and ');
      const cleared = clearedStatusPatch(service, isOurEntry);
      // Our mark was wiped from it, but it had an address from us, and so its finalizer. What proves that goes with it.
      const isUnmarked = claimedFor === undefined && finalizer && (held.length > 0 || hadAddress(service));
      const metadata = isUnmarked ? unclaimPatch(service, true) : undefined;
      if (cleared) service = await this.#patch(service, { status: cleared, ...(metadata && { metadata }) }, signal);
      const unclaim = unclaimPatch(service, isUnmarked);
      // From here on no status says the address; it may go to others even if the rest fails.
      this.#forget(key);
      if (unclaim) await this.#patch(service, { metadata: unclaim }, signal);
      if (service.metadata.deletionTimestamp === undefined && addresses !== '') {
        const note = `${addresses} released: the Service does not ask for a load balancer of this class any more`;
        announce(service, { type: 'Normal', reason: 'Released', note });
      }
      return;
    }
    if (!isForeign || this.#uids.has(key)) this.#forget(key);
    if (isForeign) this.#freed(key, this.#foreign.set(key, service));
  }

  /** What a Service has in its status, when nothing is known of it yet; also one that is to be let go, until it is. */
  #adopt(key: string, service: Service): void {
    const { allocator, serviceClass } = this.#options;
    const uid = service.metadata.uid ?? '';
    const { claimedFor, allocatedFrom } = tracesOn(service);
    const isMine = isOurs(service, serviceClass) || claimedFor === serviceClass.loadBalancerClass;
    if (!isMine || this.#uids.get(key) === uid) return;
    this.#forget(key);
    this.#uids.set(key, uid);
    allocator.adopt(key, ingressOf(service), allocatedFrom);
  }

  #forget(key: string): void {
    this.#uids.delete(key);
    this.#waiting.delete(key);
    this.#heldBack.delete(key);
    this.#contests.forget(key);
    this.#freed(key, [...this.#foreign.delete(key), ...this.#foreign.reclaim(this.#options.allocator.release(key))]);
  }

  /** The watch may have shown the write before its answer came, and OVN been told of the Service as it was before. */
  #freed(key: string, freed: readonly Address[]): void {
    if (freed.length === 0) return;
    this.#options.handOver(key);
    this.#options.onChange({ freed });
  }

  /** A holder that is not in the cache: is it gone, or has the cache not heard of it yet? Only the server knows. */
  async #unseen(key: string, signal: AbortSignal): Promise<Service | undefined> {
    if (!this.#uids.has(key)) return undefined;
    try {
      const options = { signal, timeoutMs: requestTimeoutMs };
      const found = await this.#options.client.get(resources.services, parseKey(key), options);
      this.#options.services.answered(found);
      return found;
    } catch (thrown) {
      if (isKubeError(thrown, 'NotFound')) return undefined;
      throw thrown;
    }
  }

  async #patch(
    service: Service,
    change: { metadata?: MetadataPatch; status?: StatusPatch },
    signal: AbortSignal,
  ): Promise<Service> {
    signal.throwIfAborted();
    this.#options.guard();
    const { namespace = '', name, resourceVersion } = service.metadata;
    const at: ObjectName = { namespace, name };
    const metadata = { resourceVersion, ...change.metadata };
    const written = await this.#options.client.patch(resources.services, at, {
      type: 'merge',
      body: { metadata, ...(change.status ? { status: change.status } : {}) },
      ...(change.status ? { subresource: 'status' } : {}),
      signal,
      timeoutMs: requestTimeoutMs,
    });
    this.#options.services.answered(written);
    return written;
  }
}

const ageOf = (service: Service) => `${service.metadata.creationTimestamp ?? ''} ${objectKey(service)}`;
