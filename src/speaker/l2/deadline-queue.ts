interface Item<T> {
  dueMs: number;
  value: T;
}

/** Binary min-heap of things to look at again at a time. O(log n) in and out; the caller drops what is out of date. */
export class DeadlineQueue<T> {
  readonly #heap: Item<T>[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** When the earliest is due; Infinity when empty. */
  get nextMs(): number {
    return this.#heap[0]?.dueMs ?? Number.POSITIVE_INFINITY;
  }

  push(dueMs: number, value: T): void {
    const heap = this.#heap;
    const item = { dueMs, value };
    let at = heap.length;
    heap.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (!above || above.dueMs <= dueMs) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = item;
  }

  /** Takes out the earliest when it is due at `nowMs`. */
  popDue(nowMs: number): Item<T> | undefined {
    const heap = this.#heap;
    const first = heap[0];
    if (!first || first.dueMs > nowMs) return undefined;
    const last = heap.pop();
    if (last && last !== first) {
      let at = 0;
      for (;;) {
        const left = 2 * at + 1;
        const right = left + 1;
        let child = left;
        const leftItem = heap[left];
        const rightItem = heap[right];
        if (!leftItem) break;
        if (rightItem && rightItem.dueMs < leftItem.dueMs) child = right;
        const childItem = heap[child];
        if (!childItem || childItem.dueMs >= last.dueMs) break;
        heap[at] = childItem;
        at = child;
      }
      heap[at] = last;
    }
    return first;
  }

  clear(): void {
    this.#heap.length = 0;
  }
}
