/** BFD control packets (RFC 5880 section 4.1), without authentication. */

export type BfdSessionState = 'admin-down' | 'down' | 'init' | 'up';

const stateNames: readonly BfdSessionState[] = ['admin-down', 'down', 'init', 'up'];

/** Why a session is not up: diagnostic codes of RFC 5880 section 4.1 that this library sends. */
export const diagnostic = {
  none: 0,
  detectionTimeExpired: 1,
  neighborSignaledDown: 3,
  pathDown: 5,
  administrativelyDown: 7,
} as const;

export interface BfdControlPacket {
  /** 0-31; 0 is none. */
  diagnostic: number;
  state: BfdSessionState;
  /** P: answer with F. */
  poll: boolean;
  /** F: the answer to P. */
  final: boolean;
  /** C: BFD goes on when the control plane restarts. */
  controlPlaneIndependent: boolean;
  /** D: periodic packets are not wanted while the session is up. */
  demand: boolean;
  /** 1-255. */
  detectMultiplier: number;
  /** Not 0. */
  myDiscriminator: number;
  /** 0 as long as the peer's is not known. */
  yourDiscriminator: number;
  /** Microseconds, as all intervals on the wire. */
  desiredMinTxMicroseconds: number;
  requiredMinRxMicroseconds: number;
  /** 0: echo packets are not wanted. */
  requiredMinEchoRxMicroseconds: number;
}

/** Why a received packet is dropped, in the order of RFC 5880 section 6.8.6. */
export type BfdDiscardReason =
  | 'ttl'
  | 'version'
  | 'length'
  | 'detect-multiplier'
  | 'multipoint'
  | 'my-discriminator'
  | 'your-discriminator'
  | 'authentication';

export type DecodedBfdPacket =
  | { kind: 'packet'; packet: BfdControlPacket }
  | { kind: 'discard'; reason: BfdDiscardReason };

const version = 1;
/** A control packet without authentication. */
export const bfdPacketBytes = 24;

/**
 *     version (3 bits) = 1  diagnostic (5)   state (2) P F C A D M   detect multiplier (1)   length (1) = 24
 *     my discriminator (4)  your discriminator (4)
 *     desired min tx (4)  required min rx (4)  required min echo rx (4)
 */
export function encodeBfdPacket(packet: BfdControlPacket): Uint8Array {
  const bytes = new Uint8Array(bfdPacketBytes);
  encodeBfdPacketInto(bytes, packet);
  return bytes;
}

/** Encodes into the first 24 bytes of what is given. */
export function encodeBfdPacketInto(bytes: Uint8Array, packet: BfdControlPacket): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bfdPacketBytes);
  bytes[0] = (version << 5) | (packet.diagnostic & 0x1f);
  bytes[1] =
    (stateNames.indexOf(packet.state) << 6) |
    (packet.poll ? 0x20 : 0) |
    (packet.final ? 0x10 : 0) |
    (packet.controlPlaneIndependent ? 0x08 : 0) |
    (packet.demand ? 0x02 : 0);
  bytes[2] = packet.detectMultiplier;
  bytes[3] = bfdPacketBytes;
  view.setUint32(4, packet.myDiscriminator);
  view.setUint32(8, packet.yourDiscriminator);
  view.setUint32(12, packet.desiredMinTxMicroseconds);
  view.setUint32(16, packet.requiredMinRxMicroseconds);
  view.setUint32(20, packet.requiredMinEchoRxMicroseconds);
}

/**
 * Decodes the payload of a datagram, which may hold anything. Never throws. Whether a session has
 * `yourDiscriminator` is for the caller to find out. `payloadLength` is the length of the datagram where `bytes` is
 * the larger buffer that it came in, or (at least 24) holds its beginning only.
 */
export function decodeBfdPacket(bytes: Uint8Array, payloadLength = bytes.length): DecodedBfdPacket {
  if (payloadLength < bfdPacketBytes || bytes.length < bfdPacketBytes) return discard('length');
  const [first = 0, second = 0, detectMultiplier = 0, length = 0] = bytes;
  if (first >> 5 !== version) return discard('version');
  const isAuthenticated = (second & 0x04) !== 0;
  if (length < (isAuthenticated ? bfdPacketBytes + 2 : bfdPacketBytes) || length > payloadLength)
    return discard('length');
  if (detectMultiplier === 0) return discard('detect-multiplier');
  if ((second & 0x01) !== 0) return discard('multipoint');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const myDiscriminator = view.getUint32(4);
  const yourDiscriminator = view.getUint32(8);
  const state = stateNames[second >> 6] ?? 'down';
  if (myDiscriminator === 0) return discard('my-discriminator');
  if (yourDiscriminator === 0 && state !== 'down' && state !== 'admin-down') return discard('your-discriminator');
  if (isAuthenticated) return discard('authentication');
  return {
    kind: 'packet',
    packet: {
      diagnostic: first & 0x1f,
      state,
      poll: (second & 0x20) !== 0,
      final: (second & 0x10) !== 0,
      controlPlaneIndependent: (second & 0x08) !== 0,
      demand: (second & 0x02) !== 0,
      detectMultiplier,
      myDiscriminator,
      yourDiscriminator,
      desiredMinTxMicroseconds: view.getUint32(12),
      requiredMinRxMicroseconds: view.getUint32(16),
      requiredMinEchoRxMicroseconds: view.getUint32(20),
    },
  };
}

/** Single hop: 255 exactly (RFC 5881 section 5). Multihop: at least what is configured (RFC 5883). */
export function isTtlAcceptable(ttl: number, minimum: number): boolean {
  return ttl >= minimum && ttl <= 255;
}

function discard(reason: BfdDiscardReason): DecodedBfdPacket {
  return { kind: 'discard', reason };
}
