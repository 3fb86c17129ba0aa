import { DeadlineQueue } from '../../../src/speaker/l2/deadline-queue.ts';
import { decodeMessage, encodeMessage, type Message } from '../../../src/speaker/l2/heartbeat-message.ts';
import { describeOwnership, type Ownership } from '../../../src/speaker/l2/ownership-report.ts';
import { type SegmentEvent, step } from '../../../src/speaker/l2/segment.ts';
import { createSegment, type SegmentState } from '../../../src/speaker/l2/segment-state.ts';
import { type L2Timing, timingOf } from '../../../src/speaker/l2/timing.ts';

/** How the wire treats frames; all zero is a perfect one. Times in ms, probabilities in [0, 1]. */
export interface WireQuality {
  delayMs: [least: number, most: number];
  loss: number;
  duplicate: number;
  /** Probability that a frame takes up to 30 ms longer than the others. */
  reorder: number;
}

/** Small, fast, good enough and the same everywhere (mulberry32). */
export function seededRandom(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

type Frame =
  | { kind: 'message'; message: Message }
  | { kind: 'arp-announce'; address: string; mac: number }
  | { kind: 'arp-probe'; address: string; mac: number }
  | { kind: 'arp-reply'; address: string; mac: number }
  | { kind: 'noise' };

/** One speaker on the simulated wire. */
export interface SimulatedNode {
  readonly name: string;
  /** What it says its name is. */
  calledName: string;
  readonly mac: number;
  running: boolean;
  paused: boolean;
  /** Runs again after a pause but has not read its sockets yet. */
  dazed: boolean;
  linkUp: boolean;
  /** Nodes with the same number hear each other. */
  island: number;
  state: SegmentState;
  gateUntilMs: number;
  answersFor: Set<string>;
  /** Whether its frames leave: false is a transmitter that fails without a word. */
  transmits: boolean;
  queued: Frame[];
  /** What it was told while it stood still. */
  deferred: { state: SegmentState; run: () => void }[];
  lastWakeMs: number;
  heard: boolean;
  wireHeardMs: number;
  /** Told to resign since its start, though it may not have heard it yet. */
  resigning: boolean;
  resigned: boolean;
  desired: Map<string, readonly string[]>;
}

/** A time in which more than one node answered for an address within one island. */
export interface Overlap {
  address: string;
  nodes: string[];
  fromMs: number;
  lastedMs: number;
}

/** A host that is no speaker. */
interface Stranger {
  mac: number;
  island: number;
  addresses: Set<string>;
  /** Answers whatever the question, in the owner's name, to broadcast questions only: an ARP suppressing switch. */
  proxyFor: Map<string, number>;
}

const dazedMs = 5;

/** A LAN with N speakers in one deterministic program: time moves only by `run`. */
export class SimulatedLan {
  nowMs = 1_000_000;
  readonly nodes = new Map<string, SimulatedNode>();
  readonly timing: L2Timing;
  readonly overlaps: Overlap[] = [];
  readonly ownerChanges: { atMs: number; address: string; node: string; kind: 'own' | 'disown' }[] = [];
  /** Only the first of each burst. */
  readonly announcements: { atMs: number; address: string; node: string }[] = [];
  quality: WireQuality = { delayMs: [0.1, 0.5], loss: 0, duplicate: 0, reorder: 0 };
  readonly strangers: Stranger[] = [];
  /** Addresses that a node's kernel answers for, whoever owns them. */
  readonly kernelAnswers = new Map<string, Set<string>>();
  /** Frames of this node to everybody are lost, those to one host are not. */
  dropGroupFrom: string | undefined;
  /** Frames that a paused node's sockets hold. */
  queueLength = 2_000;
  frames = 0;
  arpFrames = 0;
  readonly #random: () => number;
  readonly #events = new DeadlineQueue<() => void>();
  readonly #buffer = Buffer.alloc(1_500);
  readonly #open = new Map<string, Overlap>();
  /** ms each address had no answerer, by address, since the last `resetGaps`. */
  readonly #silence = new Map<string, { currentMs: number; longestMs: number }>();
  /** Off for tests with thousands of addresses, which look at `ownerChanges` instead. */
  readonly #accounts: boolean;
  #accountedMs = this.nowMs;
  #boots = 0;
  #macs = 0;

  constructor(names: readonly string[], options: { seed?: number; timing?: L2Timing; account?: boolean } = {}) {
    this.#random = seededRandom(options.seed ?? 1);
    this.timing = options.timing ?? timingOf(100);
    this.#accounts = options.account ?? true;
    for (const name of names) this.#addNode(name);
  }

  node(name: string): SimulatedNode {
    const node = this.nodes.get(name);
    if (!node) throw new RangeError(`no node ${name}`);
    return node;
  }

  #addNode(name: string): void {
    const mac = 0x020000000000 + ++this.#macs;
    this.nodes.set(name, {
      name,
      calledName: name,
      mac,
      running: false,
      paused: false,
      dazed: false,
      linkUp: true,
      island: 0,
      state: this.#newState(name, mac),
      gateUntilMs: 0,
      answersFor: new Set(),
      transmits: true,
      queued: [],
      deferred: [],
      lastWakeMs: Number.NEGATIVE_INFINITY,
      heard: false,
      wireHeardMs: Number.NEGATIVE_INFINITY,
      resigning: false,
      resigned: false,
      desired: new Map(),
    });
  }

  #newState(name: string, mac: number): SegmentState {
    return createSegment({
      node: name,
      boot: (++this.#boots).toString(16).padStart(16, '0'),
      mac,
      timing: this.timing,
      random: this.#random,
      nonce: () =>
        Math.floor(this.#random() * 2 ** 48)
          .toString(16)
          .padStart(16, '0'),
    });
  }

  /** From its next start on, a machine says that it is another node. */
  rename(name: string, calledName: string): void {
    this.node(name).calledName = calledName;
  }

  /** Starts a speaker with nothing but its wishes. */
  start(name: string): void {
    const node = this.node(name);
    if (node.running) return;
    node.running = true;
    node.paused = false;
    node.dazed = false;
    node.resigning = false;
    node.resigned = false;
    node.state = this.#newState(node.calledName, node.mac);
    if (node.linkUp) this.#step(node, { kind: 'link', up: true });
    this.#step(node, { kind: 'desired', set: wishes(node.desired), remove: [] });
  }

  startAll(): void {
    for (const name of this.nodes.keys()) this.start(name);
  }

  /** SIGKILL: no last word. */
  kill(name: string): void {
    const node = this.node(name);
    this.#account();
    node.running = false;
    node.paused = false;
    node.gateUntilMs = 0;
    node.queued = [];
    for (const address of node.answersFor) this.#note(address, node, 'disown');
    node.answersFor.clear();
  }

  /** SIGSTOP. What arrives meanwhile is queued. */
  pause(name: string): void {
    this.#account();
    this.node(name).paused = true;
  }

  resume(name: string): void {
    const node = this.node(name);
    if (!node.running || !node.paused) return;
    this.#account();
    node.paused = false;
    // Its sockets are served in an order nobody knows: for a while it may answer before it hears what was said.
    node.dazed = true;
    this.#events.push(this.nowMs + dazedMs, () => {
      node.dazed = false;
      for (const { state, run } of node.deferred.splice(0)) if (state === node.state) run();
      this.#wake(node);
    });
  }

  setLink(name: string, up: boolean): void {
    const node = this.node(name);
    if (node.linkUp === up) return;
    this.#account();
    node.linkUp = up;
    if (node.running) this.#whenAwake(node, () => this.#step(node, { kind: 'link', up }));
  }

  /** Splits the wire: each list hears only itself; who is in none stays with the first. */
  partition(...islands: string[][]): void {
    this.#account();
    for (const node of this.nodes.values()) {
      node.island = Math.max(
        0,
        islands.findIndex((island) => island.includes(node.name)),
      );
    }
  }

  heal(): void {
    this.#account();
    for (const node of this.nodes.values()) node.island = 0;
  }

  /** Tells every node, or only some, who may own an address; an empty list withdraws nothing, `undefined` does. */
  desire(
    address: string,
    eligible: readonly string[] | undefined,
    on: readonly string[] = [...this.nodes.keys()],
  ): void {
    for (const name of on) {
      const node = this.node(name);
      if (eligible) node.desired.set(address, eligible);
      else node.desired.delete(address);
      if (!node.running) continue;
      this.#whenAwake(node, () => {
        this.#step(node, {
          kind: 'desired',
          set: eligible ? wishes(new Map([[address, eligible]])) : [],
          remove: eligible ? [] : [address],
        });
      });
    }
  }

  /** As `desire` for many addresses, told to every node in one event. */
  desireMany(addresses: readonly string[], eligible: readonly string[]): void {
    const wanted = new Map(addresses.map((address) => [address, eligible]));
    for (const node of this.nodes.values()) {
      for (const address of addresses) node.desired.set(address, eligible);
      if (node.running)
        this.#whenAwake(node, () => this.#step(node, { kind: 'desired', set: wishes(wanted), remove: [] }));
    }
  }

  resign(name: string, withinMs = 2_000): void {
    const node = this.node(name);
    if (!node.running) return;
    node.resigning = true;
    this.#whenAwake(node, () => this.#step(node, { kind: 'resign', withinMs }));
  }

  addStranger(addresses: readonly string[], proxyFor: ReadonlyMap<string, number> = new Map()): Stranger {
    const stranger = {
      mac: 0x02aa00000000 + ++this.#macs,
      island: 0,
      addresses: new Set(addresses),
      proxyFor: new Map(proxyFor),
    };
    this.strangers.push(stranger);
    return stranger;
  }

  /** A host says something to everybody: proof that the wire works. */
  noise(island = 0): void {
    for (const node of this.nodes.values()) if (node.island === island) this.#deliver(node, { kind: 'noise' });
  }

  /** A host tells everybody by ARP that an address is its own. */
  claimByArp(address: string, mac: number): void {
    for (const node of this.nodes.values()) this.#deliver(node, { kind: 'arp-announce', address, mac });
  }

  /** Injects a message as if it came over the wire, to all nodes. */
  inject(message: Message): void {
    for (const node of this.nodes.values()) this.#deliver(node, { kind: 'message', message });
  }

  /** Every message that passes, e.g. to record it. */
  onMessage: ((from: SimulatedNode, message: Message) => void) | undefined;

  /** Messages for which it says true are lost on the way to everybody. */
  drops: ((from: SimulatedNode, message: Message) => boolean) | undefined;

  /** Lets time pass. */
  run(forMs: number): void {
    const endMs = this.nowMs + forMs;
    for (;;) {
      const item = this.#events.popDue(endMs);
      if (!item) break;
      this.nowMs = Math.max(item.dueMs, this.nowMs);
      item.value();
    }
    this.nowMs = endMs;
  }

  /** Lets time pass until the condition holds; how long that took. @throws RangeError after `atMostMs` */
  runUntil(condition: () => boolean, atMostMs: number, stepMs = 1): number {
    for (let ms = 0; ms <= atMostMs; ms += stepMs) {
      if (condition()) return ms;
      this.run(stepMs);
    }
    throw new RangeError(`not within ${atMostMs} ms`);
  }

  /** Names of the nodes that would answer an ARP request for the address now, on an island. */
  answerers(address: string, island?: number): string[] {
    return [...this.nodes.values()]
      .filter((node) => this.#answers(node, address) && (island === undefined || node.island === island))
      .map((node) => node.name);
  }

  ownership(name: string, address: string): Ownership | undefined {
    const { state } = this.node(name);
    const entry = state.entries.get(address);
    return entry && describeOwnership(state, entry, this.nowMs);
  }

  /** Starts to count anew how long addresses stay unanswered. */
  resetGaps(): void {
    this.#account();
    this.#silence.clear();
  }

  longestGapMs(address: string): number {
    this.#account();
    const silence = this.#silence.get(address);
    return Math.max(silence?.longestMs ?? 0, silence?.currentMs ?? 0);
  }

  get longestOverlapMs(): number {
    this.#account();
    return Math.max(
      0,
      ...this.overlaps.map(({ lastedMs }) => lastedMs),
      ...[...this.#open.values()].map((o) => o.lastedMs),
    );
  }

  #answers(node: SimulatedNode, address: string, atMs = this.nowMs): boolean {
    return node.running && !node.paused && node.linkUp && atMs < node.gateUntilMs && node.answersFor.has(address);
  }

  /** Integrates overlaps and silences up to now, everything having been the same since the last call. */
  #account(): void {
    const fromMs = this.#accountedMs;
    const untilMs = this.nowMs;
    this.#accountedMs = untilMs;
    if (!this.#accounts || untilMs === fromMs) return;
    const addresses = new Set<string>();
    for (const node of this.nodes.values()) for (const address of node.desired.keys()) addresses.add(address);
    for (const address of addresses) {
      const answering = [...this.nodes.values()].filter((node) => this.#answers(node, address, fromMs));
      const lastMs = Math.max(fromMs, ...answering.map((node) => Math.min(untilMs, node.gateUntilMs)));
      this.#silent(address, untilMs - lastMs, lastMs > fromMs);
      for (const island of new Set(answering.map((node) => node.island))) {
        const here = answering.filter((node) => node.island === island);
        const ends = here.map((node) => Math.min(untilMs, node.gateUntilMs)).sort((a, b) => b - a);
        this.#overlap(address, island, here, fromMs, (ends[1] ?? fromMs) - fromMs);
      }
      if (answering.length < 2)
        for (const [key, overlap] of this.#open) if (overlap.address === address) this.#end(key);
    }
  }

  #silent(address: string, ms: number, interrupted: boolean): void {
    const silence = this.#silence.get(address) ?? { currentMs: 0, longestMs: 0 };
    silence.longestMs = Math.max(silence.longestMs, silence.currentMs);
    silence.currentMs = (interrupted ? 0 : silence.currentMs) + ms;
    this.#silence.set(address, silence);
  }

  #overlap(address: string, island: number, nodes: SimulatedNode[], fromMs: number, ms: number): void {
    const key = `${address} ${island}`;
    if (nodes.length < 2) {
      this.#end(key);
      return;
    }
    if (ms <= 0) return;
    const open = this.#open.get(key);
    if (open) open.lastedMs += ms;
    else this.#open.set(key, { address, nodes: nodes.map((node) => node.name), fromMs, lastedMs: ms });
  }

  #end(key: string): void {
    const open = this.#open.get(key);
    if (!open) return;
    this.overlaps.push(open);
    this.#open.delete(key);
  }

  #note(address: string, node: SimulatedNode, kind: 'own' | 'disown'): void {
    this.ownerChanges.push({ atMs: this.nowMs, address, node: node.name, kind });
  }

  #whenAwake(node: SimulatedNode, run: () => void): void {
    if (!node.paused && !node.dazed) run();
    else node.deferred.push({ state: node.state, run });
  }

  #wake(node: SimulatedNode): void {
    if (!node.running || node.paused || node.dazed) return;
    for (const frame of node.queued.splice(0)) this.#receive(node, frame);
    if (node.heard) node.wireHeardMs = node.lastWakeMs;
    node.heard = false;
    node.lastWakeMs = this.nowMs;
    const peerMacs = new Set([...node.state.peers.values()].map((peer) => peer.mac));
    const witnesses = this.strangers.filter((stranger) => !peerMacs.has(stranger.mac)).length;
    this.#step(node, { kind: 'wake', wireHeardMs: node.wireHeardMs, witnesses });
  }

  #step(node: SimulatedNode, event: SegmentEvent): void {
    const { state } = node;
    let unsent = false;
    for (const effect of step(state, event, this.nowMs)) {
      switch (effect.kind) {
        case 'close-gate':
          this.#account();
          node.gateUntilMs = 0;
          break;
        case 'send':
          if (!node.linkUp) unsent ||= effect.gateUntilMs !== undefined;
          else {
            if (effect.gateUntilMs !== undefined) {
              this.#account();
              node.gateUntilMs = effect.gateUntilMs;
            }
            this.onMessage?.(node, effect.message);
            if (this.drops?.(node, effect.message)) break;
            this.#send(node, effect.to, { kind: 'message', message: this.#copy(effect.message) });
          }
          break;
        case 'own':
          this.#account();
          for (const address of effect.addresses) {
            node.answersFor.add(address);
            this.#note(address, node, 'own');
          }
          break;
        case 'disown':
          this.#account();
          for (const address of effect.addresses) {
            node.answersFor.delete(address);
            this.#note(address, node, 'disown');
          }
          break;
        case 'announce':
          for (const address of effect.addresses) {
            if (this.nowMs >= node.gateUntilMs) continue;
            this.arpFrames += 2;
            this.announcements.push({ atMs: this.nowMs, address, node: node.name });
            this.#send(node, undefined, { kind: 'arp-announce', address, mac: node.mac });
          }
          break;
        case 'probe':
          for (const address of effect.addresses) {
            this.arpFrames += 1;
            this.#send(node, effect.to, { kind: 'arp-probe', address, mac: node.mac });
            this.#askStrangers(node, address, effect.to);
          }
          break;
        case 'probe-witnesses':
          for (const stranger of this.strangers) {
            if (stranger.island === node.island && node.linkUp && node.transmits)
              this.#deliver(node, { kind: 'noise' });
          }
          break;
        case 'resigned':
          node.resigned = true;
          break;
        default:
          break;
      }
    }
    if (unsent) step(state, { kind: 'heartbeat-unsent' }, this.nowMs);
    if (node.running && node.state === state) expectAnswersToBeOwned(node);
    const dueMs = state.wakeMs;
    if (dueMs !== Number.POSITIVE_INFINITY) {
      this.#events.push(Math.max(this.nowMs + 0.01, dueMs), () => {
        if (node.state === state && state.wakeMs <= this.nowMs) this.#wake(node);
      });
    }
  }

  #copy(message: Message): Message {
    const end = encodeMessage(message, 7, this.#buffer, 0);
    const copy = decodeMessage(this.#buffer.subarray(0, end));
    if (!copy) throw new RangeError('a message of ours cannot be read');
    return copy;
  }

  #askStrangers(asker: SimulatedNode, address: string, to: number | undefined): void {
    for (const stranger of this.strangers) {
      if (stranger.island !== asker.island) continue;
      const broadcast = to === undefined;
      if (stranger.addresses.has(address) && (broadcast || to === stranger.mac)) {
        this.#deliver(asker, { kind: 'arp-reply', address, mac: stranger.mac });
      }
      const proxied = stranger.proxyFor.get(address);
      if (broadcast && proxied !== undefined) this.#deliver(asker, { kind: 'arp-reply', address, mac: proxied });
    }
  }

  #send(from: SimulatedNode, to: number | undefined, frame: Frame): void {
    if (!from.linkUp || !from.transmits || (to === undefined && this.dropGroupFrom === from.name)) return;
    this.frames += 1;
    for (const node of this.nodes.values()) {
      if (node === from || node.island !== from.island || (to !== undefined && node.mac !== to)) continue;
      this.#deliver(node, frame);
    }
  }

  #deliver(node: SimulatedNode, frame: Frame): void {
    const { delayMs, loss, duplicate, reorder } = this.quality;
    const copies = loss > 0 && this.#random() < loss ? 0 : duplicate > 0 && this.#random() < duplicate ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const extraMs = reorder > 0 && this.#random() < reorder ? 30 * this.#random() : 0;
      const atMs = this.nowMs + delayMs[0] + (delayMs[1] - delayMs[0]) * this.#random() + extraMs;
      const { island } = node;
      this.#events.push(atMs, () => {
        if (!node.running || !node.linkUp || node.island !== island) return;
        if (node.paused || node.dazed) {
          if (node.queued.length < this.queueLength) node.queued.push(frame);
        } else this.#receive(node, frame);
      });
    }
  }

  #receive(node: SimulatedNode, frame: Frame): void {
    switch (frame.kind) {
      case 'message':
        this.#step(node, { kind: 'message', message: frame.message });
        return;
      case 'arp-probe':
        node.heard = true;
        if (!this.#answers(node, frame.address) && !this.kernelAnswers.get(node.name)?.has(frame.address)) return;
        this.#send(node, frame.mac, { kind: 'arp-reply', address: frame.address, mac: node.mac });
        return;
      case 'arp-announce':
      case 'arp-reply':
        node.heard = true;
        if (node.state.entries.has(frame.address)) {
          this.#step(node, { kind: 'arp-seen', address: frame.address, mac: frame.mac });
        }
        return;
      case 'noise':
        node.heard = true;
        return;
    }
  }
}

/** Who answers for what it does not own could not be told to stop by anybody. */
function expectAnswersToBeOwned({ name, answersFor, state }: SimulatedNode): void {
  const stray = [...answersFor].find((address) => !state.owned.has(address));
  if (stray !== undefined) throw new RangeError(`${name} answers for ${stray}, which it does not own`);
  if (answersFor.size !== state.owned.size) throw new RangeError(`${name} does not answer for all that it owns`);
}

function wishes(desired: ReadonlyMap<string, readonly string[]>) {
  return [...desired].map(([address, names]) => ({ address, eligible: new Set(names) }));
}
