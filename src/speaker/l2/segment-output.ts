import { entryBytes, type Message, type MessageBody, maximumEntryBytes, type OwnedOp } from './heartbeat-message.ts';
import type { Entry, SegmentState } from './segment-state.ts';

/** What `step` wants done, in this order. */
export type Effect =
  /** Answer for nothing from now on. */
  | { kind: 'close-gate' }
  | { kind: 'disown'; addresses: readonly string[] }
  /**
   * `to`: a MAC address, or undefined for the group. With `gateUntilMs`, and only when the message was sent, the right
   * to answer is extended to that time; when it was not, tell `heartbeat-unsent`.
   */
  | { kind: 'send'; to: number | undefined; message: Message; gateUntilMs: number | undefined }
  | { kind: 'own'; addresses: readonly string[] }
  /** Tell everybody on the wire, several times. */
  | { kind: 'announce'; addresses: readonly string[] }
  /** Ask the wire who has these, by broadcast, or by unicast to `to`. Report answers with `arp-seen`. */
  | { kind: 'probe'; addresses: readonly string[]; to: number | undefined }
  /** Ask hosts seen lately whether they hear us. */
  | { kind: 'probe-witnesses' }
  /** These entries look different to a reader. */
  | { kind: 'changed'; entries: readonly Entry[] }
  /** A peer appeared, died or left. */
  | { kind: 'peers-changed' }
  /** Everything is handed over or released; nothing more will come. */
  | { kind: 'resigned' };

/** Addresses of one silent owner that are probed at most: it answers for all of them or for none. */
const probeSample = 64;
/** Messages that leave at once; the rest of a bulk follows after `outboxPauseMs`. */
const outboxBurst = 32;
const outboxPauseMs = 5;
const logLength = 2048;

/** Collects what one step wants done. */
export class Output {
  closeGate = false;
  probeWitnesses = false;
  peersChanged = false;
  resigned = false;
  announce: Set<string> | undefined;
  /** By MAC address of the owner that is looked for, 0 for nobody's; negative: ask only that owner, by unicast. */
  probes: Map<number, string[]> | undefined;
  changed: Set<Entry> | undefined;
  sends: Extract<Effect, { kind: 'send' }>[] | undefined;
  #own: Set<string> | undefined;
  #disown: Set<string> | undefined;

  addOwned(address: string): void {
    this.#own ??= new Set();
    this.#own.add(address);
  }

  /** The last word counts: what was taken in this very step, and given up again, is not answered for either. */
  addDisowned(address: string): void {
    this.announce?.delete(address);
    if (this.#own?.delete(address)) return;
    this.#disown ??= new Set();
    this.#disown.add(address);
  }

  addProbe(address: string, mac: number, unicast: boolean): void {
    this.probes ??= new Map();
    const key = unicast ? -mac : mac;
    const group = this.probes.get(key);
    if (!group) this.probes.set(key, [address]);
    else group.push(address);
  }

  touch(entry: Entry): void {
    this.changed ??= new Set();
    this.changed.add(entry);
  }

  addAnnouncement(address: string): void {
    this.announce ??= new Set();
    this.announce.add(address);
  }

  send(state: SegmentState, to: number | undefined, body: MessageBody, gateUntilMs?: number): void {
    this.sends ??= [];
    this.sends.push({ kind: 'send', to, message: { header: headerOf(state), body }, gateUntilMs });
  }

  effects(): readonly Effect[] {
    if (this.#isEmpty()) return nothing;
    const effects: Effect[] = [];
    if (this.closeGate) effects.push({ kind: 'close-gate' });
    if (this.#disown) effects.push({ kind: 'disown', addresses: [...this.#disown] });
    if (this.sends) effects.push(...this.sends);
    if (this.#own?.size) effects.push({ kind: 'own', addresses: [...this.#own] });
    if (this.announce?.size) effects.push({ kind: 'announce', addresses: [...this.announce] });
    for (const [key, addresses] of this.probes ?? []) {
      const sample = key === 0 ? addresses : spread(addresses, probeSample);
      if (key >= 0) effects.push({ kind: 'probe', addresses: sample, to: undefined });
      if (key !== 0) effects.push({ kind: 'probe', addresses: sample, to: Math.abs(key) });
    }
    if (this.probeWitnesses) effects.push({ kind: 'probe-witnesses' });
    if (this.changed) effects.push({ kind: 'changed', entries: [...this.changed] });
    if (this.peersChanged) effects.push({ kind: 'peers-changed' });
    if (this.resigned) effects.push({ kind: 'resigned' });
    return effects;
  }

  #isEmpty(): boolean {
    return !(
      this.closeGate ||
      this.probeWitnesses ||
      this.peersChanged ||
      this.resigned ||
      this.#disown ||
      this.#own ||
      this.announce ||
      this.probes ||
      this.changed ||
      this.sends
    );
  }
}

const nothing: readonly Effect[] = Object.freeze([]);

function spread(addresses: readonly string[], most: number): readonly string[] {
  if (addresses.length <= most) return addresses;
  const step = addresses.length / most;
  return Array.from({ length: most }, (_, i) => addresses[Math.floor(i * step)] ?? '');
}

function headerOf(state: SegmentState): Message['header'] {
  state.sequence += 1;
  return {
    node: state.options.node,
    boot: state.options.boot,
    mac: state.mac,
    sequence: state.sequence,
    resigning: state.mode.kind === 'resigning' || state.mode.kind === 'stopped',
    leaving: state.mode.kind === 'stopped',
    listening: state.mode.kind === 'listening',
    heartbeatMs: state.options.timing.heartbeatMs,
    holdMs: state.options.timing.holdMs,
    setVersion: state.setVersion,
    setCount: state.owned.size,
    digestHigh: state.digest.high,
    digestLow: state.digest.low,
  };
}

/** Changes the set we own and notes it for the others. `claim` of an owned address says it anew. */
export function record(state: SegmentState, op: OwnedOp, nowMs: number): void {
  const known = state.owned.get(op.address);
  if (op.code === 'release') {
    if (known === undefined) return;
    state.owned.delete(op.address);
    state.digest.toggle(op.address, known);
  } else if (op.code === 'claim' && known !== op.epoch) {
    if (known !== undefined) state.digest.toggle(op.address, known);
    state.owned.set(op.address, op.epoch);
    state.digest.toggle(op.address, op.epoch);
  }
  state.setVersion += 1;
  state.log.push({ ...op, atMs: nowMs });
  if (state.log.length > 2 * logLength) state.log.splice(0, state.log.length - logLength);
}

/** News of the ops that follow set version `after`, in messages of bearable size. */
export function newsAfter(state: SegmentState, after: number): MessageBody[] {
  const bodies: MessageBody[] = [];
  const start = state.setVersion - state.log.length;
  let base = Math.max(after, start);
  while (base < state.setVersion) {
    const ops: OwnedOp[] = [];
    let bytes = 0;
    for (let at = base - start; at < state.log.length; at++) {
      const op = state.log[at];
      if (!op) break;
      bytes += entryBytes(op.address);
      if (bytes > maximumEntryBytes) break;
      ops.push(op);
    }
    bodies.push({ kind: 'news', base, ops });
    base += ops.length;
  }
  return bodies;
}

/** The latest ops, as many as a heartbeat repeats: no older than three heartbeats. */
export function recentNews(state: SegmentState, nowMs: number): MessageBody {
  const oldestMs = nowMs - 3.5 * state.options.timing.heartbeatMs;
  let from = state.log.length;
  let bytes = 0;
  for (; from > 0; from--) {
    const op = state.log[from - 1];
    if (!op || op.atMs < oldestMs) break;
    bytes += entryBytes(op.address);
    if (bytes > maximumEntryBytes) break;
  }
  return { kind: 'news', base: state.setVersion - (state.log.length - from), ops: state.log.slice(from) };
}

/** All that we own, in chunks. */
export function fullSet(state: SegmentState, yielding: (address: string) => boolean): MessageBody[] {
  const parts: { address: string; epoch: number; yielding: boolean }[][] = [[]];
  let bytes = 0;
  for (const [address, epoch] of state.owned) {
    bytes += entryBytes(address);
    if (bytes > maximumEntryBytes) {
      parts.push([]);
      bytes = entryBytes(address);
    }
    parts.at(-1)?.push({ address, epoch, yielding: yielding(address) });
  }
  return parts.map((entries, index) => ({
    kind: 'chunk',
    version: state.setVersion,
    index,
    total: parts.length,
    entries,
  }));
}

/** Sends ops that the others have not heard of. */
export function flushNews(state: SegmentState, nowMs: number, out: Output): void {
  if (state.sentVersion === state.setVersion) return;
  const bodies = newsAfter(state, state.sentVersion);
  state.sentVersion = state.setVersion;
  if (state.mode.kind !== 'down') enqueue(state, bodies, nowMs, out);
}

/** Sends now what may leave at once, the rest a little later. */
export function enqueue(state: SegmentState, bodies: readonly MessageBody[], nowMs: number, out: Output): void {
  state.outbox.push(...bodies);
  if (state.outboxMs === Number.POSITIVE_INFINITY) drainOutbox(state, nowMs, out);
}

/** Sends the next burst of waiting messages. */
export function drainOutbox(state: SegmentState, nowMs: number, out: Output): void {
  for (const body of state.outbox.splice(0, outboxBurst)) out.send(state, undefined, body);
  state.outboxMs = state.outbox.length > 0 ? nowMs + outboxPauseMs : Number.POSITIVE_INFINITY;
  state.wakeMs = Math.min(state.wakeMs, state.outboxMs);
}
