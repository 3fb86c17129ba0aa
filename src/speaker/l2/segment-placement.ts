import type { OwnedOp } from './heartbeat-message.ts';
import { hashText, rendezvousWeight } from './rendezvous.ts';
import { type Output, record } from './segment-output.ts';
import type {
  BlockedWhy,
  ClaimCause,
  Entry,
  Peer,
  PeerClaim,
  Phase,
  SegmentState,
  Verification,
} from './segment-state.ts';
import { probeWindowMs } from './timing.ts';

/** First placements are probed at most this often, ms from one to the next. */
const verifySpacingMs = 0.4;
/** A stranger that answers this late to the probes of a first placement still counts as having been there before. */
const verifyGraceMs = 1_000;
/** A conflict is reported this long after it was last seen. */
const conflictShownMs = 60_000;
/** A silent owner that answers is asked again after this long. */
const ownerAnswersRetryMs = 500;
/** RFC 5227 2.4: an address is defended at most once in this time. */
const defendIntervalMs = 10_000;
const maximumEpoch = 0xffff_ffff;

/** The strongest claim that a living peer makes, if any. */
export function bestClaim(state: SegmentState, address: string): PeerClaim | undefined {
  const claims = state.claims.get(address);
  let best = claims?.[0];
  if (!claims || !best || claims.length === 1) return best;
  for (const claim of claims) {
    if (claim.epoch > best.epoch || (claim.epoch === best.epoch && isBefore(address, claim.peer, best.peer)))
      best = claim;
  }
  return best;
}

/**
 * Who comes first in line for an address: by rendezvous hashing, and then, as names may be given twice, by boot. It also
 * decides between owners with the same epoch, so that after a cold start in pieces they are spread as usual.
 */
function isBefore(address: string | number, who: Candidate, other: Candidate): boolean {
  const hash = typeof address === 'string' ? hashText(address) : address;
  const weight = rendezvousWeight(hash, who.nodeHash);
  const otherWeight = rendezvousWeight(hash, other.nodeHash);
  return weight > otherWeight || (weight === otherWeight && who.boot > other.boot);
}

type Candidate = Pick<Peer, 'nodeHash' | 'boot'>;

function ownCandidate(state: SegmentState): Candidate {
  return { nodeHash: state.nodeHash, boot: state.options.boot };
}

/** Looks at everything known about an address and does what follows. May be called at any time, any number of times. */
export function evaluate(state: SegmentState, entry: Entry, nowMs: number, out: Output): void {
  if (entry.phase.kind === 'owner') evaluateOwned(state, entry, entry.phase, nowMs, out);
  else evaluateForeign(state, entry, nowMs, out);
}

function evaluateOwned(
  state: SegmentState,
  entry: Entry,
  phase: Extract<Phase, { kind: 'owner' }>,
  nowMs: number,
  out: Output,
): void {
  const { timing } = state.options;
  const rival = bestClaim(state, entry.address);
  const beaten =
    rival &&
    (rival.epoch > phase.epoch ||
      (rival.epoch === phase.epoch && isBefore(entry.hash, rival.peer, ownCandidate(state))));
  if (beaten) {
    state.counters.stepDowns += 1;
    release(state, entry, { kind: 'released' }, nowMs, out);
    evaluateForeign(state, entry, nowMs, out);
    return;
  }
  if (rival) reassert(state, entry, phase.epoch, nowMs, out);
  if (phase.verification) verify(state, entry, phase.verification, nowMs, out);
  if (entry.conflict) {
    if (nowMs >= entry.conflict.atMs + conflictShownMs) {
      entry.conflict = undefined;
      out.touch(entry);
    } else schedule(state, entry, entry.conflict.atMs + conflictShownMs);
  }
  const eligible = entry.eligible.has(state.options.node);
  if (eligible && state.mode.kind !== 'resigning') {
    if (phase.yieldUntilMs === undefined) return;
    phase.yieldUntilMs = undefined;
    record(state, op('claim', entry, phase.epoch), nowMs);
    out.touch(entry);
    return;
  }
  if (!hasSuccessor(state, entry)) {
    release(state, entry, { kind: 'released' }, nowMs, out);
    return;
  }
  if (phase.yieldUntilMs !== undefined) {
    if (nowMs >= phase.yieldUntilMs) release(state, entry, { kind: 'released' }, nowMs, out);
    else schedule(state, entry, phase.yieldUntilMs);
    return;
  }
  const allowedMs = state.mode.kind === 'resigning' ? nowMs : moveAllowedMs(state, entry, nowMs);
  if (allowedMs > nowMs) {
    schedule(state, entry, allowedMs);
    out.touch(entry);
    return;
  }
  phase.yieldUntilMs = nowMs + timing.yieldMs;
  record(state, op('yield', entry, phase.epoch), nowMs);
  schedule(state, entry, phase.yieldUntilMs);
  out.touch(entry);
}

function evaluateForeign(state: SegmentState, entry: Entry, nowMs: number, out: Output): void {
  const { timing } = state.options;
  if (state.mode.kind !== 'active' || !entry.eligible.has(state.options.node)) {
    entry.freeSinceMs = undefined;
    setPhase(state, entry, { kind: 'none' }, nowMs, out);
    return;
  }
  const claim = bestClaim(state, entry.address);
  const planned = claim && plannedCause(entry, claim.peer);
  if (claim && !planned) {
    entry.freeSinceMs = undefined;
    entry.inUseRetries = 0;
    entry.answeredBy = undefined;
    if (claim.peer.suspect && timing.probeCount > 0 && rankOf(state, entry, claim.peer) === 0) {
      probe(state, entry, claim.peer, nowMs, out);
    } else {
      if (!claim.peer.suspect) entry.proxySuspected = false;
      setPhase(state, entry, { kind: 'standby' }, nowMs, out);
    }
    return;
  }
  entry.freeSinceMs ??= nowMs;
  if (planned === 'not-eligible') {
    const allowedMs = moveAllowedMs(state, entry, nowMs);
    if (allowedMs > nowMs) {
      block(state, entry, { kind: 'moves-damped' }, allowedMs, nowMs, out);
      return;
    }
  }
  if (entry.phase.kind === 'blocked' && nowMs < entry.phase.untilMs && !planned) {
    schedule(state, entry, entry.phase.untilMs);
    return;
  }
  const rank = rankOf(state, entry, claim?.peer);
  const dueMs = entry.freeSinceMs + rank * timing.rankDelayMs;
  if (planned) {
    if (nowMs >= dueMs) take(state, entry, planned, nowMs, out);
    else wait(state, entry, dueMs, nowMs, out);
    return;
  }
  if (isIsolated(state, entry, nowMs)) {
    out.probeWitnesses = true;
    setPhase(state, entry, { kind: 'isolated' }, nowMs, out);
    return;
  }
  const { lastEnd } = entry;
  const uncertain = nowMs < state.uncertainUntilMs || someoneOutOfSync(state);
  const mustProbe = lastEnd.kind === 'died' || rank > 0 || uncertain || entry.inUseRetries > 0 || entry.proxySuspected;
  if (timing.probeCount === 0 || !mustProbe) {
    if (nowMs >= dueMs) takeFree(state, entry, nowMs, out);
    else wait(state, entry, dueMs, nowMs, out);
  } else if (nowMs < dueMs - probeWindowMs(timing)) {
    wait(state, entry, dueMs - probeWindowMs(timing), nowMs, out);
  } else if (entry.phase.kind === 'probing' && nowMs >= entry.phase.untilMs && nowMs >= dueMs) {
    takeFree(state, entry, nowMs, out);
  } else {
    probe(state, entry, lastEnd.kind === 'died' ? lastEnd : undefined, nowMs, out);
  }
}

/** Why a living owner's address may be taken: it wants, or ought, to be rid of it. */
function plannedCause(entry: Entry, owner: Peer): 'resigned' | 'not-eligible' | undefined {
  if (owner.resigning) return 'resigned';
  if (owner.yielding.has(entry.address) || !entry.eligible.has(owner.node)) return 'not-eligible';
  return undefined;
}

/** How many living candidates come before us for this address. */
export function rankOf(state: SegmentState, entry: Entry, except: Peer | undefined): number {
  const own = ownCandidate(state);
  let before = 0;
  for (const peer of state.peers.values()) {
    if (!peer.alive || peer.resigning || peer === except || !entry.eligible.has(peer.node)) continue;
    if (isBefore(entry.hash, peer, own)) before += 1;
  }
  return before;
}

function hasSuccessor(state: SegmentState, entry: Entry): boolean {
  for (const peer of state.peers.values()) {
    if (peer.alive && !peer.resigning && entry.eligible.has(peer.node)) return true;
  }
  return false;
}

function someoneOutOfSync(state: SegmentState): boolean {
  for (const peer of state.peers.values()) if (peer.alive && !peer.inSync) return true;
  return false;
}

/** When the address may be moved on purpose again: now, or when the oldest of the counted moves is old enough. */
function moveAllowedMs(state: SegmentState, entry: Entry, nowMs: number): number {
  const { moveBudget, moveWindowMs } = state.options.timing;
  const oldest = entry.moves?.at(-moveBudget);
  return oldest === undefined ? nowMs : Math.max(nowMs, oldest + moveWindowMs);
}

/** Notes a move on purpose, ours or another's. */
export function noteMove(state: SegmentState, entry: Entry, nowMs: number): void {
  entry.moves = [...(entry.moves ?? []), nowMs].slice(-state.options.timing.moveBudget);
}

function probe(
  state: SegmentState,
  entry: Entry,
  target: { node: string; mac: number } | undefined,
  nowMs: number,
  out: Output,
): void {
  const { timing } = state.options;
  let phase = entry.phase;
  if (phase.kind !== 'probing') {
    phase = {
      kind: 'probing',
      round: 0,
      nextMs: nowMs,
      untilMs: nowMs + probeWindowMs(timing),
      target: target && { node: target.node, mac: target.mac },
      unicast: entry.proxySuspected && target !== undefined,
    };
    setPhase(state, entry, phase, nowMs, out);
  }
  if (nowMs >= phase.nextMs && phase.round < timing.probeCount) {
    phase.round += 1;
    phase.nextMs = nowMs + timing.probeIntervalMs;
    out.addProbe(entry.address, phase.target?.mac ?? 0, phase.unicast);
  }
  if (phase.round < timing.probeCount) schedule(state, entry, phase.nextMs);
  else if (phase.untilMs > nowMs) schedule(state, entry, phase.untilMs);
  else if (entry.freeSinceMs !== undefined) schedule(state, entry, nowMs + timing.probeIntervalMs);
}

function wait(state: SegmentState, entry: Entry, dueMs: number, nowMs: number, out: Output): void {
  setPhase(state, entry, { kind: 'waiting', dueMs }, nowMs, out);
  schedule(state, entry, dueMs);
}

function block(state: SegmentState, entry: Entry, why: BlockedWhy, untilMs: number, nowMs: number, out: Output): void {
  if (entry.phase.kind === 'blocked' && entry.phase.why.kind !== why.kind) out.touch(entry);
  setPhase(state, entry, { kind: 'blocked', why, untilMs }, nowMs, out);
  schedule(state, entry, untilMs);
}

/**
 * Whether it is rather us who are cut off: there should be other speakers, none is heard, and the wire is silent too.
 * Claiming then helps nobody, and would take addresses away from their owners when we are heard again.
 *
 * A single peer that fell silent is waited for only a little, and only where hosts are known that could have answered.
 * When the wire comes back to life, speakers get the time for a heartbeat before we believe that there are none.
 */
export function isIsolated(state: SegmentState, entry: Entry, nowMs: number): boolean {
  const { lonely } = state;
  const { heartbeatMs, holdMs, lonelyWaitMs } = state.options.timing;
  if (!lonely) return false;
  if (lonely.peers === 'unmet' && entry.eligible.size <= 1) return false;
  if (lonely.lifeMs !== undefined) {
    return lonely.lifeMs > lonely.sinceMs + holdMs && nowMs < lonely.lifeMs + 1.5 * heartbeatMs;
  }
  if (lonely.peers !== 1) return true;
  const patienceMs = state.witnesses === 0 ? 0 : holdMs + lonelyWaitMs;
  return nowMs < lonely.sinceMs + patienceMs;
}

/** Claims an address that nobody seems to answer for. */
function takeFree(state: SegmentState, entry: Entry, nowMs: number, out: Output): void {
  take(state, entry, entry.lastEnd.kind === 'never' ? 'first' : entry.lastEnd.kind, nowMs, out);
}

function take(state: SegmentState, entry: Entry, cause: ClaimCause, nowMs: number, out: Output): void {
  const epoch = Math.min(maximumEpoch, Math.max(entry.epoch, bestClaim(state, entry.address)?.epoch ?? 0) + 1);
  entry.epoch = epoch;
  entry.freeSinceMs = undefined;
  entry.proxySuspected = false;
  entry.answeredBy = undefined;
  entry.conflict = undefined;
  state.counters.claims += 1;
  if (cause !== 'first') state.counters.takeovers += 1;
  const planned = cause === 'not-eligible';
  if (planned) noteMove(state, entry, nowMs);
  record(state, { ...op('claim', entry, epoch), planned }, nowMs);
  const verified = cause === 'first' && state.options.timing.probeCount > 0;
  const verification = verified ? planVerification(state, nowMs) : undefined;
  setPhase(state, entry, { kind: 'owner', epoch, cause, verification, yieldUntilMs: undefined }, nowMs, out);
  out.addOwned(entry.address);
  if (verification) verify(state, entry, verification, nowMs, out);
  else out.addAnnouncement(entry.address);
}

function planVerification(state: SegmentState, nowMs: number): Verification {
  const startMs = Math.max(nowMs, state.verifySlotMs);
  state.verifySlotMs = startMs + verifySpacingMs;
  const announceMs = startMs + probeWindowMs(state.options.timing);
  return { round: 0, nextMs: startMs, announceMs, announced: false, untilMs: announceMs + verifyGraceMs };
}

/** Asks the wire who else has an address that was just placed; announces it when nobody says anything. */
function verify(state: SegmentState, entry: Entry, plan: Verification, nowMs: number, out: Output): void {
  const { probeCount, probeIntervalMs } = state.options.timing;
  if (nowMs >= plan.nextMs && plan.round < probeCount) {
    plan.round += 1;
    plan.nextMs = nowMs + probeIntervalMs;
    out.addProbe(entry.address, 0, false);
  }
  if (nowMs >= plan.announceMs && !plan.announced) {
    plan.announced = true;
    out.addAnnouncement(entry.address);
  }
  if (plan.round < probeCount) schedule(state, entry, plan.nextMs);
  else if (!plan.announced) schedule(state, entry, plan.announceMs);
}

/** Stops answering. The entry is left in phase `none`: evaluate it again unless the whole segment stops. */
export function release(
  state: SegmentState,
  entry: Entry,
  lastEnd: Entry['lastEnd'],
  nowMs: number,
  out: Output,
): void {
  if (entry.phase.kind !== 'owner') return;
  record(state, op('release', entry, entry.phase.epoch), nowMs);
  entry.lastEnd = lastEnd;
  entry.freeSinceMs = undefined;
  out.addDisowned(entry.address);
  setPhase(state, entry, { kind: 'none' }, nowMs, out);
}

/** Says again that the address is ours, to speakers and hosts, at most once a heartbeat. */
function reassert(state: SegmentState, entry: Entry, epoch: number, nowMs: number, out: Output): void {
  if (nowMs < entry.lastDefenceMs + state.options.timing.heartbeatMs) return;
  entry.lastDefenceMs = nowMs;
  state.counters.conflicts += 1;
  record(state, op('claim', entry, epoch), nowMs);
  out.addAnnouncement(entry.address);
}

/** Somebody else used the address as an ARP sender. */
export function arpSeen(state: SegmentState, entry: Entry, mac: number, nowMs: number, out: Output): void {
  if (mac === state.mac) return;
  const { phase } = entry;
  const peer = livingPeerWithMac(state, mac);
  if (phase.kind === 'probing') {
    state.counters.probesAnswered += 1;
    if (phase.target?.mac === mac) ownerAnswered(state, phase.target.node, mac, nowMs, out);
    else if (peer) peerAnswered(state, entry, peer, nowMs, out);
    else blockInUse(state, entry, mac, nowMs, out);
  } else if (phase.kind === 'owner') {
    const verifying = phase.verification !== undefined && nowMs <= phase.verification.untilMs;
    if (peer?.owned.has(entry.address)) reassert(state, entry, phase.epoch, nowMs, out);
    else if (peer && !verifying) {
      // Most likely the last word of a former owner.
      reassert(state, entry, phase.epoch, nowMs, out);
    } else if (verifying && !peer) {
      release(state, entry, { kind: 'released' }, nowMs, out);
      blockInUse(state, entry, mac, nowMs, out);
    } else noteConflict(state, entry, mac, peer?.node, nowMs, out);
  }
}

/**
 * A peer answered for an address that, as far as we know, it does not own. If we know all that it owns and it does so
 * again, its kernel answers, or another program there, and that is no reason to leave the address to it.
 */
function peerAnswered(state: SegmentState, entry: Entry, peer: Peer, nowMs: number, out: Output): void {
  if (peer.inSync && entry.answeredBy === peer.boot) return;
  entry.answeredBy = peer.boot;
  if (!peer.inSync) {
    peer.askMs = Math.min(peer.askMs, nowMs);
    state.wakeMs = Math.min(state.wakeMs, nowMs);
  }
  const untilMs = nowMs + 2 * state.options.timing.heartbeatMs;
  block(state, entry, { kind: 'owner-answers', node: peer.node }, untilMs, nowMs, out);
}

/** Somebody who has no part in the election uses our address: report it, and defend the address now and then. */
function noteConflict(
  state: SegmentState,
  entry: Entry,
  mac: number,
  node: string | undefined,
  nowMs: number,
  out: Output,
): void {
  const known = entry.conflict;
  entry.conflict = { mac, node, atMs: nowMs };
  state.counters.conflicts += 1;
  if (known?.mac !== mac) {
    out.touch(entry);
    schedule(state, entry, nowMs + conflictShownMs);
  }
  if (nowMs < entry.lastDefenceMs + defendIntervalMs) return;
  entry.lastDefenceMs = nowMs;
  out.addAnnouncement(entry.address);
}

/** A silent owner's MAC answered. By unicast only the owner itself can; a broadcast may be answered by a proxy. */
function ownerAnswered(state: SegmentState, node: string, mac: number, nowMs: number, out: Output): void {
  for (const other of [...state.probing]) {
    if (other.phase.kind !== 'probing' || other.phase.target?.mac !== mac) continue;
    other.proxySuspected = true;
    if (other.phase.unicast) {
      block(state, other, { kind: 'owner-answers', node }, nowMs + ownerAnswersRetryMs, nowMs, out);
    } else {
      const { target } = other.phase;
      setPhase(state, other, { kind: 'none' }, nowMs, out);
      probe(state, other, target, nowMs, out);
    }
  }
}

function blockInUse(state: SegmentState, entry: Entry, mac: number, nowMs: number, out: Output): void {
  const { inUseRetryMs, inUseRetryMaxMs } = state.options.timing;
  const delayMs = Math.min(inUseRetryMaxMs, inUseRetryMs * 2 ** entry.inUseRetries);
  entry.inUseRetries += 1;
  block(state, entry, { kind: 'address-in-use', mac }, nowMs + delayMs, nowMs, out);
}

export function livingPeerWithMac(state: SegmentState, mac: number): Peer | undefined {
  for (const peer of state.peers.values()) if (peer.alive && peer.mac === mac) return peer;
  return undefined;
}

function setPhase(state: SegmentState, entry: Entry, phase: Phase, nowMs: number, out: Output): void {
  const before = entry.phase.kind;
  entry.phase = phase;
  if (before === phase.kind) return;
  entry.sinceMs = nowMs;
  out.touch(entry);
  if (before === 'waiting') state.waiting.delete(entry);
  if (before === 'probing') state.probing.delete(entry);
  if (before === 'isolated') state.isolated.delete(entry);
  if (phase.kind === 'waiting') state.waiting.add(entry);
  if (phase.kind === 'probing') state.probing.add(entry);
  if (phase.kind === 'isolated') state.isolated.add(entry);
}

/** Has the entry evaluated at that time, or earlier: whoever evaluates schedules again what is still to come. */
function schedule(state: SegmentState, entry: Entry, dueMs: number): void {
  if (entry.dueMs <= dueMs) return;
  entry.dueMs = dueMs;
  state.queue.push(dueMs, entry);
  state.wakeMs = Math.min(state.wakeMs, dueMs);
}

function op(code: OwnedOp['code'], entry: Entry, epoch: number): OwnedOp {
  return { code, address: entry.address, epoch, planned: false };
}
