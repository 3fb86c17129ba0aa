/**
 * Who answers for which address on one interface: the election that needs no referee.
 *
 * Each speaker tells on the wire itself that it lives and which addresses it owns. The rules:
 *
 * - Nothing is claimed before one hold time of listening (after the start, a link that came up, or a stall).
 * - A free address goes to the first in line (rendezvous hashing over the living candidates); the k-th in line waits k
 *   rank delays more. An owner keeps what it owns; who comes back takes nothing.
 * - A dead owner's addresses are first probed on the wire, so a lost heartbeat alone moves nothing.
 * - Each claim raises the address's epoch. Of two owners the one with the lower epoch stops at once.
 * - An owner that must go keeps answering until its successor is heard, so nothing is lost on the way.
 * - The right to answer ends by itself before the others may take over: only a sent heartbeat extends it.
 *
 * `step` is deterministic and does no I/O; it changes the state in place, since copying thousands of entries ten times
 * a second would be the larger evil. Times are ms of one clock that never jumps back (CLOCK_BOOTTIME).
 */
import type { Message } from './heartbeat-message.ts';
import { hashText } from './rendezvous.ts';
import { drainOutbox, type Effect, enqueue, flushNews, Output, recentNews } from './segment-output.ts';
import { evaluateAll, nextPeerMs, receive, watchPeers } from './segment-peers.ts';
import { arpSeen, evaluate, isIsolated, release } from './segment-placement.ts';
import type { Entry, SegmentState } from './segment-state.ts';

export type SegmentEvent =
  /** Time has come to `state.wakeMs`. Deliver what the sockets have queued before this. */
  | { kind: 'wake'; wireHeardMs: number; witnesses: number }
  /** An authenticated message of this cluster. */
  | { kind: 'message'; message: Message }
  /** Something on our port that could not be believed or read. */
  | { kind: 'not-understood'; why: 'foreign' | 'unauthenticated' | 'malformed' }
  /** Addresses to own or watch over here, and those no longer wanted. */
  | { kind: 'desired'; set: readonly DesiredAddress[]; remove: readonly string[] }
  | { kind: 'link'; up: boolean }
  | { kind: 'mac'; mac: number }
  /** Another host sent ARP with one of our desired addresses as its own. */
  | { kind: 'arp-seen'; address: string; mac: number }
  /** The heartbeat of the last step did not leave this host. */
  | { kind: 'heartbeat-unsent' }
  /** Hand everything over and stop, within this time. */
  | { kind: 'resign'; withinMs: number };

export interface DesiredAddress {
  address: string;
  eligible: ReadonlySet<string>;
}

const oldEpochsKept = 10_000;

/** Takes in one event; the answer is what to do, in order. `state.wakeMs` then says when to send the next wake event. */
export function step(state: SegmentState, event: SegmentEvent, nowMs: number): readonly Effect[] {
  const out = new Output();
  switch (event.kind) {
    case 'message':
      state.counters.messagesReceived += 1;
      if (isRunning(state)) receive(state, event.message, nowMs, out);
      break;
    case 'wake':
      state.wireHeardMs = event.wireHeardMs;
      state.witnesses = event.witnesses;
      if (isRunning(state)) wake(state, nowMs, out);
      break;
    case 'not-understood':
      state.counters[event.why] += 1;
      if (event.why === 'unauthenticated') state.uncertainUntilMs = nowMs + state.options.timing.holdMs;
      break;
    case 'desired':
      changeDesired(state, event.set, event.remove, nowMs, out);
      break;
    case 'link':
      if (event.up && state.mode.kind === 'down') listen(state, 'link-up', nowMs, out);
      else if (!event.up && state.mode.kind !== 'down') goDown(state, nowMs, out);
      break;
    case 'mac':
      if (event.mac === state.mac) break;
      state.mac = event.mac;
      for (const address of state.owned.keys()) out.addAnnouncement(address);
      if (isRunning(state)) state.wakeMs = state.nextHeartbeatMs = nowMs;
      break;
    case 'arp-seen': {
      const entry = state.entries.get(event.address);
      if (entry) arpSeen(state, entry, event.mac, nowMs, out);
      break;
    }
    case 'heartbeat-unsent':
      state.lastHeartbeatMs = state.previousHeartbeatMs;
      break;
    case 'resign':
      resign(state, event.withinMs, nowMs, out);
      break;
  }
  flushNews(state, nowMs, out);
  if (state.mode.kind === 'resigning' && state.owned.size === 0) finish(state, nowMs, out);
  return out.effects();
}

function isRunning({ mode }: SegmentState): boolean {
  return mode.kind !== 'down' && mode.kind !== 'stopped';
}

/** Starts over as somebody who knows nothing: owns nothing, claims nothing for a hold time. */
function listen(
  state: SegmentState,
  why: Extract<SegmentState['mode'], { kind: 'listening' }>['why'],
  nowMs: number,
  out: Output,
): void {
  const { holdMs } = state.options.timing;
  const first = why === 'link-up' && state.lastHeartbeatMs === Number.NEGATIVE_INFINITY;
  state.mode = {
    kind: 'listening',
    untilMs: nowMs + holdMs,
    latestMs: nowMs + 2 * holdMs,
    why: first ? 'started' : why,
  };
  state.nextHeartbeatMs = nowMs;
  state.lastHeartbeatMs = nowMs;
  state.previousHeartbeatMs = nowMs;
  state.wakeMs = nowMs;
  for (const entry of state.entries.values()) {
    evaluate(state, entry, nowMs, out);
    out.touch(entry);
  }
}

function dropAll(state: SegmentState, nowMs: number, out: Output): void {
  out.closeGate = true;
  for (const address of [...state.owned.keys()]) {
    const entry = state.entries.get(address);
    if (entry) release(state, entry, { kind: 'released' }, nowMs, out);
  }
}

function goDown(state: SegmentState, nowMs: number, out: Output): void {
  const resigned = state.mode.kind === 'resigning';
  const stopped = resigned || state.mode.kind === 'stopped';
  state.mode = { kind: 'down' };
  dropAll(state, nowMs, out);
  state.peers.clear();
  state.claims.clear();
  state.questions.clear();
  state.outbox.length = 0;
  state.outboxMs = Number.POSITIVE_INFINITY;
  state.sentVersion = state.setVersion;
  state.lonely = undefined;
  state.nextHeartbeatMs = Number.POSITIVE_INFINITY;
  state.wakeMs = Number.POSITIVE_INFINITY;
  for (const entry of state.entries.values()) {
    evaluate(state, entry, nowMs, out);
    out.touch(entry);
  }
  out.peersChanged = true;
  if (stopped) state.mode = { kind: 'stopped' };
  // There is nobody left to hand anything to, and nothing to claim when the link is back.
  if (resigned) out.resigned = true;
}

function changeDesired(
  state: SegmentState,
  set: readonly DesiredAddress[],
  remove: readonly string[],
  nowMs: number,
  out: Output,
): void {
  for (const address of remove) {
    const entry = state.entries.get(address);
    if (!entry) continue;
    release(state, entry, { kind: 'released' }, nowMs, out);
    state.waiting.delete(entry);
    state.probing.delete(entry);
    state.isolated.delete(entry);
    entry.dueMs = Number.NaN;
    state.entries.delete(address);
    out.changed?.delete(entry);
    state.oldEpochs.delete(address);
    state.oldEpochs.set(address, entry.epoch);
    for (const oldest of state.oldEpochs.keys()) {
      if (state.oldEpochs.size <= oldEpochsKept) break;
      state.oldEpochs.delete(oldest);
    }
  }
  for (const { address, eligible } of set) {
    let entry = state.entries.get(address);
    if (entry) {
      entry.eligible = eligible;
      out.touch(entry);
    } else {
      entry = newEntry(state, address, eligible, nowMs);
      state.entries.set(address, entry);
      out.touch(entry);
    }
    evaluate(state, entry, nowMs, out);
  }
}

function newEntry(state: SegmentState, address: string, eligible: ReadonlySet<string>, nowMs: number): Entry {
  let epoch = state.oldEpochs.get(address) ?? 0;
  for (const claim of state.claims.get(address) ?? []) epoch = Math.max(epoch, claim.epoch);
  return {
    address,
    hash: hashText(address),
    eligible,
    phase: { kind: 'none' },
    sinceMs: nowMs,
    epoch,
    lastEnd: { kind: 'never' },
    freeSinceMs: undefined,
    dueMs: Number.POSITIVE_INFINITY,
    moves: undefined,
    inUseRetries: 0,
    proxySuspected: false,
    answeredBy: undefined,
    conflict: undefined,
    lastDefenceMs: Number.NEGATIVE_INFINITY,
  };
}

function wake(state: SegmentState, nowMs: number, out: Output): void {
  const { timing } = state.options;
  if (nowMs - state.lastHeartbeatMs > timing.holdMs) {
    // The others may have taken us for dead. Whatever we believed to own is theirs by now, or will be.
    state.counters.stalls += 1;
    dropAll(state, nowMs, out);
    forgive(state, nowMs);
    if (state.mode.kind !== 'resigning') listen(state, 'stalled', nowMs, out);
  } else if (nowMs - state.nextHeartbeatMs > timing.heartbeatMs) {
    forgive(state, nowMs);
  }
  if (state.mode.kind === 'listening' && nowMs >= state.mode.untilMs) {
    const complete = [...state.peers.values()].every((peer) => !peer.alive || peer.inSync);
    // Who could not send one heartbeat meanwhile would not be heard claiming either.
    const heard = state.lastHeartbeatMs > state.mode.untilMs - timing.holdMs;
    if (heard && (complete || nowMs >= state.mode.latestMs)) {
      const { untilMs, why } = state.mode;
      const alone = ![...state.peers.values()].some((peer) => peer.alive);
      // A port that came up may not pass anything yet (STP, LACP, 802.1X): silence proves nothing.
      if (alone && why !== 'stalled' && !state.lonely) {
        state.lonely = { sinceMs: untilMs - timing.holdMs, peers: 'unmet', lifeMs: undefined };
        noteLife(state);
      }
      state.mode = { kind: 'active' };
      state.nextHeartbeatMs = nowMs;
      evaluateAll(state, [...state.entries.keys()], nowMs, out);
    }
  }
  watchPeers(state, nowMs, out);
  noteLife(state);
  leaveIsolation(state, nowMs, out);
  for (let item = state.queue.popDue(nowMs); item; item = state.queue.popDue(nowMs)) {
    if (item.value.dueMs !== item.dueMs) continue;
    item.value.dueMs = Number.POSITIVE_INFINITY;
    evaluate(state, item.value, nowMs, out);
  }
  if (nowMs >= state.outboxMs) drainOutbox(state, nowMs, out);
  if (state.mode.kind === 'resigning' && nowMs >= state.mode.untilMs) dropAll(state, nowMs, out);
  flushNews(state, nowMs, out);
  if (nowMs >= state.nextHeartbeatMs) sendHeartbeat(state, nowMs, out);
  state.wakeMs = Math.min(
    state.nextHeartbeatMs,
    state.queue.nextMs,
    state.outboxMs,
    nextPeerMs(state),
    state.mode.kind === 'listening' && nowMs < state.mode.untilMs ? state.mode.untilMs : Number.POSITIVE_INFINITY,
    state.mode.kind === 'resigning' ? state.mode.untilMs : Number.POSITIVE_INFINITY,
  );
}

/** The wire carried something later than a heartbeat after the last peer was heard: it works, at least towards us. */
function noteLife(state: SegmentState): void {
  const { lonely, wireHeardMs } = state;
  if (lonely && lonely.lifeMs === undefined && wireHeardMs > lonely.sinceMs + state.options.timing.heartbeatMs) {
    lonely.lifeMs = wireHeardMs;
  }
}

/** All isolated entries are so for the same reason: one is asked for all. */
function leaveIsolation(state: SegmentState, nowMs: number, out: Output): void {
  const [first] = state.isolated;
  if (!first) return;
  if (isIsolated(state, first, nowMs)) out.probeWitnesses = true;
  else for (const entry of [...state.isolated]) evaluate(state, entry, nowMs, out);
}

/** We were late, so the others' silence may be our own deafness: they get two more heartbeats. */
function forgive(state: SegmentState, nowMs: number): void {
  for (const peer of state.peers.values()) {
    if (peer.alive) peer.lastHeardMs = Math.max(peer.lastHeardMs, nowMs - peer.holdMs + 2 * peer.heartbeatMs);
  }
}

function sendHeartbeat(state: SegmentState, nowMs: number, out: Output): void {
  const { timing, random } = state.options;
  const answers = state.mode.kind === 'active' || state.mode.kind === 'resigning';
  const gateUntilMs = answers ? nowMs + timing.holdMs - timing.gateMarginMs : undefined;
  out.send(state, undefined, recentNews(state, nowMs), gateUntilMs);
  state.counters.heartbeatsSent += 1;
  state.previousHeartbeatMs = state.lastHeartbeatMs;
  state.lastHeartbeatMs = nowMs;
  state.nextHeartbeatMs = nowMs + timing.heartbeatMs * (0.9 + 0.1 * random());
}

function resign(state: SegmentState, withinMs: number, nowMs: number, out: Output): void {
  if (state.mode.kind === 'stopped' || state.mode.kind === 'resigning') return;
  if (state.mode.kind === 'down') {
    state.mode = { kind: 'stopped' };
    out.resigned = true;
    return;
  }
  state.mode = { kind: 'resigning', untilMs: nowMs + withinMs };
  state.nextHeartbeatMs = nowMs;
  state.wakeMs = nowMs;
  for (const entry of state.entries.values()) {
    evaluate(state, entry, nowMs, out);
    out.touch(entry);
  }
}

function finish(state: SegmentState, nowMs: number, out: Output): void {
  flushNews(state, nowMs, out);
  state.mode = { kind: 'stopped' };
  out.closeGate = true;
  out.resigned = true;
  state.outbox.length = 0;
  state.outboxMs = Number.POSITIVE_INFINITY;
  state.wakeMs = Number.POSITIVE_INFINITY;
  // Twice, since nobody repeats a lost farewell.
  enqueue(state, [recentNews(state, nowMs), recentNews(state, nowMs)], nowMs, out);
}
