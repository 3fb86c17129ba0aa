import { afterAll, beforeAll, describe } from '@jest/globals';
import { BgpBed, bedUnavailable, type Cable } from './bed.ts';
import { type BgpPeer, type PeerDescription, type PeerKind, peerKinds } from './peers.ts';

/** A router of one kind, at the other end of a cable. */
export interface Router {
  readonly peer: BgpPeer;
  readonly cable: Cable;
}

/** A bed for the tests of a `describe`, with a router of every kind once the tests have placed them. */
export interface EveryRouter {
  readonly bed: BgpBed;
  readonly routers: ReadonlyMap<PeerKind, Router>;
  /** Puts a router at the end of a cable. It is not started yet. */
  place(kind: PeerKind, cable: Cable, description: Partial<PeerDescription>): BgpPeer;
  /** @throws RangeError when it was not placed */
  of(kind: PeerKind): Router;
}

/**
 * `describe` for tests with every kind of router; where programs are missing it is skipped, and says so.
 * @param word tells the beds of test files apart, a few letters
 * @param subject what is not tested then
 */
export function describeEveryRouter(
  name: string,
  { word, subject }: { word: string; subject: string },
  tests: (every: EveryRouter) => void,
): void {
  const unavailable = bedUnavailable(...peerKinds);
  if (unavailable !== undefined) console.warn(`not tested: ${subject}: ${unavailable}`);
  (unavailable === undefined ? describe : describe.skip)(name, () => {
    let bed: BgpBed | undefined;
    const routers = new Map<PeerKind, Router>();
    const every: EveryRouter = {
      get bed() {
        if (!bed) throw new RangeError('the bed is there in tests only');
        return bed;
      },
      routers,
      place(kind, cable, description) {
        const peer = every.bed.peer(kind, cable, description);
        routers.set(kind, { peer, cable });
        return peer;
      },
      of(kind) {
        const found = routers.get(kind);
        if (!found) throw new RangeError(kind);
        return found;
      },
    };
    beforeAll(() => {
      bed = new BgpBed(word);
    }, 60_000);
    afterAll(async () => {
      await bed?.close();
    }, 60_000);
    tests(every);
  });
}
