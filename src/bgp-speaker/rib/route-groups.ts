import type { Cidr } from '../../net/index.ts';
import { BgpArgumentError } from '../errors.ts';
import type { AddressFamily } from '../message/assigned-numbers.ts';
import { attributesKey, type PathAttributes, type RouteAttributes } from '../message/path-attributes.ts';
import { slotFlag } from './prefix-table.ts';
import type { Routes } from './routes.ts';

/** What a peer is told in place of a route of the speaker. */
export interface RoutePolicy {
  /** True when the result depends on the attributes and the family alone. */
  readonly isByAttributes: boolean;
  /**
   * The attributes for this peer, or undefined when it shall not have the route. `prefix` is there unless
   * `isByAttributes`. Equal results are best the same object.
   * @throws BgpArgumentError when the peer cannot have it
   */
  apply(attributes: RouteAttributes, family: AddressFamily, prefix: Cidr | undefined): PathAttributes | undefined;
}

/** Slots to be sent alike. */
export interface RouteGroup {
  /** Undefined: to be withdrawn. */
  readonly attributes: PathAttributes | undefined;
  /** What the first of them has in the speaker. */
  readonly original: RouteAttributes | undefined;
  readonly slots: number[];
}

/** Slots that the peer cannot have. */
export interface RefusedGroup {
  readonly original: RouteAttributes;
  readonly error: BgpArgumentError;
  readonly slots: number[];
}

/** Between two looks at the clock: so many slots, where judging one by the policy counts as `judgingCosts`. */
const slotsALook = 1024;
const judgingCosts = 64;

/** Groups slots by what the peer shall be told, a part at a time. */
export class SlotGrouping {
  readonly slots: readonly number[];
  /** Slots that the peer cannot have, together where attributes and reason are the same. */
  readonly refused: RefusedGroup[] = [];
  /** Changed again and not published: to be looked at later. */
  readonly unpublished: number[] = [];
  readonly #routes: Routes;
  readonly #family: AddressFamily;
  readonly #policy: RoutePolicy;
  readonly #isTold: (slot: number) => boolean;
  readonly #byObject = new Map<PathAttributes, RouteGroup>();
  readonly #byKey = new Map<string, RouteGroup>();
  readonly #refusals = new Map<RouteAttributes, Map<string, RefusedGroup>>();
  readonly #withdrawn: number[] = [];
  #at = 0;

  constructor(
    routes: Routes,
    family: AddressFamily,
    slots: readonly number[],
    policy: RoutePolicy,
    isTold: (slot: number) => boolean,
  ) {
    this.#routes = routes;
    this.#family = family;
    this.slots = slots;
    this.#policy = policy;
    this.#isTold = isTold;
  }

  /** Goes on until all are judged, or time is over. Returns true when all are. */
  run(isOver: () => boolean): boolean {
    const table = this.#routes.table(this.#family);
    const { slots } = this;
    const byAttributes = this.#policy.isByAttributes;
    // Where the attributes alone decide, each set is judged once; a set may have another number the next time.
    const bySet = new Map<number, (slot: number) => void>();
    let cost = 0;
    while (this.#at < slots.length) {
      const slot = slots[this.#at++] ?? 0;
      cost += 1;
      if (((table.flags[slot] ?? 0) & slotFlag.dirty) !== 0) this.unpublished.push(slot);
      else {
        const set = table.sets[slot] ?? 0;
        let put = bySet.get(set);
        if (!put) {
          const isShared = byAttributes || set === 0;
          put = this.#judge(set, isShared ? undefined : table.cidrAt(slot));
          if (isShared) bySet.set(set, put);
          cost += judgingCosts;
        }
        put(slot);
      }
      if (cost < slotsALook) continue;
      cost = 0;
      if (isOver()) break;
    }
    return this.#at === slots.length;
  }

  /** In the order in which each first came; withdrawals last. */
  groups(): RouteGroup[] {
    const groups = [...this.#byKey.values()];
    const slots = this.#withdrawn;
    return slots.length > 0 ? [...groups, { attributes: undefined, original: undefined, slots }] : groups;
  }

  /** What becomes of slots with this set. */
  #judge(set: number, prefix: Cidr | undefined): (slot: number) => void {
    const original = this.#routes.attributesOf(set);
    if (!original) return (slot) => this.#withdraw(slot);
    try {
      const attributes = this.#policy.apply(original, this.#family, prefix);
      if (!attributes) return (slot) => this.#withdraw(slot);
      const { slots } = this.#group(attributes, original);
      return (slot) => slots.push(slot);
    } catch (thrown) {
      if (!(thrown instanceof BgpArgumentError)) throw thrown;
      const { slots } = this.#refusal(original, thrown);
      return (slot) => {
        slots.push(slot);
        this.#withdraw(slot);
      };
    }
  }

  #withdraw(slot: number): void {
    if (this.#isTold(slot)) this.#withdrawn.push(slot);
  }

  #group(attributes: PathAttributes, original: RouteAttributes): RouteGroup {
    let group = this.#byObject.get(attributes);
    if (group) return group;
    const key = attributesKey(attributes);
    group = this.#byKey.get(key);
    if (!group) {
      group = { attributes, original, slots: [] };
      this.#byKey.set(key, group);
    }
    this.#byObject.set(attributes, group);
    return group;
  }

  #refusal(original: RouteAttributes, error: BgpArgumentError): RefusedGroup {
    let byReason = this.#refusals.get(original);
    if (!byReason) {
      byReason = new Map();
      this.#refusals.set(original, byReason);
    }
    let group = byReason.get(error.message);
    if (!group) {
      group = { original, error, slots: [] };
      byReason.set(error.message, group);
      this.refused.push(group);
    }
    return group;
  }
}
