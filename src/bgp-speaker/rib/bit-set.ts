/** A set of slot numbers, one bit each, that knows where its lowest and highest members may be. */
export class BitSet {
  #words: Uint32Array = new Uint32Array(0);
  /** Members are in the words [low, high). */
  #low = 0;
  #high = 0;

  /** Bytes. */
  get memoryBytes(): number {
    return this.#words.byteLength;
  }

  /** False only when there is no member. */
  get mayHaveMembers(): boolean {
    return this.#low < this.#high;
  }

  has(member: number): boolean {
    return ((this.#words[member >>> 5] ?? 0) & (1 << (member & 31))) !== 0;
  }

  add(member: number): void {
    const word = member >>> 5;
    if (word >= this.#words.length) this.#grow(word + 1);
    this.#words[word] = (this.#words[word] ?? 0) | (1 << (member & 31));
    if (this.#low >= this.#high) {
      this.#low = word;
      this.#high = word + 1;
    } else {
      if (word < this.#low) this.#low = word;
      if (word >= this.#high) this.#high = word + 1;
    }
  }

  /** Adds every number from 0 to `end`, exclusive. */
  addBelow(end: number): void {
    if (end === 0) return;
    const words = end >>> 5;
    this.add(end - 1);
    this.#words.fill(0xffff_ffff, 0, words);
    const rest = end & 31;
    if (rest > 0) this.#words[words] = (this.#words[words] ?? 0) | ((1 << rest) - 1);
    this.#low = 0;
  }

  delete(member: number): void {
    const word = member >>> 5;
    if (word < this.#words.length) this.#words[word] = (this.#words[word] ?? 0) & ~(1 << (member & 31));
  }

  /** Removes up to `most` members, the lowest first. Rounded up to whole words of 32. */
  takeLowest(most: number): number[] {
    const taken: number[] = [];
    while (this.#low < this.#high && taken.length < most) {
      let bits = this.#words[this.#low] ?? 0;
      this.#words[this.#low] = 0;
      const base = this.#low * 32;
      while (bits !== 0) {
        const lowest = bits & -bits;
        taken.push(base + 31 - Math.clz32(lowest));
        bits ^= lowest;
      }
      this.#low += 1;
    }
    return taken;
  }

  #grow(words: number): void {
    const grown = new Uint32Array(words + (words >> 3) + 1);
    grown.set(this.#words);
    this.#words = grown;
  }
}
