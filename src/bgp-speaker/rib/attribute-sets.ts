import { checkAttributes } from '../message/attribute-checks.ts';
import { attributesKey, type RouteAttributes } from '../message/path-attributes.ts';

/** Gives equal attribute sets one number, as long as something uses it. */
export class AttributeSets {
  readonly #ids = new Map<string, number>();
  /** By number; the first is never given out. */
  readonly #entries: ({ key: string; attributes: RouteAttributes; uses: number } | undefined)[] = [undefined];
  readonly #free: number[] = [];
  /** Spares computing the key of an object used for many prefixes. */
  readonly #keys = new WeakMap<RouteAttributes, string>();

  get size(): number {
    return this.#ids.size;
  }

  /**
   * The number of the set, 1 or more, with one use more. The object must not change afterwards.
   * @throws BgpArgumentError naming the field that nobody could be told
   */
  acquire(attributes: RouteAttributes): number {
    let key = this.#keys.get(attributes);
    if (key === undefined) {
      checkAttributes(attributes);
      key = attributesKey(attributes);
      this.#keys.set(attributes, key);
    }
    let id = this.#ids.get(key);
    if (id === undefined) {
      id = this.#free.pop() ?? this.#entries.length;
      this.#ids.set(key, id);
      this.#entries[id] = { key, attributes, uses: 0 };
    }
    this.retain(id);
    return id;
  }

  retain(id: number): void {
    const entry = this.#entries[id];
    if (entry) entry.uses += 1;
  }

  /** One use less; nothing for 0. */
  release(id: number): void {
    const entry = this.#entries[id];
    if (!entry) return;
    entry.uses -= 1;
    if (entry.uses > 0) return;
    this.#ids.delete(entry.key);
    this.#entries[id] = undefined;
    this.#free.push(id);
  }

  get(id: number): RouteAttributes | undefined {
    return this.#entries[id]?.attributes;
  }
}
