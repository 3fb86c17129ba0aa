import { type Clock, type Logger, OvenbirdError, type Random, silentLogger, systemClock } from '../base/index.ts';
import type { KubeClient } from './client.ts';
import { isKubeError } from './kube-error.ts';
import { type FenceToken, type Leadership, LeadershipError, Term } from './leadership.ts';
import { bid, leaseSpec, type Observation, observe, releasedSpec } from './lease-record.ts';
import type { Lease } from './objects.ts';
import { resources } from './resources.ts';

export interface LeaderElectionOptions {
  client: Pick<KubeClient, 'get' | 'create' | 'replace'>;
  /** Where the Lease is. */
  namespace: string;
  name: string;
  /** Unique for each run of the process: two with one identity would both lead. E.g. the pod's name and a random suffix. */
  identity: string;
  /** How long a Lease that nobody renews is respected, ms. Default 15 000. */
  leaseMs?: number;
  /** A leader that could not renew for this long stops leading, ms; less than `leaseMs`. Default 10 000. */
  renewDeadlineMs?: number;
  /** Pause between tries, before jitter of up to a fifth, ms. Default 2000. */
  retryMs?: number;
  clock?: Clock;
  logger?: Logger;
  random?: Random;
  /** Called when somebody else, or this process, is seen to lead. */
  onLeader?: (identity: string) => void;
}

export interface LeaderElectionStatus {
  leading: boolean;
  /** Holder as last seen; empty when there is none. */
  holder: string;
  /** Monotonic time of the last renewal that is known to have reached the server, ms. */
  renewedAtMs: number | undefined;
  terms: number;
}

/**
 * Leader election on a coordination.k8s.io/v1 Lease.
 *
 * At most one contender leads, whatever the clocks say: a challenger waits a full `leaseMs` of its own monotonic time
 * after the last change it saw, a leader counts `renewDeadlineMs` from the moment it sent its last successful renewal and
 * stops before that wait can be over. Writes are conditional on the resourceVersion. A process that was paused learns it
 * from `check` or `fence` before it writes.
 */
export class LeaderElection {
  readonly #options: Required<Omit<LeaderElectionOptions, 'onLeader'>>;
  readonly #onLeader: ((identity: string) => void) | undefined;
  readonly #logger: Logger;
  #lease: Lease | undefined;
  #observed: Observation | undefined;
  #term: Term | undefined;
  #terms = 0;
  /** A write of the Lease was sent, and it is not known that it did not succeed. */
  #asked = false;

  constructor(options: LeaderElectionOptions) {
    const { onLeader, ...rest } = options;
    this.#options = {
      leaseMs: 15_000,
      renewDeadlineMs: 10_000,
      retryMs: 2_000,
      clock: systemClock,
      logger: silentLogger,
      random: Math.random,
      ...rest,
    };
    const { leaseMs, renewDeadlineMs, retryMs } = this.#options;
    if (!(retryMs * 1.2 < renewDeadlineMs && renewDeadlineMs < leaseMs)) {
      throw new OvenbirdError('BadTiming', 'leader election needs retry < renew deadline < lease duration');
    }
    this.#onLeader = onLeader;
    this.#logger = this.#options.logger.child({ lease: `${options.namespace}/${options.name}` });
  }

  get status(): LeaderElectionStatus {
    return {
      leading: this.#term !== undefined && !this.#term.signal.aborted,
      holder: this.#observed?.holder ?? '',
      renewedAtMs: this.#term?.renewedAtMs,
      terms: this.#terms,
    };
  }

  /**
   * Contends until `signal` aborts; calls `lead` for each term and contends again when it is over.
   *
   * `lead` must return soon after its signal aborts; the Lease is renewed until it has returned, and then released if it
   * is still ours. A rejection of `lead` other than the loss itself ends the run with that error, after the release.
   */
  async run(signal: AbortSignal, lead: (leadership: Leadership) => Promise<void>): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      const sentAtMs = clock.monotonicMs();
      const ours = await this.#try(signal);
      if (signal.aborted) break;
      if (ours) await this.#lead(sentAtMs, signal, lead);
      if (!signal.aborted) await clock.sleep(this.#pauseMs(), signal).catch(() => {});
    }
    // Stopped between asking for the Lease and leading: it may be ours without our knowing.
    if (this.#asked) await this.#release();
  }

  async #lead(sentAtMs: number, signal: AbortSignal, lead: (leadership: Leadership) => Promise<void>): Promise<void> {
    const { clock, identity, renewDeadlineMs } = this.#options;
    const number = this.#lease?.spec?.leaseTransitions ?? 0;
    const term = new Term(clock, renewDeadlineMs, number, sentAtMs, (at) => this.#fence(term, at));
    this.#term = term;
    this.#terms += 1;
    this.#logger.info({ identity, term: number }, 'leading');
    const onAbort = () => term.end(new LeadershipError('the process is stopping'));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    const over = new AbortController();
    const renewing = this.#renew(term, over.signal);
    try {
      await lead(term);
    } catch (thrown) {
      if (!(term.signal.aborted && (thrown === term.signal.reason || thrown instanceof LeadershipError))) throw thrown;
    } finally {
      signal.removeEventListener('abort', onAbort);
      over.abort(new LeadershipError('the term is over'));
      await renewing;
      const held = term.held;
      term.end(new LeadershipError('the term is over'));
      this.#term = undefined;
      this.#logger.info({ identity, term: number, held }, 'no longer leading');
      if (held) await this.#release();
    }
  }

  /** Renews until told to stop or the Lease is somebody else's. The deadline itself is the term's own timer. */
  async #renew(term: Term, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted && term.held) {
      try {
        await clock.sleep(this.#pauseMs(), signal);
      } catch {
        return;
      }
      const sentAtMs = clock.monotonicMs();
      if (!term.held) return;
      const kept = await this.#try(signal);
      if (kept) term.renewed(sentAtMs);
      else if (this.#lostTo(term)) return;
    }
  }

  /** True when the Lease as last seen belongs to somebody else or to another term. */
  #lostTo(term: Term): boolean {
    const { identity } = this.#options;
    const seen = this.#observed;
    if (!seen || seen.holder === identity) return false;
    term.lose(new LeadershipError(`the lease was taken by ${seen.holder || 'nobody'}`));
    return true;
  }

  #pauseMs(): number {
    return this.#options.retryMs * (1 + 0.2 * this.#options.random());
  }

  /** One try to get or keep the Lease; true when it is ours now. Never throws. */
  async #try(signal: AbortSignal): Promise<boolean> {
    const { clock, identity, leaseMs, renewDeadlineMs, namespace, name, client } = this.#options;
    const call = { signal, timeoutMs: renewDeadlineMs / 2 };
    try {
      // A leader writes on what it wrote last, which saves the read; anything else begins with a read.
      const leading = this.#term !== undefined && this.#lease?.spec?.holderIdentity === identity;
      if (!leading) await this.#read(call);
      const decision = bid(this.#observed, identity, clock.monotonicMs());
      if (decision.action === 'wait') return false;
      const spec = leaseSpec(this.#lease?.spec, identity, leaseMs, clock.nowMs());
      this.#asked = true;
      if (decision.action === 'create') {
        // Deleted under a leader: its term goes on.
        const lease = { metadata: { namespace, name }, spec: { ...spec, leaseTransitions: this.#term?.term ?? 0 } };
        this.#saw(await client.create(resources.leases, lease, call));
      } else this.#saw(await client.replace(resources.leases, { ...this.#named(), spec }, call));
      return true;
    } catch (thrown) {
      // Unless the server refused it, the outcome of the write is not known: the next try reads first.
      this.#lease = undefined;
      if (signal.aborted) return false;
      if (isKubeError(thrown, 'Conflict', 'AlreadyExists', 'NotFound')) {
        this.#asked = false;
        await this.#read(call).catch(() => {});
      } else this.#logger.warn({ err: thrown }, 'cannot get or renew the lease');
      return false;
    }
  }

  /** The Lease as last seen, to be written back. */
  #named(): Lease {
    const { namespace, name } = this.#options;
    return { ...this.#lease, metadata: { ...this.#lease?.metadata, namespace, name } };
  }

  async #read(call: { signal?: AbortSignal; timeoutMs?: number }): Promise<void> {
    const { client, namespace, name } = this.#options;
    try {
      this.#saw(await client.get(resources.leases, { namespace, name }, call));
    } catch (thrown) {
      if (!isKubeError(thrown, 'NotFound')) throw thrown;
      this.#lease = undefined;
      this.#observed = undefined;
    }
  }

  #saw(lease: Lease): void {
    const before = this.#observed?.holder;
    this.#lease = lease;
    this.#observed = observe(this.#observed, lease, this.#options.clock.monotonicMs());
    if (this.#observed.holder !== before && this.#observed.holder !== '') this.#onLeader?.(this.#observed.holder);
  }

  async #fence(term: Term, signal: AbortSignal | undefined): Promise<FenceToken> {
    const { client, namespace, name, identity, renewDeadlineMs } = this.#options;
    term.check();
    const options = { timeoutMs: renewDeadlineMs / 2, ...(signal ? { signal } : {}) };
    let lease: Lease | undefined;
    try {
      lease = await client.get(resources.leases, { namespace, name }, options);
    } catch (thrown) {
      if (!isKubeError(thrown, 'NotFound')) throw thrown;
    }
    if (lease?.spec?.holderIdentity !== identity || (lease.spec.leaseTransitions ?? 0) !== term.term) {
      const error = new LeadershipError(`the lease is held by ${lease?.spec?.holderIdentity || 'nobody'}`);
      term.lose(error);
      throw error;
    }
    term.check();
    return { resourceVersion: lease.metadata.resourceVersion ?? '', term: term.term };
  }

  /** Frees the Lease if it is as we left it, so that the next one need not wait. */
  async #release(): Promise<void> {
    const { client, identity, clock } = this.#options;
    const call = { timeoutMs: 2_000 };
    try {
      if (!this.#lease) await this.#read(call);
      if (this.#lease?.spec?.holderIdentity !== identity) return;
      const spec = releasedSpec(this.#lease.spec, clock.nowMs());
      this.#saw(await client.replace(resources.leases, { ...this.#named(), spec }, call));
      this.#asked = false;
    } catch (thrown) {
      this.#lease = undefined;
      this.#logger.warn({ err: thrown }, 'cannot release the lease, the next leader waits until it expires');
    }
  }
}
