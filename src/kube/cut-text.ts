/** `text`, or as much of its beginning as fits, with "..." after it: limits of the API count bytes of UTF-8. */
export function cutText(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  const kept = Buffer.from(text).toString('utf8', 0, bytes - 3);
  // Half a character at the end decodes to the replacement character.
  return `${kept.replace(/\uFFFD$/, '')}...`;
}
