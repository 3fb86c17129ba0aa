/**
 * ARP for IPv4 over Ethernet (RFC 826), 42 bytes:
 *
 *   destination:6 source:6 0806 0001 0800 06 04 operation:u16 senderMac:6 senderAddress:u32 targetMac:6 targetAddress:u32
 */
export const arpFrameBytes = 42;
export const arpRequest = 1;
export const arpReply = 2;
export const broadcastMac = 0xffffffffffff;

export interface ArpFrame {
  destinationMac: number;
  sourceMac: number;
  operation: typeof arpRequest | typeof arpReply;
  senderMac: number;
  /** Unsigned 32-bit number. 0 in a probe (RFC 5227 2.1.1). */
  senderAddress: number;
  targetMac: number;
  targetAddress: number;
}

/** Writes an ARP frame into the first 42 bytes. */
export function writeArpFrame(frame: Buffer, arp: ArpFrame): void {
  frame.writeUIntBE(arp.destinationMac, 0, 6);
  frame.writeUIntBE(arp.sourceMac, 6, 6);
  frame.writeUInt16BE(0x0806, 12);
  frame.writeUInt16BE(1, 14);
  frame.writeUInt16BE(0x0800, 16);
  frame.writeUInt16BE(0x0604, 18);
  frame.writeUInt16BE(arp.operation, 20);
  frame.writeUIntBE(arp.senderMac, 22, 6);
  frame.writeUInt32BE(arp.senderAddress, 28);
  frame.writeUIntBE(arp.targetMac, 32, 6);
  frame.writeUInt32BE(arp.targetAddress, 38);
}

/** Whether the bytes hold an ARP request or reply for IPv4 over Ethernet. */
export function isArpFrame(frame: Uint8Array): boolean {
  return (
    frame.length >= arpFrameBytes &&
    frame[12] === 0x08 &&
    frame[13] === 0x06 &&
    frame[14] === 0 &&
    frame[15] === 1 &&
    frame[16] === 0x08 &&
    frame[17] === 0 &&
    frame[18] === 6 &&
    frame[19] === 4 &&
    frame[20] === 0 &&
    (frame[21] === arpRequest || frame[21] === arpReply)
  );
}

/** Operation of a frame that `isArpFrame` accepted. */
export function arpOperation(frame: Uint8Array): number {
  return frame[21] ?? 0;
}

/** Sender protocol address as a signed 32-bit number: small integers cost no allocation as map keys. */
export function arpSender(frame: Uint8Array): number {
  return signedAt(frame, 28);
}

/** Target protocol address as a signed 32-bit number. */
export function arpTarget(frame: Uint8Array): number {
  return signedAt(frame, 38);
}

/** Sender hardware address as a 48-bit number. */
export function arpSenderMac(frame: Uint8Array): number {
  let mac = 0;
  for (let at = 22; at < 28; at++) mac = mac * 256 + (frame[at] ?? 0);
  return mac;
}

function signedAt(frame: Uint8Array, at: number): number {
  return ((frame[at] ?? 0) << 24) | ((frame[at + 1] ?? 0) << 16) | ((frame[at + 2] ?? 0) << 8) | (frame[at + 3] ?? 0);
}

/** "192.0.2.1" (canonical text) as a signed 32-bit number, the key used on the receive path. */
export function signedAddress(text: string): number {
  let value = 0;
  let part = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 46) {
      value = (value << 8) | part;
      part = 0;
    } else part = part * 10 + code - 48;
  }
  return (value << 8) | part;
}

/** The other way round. */
export function addressText(signed: number): string {
  return `${signed >>> 24}.${(signed >>> 16) & 255}.${(signed >>> 8) & 255}.${signed & 255}`;
}

/** A 48-bit number as "02:00:5e:00:53:01". */
export function macText(mac: number): string {
  const hex = mac.toString(16).padStart(12, '0');
  return hex.replace(/..(?!$)/g, '$&:');
}

/** "02:00:5e:00:53:01" as a 48-bit number. */
export function macNumber(text: string): number {
  return Number.parseInt(text.replaceAll(':', ''), 16);
}
