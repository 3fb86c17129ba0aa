/** Socket options against real connections on the loopback interface of the namespace. */
import { execFileSync } from 'node:child_process';
import dgram from 'node:dgram';
import { readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import {
  addTcpAoKey,
  attachFilter,
  bindAddress,
  bindToDevice,
  closeFd,
  createSocket,
  deleteTcpAoKey,
  getIntegerOption,
  RawSocketError,
  receivedTtlFilter,
  setMark,
  setMaximumSegment,
  setMinimumTtl,
  setMulticastTtl,
  setPriority,
  setRealtimePriority,
  setReceiveBuffer,
  setTcpMd5Key,
  setTrafficClass,
  setTtl,
  setUserTimeout,
} from '../../../src/raw-socket/index.ts';

/** Long enough for a SYN that is let in; one that is dropped is not answered at all. */
const silenceMs = 250;

/** Connects a descriptor in the same tick and says what came of it. */
function connect(fd: number, port: number, host: string): Promise<string> {
  // manualStart is not in the documentation nor the types: without it Node reads before it has connected.
  const options: net.SocketConstructorOpts & { manualStart: boolean } = { fd, manualStart: true };
  const socket = new net.Socket(options);
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      socket.destroy();
      resolve('silence');
    }, silenceMs);
    socket.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      resolve(error.code ?? error.message);
    });
    socket.on('data', (data) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(String(data));
    });
    socket.connect(port, host, () => socket.write('hello'));
  });
}

/** A server on a prepared descriptor that answers with the address it sees. */
async function serve(fd: number): Promise<{ port: number; close(): Promise<void> }> {
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.end(`hello ${socket.remoteAddress}`));
  });
  server.listen({ fd });
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo;
  return { port, close: () => new Promise((resolve) => server.close(() => resolve())) };
}

function client(family: 4 | 6, prepare: (fd: number) => void): number {
  const fd = createSocket({ family, type: 'tcp' });
  prepare(fd);
  return fd;
}

export async function md5() {
  const listener = createSocket({ family: 4, type: 'tcp' });
  bindAddress(listener, '127.0.0.1', 0, { reuseAddress: true });
  setTcpMd5Key(listener, { address: '127.0.0.2', key: 'right' });
  const server = await serve(listener);
  const attempt = (source: string, key: string | undefined) =>
    connect(
      client(4, (fd) => {
        bindAddress(fd, source, 0);
        if (key !== undefined) setTcpMd5Key(fd, { address: '127.0.0.1', key });
      }),
      server.port,
      '127.0.0.1',
    );
  const [right, wrong, none, stranger] = await Promise.all([
    attempt('127.0.0.2', 'right'),
    attempt('127.0.0.2', 'wrong'),
    attempt('127.0.0.2', undefined),
    attempt('127.0.0.3', undefined),
  ]);
  // Later peers, one and a prefix of them, on the descriptor that listens already; then a change and a removal.
  setTcpMd5Key(listener, { address: '127.0.0.4', key: 'later' });
  setTcpMd5Key(listener, { address: '127.1.0.0', prefixLength: 16, key: 'prefix' });
  setTcpMd5Key(listener, { address: '127.0.0.2', key: 'changed' });
  const [later, prefix, changed, old] = await Promise.all([
    attempt('127.0.0.4', 'later'),
    attempt('127.1.2.3', 'prefix'),
    attempt('127.0.0.2', 'changed'),
    attempt('127.0.0.2', 'right'),
  ]);
  setTcpMd5Key(listener, { address: '127.0.0.2', key: '' });
  const removed = await attempt('127.0.0.2', undefined);
  await server.close();

  const six = createSocket({ family: 6, type: 'tcp' });
  bindAddress(six, '::1', 0);
  setTcpMd5Key(six, { address: '::1', key: 'six' });
  const server6 = await serve(six);
  const ipv6 = await connect(
    client(6, (fd) => setTcpMd5Key(fd, { address: '::1', key: 'six' })),
    server6.port,
    '::1',
  );
  await server6.close();
  return { right, wrong, none, stranger, later, prefix, changed, old, removed, ipv6 };
}

export async function minimumTtl() {
  const result: Record<string, unknown> = {};
  for (const [family, host] of [
    [4, '127.0.0.1'],
    [6, '::1'],
  ] as const) {
    const listener = createSocket({ family, type: 'tcp' });
    bindAddress(listener, host, 0);
    setTtl(listener, family, 255);
    setMinimumTtl(listener, family, 255);
    const server = await serve(listener);
    const attempt = (ttl: number) =>
      connect(
        client(family, (fd) => {
          setTtl(fd, family, ttl);
          setMinimumTtl(fd, family, 255);
        }),
        server.port,
        host,
      );
    result[`IPv${family}`] = await Promise.all([attempt(255), attempt(254)]);
    await server.close();
  }
  return result;
}

/** Datagrams with every TTL of interest to a UDP socket of Node that was made here. */
export async function udpTtl() {
  const result: Record<string, string[]> = {};
  for (const [family, host, least] of [
    [4, '127.0.0.1', 255],
    [6, '::1', 255],
    [4, '127.0.0.1', 250],
    [6, '::1', 250],
  ] as const) {
    const fd = createSocket({ family, type: 'udp' });
    attachFilter(fd, receivedTtlFilter(family, least));
    bindAddress(fd, host, 0);
    const type = family === 4 ? 'udp4' : 'udp6';
    const receiver = dgram.createSocket(type);
    const heard: string[] = [];
    const last = Promise.withResolvers<void>();
    receiver.on('message', (message) => {
      if (String(message) === 'end') last.resolve();
      else heard.push(String(message));
    });
    // With a descriptor, `listening` comes before bind returns.
    await new Promise<void>((resolve) => receiver.bind({ fd }, () => resolve()));
    const sender = dgram.createSocket(type);
    await new Promise<void>((resolve) => sender.bind(0, host, () => resolve()));
    const send = async (ttl: number, text: string) => {
      sender.setTTL(ttl);
      await new Promise((resolve) => sender.send(text, receiver.address().port, host, resolve));
    };
    for (const ttl of [1, 64, 249, 250, 254, 255]) await send(ttl, String(ttl));
    await send(255, 'end');
    await last.promise;
    result[`IPv${family} least ${least}`] = heard;
    sender.close();
    receiver.close();
  }
  return result;
}

export function options() {
  const fd = createSocket({ family: 4, type: 'tcp' });
  setTtl(fd, 4, 200);
  setMinimumTtl(fd, 4, 100);
  setTrafficClass(fd, 4, 0xc0);
  setMark(fd, 0x1234);
  setPriority(fd, 6);
  setUserTimeout(fd, 9000);
  setMaximumSegment(fd, 1200);
  setReceiveBuffer(fd, 65536);
  bindToDevice(fd, 'va');
  const ipv4 = {
    ttl: getIntegerOption(fd, 0, 2),
    minimum: getIntegerOption(fd, 0, 21),
    trafficClass: getIntegerOption(fd, 0, 1),
    mark: getIntegerOption(fd, 1, 36),
    priority: getIntegerOption(fd, 1, 12),
    userTimeout: getIntegerOption(fd, 6, 18),
    buffer: getIntegerOption(fd, 1, 8),
    device: getIntegerOption(fd, 1, 62) > 0,
  };
  closeFd(fd);
  const six = createSocket({ family: 6, type: 'udp' });
  setTtl(six, 6, 255);
  setMulticastTtl(six, 6, 254);
  setTrafficClass(six, 6, 0xc0);
  const ipv6 = {
    ttl: getIntegerOption(six, 41, 16),
    multicast: getIntegerOption(six, 41, 18),
    trafficClass: getIntegerOption(six, 41, 67),
    only: getIntegerOption(six, 41, 26),
  };
  closeFd(six);
  return { ipv4, ipv6 };
}

function codeOf(call: () => unknown): string {
  try {
    call();
    return 'nothing thrown';
  } catch (thrown) {
    return thrown instanceof RawSocketError ? [thrown.code, thrown.errno ?? '-'].join(' ') : String(thrown);
  }
}

export function errors() {
  const fd = createSocket({ family: 4, type: 'tcp' });
  const other = createSocket({ family: 4, type: 'udp' });
  bindAddress(other, '127.0.0.1', 0);
  const result = {
    device: codeOf(() => bindToDevice(fd, 'no-such-if')),
    address: codeOf(() => bindAddress(fd, '192.0.2.99', 0)),
    freely: codeOf(() => bindAddress(fd, '192.0.2.99', 0, { freeBind: true })),
    text: codeOf(() => bindAddress(fd, 'nonsense', 0)),
    ttl: codeOf(() => setTtl(fd, 4, 256)),
    removed: codeOf(() => setTcpMd5Key(fd, { address: '127.0.0.9', key: '' })),
    md5OnUdp: codeOf(() => setTcpMd5Key(other, { address: '127.0.0.9', key: 'x' })),
    descriptor: codeOf(() => setTtl(9999, 4, 1)),
    priority: codeOf(() => setRealtimePriority(100)),
  };
  closeFd(fd);
  closeFd(other);
  process.setgid?.(65534);
  process.setuid?.(65534);
  const poor = createSocket({ family: 4, type: 'tcp' });
  const denied = [codeOf(() => setMark(poor, 1)), codeOf(() => setRealtimePriority(5))];
  closeFd(poor);
  return { ...result, denied };
}

/** A handshake with TCP-AO where the kernel has it, otherwise the error. */
export async function tcpAo() {
  const listener = createSocket({ family: 4, type: 'tcp' });
  bindAddress(listener, '127.0.0.1', 0);
  const pair = (address: string) => ({ address, sendId: 1, receiveId: 1 });
  const add = codeOf(() => addTcpAoKey(listener, { ...pair('127.0.0.2'), key: 'secret' }));
  if (add !== 'nothing thrown') {
    const remove = codeOf(() => deleteTcpAoKey(listener, pair('127.0.0.2')));
    closeFd(listener);
    return { add, remove };
  }
  const server = await serve(listener);
  const attempt = (key: string) =>
    connect(
      client(4, (fd) => {
        bindAddress(fd, '127.0.0.2', 0);
        addTcpAoKey(fd, { ...pair('127.0.0.1'), key });
      }),
      server.port,
      '127.0.0.1',
    );
  const [right, wrong] = await Promise.all([attempt('secret'), attempt('wrong')]);
  const remove = codeOf(() => deleteTcpAoKey(listener, pair('127.0.0.2')));
  await server.close();
  return { add, right, wrong, remove };
}

export function realtime() {
  const policies = () =>
    readdirSync('/proc/self/task')
      .map((task) => readFileSync(`/proc/self/task/${task}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [])
      .map((fields) => `${fields[38]}/${fields[37]}`);
  setRealtimePriority(7);
  const during = policies().filter((policy) => policy !== '0/0');
  const child = execFileSync('sh', ['-c', 'cat /proc/self/stat'], { encoding: 'utf8' }).split(') ')[1]?.split(' ')[38];
  setRealtimePriority(0);
  const after = policies().filter((policy) => policy !== '0/0');
  return { during, child, after };
}
