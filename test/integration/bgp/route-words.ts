/** Words in which routers print communities, made alike. */

const wellKnown: Readonly<Record<string, string>> = {
  'graceful-shutdown': '65535:0',
  graceful_shutdown: '65535:0',
  'llgr-stale': '65535:6',
  'no-llgr': '65535:7',
  blackhole: '65535:666',
  'no-export': '65535:65281',
  no_export: '65535:65281',
  'no-advertise': '65535:65282',
  no_advertise: '65535:65282',
  'local-as': '65535:65283',
  'no-export-subconfed': '65535:65283',
  'no-peer': '65535:65284',
  no_peer: '65535:65284',
};

/** "65000:1", also for a well-known name. */
export function communityWord(text: string): string {
  return wellKnown[text.toLowerCase()] ?? text;
}

/** The four bytes of a community as "65000:1". */
export function communityNumber(value: number): string {
  return `${Math.floor(value / 0x1_0000)}:${value % 0x1_0000}`;
}

/** "rt:65000:1" and "ro:65000:1" from the words of any router; others as they are, in lower case. */
export function extendedWord(kind: string, value: string): string {
  const word = kind.toLowerCase();
  // A four-byte AS number is 1.4464 to GoBGP, and 70000L to ExaBGP.
  const plain = value
    .replace(/^(\d+)\.(\d+):/, (_, high: string, low: string) => `${Number(high) * 65_536 + Number(low)}:`)
    .replace(/^(\d+)L:/, '$1:');
  if (['rt', 'target'].includes(word)) return `rt:${plain}`;
  if (['ro', 'soo', 'origin'].includes(word)) return `ro:${plain}`;
  return `${word}:${value}`.toLowerCase();
}

/** The eight bytes of an extended community (RFC 4360, 5668) as `extendedWord` writes it. */
export function extendedNumber(value: bigint): string {
  const part = (shift: number, bits: number) => Number((value >> BigInt(shift)) & ((1n << BigInt(bits)) - 1n));
  const kind = { 2: 'rt', 3: 'ro' }[part(48, 8)] ?? String(part(48, 8));
  const type = part(56, 8);
  if (type === 0) return `${kind}:${part(32, 16)}:${part(0, 32)}`;
  if (type === 1) return `${kind}:${[40, 32, 24, 16].map((shift) => part(shift, 8)).join('.')}:${part(0, 16)}`;
  return `${kind}:${part(16, 32)}:${part(0, 16)}`;
}
