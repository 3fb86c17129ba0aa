import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { OvenbirdError } from '../../base/index.ts';

/**
 * Who may take part: messages end with one authentication code per key the sender holds.
 *
 *   trailer = count:u8(1..2) (keyId:u32 tag:16)*count      tag = first 16 bytes of HMAC-SHA256(key, everything before the trailer)
 *
 * While a key is being replaced a speaker holds both and signs with both, so those who hold only the old or only the new
 * one understand it: the order in which nodes learn of a new key does not matter.
 */
export interface KeyRing {
  current: Uint8Array;
  previous?: Uint8Array | undefined;
}

interface Key {
  id: number;
  secret: Uint8Array;
}

const tagBytes = 16;
const entryBytes = 4 + tagBytes;

/** Signs and checks messages. */
export class HeartbeatAuth {
  #keys: Key[] = [];

  /** @throws OvenbirdError `WeakKey` */
  constructor(keys: KeyRing) {
    this.setKeys(keys);
  }

  /** @throws OvenbirdError `WeakKey` when a key has fewer than 16 bytes */
  setKeys(keys: KeyRing): void {
    const secrets = keys.previous === undefined ? [keys.current] : [keys.current, keys.previous];
    for (const secret of secrets) {
      if (secret.length < 16) {
        throw new OvenbirdError(
          'WeakKey',
          `the key that speakers share has ${secret.length} bytes; put at least 16 random bytes into the Secret`,
        );
      }
    }
    this.#keys = secrets.map((secret) => ({
      id: createHash('sha256').update('ovenbird speaker key id').update(secret).digest().readUInt32BE(0),
      secret,
    }));
  }

  /** Bytes that `sign` appends. */
  get trailerBytes(): number {
    return 1 + this.#keys.length * entryBytes;
  }

  /** Appends the trailer to the message in `buffer[start, end)`; returns the new end. */
  sign(buffer: Buffer, start: number, end: number): number {
    let at = buffer.writeUInt8(this.#keys.length, end);
    for (const key of this.#keys) {
      at = buffer.writeUInt32BE(key.id, at);
      const tag = createHmac('sha256', key.secret).update(buffer.subarray(start, end)).digest();
      at += tag.copy(buffer, at, 0, tagBytes);
    }
    return at;
  }

  /** The message without its trailer when one of the codes is right; undefined for everything else. Never throws. */
  open(bytes: Buffer): Buffer | undefined {
    for (let count = 1; count <= 2; count++) {
      const end = bytes.length - 1 - count * entryBytes;
      if (end < 0 || bytes[end] !== count) continue;
      for (let at = end + 1; at < bytes.length; at += entryBytes) {
        const id = bytes.readUInt32BE(at);
        const key = this.#keys.find((candidate) => candidate.id === id);
        if (!key) continue;
        const tag = createHmac('sha256', key.secret).update(bytes.subarray(0, end)).digest().subarray(0, tagBytes);
        if (timingSafeEqual(tag, bytes.subarray(at + 4, at + entryBytes))) return bytes.subarray(0, end);
      }
    }
    return undefined;
  }
}

/** Tells clusters that share a network apart: 32 bits of a hash of whatever names the cluster (its kube-system UID). */
export function clusterNumber(clusterId: string): number {
  return createHash('sha256').update('ovenbird cluster').update(clusterId).digest().readUInt32BE(0);
}
