import { type Clock, type ManualClock, OvenbirdError, type Timer } from '../../src/base/index.ts';
import {
  isKubeError,
  type KubeClient,
  KubeError,
  LeaderElection,
  type Leadership,
  type Lease,
  type ObjectName,
  objectKey,
  type Resource,
} from '../../src/kube/index.ts';
import type { FakeCollection } from './fake-collection.ts';

/** The clock of a process that can be stopped (SIGSTOP): time goes on, its timers fire when it goes on too. */
export class PausableClock implements Clock {
  readonly #world: ManualClock;
  #paused = false;
  #held: (() => void)[] = [];
  skewMs = 0;

  constructor(world: ManualClock) {
    this.#world = world;
  }

  get paused(): boolean {
    return this.#paused;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    for (const run of this.#held.splice(0)) run();
  }

  /** Runs now, or when the process goes on. */
  whenRunning(run: () => void): void {
    if (this.#paused) this.#held.push(run);
    else run();
  }

  nowMs(): number {
    return this.#world.nowMs() + this.skewMs;
  }

  monotonicMs(): number {
    return this.#world.monotonicMs();
  }

  setTimer(delayMs: number, run: () => void): Timer {
    let cancelled = false;
    const timer = this.#world.setTimer(delayMs, () =>
      this.whenRunning(() => {
        if (!cancelled) run();
      }),
    );
    return {
      cancel() {
        cancelled = true;
        timer.cancel();
      },
    };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => {
        timer.cancel();
        reject(signal?.reason);
      };
      const timer = this.setTimer(delayMs, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}

/** What the network does to the requests of one contender. */
export interface Network {
  /** Before the server sees a request and before its answer is back, ms. */
  thereMs: number;
  backMs: number;
  /** Requests never arrive. */
  cut: boolean;
  /** The next requests are done, but their answers are lost. */
  loseAnswers: number;
}

/** One process that takes part in an election over a simulated network. */
export class Contender {
  readonly clock: PausableClock;
  readonly network: Network = { thereMs: 1, backMs: 1, cut: false, loseAnswers: 0 };
  readonly election: LeaderElection;
  readonly abort = new AbortController();
  /** The term as `lead` got it. */
  leadership: Leadership | undefined;
  terms = 0;
  readonly done: Promise<void>;
  readonly #world: ManualClock;
  readonly #leases: FakeCollection<Lease>;

  constructor(
    world: ManualClock,
    leases: FakeCollection<Lease>,
    identity: string,
    lead: (leadership: Leadership) => Promise<void> = untilOver,
  ) {
    this.#world = world;
    this.#leases = leases;
    this.clock = new PausableClock(world);
    this.election = new LeaderElection({
      client: this.#client(),
      namespace: 'default',
      name: 'election',
      identity,
      clock: this.clock,
      random: () => 0.5,
    });
    this.done = this.election.run(this.abort.signal, async (leadership) => {
      this.leadership = leadership;
      this.terms += 1;
      await lead(leadership);
      this.leadership = undefined;
    });
  }

  /** True when this process, if it ran now, would believe that it may write. */
  get mayWrite(): boolean {
    if (this.clock.paused || !this.leadership) return false;
    try {
      this.leadership.check();
      return true;
    } catch (thrown) {
      if (thrown instanceof OvenbirdError && thrown.code === 'LeadershipLost') return false;
      throw thrown;
    }
  }

  #client(): Pick<KubeClient, 'get' | 'create' | 'replace'> {
    const leases = this.#leases;
    const conflict = (code: 'NotFound' | 'AlreadyExists' | 'Conflict') => new KubeError(code, code);
    const client = {
      get: (_: Resource, name: ObjectName, options?: object) =>
        this.#request(options, () => {
          const lease = leases.get(objectKey({ metadata: name }));
          if (!lease) throw conflict('NotFound');
          return structuredClone(lease);
        }),
      create: (_: Resource, object: Lease, options?: object) =>
        this.#request(options, () => {
          if (leases.get(objectKey(object))) throw conflict('AlreadyExists');
          return structuredClone(leases.put(object));
        }),
      replace: (_: Resource, object: Lease, options?: object) =>
        this.#request(options, () => {
          const old = leases.get(objectKey(object));
          if (!old) throw conflict('NotFound');
          if (old.metadata.resourceVersion !== object.metadata.resourceVersion) throw conflict('Conflict');
          return structuredClone(leases.put(object));
        }),
    };
    return client as unknown as Pick<KubeClient, 'get' | 'create' | 'replace'>;
  }

  /** Carries a request there and back; a paused process sends nothing and hears nothing. */
  #request(options: { signal?: AbortSignal; timeoutMs?: number } | undefined, act: () => Lease): Promise<Lease> {
    const { thereMs, backMs, cut } = this.network;
    const loses = this.network.loseAnswers > 0 && this.network.loseAnswers-- > 0;
    return new Promise<Lease>((resolve, reject) => {
      const signal = options?.signal;
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      const late = this.clock.setTimer(options?.timeoutMs ?? 30_000, () => reject(new KubeError('Timeout', 'late')));
      const answer = (give: () => void) => {
        if (loses) return;
        this.#world.setTimer(backMs, () =>
          this.clock.whenRunning(() => {
            late.cancel();
            give();
          }),
        );
      };
      if (cut) return;
      // Once sent, a request arrives whatever happens to its sender.
      this.#world.setTimer(thereMs, () => {
        try {
          const lease = act();
          answer(() => resolve(lease));
        } catch (thrown) {
          if (!isKubeError(thrown)) throw thrown;
          answer(() => reject(thrown));
        }
      });
    });
  }
}

function untilOver({ signal }: Leadership): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
