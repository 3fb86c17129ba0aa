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
  /** The set that each slot had when it was put here. */
  readonly sets: number[];
}

/** Slots that the peer cannot have. */
export interface RefusedGroup {
  readonly original: RouteAttributes;
  readonly error: BgpArgumentError;
  readonly slots: number[];
}

export interface GroupedSlots {
  readonly groups: readonly RouteGroup[];
  readonly refused: readonly RefusedGroup[];
  /** Changed again and not published: to be looked at later. */
  readonly unpublished: readonly number[];
}

/** Groups slots by what the peer shall be told, in the order in which each group first comes; withdrawals last. */
export function groupSlots(
  routes: Routes,
  family: AddressFamily,
  slots: readonly number[],
  policy: RoutePolicy,
  isTold: (slot: number) => boolean,
): GroupedSlots {
  const table = routes.table(family);
  const grouping = new Grouping();
  const unpublished: number[] = [];
  /** Where the attributes alone decide, each set is judged once. */
  const bySet = new Map<number, (slot: number, set: number) => void>();
  const withdraw = (slot: number, set: number) => {
    if (isTold(slot)) grouping.withdraw(slot, set);
  };
  const judge = (set: number, prefix: Cidr | undefined): ((slot: number, set: number) => void) => {
    const original = routes.attributesOf(set);
    if (!original) return withdraw;
    let attributes: PathAttributes | undefined;
    try {
      attributes = policy.apply(original, family, prefix);
    } catch (thrown) {
      if (!(thrown instanceof BgpArgumentError)) throw thrown;
      const refused = grouping.refusal(original, thrown);
      return (slot, ofSet) => {
        refused.slots.push(slot);
        withdraw(slot, ofSet);
      };
    }
    if (!attributes) return withdraw;
    const group = grouping.of(attributes, original);
    return (slot, ofSet) => {
      group.slots.push(slot);
      group.sets.push(ofSet);
    };
  };
  for (const slot of slots) {
    if (((table.flags[slot] ?? 0) & slotFlag.dirty) !== 0) {
      unpublished.push(slot);
      continue;
    }
    const set = table.sets[slot] ?? 0;
    let put = bySet.get(set);
    if (!put) {
      put = judge(set, policy.isByAttributes || set === 0 ? undefined : table.cidrAt(slot));
      if (policy.isByAttributes || set === 0) bySet.set(set, put);
    }
    put(slot, set);
  }
  return { groups: grouping.groups(), refused: grouping.refused, unpublished };
}

class Grouping {
  readonly refused: RefusedGroup[] = [];
  readonly #byObject = new Map<PathAttributes, RouteGroup>();
  readonly #byKey = new Map<string, RouteGroup>();
  readonly #withdrawn: RouteGroup = { attributes: undefined, original: undefined, slots: [], sets: [] };

  of(attributes: PathAttributes, original: RouteAttributes): RouteGroup {
    let group = this.#byObject.get(attributes);
    if (group) return group;
    const key = attributesKey(attributes);
    group = this.#byKey.get(key);
    if (!group) {
      group = { attributes, original, slots: [], sets: [] };
      this.#byKey.set(key, group);
    }
    this.#byObject.set(attributes, group);
    return group;
  }

  withdraw(slot: number, set: number): void {
    this.#withdrawn.slots.push(slot);
    this.#withdrawn.sets.push(set);
  }

  /** One entry for routes with the same attributes and the same reason. */
  refusal(original: RouteAttributes, error: BgpArgumentError): RefusedGroup {
    const same = this.refused.find((entry) => entry.original === original && entry.error.message === error.message);
    if (same) return same;
    const entry = { original, error, slots: [] };
    this.refused.push(entry);
    return entry;
  }

  groups(): RouteGroup[] {
    const groups = [...this.#byKey.values()].filter(({ slots }) => slots.length > 0);
    return this.#withdrawn.slots.length > 0 ? [...groups, this.#withdrawn] : groups;
  }
}
