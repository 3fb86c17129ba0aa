/** Starts the speaker under test in a network namespace and speaks with it. */
import type {
  AddressFamily,
  BfdSessionOptions,
  CloseOptions,
  DrainOptions,
  DynamicPeerOptions,
  PeerOptions,
  RouteAttributes,
  SessionCounters,
  SpeakerEvent,
  SpeakerOptions,
} from '../../../src/bgp-speaker/index.ts';
import { eventually } from '../../eventually.ts';
import type { BgpBed, Lane } from './bed.ts';
import { ourAs, peerAs } from './bed.ts';
import { JsonProcess } from './json-process.ts';

/** Attributes with every community as a word: "65000:1", "65000:1:2", "rt:65000:1", "no-export". */
export interface RouteWords
  extends Pick<RouteAttributes, 'asPath' | 'localPreference' | 'multiExitDiscriminator' | 'origin'> {
  communities?: readonly string[];
  nextHop?: string;
}

export interface CreateOptions extends Pick<SpeakerOptions, 'localAs' | 'identifier' | 'listen' | 'routesComplete'> {
  /** The peer's address by interface, for sessions that name none. */
  unnumbered?: Record<string, string>;
}

/** What crosses the pipe: options without functions. */
export type PeerWords = Omit<PeerOptions, 'exportRoute'>;

export type SpeakerRequest =
  | { do: 'create'; options: CreateOptions }
  | { do: 'add-peer'; options: PeerWords }
  | { do: 'remove-peer'; name: string }
  | { do: 'accept-peers'; prefix: string; options: Omit<DynamicPeerOptions, 'exportRoute'> }
  | { do: 'reject-peers'; prefix: string }
  | { do: 'announce'; prefixes: readonly string[]; attributes?: RouteWords }
  | { do: 'withdraw'; prefixes: readonly string[] }
  | { do: 'replace-all'; routes: readonly (readonly [string, RouteWords])[] }
  | { do: 'routes-complete' }
  | { do: 'sessions' }
  | { do: 'start'; name: string }
  | { do: 'stop' | 'reset'; name: string; text?: string }
  | { do: 'bfd'; name: string; state: 'up' | 'down' | 'admin-down' }
  /** BFD with the peer of a session, which is told how it goes. */
  | { do: 'tie-bfd'; name: string; options: BfdSessionOptions }
  | { do: 'bfd-admin-down'; name: string; adminDown: boolean }
  | { do: 'request-refresh'; name: string; family: AddressFamily }
  | { do: 'drain'; name: string; options: DrainOptions }
  | { do: 'when-in-step'; name: string }
  | { do: 'close'; options?: CloseOptions }
  | { do: 'figures' };

/** A session as its own side sees it. */
export interface OurSession {
  name: string;
  state: string;
  counters: SessionCounters;
  isInStep: boolean;
  negotiated?: { holdTimeSeconds: number; families: AddressFamily[]; gracefulRestart?: object };
}

/** Memory in bytes; the longest stall of the event loop since the question before, ms. */
export interface Figures {
  heapUsed: number;
  rss: number;
  arrayBuffers: number;
  worstStallMs: number;
}

type Distribute<Kind, T> = T extends { type: Kind } ? T : never;

/** The speaker, with short ways to ask for what tests ask often. */
export class SpeakerHost {
  readonly #process: JsonProcess<SpeakerRequest, SpeakerEvent>;

  constructor(namespace: string) {
    this.#process = new JsonProcess(namespace, new URL('./speaker-process.ts', import.meta.url), ['--expose-gc']);
  }

  /** In the namespace "us"; ends with the bed. */
  static async start(bed: BgpBed, options: Partial<CreateOptions> = {}): Promise<SpeakerHost> {
    const host = new SpeakerHost(bed.us);
    bed.onClose(() => host.kill());
    const listen = [{ address: '0.0.0.0' }, { address: '::' }];
    const create = { localAs: ourAs, identifier: '10.64.0.1', listen, routesComplete: true, ...options };
    await host.ask({ do: 'create', options: create });
    return host;
  }

  get pid(): number {
    return this.#process.pid;
  }

  get events(): readonly SpeakerEvent[] {
    return this.#process.events;
  }

  ask<Answer = void>(request: SpeakerRequest): Promise<Answer> {
    return this.#process.ask<Answer>(request);
  }

  signal(name: NodeJS.Signals): void {
    this.#process.signal(name);
  }

  kill(): Promise<void> {
    return this.#process.kill();
  }

  /** A peer with short times for failures; its name is its address. */
  addPeer(options: Partial<PeerWords>): Promise<string> {
    const quick = { holdTimeSeconds: 9, connectRetrySeconds: 1, maximumIdleHoldSeconds: 2, peerAs };
    return this.ask({ do: 'add-peer', options: { ...quick, ...options } });
  }

  addPeer4(lane: Lane, options: Partial<PeerWords> = {}): Promise<string> {
    // IPv6 routes over IPv4 need to be told their next hop.
    return this.addPeer({ address: lane.theirs4, localAddress: lane.ours4, nextHopIpv6: lane.ours6, ...options });
  }

  addPeer6(lane: Lane, options: Partial<PeerWords> = {}): Promise<string> {
    return this.addPeer({ address: lane.theirs6, localAddress: lane.ours6, families: ['ipv6-unicast'], ...options });
  }

  announce(prefixes: string | readonly string[], attributes: RouteWords = {}): Promise<void> {
    return this.ask({ do: 'announce', prefixes: [prefixes].flat(), attributes });
  }

  withdraw(...prefixes: string[]): Promise<void> {
    return this.ask({ do: 'withdraw', prefixes });
  }

  async session(name: string): Promise<OurSession> {
    const found = (await this.ask<OurSession[]>({ do: 'sessions' })).find((one) => one.name === name);
    if (!found) throw new Error(`there is no session ${name}`);
    return found;
  }

  figures(): Promise<Figures> {
    return this.ask({ do: 'figures' });
  }

  async established(name: string, timeoutMs = 20_000): Promise<OurSession> {
    const isUp = ({ state }: OurSession) => state === 'Established';
    return eventually(`our session ${name} is up`, () => this.session(name), isUp, { timeoutMs });
  }

  /** Waits for an event of a kind, from the `from`th event on. */
  async event<Kind extends SpeakerEvent['type']>(
    type: Kind,
    wanted: (event: Distribute<Kind, SpeakerEvent>) => boolean = () => true,
    { from = 0, timeoutMs = 20_000 } = {},
  ): Promise<Distribute<Kind, SpeakerEvent>> {
    const find = () =>
      this.events.slice(from).find((event): event is Distribute<Kind, SpeakerEvent> => {
        return event.type === type && wanted(event as Distribute<Kind, SpeakerEvent>);
      });
    const found = await eventually(
      `event ${type}`,
      () => find() ?? this.events.slice(-3),
      (value) => !Array.isArray(value),
      {
        timeoutMs,
      },
    );
    return found as Distribute<Kind, SpeakerEvent>;
  }
}
