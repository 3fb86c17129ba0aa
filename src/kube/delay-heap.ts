/** A binary heap of keys by due time. Entries are not removed when a key is moved: the caller checks what it pops. */
export class DelayHeap {
  readonly #entries: { key: string; atMs: number }[] = [];

  get size(): number {
    return this.#entries.length;
  }

  /** Due time of the first entry, undefined when empty. */
  get firstMs(): number | undefined {
    return this.#entries[0]?.atMs;
  }

  push(key: string, atMs: number): void {
    const entries = this.#entries;
    let at = entries.push({ key, atMs }) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#at(parent) <= this.#at(at)) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): { key: string; atMs: number } | undefined {
    const entries = this.#entries;
    if (entries.length > 1) this.#swap(0, entries.length - 1);
    const first = entries.pop();
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < entries.length && this.#at(child) < this.#at(least)) least = child;
      }
      if (least === at) return first;
      this.#swap(at, least);
      at = least;
    }
  }

  #at(index: number): number {
    return this.#entries[index]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  #swap(a: number, b: number): void {
    const entries = this.#entries;
    const [first, second] = [entries[a], entries[b]];
    if (!first || !second) return;
    entries[a] = second;
    entries[b] = first;
  }
}
