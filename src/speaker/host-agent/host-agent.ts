import { Backoff, type Clock, describeError, type Logger } from '../../base/index.ts';
import { type HostCommands, systemCommands } from './commands.ts';
import { HealthCheckServer } from './health-check-server.ts';
import type { HostInputs } from './host-inputs.ts';
import {
  defaultHostAgentOptions,
  desiredHostState,
  type HostAgentOptions,
  type HostState,
  HostStateMemo,
} from './host-state.ts';
import { NftApplier } from './nft-applier.ts';
import type { Overlay } from './overlay.ts';
import { OverlayReader } from './overlay-reader.ts';
import { RouteApplier } from './route-applier.ts';
import { checkForwarding } from './sysctls.ts';
import type { HostProblem } from './treatment.ts';
import { UdpFlowFlusher } from './udp-flow-flusher.ts';

/** What the host agent is doing; all of it current. */
export interface HostAgentStatus {
  /** `waiting`: inputs are not complete; `failing`: the last attempt did not succeed and is repeated. */
  state: 'waiting' | 'applied' | 'failing';
  /** How many times inputs were handed in, and which of them is in force. */
  desiredGeneration: number;
  appliedGeneration: number;
  lastError: string | undefined;
  overlay: Overlay | undefined;
  /** Whether packets for Services have a way from here: all was applied, and the overlay's interface is up. */
  carries: boolean;
  services: number;
  routes: number;
  /** How often something that somebody else removed or changed was put back. */
  repairs: number;
  /** Duration of the last pass that changed something, ms. */
  lastApplyMs: number | undefined;
  problems: HostProblem[];
  /** What the operator should see to on this host. */
  notes: string[];
}

export interface HostAgentDependencies {
  clock: Clock;
  logger: Logger;
  /** Default: programs of this machine. */
  commands?: HostCommands;
  options?: Partial<HostAgentOptions>;
  /** How often everything is compared with the host, ms. Default 30000. */
  reconcileMs?: number;
  /**
   * From the first change to the pass that applies it, ms; changes that come meanwhile, such as the address that follows
   * a new Service, go along. Default 30.
   */
  gatherMs?: number;
  /** Address the health check ports listen on. Default: all. */
  healthCheckHost?: string;
  /** Called after each pass, whatever came of it. */
  onPass?(): void;
}

/**
 * Makes this node serve Services in place of a Service proxy: NodePorts, external addresses and the host's own way to
 * ClusterIPs, handing on to OVN's load balancers wherever those choose.
 *
 * It owns one nftables table, one route table with its rule, and the health check ports; it touches nothing else. What it
 * put there stays when it stops or is killed, so a restart costs no packet; `cleanup` takes it away.
 */
export class HostAgent {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #commands: HostCommands;
  readonly #options: HostAgentOptions;
  readonly #reconcileMs: number;
  readonly #gatherMs: number;
  readonly #onPass: () => void;
  readonly #nft: NftApplier;
  readonly #routes: RouteApplier;
  readonly #overlayReader: OverlayReader;
  readonly #flows: UdpFlowFlusher;
  readonly #health: HealthCheckServer;
  readonly #memo = new HostStateMemo();

  #inputs: HostInputs | undefined;
  #generation = 0;
  #appliedGeneration = 0;
  #overlay: Overlay | undefined;
  #carries = false;
  #state: HostState | undefined;
  #lastRoutes: string | undefined;
  #lastError: string | undefined;
  #lastApplyMs: number | undefined;
  #repairs = 0;
  #notes: string[] = [];
  #sysctlNotes: string[] = [];
  /** What must be compared with the host in the next pass. */
  #suspect = { overlay: true, routes: true, nft: false, sysctls: true };
  /** When all of it was last compared with the host, or put there; monotonic. */
  #assuredMs: number | undefined;
  /** The table was changed since, by differences. */
  #differs = false;
  #wake: (() => void) | undefined;
  #awake = false;

  constructor(dependencies: HostAgentDependencies) {
    const { clock, logger, commands = systemCommands(), options, reconcileMs = 30_000, gatherMs = 30 } = dependencies;
    this.#clock = clock;
    this.#logger = logger.child({ component: 'host-agent' });
    this.#commands = commands;
    this.#options = { ...defaultHostAgentOptions, ...options };
    this.#reconcileMs = reconcileMs;
    this.#gatherMs = gatherMs;
    this.#onPass = () => dependencies.onPass?.();
    this.#nft = new NftApplier(commands, this.#options.table);
    this.#routes = new RouteApplier(commands, this.#options.routeTable);
    this.#overlayReader = new OverlayReader(commands, this.#routes, this.#options.device);
    this.#flows = new UdpFlowFlusher(commands, this.#logger);
    this.#health = new HealthCheckServer(this.#logger, dependencies.healthCheckHost);
  }

  /** Says what should be served from now on. Applied soon after by `run`; what came in between is skipped. */
  setDesired(inputs: HostInputs): void {
    if (this.#inputs?.overlayGateways.join() !== inputs.overlayGateways.join()) this.#suspect.overlay = true;
    this.#inputs = inputs;
    this.#generation += 1;
    this.#kick();
  }

  /** Works until `signal` aborts. Errors are repeated with back-off and shown in `status`; it never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const watchers = [
      this.#watch(['nft', 'monitor', 'destroy', 'tables'], (line) => this.#onNftEvent(line), signal),
      this.#watch(['ip', 'monitor', 'link', 'route', 'rule'], (line) => this.#onRouteEvent(line), signal),
    ];
    const backoff = new Backoff({ initialMs: 200, maximumMs: 10_000 });
    this.#kick();
    while (!signal.aborted) {
      try {
        await this.#pass(signal);
        this.#lastError = undefined;
        backoff.reset();
      } catch (thrown) {
        if (signal.aborted) break;
        this.#lastError = describeError(thrown);
        this.#suspect = everything();
        this.#logger.warn({ err: thrown }, 'host state could not be applied');
      }
      this.#onPass();
      await this.#sleepUntilWoken(this.#lastError === undefined ? this.#restMs() : backoff.next(), signal);
      await this.#clock.sleep(this.#gatherMs, signal).catch(() => {});
    }
    await Promise.all(watchers);
    await this.#health.close();
  }

  status(): HostAgentStatus {
    const { services = [], complete = false } = this.#inputs ?? {};
    const failed = this.#lastError !== undefined;
    return {
      state: failed ? 'failing' : complete && this.#appliedGeneration > 0 ? 'applied' : 'waiting',
      desiredGeneration: this.#generation,
      appliedGeneration: this.#appliedGeneration,
      lastError: this.#lastError,
      overlay: this.#overlay,
      carries: this.#carries,
      services: services.length,
      routes: this.#state?.routes.length ?? 0,
      repairs: this.#repairs,
      lastApplyMs: this.#lastApplyMs,
      problems: this.#state?.problems ?? [],
      notes: [...this.#notes, ...this.#sysctlNotes, ...this.#flows.notes, ...this.#health.failures.values()],
    };
  }

  /** Takes everything of the agent off the host. For a change of mode and for uninstalling; not while `run` works. */
  async cleanup(signal?: AbortSignal): Promise<void> {
    this.#state = undefined;
    this.#lastRoutes = undefined;
    await this.#health.close();
    const results = await Promise.allSettled([this.#nft.remove(signal), this.#routes.remove(signal)]);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async #pass(signal: AbortSignal): Promise<void> {
    this.#awake = false;
    const inputs = this.#inputs;
    if (!inputs?.complete) return;
    const generation = this.#generation;
    const startedMs = this.#clock.monotonicMs();
    const due = this.#assuredMs !== undefined && startedMs - this.#assuredMs >= this.#reconcileMs;
    const suspect = due ? everything() : this.#suspect;
    this.#suspect = { overlay: false, routes: false, nft: false, sysctls: false };

    if (suspect.overlay || !this.#overlay) {
      this.#overlay = await this.#overlayReader.read(inputs.overlayGateways, signal);
      this.#notes = this.#overlayReader.notes;
    }
    const { deviceUp } = this.#overlayReader;
    const hasWay = deviceUp && Object.keys(this.#overlay.gateways).length > 0;
    if (!hasWay) this.#carries = false;
    const state = desiredHostState(inputs, this.#overlay, this.#options, this.#memo);
    this.#state = state;
    let intact = true;
    // What somebody did between a change and the look after it cannot be told from the change: put all of it anew.
    if (due && (this.#differs || !this.#nft.verifiable)) this.#nft.forget();
    else if (suspect.nft) intact = await this.#nft.verify(signal);
    let changes = (await this.#nft.apply(state.nft, signal)) ? 1 : 0;
    this.#differs = !due && this.#appliedGeneration > 0 && (this.#differs || changes > 0);
    if (!intact && changes > 0 && this.#appliedGeneration > 0) this.#repaired('nftables table');

    await this.#health.setDesired(state.healthPorts, inputs.nodeEligible);
    if (suspect.sysctls) this.#sysctlNotes = await checkForwarding(this.#commands, state.ruleFamilies, signal);
    // A route that the kernel refuses is the likeliest failure, and all of the above works without.
    const routes = deviceUp ? state.routes : [];
    const text = routes.map(({ destination, gateway, device }) => `${destination} ${gateway} ${device}`).join();
    if (deviceUp && (suspect.routes || text !== this.#lastRoutes)) {
      const unchanged = text === this.#lastRoutes;
      if (suspect.routes) this.#routes.forget();
      const changed = await this.#routes.apply(routes, state.ruleFamilies, signal);
      if (unchanged && changed > 0) this.#repaired('routes');
      this.#lastRoutes = text;
      changes += changed;
    }
    await this.#flows.flush(state.treatments, this.#overlay, signal);
    this.#appliedGeneration = generation;
    this.#carries = hasWay;
    if (this.#assuredMs === undefined || due) this.#assuredMs = startedMs;
    if (changes > 0) this.#lastApplyMs = this.#clock.monotonicMs() - startedMs;
  }

  #repaired(what: string): void {
    this.#repairs += 1;
    this.#logger.info({ what }, 'put back what somebody else removed');
  }

  /** Until the next comparison. Soon after a change the table is looked at once, to know what to compare with later. */
  #restMs(): number {
    const nowMs = this.#clock.monotonicMs();
    const leftMs = Math.max(0, (this.#assuredMs ?? nowMs) + this.#reconcileMs - nowMs);
    return this.#appliedGeneration === 0 || this.#nft.verifiable ? leftMs : Math.min(1_000, leftMs);
  }

  #onNftEvent(line: string): void {
    if (!line.includes(`table inet ${this.#options.table}`)) return;
    this.#suspect.nft = true;
    this.#kick();
  }

  #onRouteEvent(line: string): void {
    if (this.#routes.concerns(line)) {
      if (this.#routes.isEcho(line)) return;
    } else if (line.includes(this.#options.device)) {
      this.#suspect.overlay = true;
    } else return;
    this.#suspect.routes = true;
    this.#kick();
  }

  /** Follows what others do to the host; without the program, the periodic comparison has to do. */
  async #watch(argv: string[], onLine: (line: string) => void, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ initialMs: 1_000, maximumMs: 60_000 });
    while (!signal.aborted) {
      try {
        await this.#commands.follow(argv, onLine, signal);
      } catch (thrown) {
        this.#logger.warn({ err: thrown, argv }, 'cannot follow changes on the host');
      }
      await this.#clock.sleep(backoff.next(), signal).catch(() => {});
      // Whatever happened in between was not heard.
      this.#suspect = { ...this.#suspect, routes: true, nft: true };
      this.#kick();
    }
  }

  #kick(): void {
    this.#awake = true;
    this.#wake?.();
  }

  async #sleepUntilWoken(delayMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#awake && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const wake = () => resolve();
      const timer = this.#clock.setTimer(delayMs, () => {
        this.#suspect = everything();
        resolve();
      });
      this.#wake = wake;
      signal.addEventListener('abort', wake, { once: true });
      await promise;
      signal.removeEventListener('abort', wake);
      timer.cancel();
      this.#wake = undefined;
    }
  }
}

/** Nothing is taken for granted. */
function everything(): { overlay: boolean; routes: boolean; nft: boolean; sysctls: boolean } {
  return { overlay: true, routes: true, nft: true, sysctls: true };
}
