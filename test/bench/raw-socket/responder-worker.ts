/** Answers ARP requests for 10.0.0.9 on `vb` behind a gate, as the layer 2 speaker does. */
import { parentPort, workerData } from 'node:worker_threads';
import { arpFilter, createGate, openPacketSocket, setRealtimePriority } from '../../../src/raw-socket/index.ts';

if ((workerData as { fifo: boolean }).fifo) setRealtimePriority(10);
const gate = createGate();
gate.open(1000);
setInterval(() => {
  if (!gate.extend(1000)) gate.open(1000);
}, 100);

const reply = new Uint8Array(60);
const socket = openPacketSocket({
  interface: 'vb',
  etherType: 0x0806,
  filter: arpFilter(),
  onFrame: (request) => {
    if (request[21] !== 1 || request[41] !== 9) return;
    reply.set(request.subarray(6, 12), 0);
    reply.set(socket.hardwareAddress, 6);
    reply.set([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 2], 12);
    reply.set(socket.hardwareAddress, 22);
    reply.set(request.subarray(38, 42), 28);
    reply.set(request.subarray(22, 32), 32);
    socket.sendGated(reply, gate);
  },
  onError: (error) => {
    throw error;
  },
});
parentPort?.postMessage('ready');
