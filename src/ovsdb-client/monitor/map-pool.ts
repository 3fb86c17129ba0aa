import type { Atom } from '../value/atom.ts';

const SLOTS = 512;
const LARGEST = 8;

/**
 * Lets rows share equal small maps. In most tables a few columns hold the same handful of options in every row, and a
 * Map costs some 250 bytes; rows never change theirs, so one will do for all. Holds at most 512 maps.
 */
export class MapPool {
  readonly #slots: (ReadonlyMap<Atom, Atom> | undefined)[] = new Array(SLOTS).fill(undefined);

  /** The map itself, or an equal one that was seen before. */
  share(map: ReadonlyMap<Atom, Atom>): ReadonlyMap<Atom, Atom> {
    if (map.size > LARGEST) return map;
    let hash = map.size;
    for (const [key, value] of map) hash = (Math.imul(hash, 31) + hashAtom(key) * 7 + hashAtom(value)) | 0;
    const slot = (hash ^ (hash >>> 9)) & (SLOTS - 1);
    const known = this.#slots[slot];
    if (known !== undefined && sameMap(known, map)) return known;
    this.#slots[slot] = map;
    return map;
  }
}

/** Cheap, and good enough to tell options apart: length, first and last character. */
function hashAtom(atom: Atom): number {
  if (typeof atom !== 'string') return Number(atom) | 0;
  const { length } = atom;
  return length === 0 ? 0 : (Math.imul(length, 131) + atom.charCodeAt(0)) * 31 + atom.charCodeAt(length - 1);
}

function sameMap(a: ReadonlyMap<Atom, Atom>, b: ReadonlyMap<Atom, Atom>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}
