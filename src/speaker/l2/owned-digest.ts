import { hashText, mix32 } from './rendezvous.ts';

/**
 * Fingerprint of a set of (address, epoch) pairs that is kept up to date in O(1): the exclusive or of a 64-bit hash of
 * each pair. It finds lost updates, not attackers (the messages are authenticated as a whole).
 */
export class OwnedDigest {
  high = 0;
  low = 0;

  /** Adds a pair, or removes it when it is in. */
  toggle(address: string, epoch: number): void {
    this.high = (this.high ^ mix32(hashText(address, 0x5bd1e995) ^ mix32(epoch))) >>> 0;
    this.low = (this.low ^ mix32(hashText(address, 0x2545f491) ^ mix32(epoch + 0x9e3779b9))) >>> 0;
  }

  equals(high: number, low: number): boolean {
    return this.high === high && this.low === low;
  }

  reset(): void {
    this.high = 0;
    this.low = 0;
  }
}
