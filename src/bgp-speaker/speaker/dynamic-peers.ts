import type { Clock } from '../../base/index.ts';
import type { Address, Cidr } from '../../net/index.ts';
import { BgpOptionsError } from '../errors.ts';
import { FailureMemory } from './failure-memory.ts';
import type { DynamicPeer, DynamicRange } from './neighbours.ts';
import type { DynamicPeerOptions, ResolvedPeer } from './options.ts';
import type { Session } from './session.ts';

/** A prefix whose addresses may connect, and what they are then. */
export interface Range extends DynamicRange {
  /** Names it: a range of the same prefix and interface replaces it. */
  readonly key: string;
  /** Of the prefix itself: what its peers are like. */
  readonly template: ResolvedPeer;
}

/** The prefixes from which peers may come without being named, and those that have come. */
export class DynamicPeers {
  readonly #ranges = new Map<string, Range>();
  readonly #origins = new Map<Session, { prefix: Cidr; sinceMs: number }>();
  readonly #failures: FailureMemory;

  constructor(clock: Clock) {
    this.#failures = new FailureMemory(clock);
  }

  get ranges(): readonly Range[] {
    return [...this.#ranges.values()];
  }

  /** Those that are there. */
  get sessions(): DynamicPeer<Session>[] {
    return [...this.#origins].flatMap(([session, origin]) => {
      const { address, interface: link } = session.options;
      if (!address) return [];
      const isEstablished = session.state === 'Established';
      return [{ ...origin, address, interface: link, isEstablished, session }];
    });
  }

  /** Replaces the range of the same prefix and interface. */
  set(range: Range): void {
    this.#ranges.set(range.key, range);
  }

  /** The range, which is none any more, and who came from it. */
  delete(peers: Cidr, link: string | undefined): { range: Range; sessions: readonly Session[] } | undefined {
    const key = keyOf(peers, link);
    const range = this.#ranges.get(key);
    if (!range) return undefined;
    this.#ranges.delete(key);
    const sessions = [...this.#origins].filter(
      ([session, { prefix }]) => keyOf(prefix, session.options.interface) === key,
    );
    return { range, sessions: sessions.map(([session]) => session) };
  }

  /** @returns how often in a row the peer has failed until it left */
  came(session: Session, range: Range, nowMs: number): number {
    this.#origins.set(session, { prefix: range.peers, sinceMs: nowMs });
    return this.#failures.failuresOf(whoIs(session));
  }

  /** False when it was gone before. */
  left(session: Session): boolean {
    const { maximumIdleHoldSeconds } = session.options.machine;
    const wasThere = this.#origins.delete(session);
    // Who stays away as long as the longest wait may begin anew.
    if (wasThere) this.#failures.note(whoIs(session), session.failuresInARow, maximumIdleHoldSeconds * 1000);
    return wasThere;
  }

  clear(): void {
    this.#ranges.clear();
    this.#origins.clear();
    this.#failures.clear();
  }
}

/** @throws BgpOptionsError */
export function newRange(
  peers: Cidr,
  options: DynamicPeerOptions,
  resolve: (name: string, address: Address) => ResolvedPeer,
): Range {
  const { maximumPeers = 100, interface: link } = options;
  if (!Number.isInteger(maximumPeers) || maximumPeers < 1 || maximumPeers > 65_535) {
    const text = `${maximumPeers} is not a whole number from 1 to 65535`;
    throw new BgpOptionsError([{ field: 'maximumPeers', text }]);
  }
  const template = resolve(String(peers), peers.address);
  return { key: keyOf(peers, link), peers, interface: link, template, maximumPeers };
}

function whoIs({ options: { address, interface: link } }: Session): string {
  return `${address}%${link ?? ''}`;
}

function keyOf(peers: Cidr, link: string | undefined): string {
  return `${peers}%${link ?? ''}`;
}
