/** UDP sockets through the addon, on the loopback interface and the veth pair of the namespace. */
import { readdirSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import {
  type Datagram,
  type DatagramSocket,
  interfaceIndex,
  openDatagramSocket,
  RawSocketError,
  receivedTtlFilter,
  socketAddress,
} from '../../../src/raw-socket/index.ts';
import { eventually } from '../../eventually.ts';

const loopback = { 4: '127.0.0.1', 6: '::1' } as const;

function codeOf(call: () => unknown): string {
  try {
    call();
    return 'nothing thrown';
  } catch (thrown) {
    if (!(thrown instanceof RawSocketError)) throw thrown;
    return `${thrown.code} ${thrown.errno ?? '-'}`;
  }
}

function shown(datagram: Datagram) {
  return {
    text: Buffer.from(datagram.bytes.subarray(0, Math.min(datagram.length, datagram.bytes.length))).toString(),
    length: datagram.length,
    truncated: datagram.isTruncated,
    ttl: datagram.ttl,
    onLoopback: datagram.interfaceIndex === interfaceIndex('lo'),
    port: datagram.sourcePort,
    source: [...datagram.source].join('.'),
    destination: [...datagram.destination].join('.'),
  };
}

/** What is told of a datagram; the filter; drain by hand, before the event loop had a turn. */
export function datagrams() {
  const result: Record<string, unknown> = {};
  for (const family of [4, 6] as const) {
    const heard: ReturnType<typeof shown>[] = [];
    const receiver = openDatagramSocket({
      family,
      localPort: 3784,
      filter: receivedTtlFilter(family, 250),
      maximumBytes: 8,
      onDatagram: (datagram) => heard.push(shown(datagram)),
    });
    const send = (ttl: number, text: string) => {
      const sender = openDatagramSocket({ family, localAddress: loopback[family], localPort: 50_000, ttl });
      const error = sender.send(Buffer.from(text), socketAddress(loopback[family], 3784));
      sender.close();
      return error?.code;
    };
    const errors = [send(255, 'first'), send(249, 'refused'), send(250, 'longer than 8')];
    const drained = receiver.drain();
    receiver.setFilter(receivedTtlFilter(family, 255));
    send(250, 'refused');
    const again = receiver.drain();
    const dropped = receiver.dropped();
    receiver.close();
    result[`IPv${family}`] = { heard, errors, drained, again, dropped, closed: codeOf(() => receiver.drain()) };
  }
  return result;
}

/** 1,000 datagrams in the queue: drained in one call, in order, and by the event loop. */
export async function manyDatagrams() {
  const heard: number[] = [];
  let inside = 0;
  const receiver: DatagramSocket = openDatagramSocket({
    family: 4,
    localPort: 3784,
    receiveBufferBytes: 4 << 20,
    onDatagram({ bytes }) {
      heard.push(((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0));
      inside += receiver.drain();
    },
  });
  const sender = openDatagramSocket({ family: 4, localPort: 0 });
  const to = socketAddress('127.0.0.1', 3784);
  const send = (count: number) => {
    for (let i = 0; i < count; i++) sender.send(Uint8Array.of(i >> 8, i & 0xff), to);
  };
  const inOrder = (count: number) => heard.length === count && heard.every((number, i) => number === i);
  send(150);
  const drained = receiver.drain();
  const first = inOrder(150);
  heard.length = 0;
  send(150);
  await eventually('150 datagrams', () => heard.length >= 150);
  const second = inOrder(150);
  receiver.close();
  sender.close();
  return { drained, first, second, inside };
}

/** Who may share a port, and what fails how. */
export function datagramErrors() {
  const first = openDatagramSocket({ family: 4, localPort: 3784, interface: 'lo' });
  const open = (reuseAddress: boolean) =>
    openDatagramSocket({ family: 4, localPort: 3784, onDatagram() {}, reuseAddress }).close();
  const stranger = codeOf(() => open(true));
  first.shareAddress(true);
  const shared = codeOf(() => open(true));
  first.shareAddress(false);
  const strangerAgain = codeOf(() => open(true));
  first.close();
  const sender = openDatagramSocket({ family: 4, localPort: 0 });
  const unreachable = sender.send(Uint8Array.of(1), socketAddress('203.0.113.1', 9));
  sender.close();
  return {
    stranger,
    shared,
    strangerAgain,
    unreachable: `${unreachable?.code} ${unreachable?.errno}`,
    device: codeOf(() => openDatagramSocket({ family: 4, localPort: 0, interface: 'nowhere' })),
    address: codeOf(() => openDatagramSocket({ family: 4, localPort: 0, localAddress: '192.0.2.77' })),
  };
}

/** A worker that is terminated with open sockets leaves no descriptor. */
export async function datagramWorkers() {
  const udpDescriptors = () => readdirSync('/proc/self/fd').length;
  const code = `
    const { openDatagramSocket } = await import(${JSON.stringify(new URL('../../../src/raw-socket/index.ts', import.meta.url).href)});
    const { parentPort } = await import('node:worker_threads');
    for (let i = 0; i < 20; i++) openDatagramSocket({ family: 4, localPort: 0, ...(i % 2 ? { onDatagram() {} } : {}) });
    parentPort.postMessage('open');`;
  const start = async () => {
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
    await new Promise((resolve) => worker.once('message', resolve));
    await worker.terminate();
  };
  await start();
  const before = udpDescriptors();
  for (let i = 0; i < 3; i++) await start();
  return { left: udpDescriptors() - before };
}
