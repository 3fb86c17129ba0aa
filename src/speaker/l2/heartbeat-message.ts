/**
 * What speakers say to each other on an announcing interface.
 *
 *   message      = header body trailer                     numbers are in network byte order
 *   header       = magic:u16("OB") version:u8(1) kind:u8 cluster:u32 boot:8 mac:6 sequence:u48 flags:u8
 *                  heartbeatMs:u16 holdMs:u16 setVersion:u32 setCount:u32 digestHigh:u32 digestLow:u32
 *                  nameLength:u8(1..253) name:ASCII
 *   body         = news | question | answer | ask | chunk  by kind
 *   news (1)     = base:u32 count:u16 op*count              op i leads from set version base+i to base+i+1
 *   op           = code:u8 family:u8(4|6) address:4|16 epoch:u32
 *   question (2) = boot:8 nonce:8                           "prove that you are alive", to the speaker with that boot
 *   answer (3)   = boot:8 nonce:8                           to the asker
 *   ask (4)      = boot:8 have:u32                          "send what follows set version `have`", 2^32-1: everything
 *   chunk (5)    = version:u32 index:u16 total:u16 count:u16 (family:u8 address:4|16 epoch:u32)*count
 *   trailer      see heartbeat-auth.ts
 *
 * A heartbeat is `news`, mostly with no op. Every message carries the whole header, so any of them shows that its
 * sender lives and which set it owns.
 */
import { Address } from '../../net/index.ts';
import { signedAddress } from './arp-frame.ts';

export const opCodes = ['claim', 'release', 'yield'] as const;
/**
 * One change of the set a speaker owns. `yield`: it still answers, and asks for a successor; `claim` takes that back.
 * `planned` marks a claim that took over from a living owner.
 */
export interface OwnedOp {
  code: (typeof opCodes)[number];
  address: string;
  epoch: number;
  planned: boolean;
}

export interface OwnedAddress {
  address: string;
  epoch: number;
  yielding: boolean;
}

export interface MessageHeader {
  /** Kubernetes node name, 1 to 253 ASCII characters. */
  node: string;
  /** 16 hexadecimal digits, drawn anew each time a speaker opens an interface. */
  boot: string;
  /** The sender's MAC address as a 48-bit number. */
  mac: number;
  /** Raised with every message of this boot, 48 bits. */
  sequence: number;
  resigning: boolean;
  /** Its last message: it answers for nothing any more. */
  leaving: boolean;
  /** It does not claim yet, it only listens. */
  listening: boolean;
  heartbeatMs: number;
  holdMs: number;
  setVersion: number;
  setCount: number;
  digestHigh: number;
  digestLow: number;
}

export type MessageBody =
  | { kind: 'news'; base: number; ops: readonly OwnedOp[] }
  | { kind: 'question'; boot: string; nonce: string }
  | { kind: 'answer'; boot: string; nonce: string }
  | { kind: 'ask'; boot: string; have: number | undefined }
  | { kind: 'chunk'; version: number; index: number; total: number; entries: readonly OwnedAddress[] };

export interface Message {
  header: MessageHeader;
  body: MessageBody;
}

/** Bytes of addresses in one message at most, so that the frame stays below 1400 bytes with the longest node name. */
export const maximumEntryBytes = 960;
const everything = 0xffff_ffff;
const magic = 0x4f42;
const version = 1;
const fixedHeaderBytes = 50;
const kinds = ['news', 'question', 'answer', 'ask', 'chunk'] as const;

/** Bytes that an op or an owned address takes at most. */
export function entryBytes(address: string): number {
  return address.includes(':') ? 22 : 10;
}

/** Writes header and body from `start`; returns the offset after it. The buffer must hold 1400 bytes from `start`. */
export function encodeMessage(message: Message, cluster: number, buffer: Buffer, start: number): number {
  const { header, body } = message;
  let at = start;
  at = buffer.writeUInt16BE(magic, at);
  at = buffer.writeUInt8(version, at);
  at = buffer.writeUInt8(kinds.indexOf(body.kind) + 1, at);
  at = buffer.writeUInt32BE(cluster, at);
  at += buffer.write(header.boot, at, 8, 'hex');
  at = buffer.writeUIntBE(header.mac, at, 6);
  at = buffer.writeUIntBE(header.sequence, at, 6);
  at = buffer.writeUInt8((header.resigning ? 1 : 0) | (header.leaving ? 2 : 0) | (header.listening ? 4 : 0), at);
  at = buffer.writeUInt16BE(header.heartbeatMs, at);
  at = buffer.writeUInt16BE(header.holdMs, at);
  at = buffer.writeUInt32BE(header.setVersion, at);
  at = buffer.writeUInt32BE(header.setCount, at);
  at = buffer.writeUInt32BE(header.digestHigh, at);
  at = buffer.writeUInt32BE(header.digestLow, at);
  at = buffer.writeUInt8(header.node.length, at);
  at += buffer.write(header.node, at, 'latin1');
  switch (body.kind) {
    case 'news':
      at = buffer.writeUInt32BE(body.base, at);
      at = buffer.writeUInt16BE(body.ops.length, at);
      for (const op of body.ops) {
        at = buffer.writeUInt8(opCodes.indexOf(op.code) | (op.planned ? 0x80 : 0), at);
        at = writeAddress(op.address, op.epoch, 0, buffer, at);
      }
      return at;
    case 'question':
    case 'answer':
      at += buffer.write(body.boot, at, 8, 'hex');
      return at + buffer.write(body.nonce, at, 8, 'hex');
    case 'ask':
      at += buffer.write(body.boot, at, 8, 'hex');
      return buffer.writeUInt32BE(body.have ?? everything, at);
    case 'chunk':
      at = buffer.writeUInt32BE(body.version, at);
      at = buffer.writeUInt16BE(body.index, at);
      at = buffer.writeUInt16BE(body.total, at);
      at = buffer.writeUInt16BE(body.entries.length, at);
      for (const entry of body.entries) {
        at = writeAddress(entry.address, entry.epoch, entry.yielding ? 0x80 : 0, buffer, at);
      }
      return at;
  }
}

/** Cluster number of what claims to be one of our messages; undefined when it is something else or another version. */
export function peekCluster(bytes: Buffer): number | undefined {
  if (bytes.length < fixedHeaderBytes || bytes.readUInt16BE(0) !== magic || bytes.readUInt8(2) !== version) return;
  return bytes.readUInt32BE(4);
}

/** Reads header and body, which must fill the bytes exactly. Undefined for anything malformed; never throws. */
export function decodeMessage(bytes: Buffer): Message | undefined {
  if (peekCluster(bytes) === undefined) return;
  const nameLength = bytes.readUInt8(fixedHeaderBytes - 1);
  if (nameLength < 1 || nameLength > 253 || bytes.length < fixedHeaderBytes + nameLength) return;
  const flags = bytes.readUInt8(28);
  const header: MessageHeader = {
    boot: bytes.toString('hex', 8, 16),
    mac: bytes.readUIntBE(16, 6),
    sequence: bytes.readUIntBE(22, 6),
    resigning: (flags & 1) !== 0,
    leaving: (flags & 2) !== 0,
    listening: (flags & 4) !== 0,
    heartbeatMs: bytes.readUInt16BE(29),
    holdMs: bytes.readUInt16BE(31),
    setVersion: bytes.readUInt32BE(33),
    setCount: bytes.readUInt32BE(37),
    digestHigh: bytes.readUInt32BE(41),
    digestLow: bytes.readUInt32BE(45),
    node: bytes.toString('latin1', fixedHeaderBytes, fixedHeaderBytes + nameLength),
  };
  if (header.heartbeatMs < 1 || header.holdMs < header.heartbeatMs) return;
  const body = decodeBody(kinds[bytes.readUInt8(3) - 1], bytes, fixedHeaderBytes + nameLength);
  return body && { header, body };
}

function decodeBody(kind: MessageBody['kind'] | undefined, bytes: Buffer, start: number): MessageBody | undefined {
  const length = bytes.length - start;
  switch (kind) {
    case 'news': {
      if (length < 6) return;
      const count = bytes.readUInt16BE(start + 4);
      const ops: OwnedOp[] = [];
      let at = start + 6;
      for (let i = 0; i < count; i++) {
        const size = addressBytes(bytes, at + 1);
        const code = size && opCodes[bytes.readUInt8(at) & 0x7f];
        if (!code || !size) return;
        const address = readAddress(bytes, at + 1, size);
        ops.push({
          code,
          address,
          epoch: bytes.readUInt32BE(at + 2 + size),
          planned: (bytes.readUInt8(at) & 0x80) !== 0,
        });
        at += 6 + size;
      }
      return at === bytes.length ? { kind, base: bytes.readUInt32BE(start), ops } : undefined;
    }
    case 'question':
    case 'answer':
      if (length !== 16) return;
      return {
        kind,
        boot: bytes.toString('hex', start, start + 8),
        nonce: bytes.toString('hex', start + 8, start + 16),
      };
    case 'ask': {
      if (length !== 12) return;
      const have = bytes.readUInt32BE(start + 8);
      return { kind, boot: bytes.toString('hex', start, start + 8), have: have === everything ? undefined : have };
    }
    case 'chunk': {
      if (length < 10) return;
      const count = bytes.readUInt16BE(start + 8);
      const entries: OwnedAddress[] = [];
      let at = start + 10;
      for (let i = 0; i < count; i++) {
        const size = addressBytes(bytes, at);
        if (!size) return;
        entries.push({
          address: readAddress(bytes, at, size),
          epoch: bytes.readUInt32BE(at + 1 + size),
          yielding: (bytes.readUInt8(at) & 0x80) !== 0,
        });
        at += 5 + size;
      }
      const index = bytes.readUInt16BE(start + 4);
      const total = bytes.readUInt16BE(start + 6);
      if (at !== bytes.length || index >= total) return;
      return { kind, version: bytes.readUInt32BE(start), index, total, entries };
    }
    default:
      return;
  }
}

function writeAddress(address: string, epoch: number, flag: number, buffer: Buffer, start: number): number {
  if (address.includes(':')) {
    buffer.writeUInt8(6 | flag, start);
    buffer.set(Address.parse(address).toBytes(), start + 1);
    return buffer.writeUInt32BE(epoch, start + 17);
  }
  buffer.writeUInt8(4 | flag, start);
  buffer.writeInt32BE(signedAddress(address), start + 1);
  return buffer.writeUInt32BE(epoch, start + 5);
}

/** Size of the address whose family byte is at `at`, when it and an epoch fit; undefined when they do not. */
function addressBytes(bytes: Buffer, at: number): 4 | 16 | undefined {
  if (at >= bytes.length) return;
  const family = bytes.readUInt8(at) & 0x7f;
  const size = family === 4 ? 4 : family === 6 ? 16 : undefined;
  return size && at + 5 + size <= bytes.length ? size : undefined;
}

function readAddress(bytes: Buffer, familyAt: number, size: 4 | 16): string {
  const at = familyAt + 1;
  if (size === 4) return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
  return Address.fromBytes(bytes.subarray(at, at + size)).toString();
}
