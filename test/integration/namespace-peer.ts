/**
 * A host in a network namespace, for tests with real packets: serves TCP and UDP on the ports it is told, and carries out
 * requests that it reads as JSON lines from stdin, answering on stdout. Run as `ip netns exec NS node namespace-peer.ts`.
 *
 * Servers answer each message with "NAME CLIENT-ADDRESS".
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

export type PeerRequest =
  | { do: 'listen'; name: string; port: number }
  | { do: 'tcp'; host: string; port: number; timeoutMs: number }
  /** Opens a connection that stays, under a name. */
  | { do: 'open'; as: string; host: string; port: number; timeoutMs: number }
  | { do: 'say'; as: string; timeoutMs: number }
  | { do: 'udp'; host: string; port: number; from: number; timeoutMs: number };

export type PeerAnswer = { ok: string } | { error: string };

const connections = new Map<string, Socket>();
const udpSockets = new Map<string, UdpSocket>();

function printable(address: string | undefined): string {
  return (address ?? '?').replace(/^::ffff:/, '');
}

async function listen(name: string, port: number): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write(`${name} ${printable(socket.remoteAddress)}`));
  });
  const udp = createSocket({ type: 'udp6', ipv6Only: false });
  udp.on('message', (_, from) => udp.send(`${name} ${printable(from.address)}`, from.port, from.address));
  await Promise.all([
    new Promise<void>((resolve) => server.listen(port, '::', resolve)),
    new Promise<void>((resolve) => udp.bind(port, '::', resolve)),
  ]);
  return 'listening';
}

function answerOf(socket: Socket, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => done(() => reject(new Error('ETIMEDOUT'))), timeoutMs);
    const onData = (data: Buffer) => done(() => resolve(data.toString()));
    const onError = (error: NodeJS.ErrnoException) => done(() => reject(new Error(error.code)));
    const onClose = () => done(() => reject(new Error('closed')));
    const done = (settle: () => void) => {
      clearTimeout(timer);
      socket.off('data', onData).off('close', onClose);
      settle();
    };
    socket.once('data', onData).once('error', onError).once('close', onClose);
    socket.write('who');
  });
}

async function tcp(host: string, port: number, timeoutMs: number): Promise<string> {
  const socket = connect({ host, port });
  socket.on('error', () => {});
  try {
    return await answerOf(socket, timeoutMs);
  } finally {
    socket.destroy();
  }
}

async function udp(host: string, port: number, from: number, timeoutMs: number): Promise<string> {
  const type = host.includes(':') ? 'udp6' : 'udp4';
  const key = `${type} ${from}`;
  let socket = udpSockets.get(key);
  if (!socket) {
    const made = createSocket(type);
    await new Promise<void>((resolve) => made.bind(from, resolve));
    made.on('error', () => {});
    udpSockets.set(key, made);
    socket = made;
  }
  const bound = socket;
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      bound.off('message', onMessage);
      reject(new Error('ETIMEDOUT'));
    }, timeoutMs);
    const onMessage = (data: Buffer) => {
      clearTimeout(timer);
      resolve(data.toString());
    };
    bound.once('message', onMessage);
    bound.send('who', port, host);
  });
}

async function carryOut(request: PeerRequest): Promise<string> {
  switch (request.do) {
    case 'listen':
      return await listen(request.name, request.port);
    case 'tcp':
      return await tcp(request.host, request.port, request.timeoutMs);
    case 'udp':
      return await udp(request.host, request.port, request.from, request.timeoutMs);
    case 'open': {
      const socket = connect({ host: request.host, port: request.port });
      socket.on('error', () => {});
      connections.set(request.as, socket);
      return await answerOf(socket, request.timeoutMs);
    }
    case 'say': {
      const socket = connections.get(request.as);
      if (!socket) throw new Error(`no connection ${request.as}`);
      return await answerOf(socket, request.timeoutMs);
    }
  }
}

async function main(): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as PeerRequest;
    let answer: PeerAnswer;
    try {
      answer = { ok: await carryOut(request) };
    } catch (thrown) {
      answer = { error: thrown instanceof Error ? thrown.message : String(thrown) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  process.exit(0);
}

if (process.argv[1] === import.meta.filename) void main();
