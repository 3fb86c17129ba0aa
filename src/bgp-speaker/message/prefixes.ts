/**
 * Counts the prefixes in `bytes[start, end)`: each is a length in bits (1) and the bytes that hold them.
 * @param widest 32 or 128
 * @returns undefined when a length is above `widest` or a prefix ends after `end`
 */
export function countPrefixes(bytes: Uint8Array, start: number, end: number, widest: number): number | undefined {
  let count = 0;
  let at = start;
  while (at < end) {
    const length = bytes[at] ?? 0;
    if (length > widest) return undefined;
    at += 1 + ((length + 7) >> 3);
    count += 1;
  }
  return at === end ? count : undefined;
}
