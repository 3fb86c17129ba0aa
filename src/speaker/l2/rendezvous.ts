/**
 * Highest random weight ("rendezvous") hashing: which of several nodes is first in line for an address.
 *
 * Each node's weight for an address depends on the two names only, so all nodes agree without talking, and when a node
 * goes only its own addresses get another first in line.
 */

/** 32-bit FNV-1a over UTF-16 code units; `seed` gives independent functions. */
export function hashText(text: string, seed = 0): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  }
  return hash;
}

/** Spreads every input bit over all output bits (the finaliser of MurmurHash3). */
export function mix32(value: number): number {
  let x = value >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** The weight of a node for an address, both given as `hashText` of their names; 0 to 2^32 - 1, highest is first. */
export function rendezvousWeight(addressHash: number, nodeHash: number): number {
  return mix32(addressHash ^ mix32(nodeHash));
}
