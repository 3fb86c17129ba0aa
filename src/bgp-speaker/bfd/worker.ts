/** BFD's worker thread: nothing but the engine, with a small heap, so that its timers hold whatever others do. */
import { parentPort, workerData } from 'node:worker_threads';
import { describeError } from '../../base/index.ts';
import { RawSocketError, setRealtimePriority } from '../../raw-socket/index.ts';
import { BfdEngine } from './engine.ts';
import { BfdError } from './errors.ts';
import { serveEngine } from './serve-engine.ts';
import { UdpTransport } from './udp-transport.ts';
import type { BfdWorkerSettings, FromBfdWorker, ToBfdWorker } from './worker-messages.ts';

const port = parentPort;
if (port === null) throw new BfdError('BadOptions', 'this is the worker thread of startBfd; it is not run by hand');
const { realtimePriority } = workerData as BfdWorkerSettings;
const post = (message: FromBfdWorker): void => port.postMessage(message);

function askForPriority(priority: number): string | undefined {
  try {
    setRealtimePriority(priority);
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof RawSocketError)) throw thrown;
    return describeError(thrown);
  }
}

const serve = serveEngine(new BfdEngine({ transport: new UdpTransport() }), post);
async function carryOut(message: ToBfdWorker): Promise<void> {
  await serve(message);
  // With the engine closed and nobody to listen to, the thread has nothing left to do and ends.
  if (message.kind === 'close') port?.close();
}

port.on('message', (message: ToBfdWorker) => void carryOut(message));
post({
  kind: 'ready',
  realtimeRefused: realtimePriority === undefined ? undefined : askForPriority(realtimePriority),
});
