/** What a message's sequence number says about it. */
export type Arrival = 'newest' | 'late' | 'replayed';

/**
 * Sliding window over the sequence numbers of one sender's boot (as RFC 4303 3.4.3 does for IPsec): each number is let
 * in once, late ones as far back as 32.
 */
export class ReplayWindow {
  #highest: number;
  #seen = 1;

  /** @param first a number known to be fresh; everything below it counts as replayed */
  constructor(first: number) {
    this.#highest = first;
    this.#seen = -1;
  }

  accept(sequence: number): Arrival {
    const ahead = sequence - this.#highest;
    if (ahead > 0) {
      this.#seen = ahead < 32 ? (this.#seen << ahead) | 1 : 1;
      this.#highest = sequence;
      return 'newest';
    }
    if (ahead <= -32) return 'replayed';
    const bit = 1 << -ahead;
    if ((this.#seen & bit) !== 0) return 'replayed';
    this.#seen |= bit;
    return 'late';
  }
}
