import type { Cidr } from '../../net/index.ts';
import { BgpArgumentError } from '../errors.ts';
import { type AddressFamily, addressFamilies } from '../message/assigned-numbers.ts';
import type { PathAttributes } from '../message/path-attributes.ts';
import type { UpdatePacker } from '../message/update-packer.ts';
import { AttributeSets } from './attribute-sets.ts';
import { PrefixTable, slotFlag } from './prefix-table.ts';

/** Routes that could not be sent to this peer, with the reason. */
export interface UnsendableRoutes {
  family: AddressFamily;
  attributes: PathAttributes;
  prefixes: number;
  error: BgpArgumentError;
}

/**
 * The routes of one session (Adj-RIB-Out, RFC 4271 section 3.2): what the peer should have, and what it was told.
 *
 * Changes are collected and sent by `flush`, grouped by attribute set; a change and its opposite in between send
 * nothing. At most 40 bytes a prefix, besides the attribute sets.
 */
export class AdjRibOut {
  readonly #sets = new AttributeSets();
  readonly #tables: Record<AddressFamily, PrefixTable> = {
    'ipv4-unicast': new PrefixTable(1),
    'ipv6-unicast': new PrefixTable(4),
  };
  readonly #dirty: Record<AddressFamily, number[]> = { 'ipv4-unicast': [], 'ipv6-unicast': [] };

  /** Prefixes known, those being withdrawn included. */
  get size(): number {
    return addressFamilies.reduce((sum, family) => sum + this.#tables[family].size, 0);
  }

  /** Memory of the tables, bytes; not the attribute sets. */
  get memoryBytes(): number {
    return addressFamilies.reduce((sum, family) => sum + this.#tables[family].memoryBytes, 0);
  }

  /** Number of distinct attribute sets in use. */
  get attributeSets(): number {
    return this.#sets.size;
  }

  /** True when `flush` has something to look at. */
  get hasChanges(): boolean {
    return addressFamilies.some((family) => this.#dirty[family].length > 0);
  }

  /** The peer should have this route. `attributes` must not change afterwards. @throws BgpArgumentError */
  announce(prefix: Cidr, attributes: PathAttributes): void {
    // First, for it may throw.
    const id = this.#sets.acquire(attributes);
    const family = familyOfPrefix(prefix);
    this.#want(family, this.#tables[family].findOrAdd(prefix), id);
  }

  /** The peer should not have this prefix. */
  withdraw(prefix: Cidr): void {
    const family = familyOfPrefix(prefix);
    const slot = this.#tables[family].find(prefix);
    if (slot >= 0) this.#want(family, slot, 0);
  }

  /** The peer should have exactly these routes; of one prefix given twice, the last. @throws BgpArgumentError */
  replaceAll(routes: Iterable<readonly [Cidr, PathAttributes]>): void {
    const list = [...routes];
    // Whatever cannot be encoded at all is refused before anything changes.
    const checked: number[] = [];
    try {
      for (const [, attributes] of list) checked.push(this.#sets.acquire(attributes));
    } finally {
      for (const id of checked) this.#sets.release(id);
    }
    for (const [prefix, attributes] of list) {
      const family = familyOfPrefix(prefix);
      const table = this.#tables[family];
      const slot = table.findOrAdd(prefix);
      table.flags[slot] = (table.flags[slot] ?? 0) | slotFlag.marked;
      this.#want(family, slot, this.#sets.acquire(attributes));
    }
    for (const family of addressFamilies) {
      const table = this.#tables[family];
      for (let slot = 0; slot < table.slotCount; slot++) {
        const flags = table.flags[slot] ?? 0;
        if ((flags & slotFlag.marked) !== 0) table.flags[slot] = flags & ~slotFlag.marked;
        else if ((flags & slotFlag.used) !== 0) this.#want(family, slot, 0);
      }
    }
  }

  /**
   * Sends what changed since the last time: announcements by attribute set, then withdrawals. Only the families
   * negotiated are sent; changes of others wait.
   * @returns routes that cannot be encoded for this peer; it is left without them
   */
  flush(packer: UpdatePacker, families: readonly AddressFamily[]): UnsendableRoutes[] {
    const unsendable: UnsendableRoutes[] = [];
    for (const family of families) this.#flushFamily(packer, family, unsendable);
    packer.finish();
    return unsendable;
  }

  /** Sends every route of a family again, as ROUTE-REFRESH asks (RFC 2918 section 4). */
  refresh(packer: UpdatePacker, family: AddressFamily): UnsendableRoutes[] {
    const unsendable = this.flush(packer, [family]);
    const table = this.#tables[family];
    const groups = new Map<number, number[]>();
    for (let slot = 0; slot < table.slotCount; slot++) {
      const sent = table.sent[slot] ?? 0;
      if (sent !== 0) group(groups, sent, slot);
    }
    for (const [id, slots] of groups) {
      const attributes = this.#sets.get(id);
      if (!attributes) continue;
      packer.announce(family, attributes);
      for (const slot of slots) add(packer, family, table, slot);
    }
    packer.finish();
    return unsendable;
  }

  /** The session ended: the peer has nothing. What it should have stays, and is sent by the next `flush`. */
  forgetSent(): void {
    for (const family of addressFamilies) {
      const table = this.#tables[family];
      for (let slot = 0; slot < table.slotCount; slot++) {
        if (((table.flags[slot] ?? 0) & slotFlag.used) === 0) continue;
        this.#setSent(table, slot, 0);
        this.#markDirty(family, slot);
      }
    }
  }

  #want(family: AddressFamily, slot: number, id: number): void {
    const table = this.#tables[family];
    this.#sets.release(table.wanted[slot] ?? 0);
    table.wanted[slot] = id;
    if (table.sent[slot] !== id || id === 0) this.#markDirty(family, slot);
  }

  #markDirty(family: AddressFamily, slot: number): void {
    const table = this.#tables[family];
    const flags = table.flags[slot] ?? 0;
    if ((flags & slotFlag.dirty) !== 0) return;
    table.flags[slot] = flags | slotFlag.dirty;
    this.#dirty[family].push(slot);
  }

  #setSent(table: PrefixTable, slot: number, id: number): void {
    if (id !== 0) this.#sets.retain(id);
    this.#sets.release(table.sent[slot] ?? 0);
    table.sent[slot] = id;
  }

  #flushFamily(packer: UpdatePacker, family: AddressFamily, unsendable: UnsendableRoutes[]): void {
    const table = this.#tables[family];
    const dirty = this.#dirty[family];
    this.#dirty[family] = [];
    const announced = new Map<number, number[]>();
    const withdrawn: number[] = [];
    for (const slot of dirty) {
      table.flags[slot] = (table.flags[slot] ?? 0) & ~slotFlag.dirty;
      const wanted = table.wanted[slot] ?? 0;
      if (wanted === 0) withdrawn.push(slot);
      else if (wanted !== table.sent[slot]) group(announced, wanted, slot);
    }
    for (const [id, slots] of announced) {
      const attributes = this.#sets.get(id);
      if (!attributes) continue;
      try {
        packer.announce(family, attributes);
      } catch (error) {
        if (!(error instanceof BgpArgumentError)) throw error;
        unsendable.push({ family, attributes, prefixes: slots.length, error });
        for (const slot of slots) withdrawn.push(slot);
        continue;
      }
      for (const slot of slots) {
        add(packer, family, table, slot);
        this.#setSent(table, slot, id);
      }
    }
    this.#withdraw(packer, family, withdrawn);
  }

  #withdraw(packer: UpdatePacker, family: AddressFamily, slots: readonly number[]): void {
    if (slots.length === 0) return;
    const table = this.#tables[family];
    packer.withdraw(family);
    for (const slot of slots) {
      if (table.sent[slot] !== 0) add(packer, family, table, slot);
      this.#setSent(table, slot, 0);
      if (table.wanted[slot] === 0) table.remove(slot);
    }
  }
}

function add(packer: UpdatePacker, family: AddressFamily, table: PrefixTable, slot: number): void {
  const word = (index: number) => table.wordAt(slot, index);
  packer.add(family, table.lengthAt(slot), word(0), word(1), word(2), word(3));
}

function group(groups: Map<number, number[]>, id: number, slot: number): void {
  const slots = groups.get(id);
  if (slots) slots.push(slot);
  else groups.set(id, [slot]);
}

function familyOfPrefix(prefix: Cidr): AddressFamily {
  return prefix.family === 4 ? 'ipv4-unicast' : 'ipv6-unicast';
}
