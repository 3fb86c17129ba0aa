import { type Clock, describeError, type Logger, type Random, type Timer } from '../../base/index.ts';
import { AnnouncementSchedule } from './announcement-schedule.ts';
import { macText } from './arp-frame.ts';
import { ArpResponder } from './arp-responder.ts';
import type { HeartbeatAuth } from './heartbeat-auth.ts';
import { frameHeaderBytes, groupMac, readFrame, writeFrameHeaders } from './heartbeat-frame.ts';
import { decodeMessage, encodeMessage, type Message, peekCluster } from './heartbeat-message.ts';
import { LatenessHistogram, type LatenessReport } from './lateness-histogram.ts';
import type { NeighbourResponder, ResponderCounters } from './neighbour-responder.ts';
import { describeOwnership, type Ownership } from './ownership-report.ts';
import { type DesiredAddress, type SegmentEvent, step } from './segment.ts';
import type { Effect } from './segment-output.ts';
import { createSegment, type Entry, type SegmentCounters, type SegmentState } from './segment-state.ts';
import type { L2Timing } from './timing.ts';

/** The sockets and the gate of one interface. */
export interface SegmentIo {
  /** ms of CLOCK_BOOTTIME. */
  nowMs(): number;
  sendHeartbeat(frame: Uint8Array): boolean;
  sendArp(frame: Uint8Array): boolean;
  /** False when the gate is closed, too. */
  sendArpGated(frame: Uint8Array): boolean;
  /** Frames may be sent under the gate until that time of `nowMs`. */
  openGate(untilMs: number): void;
  closeGate(): void;
  /** Delivers what is queued in the sockets before it returns. */
  drain(): void;
  close(): void;
}

export interface SegmentReceiver {
  onHeartbeat(frame: Uint8Array): void;
  onArp(frame: Uint8Array): void;
}

export interface SegmentRuntimeOptions {
  readonly interfaceName: string;
  readonly node: string;
  readonly boot: string;
  readonly mac: number;
  /** First IPv4 address of the interface as an unsigned number, 0 when it has none. */
  readonly sourceAddress: number;
  readonly port: number;
  readonly cluster: number;
  readonly auth: HeartbeatAuth;
  readonly timing: L2Timing;
  readonly clock: Clock;
  readonly random: Random;
  readonly nonce: () => string;
  readonly logger: Logger;
  /** @throws when the interface is gone or refuses */
  readonly open: (receiver: SegmentReceiver) => SegmentIo;
  readonly onChanged: (addresses: readonly string[]) => void;
  readonly onPeersChanged: () => void;
  readonly onResigned: () => void;
}

export interface SegmentPeerReport {
  node: string;
  mac: string;
  alive: boolean;
  lastHeardMs: number;
  owned: number;
}

export interface SegmentReport {
  interface: string;
  mac: string;
  mode: string;
  peers: SegmentPeerReport[];
  owned: number;
  counters: SegmentCounters;
  arp: ResponderCounters;
  lateness: LatenessReport;
}

/** Frames of announcements a second at most; each announcement is two. */
const announcementsPerMs = 2.5;
const announcementBurst = 50;
const paceMs = 10;
/** Probes that leave at once; more wait behind the announcements. */
const probeBurst = 256;
const frameBytes = 1_500;

/** Runs the ownership of one interface: hands it frames, timers and wishes, and does what it says. */
export class SegmentRuntime {
  readonly #options: SegmentRuntimeOptions;
  readonly #io: SegmentIo;
  readonly #state: SegmentState;
  readonly #arp: NeighbourResponder;
  readonly #schedule: AnnouncementSchedule;
  readonly #lateness = new LatenessHistogram();
  readonly #frame = Buffer.alloc(frameBytes);
  readonly #probeQueue: string[] = [];
  #sourceAddress: number;
  #wakeTimer: Timer | undefined;
  #armedMs = Number.POSITIVE_INFINITY;
  #paceTimer: Timer | undefined;
  #paceMs = Number.POSITIVE_INFINITY;
  #tokens = announcementBurst;
  #tokensMs = 0;
  #lastWakeMs = Number.NEGATIVE_INFINITY;
  #wireHeardMs = Number.NEGATIVE_INFINITY;
  #unsent = false;
  #closed = false;

  constructor(options: SegmentRuntimeOptions) {
    this.#options = options;
    this.#sourceAddress = options.sourceAddress;
    const { node, boot, mac, timing, random, nonce } = options;
    this.#state = createSegment({ node, boot, mac, timing, random, nonce });
    this.#schedule = new AnnouncementSchedule(random);
    this.#io = options.open({
      onHeartbeat: (frame) => this.#onHeartbeat(frame),
      onArp: (frame) => {
        if (!this.#closed) this.#arp.receive(frame);
      },
    });
    this.#arp = new ArpResponder({
      mac,
      send: (frame) => this.#io.sendArp(frame),
      sendGated: (frame) => this.#io.sendArpGated(frame),
      onSeen: (address, seenMac) => this.#step({ kind: 'arp-seen', address, mac: seenMac }),
    });
  }

  setLink(up: boolean): void {
    this.#step({ kind: 'link', up });
  }

  setMac(mac: number): void {
    this.#arp.setMac(mac);
    this.#step({ kind: 'mac', mac });
  }

  setSourceAddress(address: number): void {
    this.#sourceAddress = address;
  }

  setDesired(set: readonly DesiredAddress[], remove: readonly string[]): void {
    for (const { address } of set) this.#arp.watch(address);
    this.#step({ kind: 'desired', set, remove });
    for (const address of remove) this.#arp.unwatch(address);
  }

  resign(withinMs: number): void {
    this.#step({ kind: 'resign', withinMs });
  }

  ownership(address: string): (Ownership & { forMs: number }) | undefined {
    const entry = this.#state.entries.get(address);
    if (!entry) return undefined;
    const nowMs = this.#io.nowMs();
    return { ...describeOwnership(this.#state, entry, nowMs), forMs: Math.max(0, nowMs - entry.sinceMs) };
  }

  report(): SegmentReport {
    const nowMs = this.#io.nowMs();
    const peers = [...this.#state.peers.values()].map((peer) => ({
      node: peer.node,
      mac: macText(peer.mac),
      alive: peer.alive,
      lastHeardMs: Math.max(0, nowMs - peer.lastHeardMs),
      owned: peer.owned.size,
    }));
    return {
      interface: this.#options.interfaceName,
      mac: macText(this.#state.mac),
      mode: this.#state.mode.kind,
      peers: peers.sort((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : 0)),
      owned: this.#state.owned.size,
      counters: { ...this.#state.counters },
      arp: { ...this.#arp.counters },
      lateness: this.#lateness.report(),
    };
  }

  /** Stops at once, without a word to the others. */
  close(): void {
    this.#closed = true;
    this.#wakeTimer?.cancel();
    this.#paceTimer?.cancel();
    this.#io.closeGate();
    this.#io.close();
  }

  #onHeartbeat(bytes: Uint8Array): void {
    if (this.#closed) return;
    const payload = readFrame(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), this.#options.port);
    if (!payload) return;
    this.#step(this.#understand(payload));
  }

  #understand(payload: Buffer): SegmentEvent {
    const cluster = peekCluster(payload);
    if (cluster === undefined) return { kind: 'not-understood', why: 'malformed' };
    if (cluster !== this.#options.cluster) return { kind: 'not-understood', why: 'foreign' };
    const opened = this.#options.auth.open(payload);
    if (!opened) return { kind: 'not-understood', why: 'unauthenticated' };
    const message = decodeMessage(opened);
    return message ? { kind: 'message', message } : { kind: 'not-understood', why: 'malformed' };
  }

  #wake(): void {
    const nowMs = this.#io.nowMs();
    this.#lateness.add(Math.max(0, nowMs - this.#armedMs));
    this.#armedMs = Number.POSITIVE_INFINITY;
    // What the others said while we were busy must be known before anybody's silence is judged.
    this.#io.drain();
    if (this.#closed) return;
    // Heard some time after the last wake: say the earliest, so that it is no proof of more than it is.
    if (this.#arp.takeHeard()) this.#wireHeardMs = this.#lastWakeMs;
    this.#lastWakeMs = nowMs;
    const witnesses = this.#arp.witnesses(this.#peerMacs());
    this.#step({ kind: 'wake', wireHeardMs: this.#wireHeardMs, witnesses });
    this.#arm();
  }

  #peerMacs(): Set<number> {
    const macs = new Set<number>();
    for (const peer of this.#state.peers.values()) macs.add(peer.mac);
    return macs;
  }

  #step(event: SegmentEvent): void {
    if (this.#closed) return;
    for (const effect of step(this.#state, event, this.#io.nowMs())) this.#do(effect);
    if (this.#unsent) {
      this.#unsent = false;
      step(this.#state, { kind: 'heartbeat-unsent' }, this.#io.nowMs());
    }
    if (this.#state.wakeMs < this.#armedMs) this.#arm();
  }

  #arm(): void {
    if (this.#closed || this.#state.wakeMs === this.#armedMs) return;
    this.#wakeTimer?.cancel();
    this.#armedMs = this.#state.wakeMs;
    if (this.#armedMs === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.max(0, Math.ceil(this.#armedMs - this.#io.nowMs()));
    this.#wakeTimer = this.#options.clock.setTimer(delayMs, () => this.#wake());
  }

  #do(effect: Effect): void {
    switch (effect.kind) {
      case 'close-gate':
        this.#io.closeGate();
        return;
      case 'disown':
        for (const address of effect.addresses) {
          this.#arp.disown(address);
          this.#schedule.stop(address);
        }
        return;
      case 'send':
        this.#send(effect);
        return;
      case 'own':
        for (const address of effect.addresses) this.#arp.own(address);
        return;
      case 'announce': {
        const nowMs = this.#io.nowMs();
        for (const address of effect.addresses) this.#schedule.start(address, nowMs);
        this.#pace();
        return;
      }
      case 'probe':
        if (effect.to === undefined && effect.addresses.length > probeBurst) {
          for (const address of effect.addresses) this.#probeQueue.push(address);
          this.#pace();
        } else {
          for (const address of effect.addresses) this.#arp.probe(address, effect.to);
        }
        return;
      case 'probe-witnesses':
        this.#arp.probeWitnesses(this.#peerMacs());
        return;
      case 'changed':
        this.#options.onChanged(effect.entries.map((entry: Entry) => entry.address));
        return;
      case 'peers-changed':
        this.#options.onPeersChanged();
        return;
      case 'resigned':
        this.#options.onResigned();
        return;
    }
  }

  #send({ to, message, gateUntilMs }: Extract<Effect, { kind: 'send' }>): void {
    if (this.#transmit(to, message)) {
      if (gateUntilMs !== undefined) this.#io.openGate(gateUntilMs);
    } else if (gateUntilMs !== undefined || message.header.listening) {
      this.#unsent = true;
    }
  }

  #transmit(to: number | undefined, message: Message): boolean {
    const { cluster, auth, port } = this.#options;
    const frame = this.#frame;
    try {
      const end = auth.sign(frame, frameHeaderBytes, encodeMessage(message, cluster, frame, frameHeaderBytes));
      writeFrameHeaders(frame, end - frameHeaderBytes, {
        sourceMac: this.#state.mac,
        destinationMac: to ?? groupMac,
        sourceAddress: this.#sourceAddress,
        port,
      });
      return this.#io.sendHeartbeat(frame.subarray(0, end));
    } catch (thrown) {
      this.#options.logger.warn(
        { interface: this.#options.interfaceName, error: describeError(thrown) },
        'a heartbeat could not be sent',
      );
      return false;
    }
  }

  /** Sends announcements, then waiting probes, as fast as is good for the network. */
  #pace(): void {
    if (this.#closed) return;
    const nowMs = this.#io.nowMs();
    this.#tokens = Math.min(announcementBurst, this.#tokens + (nowMs - this.#tokensMs) * announcementsPerMs);
    this.#tokensMs = nowMs;
    const due = this.#schedule.take(nowMs, Math.floor(this.#tokens));
    for (const address of due) this.#arp.announce(address);
    this.#tokens -= due.length;
    const probes = this.#probeQueue.splice(0, Math.floor(this.#tokens));
    for (const address of probes) this.#arp.probe(address, undefined);
    this.#tokens -= probes.length;
    const nextMs = this.#probeQueue.length > 0 ? nowMs : this.#schedule.nextMs;
    if (nextMs === Number.POSITIVE_INFINITY) return;
    const atMs = Math.max(nextMs, nowMs + paceMs);
    if (this.#paceTimer && this.#paceMs <= atMs && this.#paceMs > nowMs) return;
    this.#paceTimer?.cancel();
    this.#paceMs = atMs;
    this.#paceTimer = this.#options.clock.setTimer(Math.ceil(atMs - nowMs), () => {
      this.#paceTimer = undefined;
      this.#pace();
    });
  }
}
