import type { Cidr } from '../../net/index.ts';
import { BgpArgumentError } from '../errors.ts';
import { type AddressFamily, addressFamilies } from '../message/assigned-numbers.ts';
import type { RouteAttributes, UpdateContext } from '../message/path-attributes.ts';
import { UpdatePacker } from '../message/update-packer.ts';
import { BitSet } from './bit-set.ts';
import { type PrefixTable, slotFlag } from './prefix-table.ts';
import { type RouteGroup, type RoutePolicy, SlotGrouping } from './route-groups.ts';
import type { Routes, RoutesFollower } from './routes.ts';

/** Slots looked at together and grouped by attribute set: bounds what a peer that takes nothing holds. */
const windowSlots = 16_384;

/** Routes that could not be sent to this peer, with the reason. */
export interface UnsendableRoutes {
  family: AddressFamily;
  attributes: RouteAttributes;
  prefixes: number;
  /** One of them. */
  first: Cidr;
  error: BgpArgumentError;
}

/** What is known of one family. */
interface Progress {
  /** Changed since the peer was told, or never told. */
  readonly pending: BitSet;
  /** The peer has this prefix from us. */
  readonly told: BitSet;
  /** The window taken from `pending`, while it is judged. */
  judging: SlotGrouping | undefined;
  /** What it fell into, the group under way, and its next slot. */
  groups: RouteGroup[];
  group: number;
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
    const progress = (): Progress => ({
      pending: new BitSet(),
      told: new BitSet(),
      judging: undefined,
      groups: [],
      group: 0,
      at: 0,
    });
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
        const { pending, judging, groups } = this.#progress[family];
        return judging !== undefined || groups.length > 0 || pending.mayHaveMembers;
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
    // Also empty ones and those the peer never had: the judgement of those is quick, a look at each here is not.
    this.#progress[family].pending.addBelow(this.#routes.table(family).slotCount);
  }

  /**
   * The next UPDATE of a family, or undefined when the peer has what it should have. "later" when time was over before
   * there was one: there may be more. The caller owns the bytes.
   */
  next(family: AddressFamily, isOver: () => boolean = () => false): Uint8Array | 'later' | undefined {
    const progress = this.#progress[family];
    for (;;) {
      const message = this.#messages.shift();
      if (message) return message;
      const group = progress.groups[progress.group];
      if (group) this.#pack(family, group);
      else if (!this.#nextWindow(family, isOver)) return undefined;
      if (this.#messages.length === 0 && isOver()) return 'later';
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
    const { slots, attributes } = group;
    for (; progress.at < slots.length && this.#messages.length === 0; progress.at++) {
      const slot = slots[progress.at] ?? 0;
      // It changed in between: published, it is pending; not yet published, it may turn out unchanged.
      if (((table.flags[slot] ?? 0) & slotFlag.dirty) !== 0) progress.pending.add(slot);
      else if (!progress.pending.has(slot)) {
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
      this.#finishGroup(progress);
      if (told.length > 0) progress.groups.push({ attributes: undefined, original: undefined, slots: told });
      this.#tellUnsendable(family, original ?? attributes, slots, thrown);
      return false;
    }
  }

  #tellUnsendable(
    family: AddressFamily,
    attributes: RouteAttributes,
    slots: readonly number[],
    error: BgpArgumentError,
  ): void {
    const first = this.#routes.table(family).cidrAt(slots[0] ?? 0);
    this.#onUnsendable({ family, attributes, prefixes: slots.length, first, error });
  }

  #finishGroup(progress: Progress): void {
    this.#packer.finish();
    this.#packing = undefined;
    progress.group += 1;
    progress.at = 0;
    if (progress.group < progress.groups.length) return;
    progress.groups = [];
    progress.group = 0;
    this.#routes.release();
  }

  #tell({ told }: Progress, slot: number, hasRoute: boolean): void {
    if (told.has(slot) === hasRoute) return;
    if (hasRoute) told.add(slot);
    else told.delete(slot);
    this.#prefixes += hasRoute ? 1 : -1;
  }

  /**
   * Takes slots from `pending` and groups them by what the peer shall be told, over several calls where it takes long.
   * False when there is nothing to do.
   */
  #nextWindow(family: AddressFamily, isOver: () => boolean): boolean {
    const progress = this.#progress[family];
    if (!progress.judging) {
      const slots = progress.pending.takeLowest(windowSlots);
      if (slots.length === 0) {
        this.#routes.release();
        return false;
      }
      const isTold = (slot: number) => progress.told.has(slot);
      progress.judging = new SlotGrouping(this.#routes, family, slots, this.#policy, isTold);
    }
    const { judging } = progress;
    if (!judging.run(isOver)) return true;
    progress.judging = undefined;
    progress.groups = judging.groups();
    for (const slot of judging.unpublished) progress.pending.add(slot);
    for (const { original, error, slots } of judging.refused) this.#tellUnsendable(family, original, slots, error);
    return judging.slots.length > judging.unpublished.length;
  }
}

function add(packer: UpdatePacker, family: AddressFamily, table: PrefixTable, slot: number): void {
  const word = (index: number) => table.wordAt(slot, index);
  if (table.words === 1) packer.add(family, table.lengthAt(slot), word(0), 0, 0, 0);
  else packer.add(family, table.lengthAt(slot), word(0), word(1), word(2), word(3));
}
