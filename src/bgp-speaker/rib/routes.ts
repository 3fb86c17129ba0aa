import type { Cidr } from '../../net/index.ts';
import { type AddressFamily, addressFamilies } from '../message/assigned-numbers.ts';
import type { RouteAttributes } from '../message/path-attributes.ts';
import { AttributeSets } from './attribute-sets.ts';
import { PrefixTable, slotFlag } from './prefix-table.ts';

const firstRelease = 64;

/** Who follows the routes: told which slots changed, asked which it still needs. */
export interface RoutesFollower {
  readonly families: readonly AddressFamily[];
  /** It has something to send. */
  readonly isBehind: boolean;
  /** This slot has another attribute set than before, or none. */
  changed(family: AddressFamily, slot: number): void;
  /** A withdrawal of this slot is still to be sent. */
  needs(family: AddressFamily, slot: number): boolean;
}

/**
 * The routes of a speaker, once for all its peers: about 20 bytes for an IPv4 prefix, 33 for an IPv6 one, besides the
 * attribute sets. What each peer was told of them is two bits a prefix in its RouteReader.
 *
 * Changes are collected and made known by `publish`; a change and its opposite in between are none. A withdrawn prefix
 * keeps its slot until no follower needs it.
 */
export class Routes {
  readonly #sets = new AttributeSets();
  readonly #tables: Record<AddressFamily, PrefixTable> = {
    'ipv4-unicast': new PrefixTable(1),
    'ipv6-unicast': new PrefixTable(4),
  };
  /** Slots changed since the last publication, each with the set before. */
  readonly #changes: Record<AddressFamily, { slots: number[]; before: number[] }> = {
    'ipv4-unicast': { slots: [], before: [] },
    'ipv6-unicast': { slots: [], before: [] },
  };
  readonly #withdrawn: Record<AddressFamily, number[]> = { 'ipv4-unicast': [], 'ipv6-unicast': [] };
  readonly #followers = new Set<RoutesFollower>();
  /** While somebody is behind, no look before so many are withdrawn. */
  #nextRelease = firstRelease;
  /** The follower that was behind at the last look: as long as it is, no other need be asked. */
  #lagging: RoutesFollower | undefined;
  #announced = 0;

  /** Number of prefixes announced. */
  get size(): number {
    return this.#announced;
  }

  /** Memory of the tables, bytes; not the attribute sets. */
  get memoryBytes(): number {
    return addressFamilies.reduce((sum, family) => sum + this.#tables[family].memoryBytes, 0);
  }

  /** Number of distinct attribute sets in use. */
  get attributeSets(): number {
    return this.#sets.size;
  }

  /** True when `publish` has something to look at. */
  get hasChanges(): boolean {
    return addressFamilies.some((family) => this.#changes[family].slots.length > 0);
  }

  table(family: AddressFamily): PrefixTable {
    return this.#tables[family];
  }

  /** The attributes of a slot, or undefined when it is withdrawn. */
  attributesAt(family: AddressFamily, slot: number): RouteAttributes | undefined {
    return this.#sets.get(this.#tables[family].sets[slot] ?? 0);
  }

  attributesOf(set: number): RouteAttributes | undefined {
    return this.#sets.get(set);
  }

  get(prefix: Cidr): RouteAttributes | undefined {
    const family = familyOfPrefix(prefix);
    const slot = this.#tables[family].find(prefix);
    return slot < 0 ? undefined : this.attributesAt(family, slot);
  }

  *[Symbol.iterator](): Generator<readonly [Cidr, RouteAttributes]> {
    for (const family of addressFamilies) {
      const table = this.#tables[family];
      for (let slot = 0; slot < table.slotCount; slot++) {
        const attributes = this.attributesAt(family, slot);
        if (attributes) yield [table.cidrAt(slot), attributes];
      }
    }
  }

  /** `attributes` must not change afterwards. @throws BgpArgumentError */
  announce(prefix: Cidr, attributes: RouteAttributes): void {
    // First, for it may throw.
    const set = this.#sets.acquire(attributes);
    const family = familyOfPrefix(prefix);
    this.#assign(family, this.#tables[family].findOrAdd(prefix), set);
  }

  withdraw(prefix: Cidr): void {
    const family = familyOfPrefix(prefix);
    const slot = this.#tables[family].find(prefix);
    if (slot >= 0) this.#assign(family, slot, 0);
  }

  /** From now on exactly these routes; of one prefix given twice, the last. @throws BgpArgumentError, with nothing changed */
  replaceAll(routes: Iterable<readonly [Cidr, RouteAttributes]>): void {
    const list = [...routes];
    const sets: number[] = [];
    try {
      for (const [, attributes] of list) sets.push(this.#sets.acquire(attributes));
    } catch (thrown) {
      for (const set of sets) this.#sets.release(set);
      throw thrown;
    }
    for (const [index, [prefix]] of list.entries()) {
      const family = familyOfPrefix(prefix);
      const table = this.#tables[family];
      const slot = table.findOrAdd(prefix);
      table.flags[slot] = (table.flags[slot] ?? 0) | slotFlag.marked;
      this.#assign(family, slot, sets[index] ?? 0);
    }
    for (const family of addressFamilies) {
      const table = this.#tables[family];
      for (let slot = 0; slot < table.slotCount; slot++) {
        const flags = table.flags[slot] ?? 0;
        if ((flags & slotFlag.marked) !== 0) table.flags[slot] = flags & ~slotFlag.marked;
        else if ((flags & slotFlag.used) !== 0) this.#assign(family, slot, 0);
      }
    }
  }

  follow(follower: RoutesFollower): void {
    this.#followers.add(follower);
  }

  unfollow(follower: RoutesFollower): void {
    this.#followers.delete(follower);
    this.#nextRelease = 0;
    this.release();
  }

  /** Tells the followers what changed since the last time. */
  publish(): void {
    for (const family of addressFamilies) this.#publish(family);
    this.release();
  }

  /**
   * Frees the slots of withdrawn prefixes that every follower has dealt with. Cheap to call often: while some follower
   * stays behind, it looks only when there are twice as many as were left the last time.
   */
  release(): void {
    const waiting = addressFamilies.reduce((sum, family) => sum + this.#withdrawn[family].length, 0);
    if (waiting === 0) return;
    if (waiting < this.#nextRelease && this.#isAnyBehind()) return;
    const behind = [...this.#followers].filter(({ isBehind }) => isBehind);
    for (const family of addressFamilies) {
      const table = this.#tables[family];
      this.#withdrawn[family] = this.#withdrawn[family].filter((slot) => {
        const flags = table.flags[slot] ?? 0;
        // It was announced again; if it is withdrawn again, it is entered again.
        if (table.sets[slot] !== 0 || (flags & slotFlag.used) === 0) return false;
        if ((flags & slotFlag.dirty) !== 0 || behind.some((follower) => follower.needs(family, slot))) return true;
        table.remove(slot);
        return false;
      });
    }
    const left = addressFamilies.reduce((sum, family) => sum + this.#withdrawn[family].length, 0);
    this.#nextRelease = 2 * left + firstRelease;
  }

  #isAnyBehind(): boolean {
    if (this.#lagging?.isBehind && this.#followers.has(this.#lagging)) return true;
    this.#lagging = undefined;
    for (const follower of this.#followers) {
      if (!follower.isBehind) continue;
      this.#lagging = follower;
      return true;
    }
    return false;
  }

  #assign(family: AddressFamily, slot: number, set: number): void {
    const table = this.#tables[family];
    const before = table.sets[slot] ?? 0;
    if (set === before) {
      this.#sets.release(set);
      return;
    }
    this.#announced += (set === 0 ? 0 : 1) - (before === 0 ? 0 : 1);
    table.sets[slot] = set;
    const flags = table.flags[slot] ?? 0;
    if ((flags & slotFlag.dirty) !== 0) {
      this.#sets.release(before);
      return;
    }
    // The reference to the set before goes on to the list, so that its number stays its own until then.
    table.flags[slot] = flags | slotFlag.dirty;
    this.#changes[family].slots.push(slot);
    this.#changes[family].before.push(before);
  }

  #publish(family: AddressFamily): void {
    const { slots, before } = this.#changes[family];
    if (slots.length === 0) return;
    this.#changes[family] = { slots: [], before: [] };
    const table = this.#tables[family];
    const followers = [...this.#followers].filter(({ families }) => families.includes(family));
    for (let i = 0; i < slots.length; i++) {
      const slot = slots[i] ?? 0;
      table.flags[slot] = (table.flags[slot] ?? 0) & ~slotFlag.dirty;
      const set = table.sets[slot] ?? 0;
      if (set === 0) this.#withdrawn[family].push(slot);
      if (set !== before[i]) for (const follower of followers) follower.changed(family, slot);
      this.#sets.release(before[i] ?? 0);
    }
  }
}

export function familyOfPrefix(prefix: Cidr): AddressFamily {
  return prefix.family === 4 ? 'ipv4-unicast' : 'ipv6-unicast';
}
