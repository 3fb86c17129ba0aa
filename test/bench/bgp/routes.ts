/** The prefixes that benchmarks announce, and a file of them for programs that read MRT. */
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { Address, Cidr } from '../../../src/net/index.ts';

const first = 0x0a00_0000;

/** The n-th host route: 10.0.0.0/32 and on. */
export function prefixOf(index: number): Cidr {
  return Cidr.of(Address.of(4, BigInt(first + index)), 32);
}

/**
 * Writes the same prefixes as a table dump (RFC 6396 sections 4.3.1 and 4.3.2), all with one attribute set:
 *
 *     header  timestamp (4)  type 13 (2)  subtype (2)  length (4)
 *     peers   collector (4)  name length (2)  count (2)  { type (1)  identifier (4)  address (4)  AS (4) }
 *     routes  sequence (4)  prefix length (1)  prefix  count (2)  { peer (2)  time (4)  length (2)  attributes }
 */
export async function writeMrt(path: string, count: number, nextHop: string): Promise<void> {
  const out = createWriteStream(path);
  const hop = nextHop.split('.').map(Number);
  // ORIGIN igp, an empty AS_PATH, NEXT_HOP.
  const attributes = Uint8Array.from([0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 3, 4, ...hop]);
  const peers = Buffer.alloc(12 + 21);
  header(peers, 0, 1, 21);
  peers.set([127, 0, 0, 9, 0, 0, 0, 1, 2, 127, 0, 0, 9, 127, 0, 0, 9, 0, 0, 0xfd, 0xe9], 12);
  out.write(peers);
  const body = 4 + 5 + 2 + 8 + attributes.length;
  const batch = 10_000;
  for (let from = 0; from < count; from += batch) {
    const records = Buffer.alloc(Math.min(batch, count - from) * (12 + body));
    for (let i = 0, at = 0; at < records.length; i++, at += 12 + body) {
      header(records, at, 2, body);
      records.writeUInt32BE(from + i, at + 12);
      records.writeUInt8(32, at + 16);
      records.writeUInt32BE(first + from + i, at + 17);
      records.writeUInt16BE(1, at + 21);
      records.writeUInt16BE(attributes.length, at + 29);
      records.set(attributes, at + 31);
    }
    if (!out.write(records)) await new Promise<void>((resolve) => out.once('drain', resolve));
  }
  out.end();
  await finished(out);
}

function header(bytes: Buffer, at: number, subtype: number, length: number): void {
  bytes.writeUInt32BE(0, at);
  bytes.writeUInt16BE(13, at + 4);
  bytes.writeUInt16BE(subtype, at + 6);
  bytes.writeUInt32BE(length, at + 8);
}
