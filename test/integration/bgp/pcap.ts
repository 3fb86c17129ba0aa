/** Captures made by hand, so that a decoder can be asked about messages that never were on a wire. */

/** Bytes of a message in one packet, with room for the headers in the 65,535 of IPv4. */
const longestSegment = 60_000;

/** A file in the format of libpcap with raw IPv4 (link type 101): each message is a TCP stream of its own to `port`. */
export function pcapOf(messages: readonly Uint8Array[], port = 179): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(0x40000, 16);
  header.writeUInt32LE(101, 20);
  const packets = messages.flatMap((message, index) => {
    const segments: Buffer[] = [];
    for (let at = 0; at < message.length; at += longestSegment) {
      const part = message.subarray(at, at + longestSegment);
      segments.push(record(segment(firstSourcePort + index, port, 1 + at, part), segments.length));
    }
    return segments;
  });
  return Buffer.concat([header, ...packets]);
}

/** The source port of the first message; the others count up. */
export const firstSourcePort = 10_000;

function record(packet: Buffer, number: number): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(1_700_000_000, 0);
  header.writeUInt32LE(number, 4);
  header.writeUInt32LE(packet.length, 8);
  header.writeUInt32LE(packet.length, 12);
  return Buffer.concat([header, packet]);
}

function segment(from: number, to: number, sequence: number, payload: Uint8Array): Buffer {
  const headers = Buffer.alloc(40);
  headers[0] = 0x45;
  headers.writeUInt16BE(40 + payload.length, 2);
  headers.set([64, 6], 8);
  headers.set([192, 0, 2, 1, 192, 0, 2, 2], 12);
  headers.writeUInt16BE(from, 20);
  headers.writeUInt16BE(to, 22);
  headers.writeUInt32BE(sequence, 24);
  headers.writeUInt32BE(1, 28);
  // Header of five words; PSH and ACK.
  headers.set([0x50, 0x18, 0xff, 0xff], 32);
  return Buffer.concat([headers, payload]);
}
