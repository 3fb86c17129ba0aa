/**
 * A host in a network namespace that dials and listens with the TCP transport: carries out requests that it reads as
 * JSON lines from stdin, answering on stdout. Connections taken say "NAME hears ADDRESS" to whatever they are told.
 */
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { tcpTransport } from '../../../src/bgp-speaker/transport/tcp-transport.ts';
import type { ConnectionOptions, PeerEndpoint, PeerListener } from '../../../src/bgp-speaker/transport/transport.ts';
import { Address, Cidr } from '../../../src/net/index.ts';

/** ConnectionOptions in JSON. */
export type PlainOptions = Omit<ConnectionOptions, 'localAddress' | 'password'> & {
  localAddress?: string;
  password?: string;
};

export type HostRequest =
  | { do: 'listen'; as: string; address: string; port?: number; interface?: string }
  | { do: 'admit'; as: string; peers: string; options: PlainOptions; blockedMs?: number }
  | { do: 'dismiss'; as: string; peers: string; options: PlainOptions }
  | { do: 'unlisten'; as: string }
  /** What the listener refused and why it ended. */
  | { do: 'report'; as: string }
  /** A server as anybody would write it: TTL 64, no keys. */
  | { do: 'plain'; address: string; port: number }
  | { do: 'dial'; as?: string; to: string; port: number; options: PlainOptions; withinMs: number }
  | { do: 'say'; as: string; withinMs: number }
  | { do: 'outcome'; as: string }
  /** How many TCP sockets are in this state, by the kernel's number. */
  | { do: 'count'; state: string };

const transport = tcpTransport();
const name = process.argv[2] ?? 'host';
const listeners = new Map<string, { listener: PeerListener; refused: string[]; errors: string[] }>();
const connections = new Map<string, { socket: Socket; outcome: Promise<string> }>();

function optionsOf({ localAddress, ...rest }: PlainOptions): ConnectionOptions {
  return { ...rest, ...(localAddress === undefined ? {} : { localAddress: Address.parse(localAddress) }) };
}

function printed({ address, interface: via }: PeerEndpoint): string {
  return via === undefined ? String(address) : `${address}%${via}`;
}

function codeOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const { code, errno } = thrown as { code?: unknown; errno?: unknown };
  return thrown.name === 'TimeoutError' ? 'silence' : `${code} ${errno}: ${thrown.message}`;
}

async function listen(request: HostRequest & { do: 'listen' }): Promise<string> {
  const refused: string[] = [];
  const errors: string[] = [];
  const listener = await transport.listen({
    address: Address.parse(request.address),
    port: request.port ?? 0,
    ...(request.interface === undefined ? {} : { interface: request.interface }),
    onConnection(socket, from) {
      socket.on('data', () => socket.write(`${name} hears ${printed(from)}`));
    },
    onRefused: (from, reason) => refused.push(`${printed(from)} ${reason}`),
    onError: (error) => errors.push(codeOf(error)),
  });
  listeners.set(request.as, { listener, refused, errors });
  return String(listener.port);
}

function listenerOf(as: string) {
  const found = listeners.get(as);
  if (!found) throw new Error(`no listener ${as}`);
  return found;
}

async function answer(socket: Socket, withinMs: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(() => resolve('mute'), withinMs);
  const onData = (data: Buffer) => resolve(String(data));
  const onClose = () => resolve('closed');
  socket.on('data', onData).on('close', onClose);
  socket.write('who');
  const text = await promise;
  clearTimeout(timer);
  socket.off('data', onData).off('close', onClose);
  return text;
}

async function dial({ as, to, port, options, withinMs }: HostRequest & { do: 'dial' }): Promise<string> {
  const started = performance.now();
  let socket: Socket;
  try {
    const signal = AbortSignal.timeout(withinMs);
    socket = await transport.dial({ address: Address.parse(to), port }, optionsOf(options), signal);
  } catch (thrown) {
    return codeOf(thrown);
  }
  const outcome = new Promise<string>((resolve) => {
    let error = 'no error';
    socket.on('error', (thrown) => {
      error = codeOf(thrown);
    });
    socket.on('close', () => resolve(error));
  });
  const text = await answer(socket, Math.max(50, withinMs - (performance.now() - started)));
  if (as === undefined) socket.destroy();
  else connections.set(as, { socket, outcome });
  return text;
}

function connectionOf(as: string) {
  const found = connections.get(as);
  if (!found) throw new Error(`no connection ${as}`);
  return found;
}

async function carryOut(request: HostRequest): Promise<string> {
  switch (request.do) {
    case 'listen':
      return await listen(request);
    case 'admit': {
      const { listener } = listenerOf(request.as);
      if (request.blockedMs !== undefined) {
        // Nothing is accepted meanwhile, but the kernel goes on answering.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, request.blockedMs);
      }
      listener.admit(Cidr.parse(request.peers), optionsOf(request.options));
      return 'admitted';
    }
    case 'dismiss':
      listenerOf(request.as).listener.dismiss(Cidr.parse(request.peers), optionsOf(request.options));
      return 'dismissed';
    case 'unlisten':
      await listenerOf(request.as).listener.close();
      return 'closed';
    case 'report': {
      const { refused, errors } = listenerOf(request.as);
      return JSON.stringify([...refused.splice(0), ...errors.splice(0)]);
    }
    case 'plain': {
      const server = createServer((socket) => {
        socket.on('error', () => {});
        socket.on('data', () => socket.write(`${name} is plain`));
      });
      await new Promise<void>((resolve) => server.listen(request.port, request.address, resolve));
      return 'listening';
    }
    case 'dial':
      return await dial(request);
    case 'say':
      return await answer(connectionOf(request.as).socket, request.withinMs);
    case 'outcome':
      return await connectionOf(request.as).outcome;
    case 'count': {
      const lines = ['tcp', 'tcp6'].flatMap((table) => readFileSync(`/proc/self/net/${table}`, 'utf8').split('\n'));
      return String(lines.filter((line) => line.trim().split(/\s+/)[3] === request.state).length);
    }
  }
}

async function main(): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    let text: string;
    try {
      text = await carryOut(JSON.parse(line) as HostRequest);
    } catch (thrown) {
      text = codeOf(thrown);
    }
    process.stdout.write(`${JSON.stringify(text)}\n`);
  }
  process.exit(0);
}

if (process.argv[1] === import.meta.filename) void main();
