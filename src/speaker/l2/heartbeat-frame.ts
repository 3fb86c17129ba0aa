/**
 * The Ethernet, IPv4 and UDP headers around a message, written and read whole: raw frames work on an interface without
 * an address and pass the host's own firewall.
 *
 *   Ethernet(14) IPv4(20: no options, DF, TTL 255, UDP) UDP(8: source port = destination port)
 *
 * Destination is 224.0.0.254, an experimental group (RFC 4727) of the link-local block that switches flood whatever
 * IGMP snooping thinks (RFC 4541 2.1.2). TTL 255 on arrival proves that no router passed it on (RFC 5082).
 */
export const groupAddress = '224.0.0.254';
export const groupMac = 0x01005e0000fe;
export const frameHeaderBytes = 42;
const groupNumber = 0xe00000fe;

/** @param sourceAddress IPv4 as an unsigned number, 0 when the interface has none */
export interface FrameAddressing {
  sourceMac: number;
  destinationMac: number;
  sourceAddress: number;
  port: number;
}

/** Writes the headers in front of a payload that already lies in `frame[42, 42 + payloadBytes)`. */
export function writeFrameHeaders(frame: Buffer, payloadBytes: number, addressing: FrameAddressing): void {
  frame.writeUIntBE(addressing.destinationMac, 0, 6);
  frame.writeUIntBE(addressing.sourceMac, 6, 6);
  frame.writeUInt16BE(0x0800, 12);
  frame.writeUInt16BE(0x45c0, 14); // version 4, 5 words, CS6
  frame.writeUInt16BE(28 + payloadBytes, 16);
  frame.writeUInt16BE(0, 18);
  frame.writeUInt16BE(0x4000, 20);
  frame.writeUInt16BE(0xff11, 22);
  frame.writeUInt16BE(0, 24);
  frame.writeUInt32BE(addressing.sourceAddress, 26);
  frame.writeUInt32BE(groupNumber, 30);
  frame.writeUInt16BE(finish(sum(frame, 14, 34, 0)), 24);
  frame.writeUInt16BE(addressing.port, 34);
  frame.writeUInt16BE(addressing.port, 36);
  frame.writeUInt16BE(8 + payloadBytes, 38);
  frame.writeUInt16BE(0, 40);
  const pseudo = sum(frame, 26, 34, 17 + 8 + payloadBytes);
  frame.writeUInt16BE(finish(sum(frame, 34, 42 + payloadBytes, pseudo)) || 0xffff, 40);
}

/** The UDP payload of a frame that is one of ours; undefined for everything else. Never throws. */
export function readFrame(frame: Buffer, port: number): Buffer | undefined {
  if (frame.length < frameHeaderBytes || frame.readUInt16BE(12) !== 0x0800) return;
  if (frame[14] !== 0x45 || frame[22] !== 255 || frame[23] !== 17) return;
  if ((frame.readUInt16BE(20) & 0x3fff) !== 0) return; // a fragment
  if (frame.readUInt32BE(30) !== groupNumber || frame.readUInt16BE(36) !== port) return;
  const totalLength = frame.readUInt16BE(16);
  const udpLength = frame.readUInt16BE(38);
  if (totalLength > frame.length - 14 || udpLength < 8 || udpLength !== totalLength - 20) return;
  return frame.subarray(frameHeaderBytes, 34 + udpLength);
}

function sum(bytes: Buffer, start: number, end: number, initial: number): number {
  let total = initial;
  let at = start;
  for (; at + 1 < end; at += 2) total += bytes.readUInt16BE(at);
  if (at < end) total += bytes.readUInt8(at) << 8;
  return total;
}

function finish(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return ~folded & 0xffff;
}
