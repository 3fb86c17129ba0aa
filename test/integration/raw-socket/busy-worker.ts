/** Holds sockets of every kind open, some busy with the flood, and closes none of them. */
import { parentPort } from 'node:worker_threads';
import { createGate, openPacketSocket, watchLinks } from '../../../src/raw-socket/index.ts';

let frames = 0;
const gates = Array.from({ length: 20 }, () => createGate());
for (const name of ['vb', 'vb', 'va']) {
  const socket = openPacketSocket({
    interface: name,
    etherType: 3,
    onFrame(frame) {
      frames += 1;
      if (frames % 50 === 0) socket.sendGated(frame, gates[frames % 20] ?? createGate());
      if (frames === 200) parentPort?.postMessage('busy');
    },
    onError() {},
  });
}
watchLinks({ onEvent() {}, onError() {} });
