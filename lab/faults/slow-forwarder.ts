/**
 * A TCP forwarder that hands everything on late, run inside `control` by the fault `slow-api`:
 *
 *   node slow-forwarder.ts LISTEN_ADDRESS LISTEN_PORT TARGET_ADDRESS TARGET_PORT DELAY_MS
 */
import { connect, createServer, type Socket } from 'node:net';

/** Above this many bytes on their way, the sender is told to wait. */
const highWaterMark = 1 << 20;

/** Hands chunks and the end of the stream from one socket to the other, each `delayMs` after it came, in order. */
export function forwardLate(from: Socket, to: Socket, delayMs: number): void {
  let underway = 0;
  from.on('data', (chunk: Buffer) => {
    underway += chunk.length;
    if (underway > highWaterMark) from.pause();
    setTimeout(() => {
      to.write(chunk, () => {
        underway -= chunk.length;
        if (underway <= highWaterMark) from.resume();
      });
    }, delayMs);
  });
  from.on('end', () => setTimeout(() => to.end(), delayMs));
  from.on('error', () => to.destroy());
  from.on('close', (hadError) => {
    if (hadError) to.destroy();
  });
}

if (import.meta.main) {
  const [listenAddress, listenPort, targetAddress, targetPort, delayText] = process.argv.slice(2);
  const delayMs = Number(delayText);
  createServer({ allowHalfOpen: true }, (client) => {
    const server = connect({ host: targetAddress ?? '', port: Number(targetPort), allowHalfOpen: true });
    forwardLate(client, server, delayMs);
    forwardLate(server, client, delayMs);
  }).listen(Number(listenPort), listenAddress);
}
