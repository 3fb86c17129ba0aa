/** Sends datagrams as told, and ends: `node sender-process.ts '{"to": "10.0.0.1", "port": 3784, ...}'`. */
import { openDatagramSocket, socketAddress } from '../../../src/raw-socket/index.ts';

export interface SenderSettings {
  to: string;
  port: number;
  ttl: number;
  /** Hexadecimal; without it, random bytes of random length. */
  bytes?: string;
  count: number;
}

if (import.meta.main) {
  const { to, port, ttl, bytes, count } = JSON.parse(process.argv[2] ?? '{}') as SenderSettings;
  const socket = openDatagramSocket({ family: to.includes(':') ? 6 : 4, localPort: 0, ttl });
  const address = socketAddress(to, port);
  for (let i = 0; i < count; i++) {
    const payload = bytes === undefined ? randomBytes() : Buffer.from(bytes, 'hex');
    const error = socket.send(payload, address);
    if (error) throw error;
    // A flood, but one that lets the receiver's queue be seen full and empty.
    if (i % 500 === 499) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  socket.close();
}

function randomBytes(): Uint8Array {
  const bytes = new Uint8Array(Math.floor(Math.random() * 300));
  crypto.getRandomValues(bytes);
  // Half of them look like BFD at first sight.
  if (bytes.length >= 24 && Math.random() < 0.5) bytes.set([0x20, (bytes[1] ?? 0) & 0xfa, 3, 24]);
  return bytes;
}
