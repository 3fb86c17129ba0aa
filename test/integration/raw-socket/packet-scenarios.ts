/** What happens on the packet sockets of a veth pair; each function runs in a process inside the namespace. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import {
  arpFilter,
  assemble,
  boottimeMs,
  dropAllFilter,
  ipv4UdpFilter,
  ipv6UdpFilter,
  neighbourDiscoveryFilter,
  openPacketSocket,
  type PacketSocket,
  type PacketSocketOptions,
  ret,
} from '../../../src/raw-socket/index.ts';
import { eventually } from '../../eventually.ts';
import { arp, broadcast, ethernet, groupOfAllNodes, icmp6, ipv4, ipv6, macB, numbered, udp, vlan } from './frames.ts';

const ETH_P_ALL = 3;
const ETH_P_ARP = 0x0806;
const ip = (words: string) => execFileSync('ip', words.split(' '), { encoding: 'utf8' });
const failOnError = (error: Error) => {
  throw error;
};
const quiet = { onFrame() {}, onError: failOnError };

/** A sending socket on `va` that hears nothing. */
const sender = (): PacketSocket =>
  openPacketSocket({ interface: 'va', etherType: ETH_P_ARP, filter: dropAllFilter(), ...quiet });

/** Sends every frame from `va` and gives the names of those that a socket on `vb` delivers. */
function accepted(
  options: Pick<PacketSocketOptions, 'etherType' | 'filter'>,
  frames: Record<string, number[]>,
): string[] {
  const list = numbered(frames);
  const names: string[] = [];
  const onFrame = (frame: Uint8Array) => {
    const number = frame.at(-1) ?? 0;
    const sent = list[number - 1];
    if (sent === undefined || Buffer.compare(sent.bytes, frame) !== 0)
      names.push(`unknown ${Buffer.from(frame).toString('hex')}`);
    else names.push(sent.name);
  };
  using receiver = openPacketSocket({ ...options, interface: 'vb', onFrame, onError: failOnError });
  using from = sender();
  for (const { name, bytes } of list) if (!from.send(bytes)) throw new Error(`${name} was not sent`);
  receiver.drain();
  return names;
}

const group = [224, 0, 0, 18];
const port = 7946;

export function filters() {
  const arpFrames = {
    request: ethernet(0x0806, arp(), { to: broadcast }),
    'unicast request': ethernet(0x0806, arp()),
    reply: ethernet(0x0806, arp({ operation: 2 })),
    'operation 0': ethernet(0x0806, arp({ operation: 0 })),
    'operation 3 (RARP)': ethernet(0x0806, arp({ operation: 3 })),
    'operation 258': ethernet(0x0806, arp({ operation: 0x0102 })),
    'hardware 6': ethernet(0x0806, arp({ hardware: 6 })),
    'protocol IPv6': ethernet(0x0806, arp({ protocol: 0x86dd })),
    'address lengths': ethernet(0x0806, arp({ lengths: [8, 4] })),
    'another EtherType': ethernet(0x88b5, arp()),
    'with a VLAN tag': ethernet(0x0806, arp(), { tags: [vlan(5)] }),
    'to another host': ethernet(0x0806, arp(), { to: [2, 0, 0, 0, 0, 0x99] }),
  };
  const discovery = {
    solicitation: ethernet(0x86dd, ipv6({ payload: icmp6(135) }), { to: [0x33, 0x33, 0, 0, 0, 1] }),
    advertisement: ethernet(0x86dd, ipv6({ payload: icmp6(136) })),
    'router advertisement': ethernet(0x86dd, ipv6({ payload: icmp6(134) })),
    redirect: ethernet(0x86dd, ipv6({ payload: icmp6(137) })),
    'hop limit 254': ethernet(0x86dd, ipv6({ hopLimit: 254, payload: icmp6(135) })),
    'hop-by-hop header': ethernet(0x86dd, ipv6({ next: 0, payload: [58, 0, 1, 4, 0, 0, 0, 0, ...icmp6(135)] })),
    udp: ethernet(0x86dd, ipv6({ next: 17, payload: udp(135 << 8, [1]) })),
    'as IPv4': ethernet(0x0800, ipv6({ payload: icmp6(135) })),
  };
  const overIpv4 = {
    plain: ethernet(0x0800, ipv4({ payload: udp(port, [1, 2]) }), { to: broadcast }),
    'with IP options': ethernet(0x0800, ipv4({ options: [1, 1, 1, 1, 1, 1, 1, 0], payload: udp(port, [1, 2]) })),
    'do not fragment': ethernet(0x0800, ipv4({ fragment: 0x4000, payload: udp(port, [1, 2]) })),
    'TTL 254': ethernet(0x0800, ipv4({ ttl: 254, payload: udp(port, [1, 2]) })),
    'first fragment': ethernet(0x0800, ipv4({ fragment: 0x2000, payload: udp(port, [1, 2]) })),
    'later fragment': ethernet(0x0800, ipv4({ fragment: 1, payload: udp(port, [1, 2]) })),
    tcp: ethernet(0x0800, ipv4({ protocol: 6, payload: udp(port, [1, 2]) })),
    'another port': ethernet(0x0800, ipv4({ payload: udp(port + 1, [1, 2]) })),
    'another group': ethernet(0x0800, ipv4({ to: [224, 0, 0, 19], payload: udp(port, [1, 2]) })),
    'port in the options': ethernet(0x0800, ipv4({ options: [...udp(port, [])], payload: udp(1, [1, 2]) })),
  };
  const other = [...groupOfAllNodes.slice(0, 15), 2];
  const overIpv6 = {
    plain: ethernet(0x86dd, ipv6({ next: 17, payload: udp(port, [1, 2]) }), { to: [0x33, 0x33, 0, 0, 0, 1] }),
    'hop limit 64': ethernet(0x86dd, ipv6({ next: 17, hopLimit: 64, payload: udp(port, [1, 2]) })),
    'another port': ethernet(0x86dd, ipv6({ next: 17, payload: udp(port + 1, [1, 2]) })),
    'another group': ethernet(0x86dd, ipv6({ next: 17, to: other, payload: udp(port, [1, 2]) })),
    icmp: ethernet(0x86dd, ipv6({ payload: udp(port, [1, 2]) })),
  };
  return {
    arp: accepted({ etherType: ETH_P_ALL, filter: arpFilter() }, arpFrames),
    neighbourDiscovery: accepted({ etherType: ETH_P_ALL, filter: neighbourDiscoveryFilter() }, discovery),
    ipv4Udp: accepted({ etherType: ETH_P_ALL, filter: ipv4UdpFilter(Uint8Array.from(group), port) }, overIpv4),
    ipv6Udp: accepted(
      { etherType: ETH_P_ALL, filter: ipv6UdpFilter(Uint8Array.from(groupOfAllNodes), port) },
      overIpv6,
    ),
    dropAll: accepted({ etherType: ETH_P_ALL, filter: dropAllFilter() }, arpFrames),
  };
}

/** Without any filter in the kernel: what the addon itself lets through. */
export function foreignFrames() {
  const frames = {
    'to us': ethernet(0x0806, arp()),
    broadcast: ethernet(0x0806, arp(), { to: broadcast }),
    'to another host': ethernet(0x0806, arp(), { to: [2, 0, 0, 0, 0, 0x99] }),
    'VLAN 5': ethernet(0x0806, arp(), { tags: [vlan(5)] }),
    'VLAN 5, broadcast': ethernet(0x0806, arp(), { to: broadcast, tags: [vlan(5)] }),
    'service VLAN 5': ethernet(0x0806, arp(), { to: broadcast, tags: [vlan(5, 0x88a8)] }),
    'stacked VLANs': ethernet(0x0806, arp(), { to: broadcast, tags: [vlan(5, 0x88a8), vlan(6)] }),
  };
  return {
    all: accepted({ etherType: ETH_P_ALL }, frames),
    arp: accepted({ etherType: ETH_P_ARP }, frames),
  };
}

/** A VLAN interface on `vb` for VLAN 5 and a socket on `vb` itself: the kernel shows it the frames without their tag. */
export function vlanAbove() {
  ip('link add link vb name vb.5 type vlan id 5');
  ip('link set vb.5 up');
  const frames = {
    untagged: ethernet(0x0806, arp(), { to: broadcast }),
    tagged: ethernet(0x0806, arp(), { to: broadcast, tags: [vlan(5)] }),
    'tagged, to us': ethernet(0x0806, arp(), { tags: [vlan(5)] }),
  };
  return {
    all: accepted({ etherType: ETH_P_ALL }, frames),
    arp: accepted({ etherType: ETH_P_ARP, filter: arpFilter() }, frames),
  };
}

export function packetTypes() {
  const seen: string[] = [];
  const onFrame: PacketSocketOptions['onFrame'] = (_, { packetType }) => seen.push(packetType);
  using heard = openPacketSocket({
    interface: 'vb',
    etherType: ETH_P_ALL,
    onFrame,
    onError: failOnError,
    ignoreOutgoing: false,
  });
  using from = sender();
  const outgoing = ethernet(0x88b5, [1]);
  for (const to of [macB, broadcast, [1, 0, 0x5e, 0, 0, 1]]) from.send(Uint8Array.from(ethernet(0x88b5, [1], { to })));
  // The kernel shows a socket what others send, never what it sent itself.
  using beside = openPacketSocket({ interface: 'vb', etherType: 0x0806, filter: dropAllFilter(), ...quiet });
  beside.send(Uint8Array.from(outgoing));
  heard.drain();
  using deaf = openPacketSocket({ interface: 'vb', etherType: ETH_P_ALL, onFrame, onError: failOnError });
  beside.send(Uint8Array.from(outgoing));
  deaf.drain();
  return { seen, deaf: deaf.statistics().received };
}

/** 5000 frames in order through the event loop; then more than the buffer holds while the loop is stalled. */
export async function floods() {
  const frame = Uint8Array.from(ethernet(0x88b5, [0, 0, 0, 0], { to: broadcast }));
  const view = new DataView(frame.buffer);
  let expected = 0;
  let inOrder = true;
  const done = Promise.withResolvers<void>();
  const onFrame = (received: Uint8Array) => {
    const number = new DataView(received.buffer, received.byteOffset).getUint32(14);
    inOrder &&= number === expected;
    expected = number + 1;
    if (number === 4999) done.resolve();
  };
  using from = sender();
  using receiver = openPacketSocket({
    interface: 'vb',
    etherType: 0x88b5,
    onFrame,
    onError: failOnError,
    receiveBufferBytes: 4 << 20,
  });
  let sentAll = true;
  for (let number = 0; number < 5000; number++) {
    view.setUint32(14, number);
    sentAll &&= from.send(frame);
  }
  await done.promise;
  const ordered = { inOrder, ...receiver.statistics() };
  receiver.close();

  let heard = 0;
  using small = openPacketSocket({
    interface: 'vb',
    etherType: 0x88b5,
    onFrame: () => {
      heard += 1;
    },
    onError: failOnError,
    receiveBufferBytes: 10_000,
  });
  for (let number = 0; number < 500; number++) from.send(frame);
  await eventually('500 frames heard or dropped', () => small.statistics().dropped + heard >= 500);
  const { received, dropped } = small.statistics();
  return { sentAll, ordered, lossAccounted: received + dropped === 500 && dropped > 0 && received === heard };
}

/** Sockets opened while frames of another type pour in must never see one of them. */
export async function unfilteredWindow() {
  const flood = new Worker(new URL('./flood-worker.ts', import.meta.url), { workerData: { interface: 'va' } });
  await new Promise((resolve) => flood.once('message', resolve));
  let wrong = 0;
  let opened = 0;
  const onFrame = (frame: Uint8Array) => {
    if (frame[12] !== 0x08 || frame[13] !== 0x06) wrong += 1;
  };
  for (; opened < 60; opened++) {
    using socket = openPacketSocket({
      interface: 'vb',
      etherType: ETH_P_ALL,
      filter: arpFilter(),
      onFrame,
      onError: failOnError,
    });
    socket.drain();
  }
  // The flood is real: without a filter its frames arrive.
  let control = 0;
  using open = openPacketSocket({
    interface: 'vb',
    etherType: ETH_P_ALL,
    onFrame: () => {
      control += 1;
    },
    onError: failOnError,
  });
  await eventually('100 frames of the flood', () => control >= 100);
  open.close();
  await flood.terminate();
  return { opened, wrong };
}

export async function linkFaults() {
  const words: string[] = [];
  const later: string[] = [];
  let frames = 0;
  // The other end of the pair goes away with it.
  const toOther = { interface: 'va', etherType: ETH_P_ARP, filter: dropAllFilter(), onFrame() {}, onError() {} };
  using from = openPacketSocket(toOther);
  using receiver = openPacketSocket({
    interface: 'vb',
    etherType: 0x88b5,
    onFrame: () => {
      frames += 1;
    },
    onError: (error) => words.push(error.code),
  });
  const frame = Uint8Array.from(ethernet(0x88b5, [1], { to: broadcast }));
  ip('link set vb down');
  await eventually(
    'the link is down',
    () => words,
    ({ length }) => length === 1,
  );
  const whileDown = [receiver.send(frame), receiver.send(frame)];
  ip('link set vb up');
  await eventually('a frame is taken', () => receiver.send(frame));
  // The kernel wakes the other end of the pair in its own time and drops what is sent before.
  await eventually('a frame arrives', () => {
    from.send(frame);
    return frames > 0;
  });
  ip('link set vb down');
  await eventually(
    'the link is down again',
    () => words,
    ({ length }) => length === 2,
  );
  ip('link set vb up');
  ip('link set vb address 02:00:00:00:00:77');
  const newAddress = Buffer.from(receiver.hardwareAddress).toString('hex');
  ip('link del vb');
  await eventually(
    'the link is gone',
    () => words,
    ({ length }) => length === 3,
  );
  const gone = [receiver.send(frame), receiver.send(frame)];
  await sleep(10);
  const { unsent } = receiver.statistics();
  const lastAddress = Buffer.from(receiver.hardwareAddress).toString('hex');

  // Down first and then gone: only sending can tell.
  ip('link add vc type veth peer name vd');
  using idle = openPacketSocket({
    interface: 'vc',
    etherType: 0x88b5,
    onFrame() {},
    onError: (error) => later.push(error.code),
  });
  const sentDown = idle.send(frame);
  await eventually(
    'sending tells LinkDown',
    () => later,
    (codes) => codes.includes('LinkDown'),
  );
  ip('link del vc');
  const sentGone = [idle.send(frame), idle.send(frame)];
  await eventually(
    'sending tells NoSuchInterface',
    () => later,
    (codes) => codes.includes('NoSuchInterface'),
  );
  return { words, whileDown, gone, unsent, newAddress, lastAddress, sentDown, sentGone };
}

export async function misuse() {
  const result: Record<string, unknown> = {};
  const codeOf = (call: () => unknown) => {
    try {
      call();
      return 'nothing thrown';
    } catch (thrown) {
      return thrown instanceof Error && 'code' in thrown ? thrown.code : thrown;
    }
  };
  const frame = Uint8Array.from(ethernet(0x88b5, [1], { to: broadcast }));
  using from = sender();
  result.short = codeOf(() => from.send(new Uint8Array(13)));
  result.long = codeOf(() => from.send(Uint8Array.from(ethernet(0x88b5, new Array<number>(1600).fill(0)))));
  result.badFilter = codeOf(() =>
    openPacketSocket({ ...quiet, interface: 'va', etherType: 3, filter: new Uint8Array(7) }),
  );
  result.endlessFilter = codeOf(() =>
    openPacketSocket({ ...quiet, interface: 'va', etherType: 3, filter: assemble([]) }),
  );
  result.noSlot = codeOf(() => openPacketSocket({ ...quiet, interface: 'va', etherType: 3, maximumFrameBytes: 1 }));
  result.badGroup = codeOf(() =>
    openPacketSocket({ ...quiet, interface: 'va', etherType: 3, multicast: [new Uint8Array(9)] }),
  );
  result.badIndex = codeOf(() => openPacketSocket({ ...quiet, interface: 4711, etherType: 3 }));

  // The receive buffer taken away from under the socket: an error, not a crash.
  const errors: unknown[] = [];
  const stolen = openPacketSocket({
    interface: 'vb',
    etherType: 0x88b5,
    onFrame: (received) => structuredClone(received.buffer, { transfer: [received.buffer as ArrayBuffer] }),
    onError: (error) => errors.push(error.errno),
  });
  from.send(frame);
  stolen.drain();
  from.send(frame);
  stolen.drain();
  result.stolen = errors;
  stolen.close();

  // drain() inside onFrame does nothing; close() inside onFrame ends the batch.
  let calls = 0;
  const closing: PacketSocket = openPacketSocket({
    interface: 'vb',
    etherType: 0x88b5,
    onFrame: () => {
      calls += 1;
      closing.drain();
      if (calls === 3) closing.close();
    },
    onError: failOnError,
  });
  for (let i = 0; i < 10; i++) from.send(frame);
  closing.drain();
  result.callsUntilClosed = calls;
  result.afterClose = [
    codeOf(() => closing.send(frame)),
    codeOf(() => closing.drain()),
    codeOf(() => closing.join(frame)),
  ];
  result.countersAfterClose = closing.statistics().received;

  // What onFrame throws reaches drain's caller, or, from the loop, uncaughtException; the socket goes on.
  let throwing = true;
  let after = 0;
  using rude = openPacketSocket({
    interface: 'vb',
    etherType: 0x88b5,
    onFrame: () => {
      if (throwing) throw new Error('rude');
      after += 1;
    },
    onError: failOnError,
  });
  from.send(frame);
  try {
    rude.drain();
  } catch (thrown) {
    result.fromDrain = String(thrown);
  }
  const uncaught = new Promise((resolve) => process.once('uncaughtException', (thrown) => resolve(String(thrown))));
  from.send(frame);
  result.fromLoop = await uncaught;
  throwing = false;
  from.send(frame);
  await eventually('a frame after the throw', () => after > 0);
  result.goesOn = after;
  return result;
}

export function truncation() {
  let received = 0;
  using socket = openPacketSocket({
    interface: 'vb',
    etherType: 0x88b5,
    maximumFrameBytes: 100,
    onFrame: (frame) => {
      received = frame.length;
    },
    onError: failOnError,
  });
  using cut = openPacketSocket({
    interface: 'vb',
    etherType: 0x88b5,
    filter: assemble([ret(20)]),
    onFrame: (f) => lengths.push(f.length),
    onError: failOnError,
  });
  const lengths: number[] = [];
  using from = sender();
  for (const length of [100, 101]) from.send(Uint8Array.from(ethernet(0x88b5, new Array<number>(length - 14).fill(1))));
  socket.drain();
  cut.drain();
  return { received, statistics: socket.statistics(), lengths };
}

export function memberships() {
  const groups = () => [...ip('maddr show dev vb').matchAll(/link +([0-9a-f:]+)/g)].map(([, mac]) => mac);
  const before = groups();
  const solicited = Uint8Array.of(0x33, 0x33, 0xff, 0, 0, 1);
  const other = Uint8Array.of(1, 0, 0x5e, 0, 0, 0x12);
  const socket = openPacketSocket({ interface: 'vb', etherType: ETH_P_ARP, multicast: [solicited], ...quiet });
  const opened = groups();
  socket.join(other);
  socket.join(other);
  socket.leave(other);
  const joined = groups();
  socket.leave(other);
  const left = groups();
  socket.close();
  const added = (list: (string | undefined)[]) => list.filter((mac) => !before.includes(mac)).sort();
  return { opened: added(opened), joined: added(joined), left: added(left), closed: added(groups()) };
}

/** Workers full of open sockets, ended in the middle of a flood, again and again. */
export async function workers() {
  const descriptors = () => readdirSync('/proc/self/fd').length;
  // Keeps the addon loaded after the last worker, so that a leak is reported with its place.
  boottimeMs();
  const flood = new Worker(new URL('./flood-worker.ts', import.meta.url), { workerData: { interface: 'va' } });
  await new Promise((resolve) => flood.once('message', resolve));
  const round = async () => {
    const worker = new Worker(new URL('./busy-worker.ts', import.meta.url));
    await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    await worker.terminate();
  };
  await round();
  const before = descriptors();
  for (let i = 0; i < 4; i++) await Promise.all([round(), round()]);
  const leaked = descriptors() - before;
  await flood.terminate();
  const sockets = readFileSync('/proc/net/packet', 'utf8').trim().split('\n').length - 1;
  return { leaked, sockets };
}

/** A process without NET_RAW. */
export function unprivileged() {
  process.setgid?.(65534);
  process.setuid?.(65534);
  try {
    openPacketSocket({ interface: 'va', etherType: 3, ...quiet });
    return 'opened';
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : thrown;
  }
}
