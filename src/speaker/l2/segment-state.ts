import type { Random } from '../../base/index.ts';
import { DeadlineQueue } from './deadline-queue.ts';
import type { Message, OwnedAddress, OwnedOp } from './heartbeat-message.ts';
import { OwnedDigest } from './owned-digest.ts';
import { hashText } from './rendezvous.ts';
import type { ReplayWindow } from './replay-window.ts';
import type { L2Timing } from './timing.ts';

/** How an owner came to own. */
export type ClaimCause = 'first' | 'released' | 'died' | 'resigned' | 'not-eligible';

/** Where this speaker stands with one address. */
export type Phase =
  /** May not own it, or must listen first. */
  | { kind: 'none' }
  /** Somebody else owns it. */
  | { kind: 'standby' }
  /** Nobody owns it (or its owner wants to be rid of it) and others are before us in line. */
  | { kind: 'waiting'; dueMs: number }
  /** Asks the wire whether somebody answers for it, before claiming. */
  | {
      kind: 'probing';
      round: number;
      nextMs: number;
      untilMs: number;
      target: ProbeTarget | undefined;
      unicast: boolean;
    }
  /** We answer. */
  | {
      kind: 'owner';
      epoch: number;
      cause: ClaimCause;
      /** Undefined unless the wire is being asked, after a first placement, whether a stranger uses the address. */
      verification: Verification | undefined;
      /** Set while a successor is waited for. */
      yieldUntilMs: number | undefined;
    }
  /** Nobody owns it as far as we hear, but we hear nothing at all: it is rather us who are cut off. */
  | { kind: 'isolated' }
  /** Something speaks against claiming it now; looked at again at `untilMs`. */
  | { kind: 'blocked'; why: BlockedWhy; untilMs: number };

/**
 * The check of an address that nobody owned before: questions are answered at once, but it is announced to everybody
 * only when probes found no stranger that uses it, so that a pool with the router's address in it does no harm.
 */
export interface Verification {
  /** Probes sent. */
  round: number;
  nextMs: number;
  announceMs: number;
  announced: boolean;
  /** A stranger seen up to then is a reason to let go; later it is a conflict. */
  untilMs: number;
}

/** The owner that a probe looks for. */
export interface ProbeTarget {
  node: string;
  mac: number;
}

export type BlockedWhy =
  /** A host that is no speaker answers for it. */
  | { kind: 'address-in-use'; mac: number }
  /** Its owner sends no heartbeats that we hear, yet answers our unicast probes. */
  | { kind: 'owner-answers'; node: string }
  /** It has moved on purpose too often lately. */
  | { kind: 'moves-damped' };

/** How the last owner we know of ended. */
export type LastEnd = { kind: 'never' } | { kind: 'released' } | { kind: 'died'; node: string; mac: number };

/** One address that this node was told about. */
export interface Entry {
  readonly address: string;
  readonly hash: number;
  /** Names of the nodes that may own it. Shared between entries, never changed. */
  eligible: ReadonlySet<string>;
  phase: Phase;
  /** When `phase.kind` last changed. */
  sinceMs: number;
  /** The highest epoch heard or used. */
  epoch: number;
  lastEnd: LastEnd;
  /** Since when it may be claimed; undefined while somebody owns it for good. */
  freeSinceMs: number | undefined;
  /** When to look at it again; the queue's items with another time are out of date. */
  dueMs: number;
  /** Times of the latest moves on purpose, oldest first; undefined until the first. */
  moves: number[] | undefined;
  inUseRetries: number;
  /** The dead owner answered a broadcast probe: the next round asks by unicast only, which no proxy answers. */
  proxySuspected: boolean;
  /** Boot of a living peer that answered the last probe though it does not own the address. */
  answeredBy: string | undefined;
  /** The latest sighting of another host that uses the address while we own it; `node`: that of a speaker. */
  conflict: { mac: number; node: string | undefined; atMs: number } | undefined;
  lastDefenceMs: number;
}

/** What one speaker says it owns, as far as we have heard. */
export interface PeerClaim {
  peer: Peer;
  epoch: number;
}

/** Another speaker's presence on this wire. */
export interface Peer {
  readonly node: string;
  readonly boot: string;
  readonly nodeHash: number;
  readonly window: ReplayWindow;
  mac: number;
  /** Heard within its hold time. */
  alive: boolean;
  /** Silent for so long that its addresses are being probed. */
  suspect: boolean;
  lastHeardMs: number;
  heartbeatMs: number;
  holdMs: number;
  resigning: boolean;
  listening: boolean;
  /** Address -> epoch. */
  readonly owned: Map<string, number>;
  readonly digest: OwnedDigest;
  readonly yielding: Set<string>;
  /** Set version up to which `owned` is right; undefined before the first full set. */
  applied: number | undefined;
  /** Set version of the last op that was looked at, applied or not. */
  newsSeen: number;
  /** What its newest message says about its set. */
  setVersion: number;
  setCount: number;
  digestHigh: number;
  digestLow: number;
  inSync: boolean;
  /** When to ask for what is missing; Infinity while nothing is. */
  askMs: number;
  /** News that have come before what they follow on. */
  early: { base: number; ops: readonly OwnedOp[] }[];
  chunks: { version: number; parts: (readonly OwnedAddress[] | undefined)[]; missing: number } | undefined;
}

/** No peer is heard. Either they are all gone, or we are cut off. */
export interface Loneliness {
  /** When the last of them was heard, or when we began to listen. */
  sinceMs: number;
  /** How many fell silent at about the same time; `unmet`: none was heard since we began to listen. */
  peers: number | 'unmet';
  /** When the wire first showed life after that; undefined as long as it does not. */
  lifeMs: number | undefined;
}

/** What a segment is doing as a whole. */
export type Mode =
  | { kind: 'down' }
  | { kind: 'listening'; untilMs: number; latestMs: number; why: 'started' | 'link-up' | 'stalled' }
  | { kind: 'active' }
  | { kind: 'resigning'; untilMs: number }
  | { kind: 'stopped' };

/** Counters of one segment, all since the start. */
export interface SegmentCounters {
  heartbeatsSent: number;
  messagesReceived: number;
  replayed: number;
  foreign: number;
  unauthenticated: number;
  malformed: number;
  claims: number;
  takeovers: number;
  stepDowns: number;
  conflicts: number;
  probesAnswered: number;
  syncsAsked: number;
  stalls: number;
}

export interface SegmentOptions {
  readonly node: string;
  /** 16 hexadecimal digits, drawn anew for each segment. */
  readonly boot: string;
  readonly mac: number;
  readonly timing: L2Timing;
  /** Spreads heartbeats. */
  readonly random: Random;
  /** 16 hexadecimal digits nobody can guess. */
  readonly nonce: () => string;
}

/** One op of our own set, as it is repeated to the others. */
export interface LoggedOp extends OwnedOp {
  atMs: number;
}

/** All that the ownership of one interface's addresses consists of. Changed in place by `step` and by nothing else. */
export interface SegmentState {
  readonly options: SegmentOptions;
  readonly nodeHash: number;
  mac: number;
  mode: Mode;
  readonly entries: Map<string, Entry>;
  /** By boot: a node that restarted, or has two interfaces on this wire, is more than one peer. */
  readonly peers: Map<string, Peer>;
  /** Address -> living speakers that say they own it. Rarely more than one each. */
  readonly claims: Map<string, PeerClaim[]>;
  /** Boots we have asked to prove that they are alive. */
  readonly questions: Map<string, { nonce: string; askedMs: number }>;
  readonly owned: Map<string, number>;
  readonly digest: OwnedDigest;
  /** Set version after the last op in `log`. */
  setVersion: number;
  readonly log: LoggedOp[];
  /** Highest epochs of addresses we no longer have an entry for. */
  readonly oldEpochs: Map<string, number>;
  sequence: number;
  /** Ops with a set version above this have not been sent yet. */
  sentVersion: number;
  nextHeartbeatMs: number;
  lastHeartbeatMs: number;
  previousHeartbeatMs: number;
  readonly queue: DeadlineQueue<Entry>;
  /** Entries in phase `waiting`: their place in line changes when a peer dies. */
  readonly waiting: Set<Entry>;
  readonly probing: Set<Entry>;
  readonly isolated: Set<Entry>;
  /** Messages that wait for their turn, so that thousands of addresses do not leave in one burst. */
  readonly outbox: Message['body'][];
  outboxMs: number;
  /** Until then somebody is out there whom we cannot understand (yet): no claim without a probe. */
  uncertainUntilMs: number;
  lonely: Loneliness | undefined;
  /** When the wire last carried something that is not ours, as last told by a wake event. */
  wireHeardMs: number;
  witnesses: number;
  /** A lower bound of when `step` must be called with a wake event. */
  wakeMs: number;
  /** When the next first placement may be probed: thousands of them take turns. */
  verifySlotMs: number;
  readonly counters: SegmentCounters;
}

/** A segment whose interface is down. */
export function createSegment(options: SegmentOptions): SegmentState {
  return {
    options,
    nodeHash: hashText(options.node),
    mac: options.mac,
    mode: { kind: 'down' },
    entries: new Map(),
    peers: new Map(),
    claims: new Map(),
    questions: new Map(),
    owned: new Map(),
    digest: new OwnedDigest(),
    setVersion: 0,
    log: [],
    oldEpochs: new Map(),
    sequence: 0,
    sentVersion: 0,
    nextHeartbeatMs: Number.POSITIVE_INFINITY,
    lastHeartbeatMs: Number.NEGATIVE_INFINITY,
    previousHeartbeatMs: Number.NEGATIVE_INFINITY,
    queue: new DeadlineQueue(),
    waiting: new Set(),
    probing: new Set(),
    isolated: new Set(),
    outbox: [],
    outboxMs: Number.POSITIVE_INFINITY,
    uncertainUntilMs: Number.NEGATIVE_INFINITY,
    lonely: undefined,
    wireHeardMs: Number.NEGATIVE_INFINITY,
    witnesses: 0,
    wakeMs: Number.POSITIVE_INFINITY,
    verifySlotMs: Number.NEGATIVE_INFINITY,
    counters: {
      heartbeatsSent: 0,
      messagesReceived: 0,
      replayed: 0,
      foreign: 0,
      unauthenticated: 0,
      malformed: 0,
      claims: 0,
      takeovers: 0,
      stepDowns: 0,
      conflicts: 0,
      probesAnswered: 0,
      syncsAsked: 0,
      stalls: 0,
    },
  };
}
