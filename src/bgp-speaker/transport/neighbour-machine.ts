/**
 * Which router is at the other end of an interface, and when to speak to it. Pure: time and randomness are handed in.
 *
 * We solicit until somebody advertises, and advertise ourselves as long as the interface is up (RFC 4861 sections 6.2.4,
 * 6.2.6 and 6.3.7; solicitations never stop for good, RFC 7559). An unnumbered peer is the one router of a link: the
 * first that is heard stays until it is silent for its lifetime, says farewell, or the link goes; then another that was
 * heard meanwhile takes its place.
 */
import type { Random } from '../../base/index.ts';
import type { Address } from '../../net/index.ts';

interface Heard {
  readonly address: Address;
  readonly lifetimeSeconds: number;
  /** Silent until then: gone. */
  readonly expiresAtMs: number;
}

export type DiscoveryState =
  | { readonly kind: 'down' }
  | {
      readonly kind: 'up';
      /** In the order in which they were first heard: the first one is the neighbour. */
      readonly heard: readonly Heard[];
      /** Routers that said farewell, and until when their further lifetimes of 0 mean the same. */
      readonly leaving: readonly { readonly address: Address; readonly untilMs: number }[];
      readonly advertiseAtMs: number;
      readonly advertisedAtMs: number;
      /** Advertisements left in quick succession. */
      readonly initialLeft: number;
      readonly solicitAtMs: number;
      readonly solicited: number;
    };

export type DiscoveryEvent =
  /** The interface can send and receive, and has a link-local address of ours. Again: it has changed. */
  | { readonly type: 'up' }
  | { readonly type: 'down' }
  | { readonly type: 'advertisement'; readonly source: Address; readonly lifetimeSeconds: number }
  | { readonly type: 'solicitation' }
  | { readonly type: 'timer' };

export type DiscoveryEffect =
  | { readonly type: 'advertise' }
  | { readonly type: 'solicit' }
  /** The neighbour is known: the first, or another than before. */
  | { readonly type: 'neighbour'; readonly address: Address; readonly previous?: Address }
  | { readonly type: 'gone'; readonly address: Address };

export interface DiscoveryStep {
  readonly state: DiscoveryState;
  readonly effects: readonly DiscoveryEffect[];
}

/** RFC 4861 section 10, and our own where it leaves the choice. */
const minimumBetweenAdvertisementsMs = 3_000;
const initialAdvertisements = 3;
const advertisementIntervalMs = 10_000;
const replyDelayMs = 500;
const solicitationDelayMs = 1_000;
const solicitationIntervalMs = 4_000;
const maximumSolicitationIntervalMs = 60_000;
/** Of a router that is no default router: it says nothing of how long it can be believed. */
const lifetimeOfNonDefaultSeconds = 1_800;
const farewellMs = 60_000;
/** On a link that is meant for two; more are hostile or a mistake. */
const mostHeard = 8;

export const discoveryStart: DiscoveryState = { kind: 'down' };

/** The neighbour known now. */
export function neighbourOf(state: DiscoveryState): Address | undefined {
  return state.kind === 'up' ? state.heard[0]?.address : undefined;
}

/** When a `timer` event is due, on the clock of `nowMs`; undefined for never. */
export function discoveryDueMs(state: DiscoveryState): number | undefined {
  if (state.kind === 'down') return undefined;
  return Math.min(
    state.advertiseAtMs,
    state.heard.length === 0 ? state.solicitAtMs : Number.POSITIVE_INFINITY,
    ...state.heard.map(({ expiresAtMs }) => expiresAtMs),
  );
}

/** `nowMs` is monotonic. Times that are due are dealt with whatever the event is. */
export function stepDiscovery(
  state: DiscoveryState,
  event: DiscoveryEvent,
  nowMs: number,
  random: Random,
): DiscoveryStep {
  const before = neighbourOf(state);
  const [next, sent] = react(state, event, nowMs, random);
  const after = neighbourOf(next);
  if (before !== undefined && after !== undefined && before.equals(after)) return { state: next, effects: sent };
  if (after === undefined) {
    return { state: next, effects: before === undefined ? sent : [...sent, { type: 'gone', address: before }] };
  }
  const found = { type: 'neighbour', address: after, ...(before === undefined ? {} : { previous: before }) } as const;
  return { state: next, effects: [...sent, found] };
}

type Up = DiscoveryState & { kind: 'up' };
type Reaction = [DiscoveryState, DiscoveryEffect[]];

function react(state: DiscoveryState, event: DiscoveryEvent, nowMs: number, random: Random): Reaction {
  if (event.type === 'down') return [{ kind: 'down' }, []];
  if (event.type === 'up') return whenDue(started(nowMs, random), nowMs, random);
  if (state.kind === 'down') return [state, []];
  switch (event.type) {
    case 'advertisement': {
      const next = heard(state, event.source, event.lifetimeSeconds, nowMs);
      // A router that has just appeared does not know us yet, and may never ask.
      const isNew = next.heard.length > state.heard.length;
      return whenDue(isNew ? advertisedSoon(next, nowMs, random) : next, nowMs, random);
    }
    case 'solicitation':
      return whenDue(advertisedSoon(state, nowMs, random), nowMs, random);
    case 'timer':
      return whenDue(state, nowMs, random);
  }
}

/** Several speakers of a rack see power at the same moment: the first words are spread. */
function started(nowMs: number, random: Random): Up {
  return {
    kind: 'up',
    heard: [],
    leaving: [],
    advertiseAtMs: nowMs + replyDelayMs * random(),
    advertisedAtMs: Number.NEGATIVE_INFINITY,
    initialLeft: initialAdvertisements,
    solicitAtMs: nowMs + solicitationDelayMs * random(),
    solicited: 0,
  };
}

function advertisedSoon(state: Up, nowMs: number, random: Random): Up {
  const earliest = Math.max(nowMs + replyDelayMs * random(), state.advertisedAtMs + minimumBetweenAdvertisementsMs);
  return { ...state, advertiseAtMs: Math.min(state.advertiseAtMs, earliest) };
}

function heard(state: Up, source: Address, lifetimeSeconds: number, nowMs: number): Up {
  const leaving = state.leaving.filter((each) => each.untilMs > nowMs && !each.address.equals(source));
  const known = state.heard.find((each) => each.address.equals(source));
  const wasLeaving = state.leaving.some((each) => each.untilMs > nowMs && each.address.equals(source));
  // One that was a default router and is none any more is being shut down (RFC 4861 section 6.2.5) ...
  if (lifetimeSeconds === 0 && (wasLeaving || (known !== undefined && known.lifetimeSeconds > 0))) {
    const farewell = state.leaving.find((each) => each.address.equals(source) && each.untilMs > nowMs);
    return {
      ...state,
      heard: state.heard.filter((each) => each !== known),
      // ... and says so a few times, but is believed to be back when it goes on for long.
      leaving: [...leaving, farewell ?? { address: source, untilMs: nowMs + farewellMs }].slice(-mostHeard),
    };
  }
  if (known === undefined && state.heard.length >= mostHeard) return { ...state, leaving };
  const seconds = lifetimeSeconds === 0 ? lifetimeOfNonDefaultSeconds : lifetimeSeconds;
  const fresh: Heard = { address: source, lifetimeSeconds, expiresAtMs: nowMs + seconds * 1_000 };
  const others =
    known === undefined ? [...state.heard, fresh] : state.heard.map((each) => (each === known ? fresh : each));
  return { ...state, leaving, heard: others };
}

/** Sends what is due, forgets who is silent. */
function whenDue(state: Up, nowMs: number, random: Random): Reaction {
  const effects: DiscoveryEffect[] = [];
  const alive = state.heard.filter(({ expiresAtMs }) => expiresAtMs > nowMs);
  let next: Up = { ...state, heard: alive };
  if (alive.length === 0 && state.heard.length > 0) next = { ...next, solicitAtMs: nowMs, solicited: 0 };
  if (next.advertiseAtMs <= nowMs) {
    effects.push({ type: 'advertise' });
    const quick = next.initialLeft > 1;
    const interval = quick ? minimumBetweenAdvertisementsMs : advertisementIntervalMs * (0.75 + 0.25 * random());
    next = {
      ...next,
      initialLeft: Math.max(0, next.initialLeft - 1),
      advertisedAtMs: nowMs,
      advertiseAtMs: nowMs + interval,
    };
  }
  if (alive.length === 0 && next.solicitAtMs <= nowMs) {
    effects.push({ type: 'solicit' });
    const interval = Math.min(
      maximumSolicitationIntervalMs,
      solicitationIntervalMs * 2 ** Math.min(next.solicited, 10),
    );
    next = { ...next, solicited: next.solicited + 1, solicitAtMs: nowMs + interval * (0.9 + 0.2 * random()) };
  }
  return [next, effects];
}
