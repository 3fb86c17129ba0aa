import type { Message, MessageBody, MessageHeader } from './heartbeat-message.ts';
import { OwnedDigest } from './owned-digest.ts';
import { hashText } from './rendezvous.ts';
import { ReplayWindow } from './replay-window.ts';
import { enqueue, fullSet, newsAfter, type Output } from './segment-output.ts';
import { evaluate, noteMove } from './segment-placement.ts';
import type { Entry, Peer, SegmentState } from './segment-state.ts';
import { probeWindowMs } from './timing.ts';

/** News may overtake each other: wait this long before asking for what is missing. */
const syncGraceMs = 20;
const holdRangeMs = { least: 40, most: 30_000 };
/** Messages with news that wait for those before them. */
const earlyKept = 64;
const questionsKept = 1_024;

/**
 * Takes in an authenticated message.
 *
 * Nothing is believed of a boot that has not proved to be alive: its first message, which may be a recording, only makes
 * us ask; the answer must hold the number we just drew.
 */
export function receive(state: SegmentState, message: Message, nowMs: number, out: Output): void {
  const { header, body } = message;
  const { options } = state;
  if (header.boot === options.boot) return;
  const known = state.peers.get(header.boot);
  if (!known) {
    greet(state, message, nowMs, out);
    return;
  }
  const arrival = known.window.accept(header.sequence);
  if (arrival === 'replayed') {
    state.counters.replayed += 1;
    return;
  }
  if (body.kind === 'question') answer(state, header, body, out);
  if (header.leaving) {
    forget(state, known, 'released', nowMs, out);
    return;
  }
  if (arrival === 'newest') refresh(state, known, header, nowMs, out);
  take(state, known, body, nowMs, out);
  compareSets(state, known, nowMs, out);
}

function greet(state: SegmentState, { header, body }: Message, nowMs: number, out: Output): void {
  const { options } = state;
  if (body.kind === 'question') answer(state, header, body, out);
  const question = state.questions.get(header.boot);
  if (body.kind === 'answer' && body.boot === options.boot && question?.nonce === body.nonce) {
    state.questions.delete(header.boot);
    if (header.leaving) return;
    const peer = addPeer(state, header, nowMs, out);
    refresh(state, peer, header, nowMs, out);
    compareSets(state, peer, nowMs, out);
    return;
  }
  if (header.leaving) return;
  state.uncertainUntilMs = nowMs + options.timing.holdMs;
  if (question && nowMs < question.askedMs + options.timing.heartbeatMs / 2) return;
  const nonce = options.nonce();
  state.questions.delete(header.boot);
  if (state.questions.size >= questionsKept) {
    for (const oldest of state.questions.keys()) {
      state.questions.delete(oldest);
      break;
    }
  }
  state.questions.set(header.boot, { nonce, askedMs: nowMs });
  out.send(state, header.mac, { kind: 'question', boot: header.boot, nonce });
}

function answer(
  state: SegmentState,
  header: MessageHeader,
  question: Extract<MessageBody, { kind: 'question' }>,
  out: Output,
): void {
  if (question.boot !== state.options.boot) return;
  out.send(state, header.mac, { kind: 'answer', boot: header.boot, nonce: question.nonce });
}

function addPeer(state: SegmentState, header: MessageHeader, nowMs: number, out: Output): Peer {
  for (const other of [...state.peers.values()]) {
    // The same node on the same interface: its earlier process is gone, and what that owned with it.
    if (other.node === header.node && other.mac === header.mac) forget(state, other, 'died', nowMs, out);
  }
  const peer: Peer = {
    node: header.node,
    boot: header.boot,
    nodeHash: hashText(header.node),
    window: new ReplayWindow(header.sequence),
    mac: header.mac,
    alive: false,
    suspect: false,
    lastHeardMs: nowMs,
    heartbeatMs: header.heartbeatMs,
    holdMs: header.holdMs,
    resigning: false,
    listening: header.listening,
    owned: new Map(),
    digest: new OwnedDigest(),
    yielding: new Set(),
    applied: undefined,
    newsSeen: 0,
    setVersion: 0,
    setCount: 0,
    digestHigh: 0,
    digestLow: 0,
    inSync: false,
    askMs: Number.POSITIVE_INFINITY,
    chunks: undefined,
    early: [],
  };
  state.peers.set(header.boot, peer);
  return peer;
}

function refresh(state: SegmentState, peer: Peer, header: MessageHeader, nowMs: number, out: Output): void {
  peer.lastHeardMs = nowMs;
  peer.mac = header.mac;
  peer.heartbeatMs = header.heartbeatMs;
  peer.holdMs = Math.min(holdRangeMs.most, Math.max(holdRangeMs.least, header.holdMs));
  peer.listening = header.listening;
  peer.setVersion = header.setVersion;
  peer.setCount = header.setCount;
  peer.digestHigh = header.digestHigh;
  peer.digestLow = header.digestLow;
  const resigns = header.resigning !== peer.resigning;
  peer.resigning = header.resigning;
  const recovers = peer.suspect;
  peer.suspect = false;
  if (!peer.alive) {
    peer.alive = true;
    out.peersChanged = true;
  }
  state.lonely = undefined;
  const judgedMs = state.isolated.size > 0 ? nowMs : nowMs + peer.holdMs - probeWindowMs(state.options.timing);
  state.wakeMs = Math.min(state.wakeMs, judgedMs);
  if (resigns || recovers) evaluateAll(state, [...peer.owned.keys()], nowMs, out);
}

function take(state: SegmentState, peer: Peer, body: MessageBody, nowMs: number, out: Output): void {
  switch (body.kind) {
    case 'news': {
      speakLast(state, peer, body, out);
      if (body.ops.length === 0) return;
      peer.early.push(body);
      if (peer.early.length > earlyKept) peer.early.shift();
      applyNews(state, peer, nowMs, out);
      return;
    }
    case 'chunk':
      takeChunk(state, peer, body, nowMs, out);
      return;
    case 'ask': {
      if (body.boot !== state.options.boot) return;
      const logStart = state.setVersion - state.log.length;
      if (body.have !== undefined && body.have >= logStart && body.have < state.setVersion) {
        enqueue(state, newsAfter(state, body.have), nowMs, out);
      } else if (!state.outbox.some((waiting) => waiting.kind === 'chunk' && waiting.version === state.setVersion)) {
        enqueue(
          state,
          fullSet(state, (address) => isYielding(state, address)),
          nowMs,
          out,
        );
      }
      return;
    }
    default:
      return;
  }
}

/** Applies, in their order, the news that have come and follow on what is known. */
function applyNews(state: SegmentState, peer: Peer, nowMs: number, out: Output): void {
  while (peer.applied !== undefined) {
    const known = peer.applied;
    peer.early = peer.early.filter(({ base, ops }) => base + ops.length > known);
    const next = peer.early.find(({ base }) => base <= known);
    if (!next) return;
    for (let i = known - next.base; i < next.ops.length; i++) {
      const op = next.ops[i];
      if (!op) continue;
      if (op.code === 'yield') peer.yielding.add(op.address);
      else if (op.code === 'claim') setClaim(state, peer, op.address, op.epoch);
      else dropClaim(state, peer, op.address, 'released', out);
      const entry = state.entries.get(op.address);
      if (!entry) continue;
      if (op.code === 'claim' && op.planned) noteMove(state, entry, nowMs);
      evaluate(state, entry, nowMs, out);
    }
    peer.applied = next.base + next.ops.length;
  }
}

/**
 * The last to speak wins in switches and hosts. When somebody stops answering for what we own, perhaps before we ever
 * heard that it did, that must be us.
 */
function speakLast(state: SegmentState, peer: Peer, body: Extract<MessageBody, { kind: 'news' }>, out: Output): void {
  for (let i = Math.max(0, peer.newsSeen - body.base); i < body.ops.length; i++) {
    const op = body.ops[i];
    if (op?.code === 'release' && state.owned.has(op.address)) out.addAnnouncement(op.address);
  }
  peer.newsSeen = Math.max(peer.newsSeen, body.base + body.ops.length);
}

function isYielding(state: SegmentState, address: string): boolean {
  const phase = state.entries.get(address)?.phase;
  return phase?.kind === 'owner' && phase.yieldUntilMs !== undefined;
}

function takeChunk(
  state: SegmentState,
  peer: Peer,
  body: Extract<MessageBody, { kind: 'chunk' }>,
  nowMs: number,
  out: Output,
): void {
  if (peer.inSync || (peer.applied !== undefined && body.version < peer.applied)) return;
  if (peer.chunks?.version !== body.version || peer.chunks.parts.length !== body.total) {
    if (peer.chunks && peer.chunks.version > body.version) return;
    peer.chunks = {
      version: body.version,
      parts: Array.from({ length: body.total }, () => undefined),
      missing: body.total,
    };
  }
  const { chunks } = peer;
  if (chunks.parts[body.index]) return;
  chunks.parts[body.index] = body.entries;
  chunks.missing -= 1;
  if (chunks.missing > 0) return;
  peer.chunks = undefined;
  peer.applied = chunks.version;
  const stale = new Set(peer.owned.keys());
  const touched = new Set(stale);
  peer.yielding.clear();
  for (const part of chunks.parts) {
    for (const { address, epoch, yielding } of part ?? []) {
      stale.delete(address);
      touched.add(address);
      setClaim(state, peer, address, epoch);
      if (yielding) peer.yielding.add(address);
    }
  }
  for (const address of stale) dropClaim(state, peer, address, 'released', out);
  evaluateAll(state, touched, nowMs, out);
  applyNews(state, peer, nowMs, out);
}

/** Whether we know what the peer owns, and when to ask if not. */
function compareSets(state: SegmentState, peer: Peer, nowMs: number, out: Output): void {
  if (peer.setCount === 0 && peer.applied !== peer.setVersion) {
    const gone = [...peer.owned.keys()];
    for (const address of gone) dropClaim(state, peer, address, 'released', out);
    peer.yielding.clear();
    peer.applied = peer.setVersion;
    peer.chunks = undefined;
    peer.early = [];
    evaluateAll(state, gone, nowMs, out);
  }
  // More than the newest header tells: news of a later message came first. That header is on its way.
  const same =
    peer.applied === peer.setVersion &&
    peer.owned.size === peer.setCount &&
    peer.digest.equals(peer.digestHigh, peer.digestLow);
  peer.inSync = same;
  if (same) {
    peer.askMs = Number.POSITIVE_INFINITY;
    return;
  }
  if (peer.askMs === Number.POSITIVE_INFINITY) {
    peer.askMs = nowMs + (peer.applied === undefined ? 0 : syncGraceMs);
    state.wakeMs = Math.min(state.wakeMs, peer.askMs);
  }
  if (nowMs >= peer.askMs) ask(state, peer, nowMs, out);
}

/** Asks a peer for the part of its set that we miss. */
export function ask(state: SegmentState, peer: Peer, nowMs: number, out: Output): void {
  const corrupt = peer.applied !== undefined && peer.applied >= peer.setVersion;
  state.counters.syncsAsked += 1;
  peer.askMs = nowMs + peer.heartbeatMs;
  state.wakeMs = Math.min(state.wakeMs, peer.askMs);
  out.send(state, peer.mac, { kind: 'ask', boot: peer.boot, have: corrupt ? undefined : peer.applied });
}

function setClaim(state: SegmentState, peer: Peer, address: string, epoch: number): void {
  peer.yielding.delete(address);
  const known = peer.owned.get(address);
  if (known !== epoch) {
    if (known !== undefined) peer.digest.toggle(address, known);
    peer.digest.toggle(address, epoch);
    peer.owned.set(address, epoch);
    const claims = state.claims.get(address);
    const claim = claims?.find((candidate) => candidate.peer === peer);
    if (claim) claim.epoch = epoch;
    else if (claims) claims.push({ peer, epoch });
    else state.claims.set(address, [{ peer, epoch }]);
  }
  const entry = state.entries.get(address);
  if (entry) entry.epoch = Math.max(entry.epoch, epoch);
}

/** The peer owns the address no more. The caller evaluates it. */
function dropClaim(state: SegmentState, peer: Peer, address: string, how: 'released' | 'died', out: Output): void {
  const known = peer.owned.get(address);
  if (known === undefined) return;
  peer.owned.delete(address);
  peer.digest.toggle(address, known);
  peer.yielding.delete(address);
  const claims = state.claims.get(address)?.filter((claim) => claim.peer !== peer) ?? [];
  if (claims.length > 0) state.claims.set(address, claims);
  else state.claims.delete(address);
  const entry = state.entries.get(address);
  if (!entry) return;
  if (entry.phase.kind === 'owner') out.addAnnouncement(address);
  else entry.lastEnd = how === 'died' ? { kind: 'died', node: peer.node, mac: peer.mac } : { kind: 'released' };
}

/** The peer is silent or gone: what it owned is free. */
export function bury(state: SegmentState, peer: Peer, how: 'released' | 'died', nowMs: number, out: Output): void {
  peer.alive = false;
  peer.suspect = false;
  peer.inSync = false;
  peer.applied = undefined;
  peer.chunks = undefined;
  peer.early = [];
  peer.askMs = Number.POSITIVE_INFINITY;
  out.peersChanged = true;
  const orphans = [...peer.owned.keys()];
  for (const address of orphans) dropClaim(state, peer, address, how, out);
  evaluateAll(state, orphans, nowMs, out);
  for (const entry of [...state.waiting]) evaluate(state, entry, nowMs, out);
}

/** As `bury`, and nothing is remembered of the peer. */
function forget(state: SegmentState, peer: Peer, how: 'released' | 'died', nowMs: number, out: Output): void {
  state.peers.delete(peer.boot);
  bury(state, peer, how, nowMs, out);
}

/** Judges the peers' silence; asks those whose set we miss. */
export function watchPeers(state: SegmentState, nowMs: number, out: Output): void {
  const windowMs = probeWindowMs(state.options.timing);
  let hearing = false;
  for (const peer of state.peers.values()) {
    if (!peer.alive) {
      if (nowMs >= peer.lastHeardMs + state.options.timing.forgetMs) state.peers.delete(peer.boot);
      continue;
    }
    const silentMs = nowMs - peer.lastHeardMs;
    if (silentMs >= peer.holdMs) {
      loseTouch(state, peer, nowMs);
      bury(state, peer, 'died', nowMs, out);
    } else {
      if (!peer.suspect && silentMs >= peer.holdMs - windowMs) {
        peer.suspect = true;
        evaluateAll(state, [...peer.owned.keys()], nowMs, out);
      }
      if (nowMs >= peer.askMs) ask(state, peer, nowMs, out);
      if (!peer.suspect) hearing = true;
    }
  }
  if (!hearing && state.witnesses > 0 && [...state.peers.values()].some((peer) => peer.suspect)) {
    out.probeWitnesses = true;
  }
}

/** Notes when the last living peer fell silent, and how many did so with it. */
function loseTouch(state: SegmentState, last: Peer, nowMs: number): void {
  let sinceMs = last.lastHeardMs;
  let together = 1;
  for (const peer of state.peers.values()) {
    if (peer === last) continue;
    // Two heartbeats missed is enough for doubt: one who is cut off does not lose all its peers in the same instant.
    if (peer.alive && nowMs - peer.lastHeardMs < 2.5 * peer.heartbeatMs) return;
    if (last.lastHeardMs - peer.lastHeardMs < 2 * last.holdMs) {
      together += 1;
      sinceMs = Math.max(sinceMs, peer.lastHeardMs);
    }
  }
  state.lonely = { sinceMs, peers: together, lifeMs: undefined };
}

/** When the peers' silence, or a set we miss, must be looked at next. */
export function nextPeerMs(state: SegmentState): number {
  const windowMs = probeWindowMs(state.options.timing);
  let nextMs = Number.POSITIVE_INFINITY;
  for (const peer of state.peers.values()) {
    if (!peer.alive) continue;
    const judgedMs = peer.lastHeardMs + (peer.suspect ? peer.holdMs : peer.holdMs - windowMs);
    nextMs = Math.min(nextMs, judgedMs, peer.askMs);
  }
  return nextMs;
}

export function evaluateAll(state: SegmentState, addresses: Iterable<string>, nowMs: number, out: Output): void {
  for (const address of addresses) {
    const entry: Entry | undefined = state.entries.get(address);
    if (entry) evaluate(state, entry, nowMs, out);
  }
}
