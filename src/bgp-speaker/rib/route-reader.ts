import { BgpArgumentError } from '../errors.ts';
import { type AddressFamily, addressFamilies } from '../message/assigned-numbers.ts';
import type { RouteAttributes, UpdateContext } from '../message/path-attributes.ts';
import { UpdatePacker } from '../message/update-packer.ts';
import { BitSet } from './bit-set.ts';
import { type PrefixTable, slotFlag } from './prefix-table.ts';
import { groupSlots, type RouteGroup, type RoutePolicy } from './route-groups.ts';
import type { Routes, RoutesFollower } from './routes.ts';

/** Slots looked at together and grouped by attribute set: bounds what a peer that takes nothing holds. */
const windowSlots = 16_384;

/** Routes that could not be sent to this peer, with the reason. */
export interface UnsendableRoutes {
  family: AddressFamily;
  attributes: RouteAttributes;
  prefixes: number;
  error: BgpArgumentError;
}

/** What is known of one family. */
interface Progress {
  /** Changed since the peer was told, or never told. */
  readonly pending: BitSet;
  /** The peer has this prefix from us. */
  readonly told: BitSet;
  /** The window taken from `pending`, the group under way first. */
  groups: RouteGroup[];
  /** Next slot of the first group. */
  at: number;
}

/**
 * What one peer has been told of the routes, and what comes next (Adj-RIB-Out, RFC 4271 section 3.2). UPDATEs are made
 * one at a time when asked for, from the routes as they are then, so a peer that takes nothing costs two bits a prefix
 * and one window.
 */
export class RouteReader implements RoutesFollower {
  readonly families: readonly AddressFamily[];
  readonly #routes: Routes;
  readonly #policy: RoutePolicy;
  readonly #onUnsendable: (routes: UnsendableRoutes) => void;
  readonly #packer: UpdatePacker;
  readonly #messages: Uint8Array[] = [];
  readonly #progress: Record<AddressFamily, Progress>;
  /** The group that the packer is set to; another family's may come in between. */
  #packing: RouteGroup | undefined;
  #prefixes = 0;

  constructor(options: {
    routes: Routes;
    families: readonly AddressFamily[];
    context: UpdateContext;
    policy: RoutePolicy;
    onUnsendable: (routes: UnsendableRoutes) => void;
  }) {
    this.#routes = options.routes;
    this.families = options.families;
    this.#policy = options.policy;
    this.#onUnsendable = options.onUnsendable;
    this.#packer = new UpdatePacker(options.context, (message) => this.#messages.push(message));
    const progress = (): Progress => ({ pending: new BitSet(), told: new BitSet(), groups: [], at: 0 });
    this.#progress = { 'ipv4-unicast': progress(), 'ipv6-unicast': progress() };
    for (const family of this.families) this.resend(family);
    this.#routes.follow(this);
  }

  /** Prefixes that the peer has from us. */
  get prefixes(): number {
    return this.#prefixes;
  }

  /** Bytes of the bits. */
  get memoryBytes(): number {
    return addressFamilies.reduce((sum, family) => {
      const { pending, told } = this.#progress[family];
      return sum + pending.memoryBytes + told.memoryBytes;
    }, 0);
  }

  /** There may be something to send. */
  get isBehind(): boolean {
    return (
      this.#messages.length > 0 ||
      addressFamilies.some((family) => {
        const { pending, groups } = this.#progress[family];
        return groups.length > 0 || pending.mayHaveMembers;
      })
    );
  }

  changed(family: AddressFamily, slot: number): void {
    this.#progress[family].pending.add(slot);
  }

  needs(family: AddressFamily, slot: number): boolean {
    const { pending, told } = this.#progress[family];
    return pending.has(slot) || told.has(slot);
  }

  /** Everything of a family again: a route refresh (RFC 2918 section 4), or another policy. */
  resend(family: AddressFamily): void {
    const table = this.#routes.table(family);
    const { pending, told } = this.#progress[family];
    for (let slot = 0; slot < table.slotCount; slot++) {
      if (table.sets[slot] !== 0 || told.has(slot)) pending.add(slot);
    }
  }

  /** The next UPDATE of a family, or undefined when the peer has what it should have. The caller owns the bytes. */
  next(family: AddressFamily): Uint8Array | undefined {
    for (;;) {
      const message = this.#messages.shift();
      if (message) return message;
      const group = this.#progress[family].groups[0];
      if (group) this.#pack(family, group);
      else if (!this.#nextWindow(family)) return undefined;
    }
  }

  /** Nothing more is sent; the routes no longer wait for this peer. */
  close(): void {
    this.#routes.unfollow(this);
  }

  /** Adds slots of the group until a message is whole or the group is at its end. */
  #pack(family: AddressFamily, group: RouteGroup): void {
    const progress = this.#progress[family];
    if (this.#packing !== group && !this.#start(family, group)) return;
    const table = this.#routes.table(family);
    const { slots, sets, attributes } = group;
    for (; progress.at < slots.length && this.#messages.length === 0; progress.at++) {
      const slot = slots[progress.at] ?? 0;
      // It changed in between: published, it is pending; not yet published, it may turn out unchanged.
      if (((table.flags[slot] ?? 0) & slotFlag.dirty) !== 0) progress.pending.add(slot);
      else if (table.sets[slot] === sets[progress.at]) {
        this.#tell(progress, slot, attributes !== undefined);
        add(this.#packer, family, table, slot);
      }
    }
    if (progress.at === slots.length) this.#finishGroup(progress);
  }

  #start(family: AddressFamily, group: RouteGroup): boolean {
    const { attributes, original, slots } = group;
    this.#packing = group;
    if (!attributes) {
      this.#packer.withdraw(family);
      return true;
    }
    try {
      this.#packer.announce(family, attributes);
      return true;
    } catch (thrown) {
      if (!(thrown instanceof BgpArgumentError)) throw thrown;
      const progress = this.#progress[family];
      const told = slots.filter((slot) => progress.told.has(slot));
      const sets = told.map((slot) => this.#routes.table(family).sets[slot] ?? 0);
      if (told.length > 0) progress.groups.push({ attributes: undefined, original: undefined, slots: told, sets });
      this.#finishGroup(progress);
      this.#onUnsendable({ family, attributes: original ?? attributes, prefixes: slots.length, error: thrown });
      return false;
    }
  }

  #finishGroup(progress: Progress): void {
    this.#packer.finish();
    this.#packing = undefined;
    progress.groups.shift();
    progress.at = 0;
    if (progress.groups.length === 0) this.#routes.release();
  }

  #tell({ told }: Progress, slot: number, hasRoute: boolean): void {
    if (told.has(slot) === hasRoute) return;
    if (hasRoute) told.add(slot);
    else told.delete(slot);
    this.#prefixes += hasRoute ? 1 : -1;
  }

  /** Takes slots from `pending` and groups them by what the peer shall be told. False when there is nothing to do. */
  #nextWindow(family: AddressFamily): boolean {
    const progress = this.#progress[family];
    const slots = progress.pending.takeLowest(windowSlots);
    if (slots.length === 0) {
      this.#routes.release();
      return false;
    }
    const isTold = (slot: number) => progress.told.has(slot);
    const { groups, refused, unpublished } = groupSlots(this.#routes, family, slots, this.#policy, isTold);
    progress.groups = [...groups];
    for (const slot of unpublished) progress.pending.add(slot);
    for (const { original, error, slots: without } of refused) {
      this.#onUnsendable({ family, attributes: original, prefixes: without.length, error });
    }
    return slots.length > unpublished.length;
  }
}

function add(packer: UpdatePacker, family: AddressFamily, table: PrefixTable, slot: number): void {
  const word = (index: number) => table.wordAt(slot, index);
  if (table.words === 1) packer.add(family, table.lengthAt(slot), word(0), 0, 0, 0);
  else packer.add(family, table.lengthAt(slot), word(0), word(1), word(2), word(3));
}
