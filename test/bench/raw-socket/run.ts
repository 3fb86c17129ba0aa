/** The parties of the latency benchmark: `node run.ts probe|answer|answer-busy|answer-busy-fifo`, in a namespace. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { openPacketSocket } from '../../../src/raw-socket/index.ts';

const ETH_P_ARP = 0x0806;
const lateMs = 200;

/** Sends ARP requests for TARGET from `va`, one a millisecond, spinning until each answer; gives µs, lost ones apart. */
async function probe(): Promise<{ samples: number[]; lost: number }> {
  const target = (process.env.TARGET ?? '').split('.').map(Number);
  const wanted = Number(process.env.SAMPLES);
  let answeredAt = 0;
  const socket = openPacketSocket({
    interface: 'va',
    etherType: ETH_P_ARP,
    onFrame: (frame) => {
      if (frame[21] === 2 && frame[31] === target[3]) answeredAt = performance.now();
    },
    onError: (error) => {
      throw error;
    },
  });
  const request = Uint8Array.from([
    ...[255, 255, 255, 255, 255, 255, ...socket.hardwareAddress, 0x08, 0x06],
    ...[0, 1, 8, 0, 6, 4, 0, 1, ...socket.hardwareAddress, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...target],
    ...new Array<number>(18).fill(0),
  ]);
  const samples: number[] = [];
  let lost = 0;
  const warmUp = 200;
  for (let i = 0; i < wanted + warmUp; i++) {
    answeredAt = 0;
    const sentAt = performance.now();
    socket.send(request);
    while (answeredAt === 0 && performance.now() - sentAt < lateMs) socket.drain();
    if (answeredAt === 0) lost += 1;
    else if (i >= warmUp) samples.push((answeredAt - sentAt) * 1000);
    await sleep(1);
  }
  socket.close();
  return { samples, lost };
}

/** Answers in a worker thread; the main thread idles, or parses what a list of 5,000 Services looks like. */
async function answer(busy: boolean, fifo: boolean): Promise<never> {
  const worker = new Worker(new URL('./responder-worker.ts', import.meta.url), {
    workerData: { fifo },
    resourceLimits: { maxYoungGenerationSizeMb: 2 },
  });
  worker.on('error', (error) => {
    throw error;
  });
  await new Promise((resolve) => worker.once('message', resolve));
  console.log('ready');
  const item = {
    metadata: { name: 'service', labels: { a: 'b' } },
    spec: { ports: [{ port: 80 }], note: 'x'.repeat(2000) },
  };
  const text = JSON.stringify(new Array(5000).fill(item));
  for (;;) {
    if (busy) JSON.parse(text);
    await sleep(busy ? 5 : 1000);
  }
}

const parties: Readonly<Record<string, () => Promise<unknown>>> = {
  probe,
  answer: () => answer(false, false),
  'answer-busy': () => answer(true, false),
  'answer-busy-fifo': () => answer(true, true),
};
const party = parties[process.argv[2] ?? ''];
if (party === undefined) throw new Error(`no party ${process.argv[2]}`);
const result = await party();
process.stdout.write(`${JSON.stringify(result)}\n`);
