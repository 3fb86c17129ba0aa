import { createHash } from 'node:crypto';

/** The namespace of every row uuid Ovenbird derives; a constant of its own, never reused for anything else. */
const NAMESPACE = Buffer.from('5f0c2f3c6a4b5d7e9b1a0e6d6f76656e', 'hex');

/**
 * The name-based uuid (RFC 9562 section 5.5, version 5) of a text: equal texts give equal uuids on every machine, so two
 * writers that mean the same row write the same row, and a repeated insert can only be refused, never doubled.
 */
export function uuidV5(text: string): string {
  const bytes = createHash('sha1').update(NAMESPACE).update(text, 'utf8').digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
