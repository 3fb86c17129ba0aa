/** Sends 100 frames of EtherType 0x88b5 each turn of the loop until terminated. */
import { parentPort, workerData } from 'node:worker_threads';
import { dropAllFilter, openPacketSocket } from '../../../src/raw-socket/index.ts';
import { broadcast, ethernet } from './frames.ts';

const socket = openPacketSocket({
  interface: (workerData as { interface: string }).interface,
  etherType: 0x88b5,
  filter: dropAllFilter(),
  onFrame() {},
  onError() {},
});
const frame = Uint8Array.from(ethernet(0x88b5, new Array<number>(46).fill(1), { to: broadcast }));
const turn = () => {
  for (let i = 0; i < 100; i++) socket.send(frame);
  setImmediate(turn);
};
turn();
parentPort?.postMessage('flooding');
