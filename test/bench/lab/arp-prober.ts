/**
 * Child process, run inside the client's network namespace: asks for addresses by ARP and reports what comes back.
 *
 *   node arp-prober.ts INTERFACE SOURCE-ADDRESS
 *
 * stdin, a JSON object a line: {"probe": "10.77.0.100", "everyMs": 5} starts asking, {"stop": "10.77.0.100"} ends it.
 * stdout, a JSON object a line: {"atMs", "address", "mac", "kind": "reply" | "announcement"} for each ARP frame whose
 * sender is somebody else. Times are CLOCK_MONOTONIC in ms, comparable between processes of one machine.
 */
import { createInterface } from 'node:readline';
import { Address } from '../../../src/net/index.ts';
import { arpFilter, openPacketSocket } from '../../../src/raw-socket/index.ts';

const [interfaceName = '', source = ''] = process.argv.slice(2);
const now = () => Number(process.hrtime.bigint()) / 1e6;
const sourceBytes = Address.parse(source).toBytes();

const socket = openPacketSocket({
  interface: interfaceName,
  etherType: 0x0806,
  filter: arpFilter(),
  onFrame(frame) {
    const atMs = now();
    if (frame.length < 42) return;
    const sender = frame.subarray(28, 32);
    if (Buffer.compare(sender, sourceBytes) === 0) return;
    const address = sender.join('.');
    const mac = Buffer.from(frame.subarray(22, 28))
      .toString('hex')
      .replace(/..(?=.)/g, '$&:');
    const target = frame.subarray(38, 42).join('.');
    const kind = target === address ? 'announcement' : 'reply';
    process.stdout.write(`${JSON.stringify({ atMs, address, mac, kind })}\n`);
  },
  onError(error) {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  },
});

function request(address: string): Uint8Array {
  const frame = new Uint8Array(42);
  frame.fill(0xff, 0, 6);
  frame.set(socket.hardwareAddress, 6);
  frame.set([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1], 12);
  frame.set(socket.hardwareAddress, 22);
  frame.set(sourceBytes, 28);
  frame.set(Address.parse(address).toBytes(), 38);
  return frame;
}

const probes = new Map<string, NodeJS.Timeout>();
const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  const { probe, stop, everyMs = 20 } = JSON.parse(line) as { probe?: string; stop?: string; everyMs?: number };
  for (const address of [probe, stop]) {
    if (address === undefined) continue;
    clearInterval(probes.get(address));
    probes.delete(address);
  }
  if (probe === undefined) return;
  const frame = request(probe);
  socket.send(frame);
  probes.set(
    probe,
    setInterval(() => socket.send(frame), everyMs),
  );
});
input.on('close', () => process.exit(0));
process.stdout.write('{"ready":true}\n');
