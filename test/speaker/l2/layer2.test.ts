import { describe, expect, test } from '@jest/globals';
import { ManualClock, silentLogger } from '../../../src/base/index.ts';
import type { Link, LinkEvent } from '../../../src/raw-socket/index.ts';
import { addressText, arpSender, arpTarget, isArpFrame } from '../../../src/speaker/l2/arp-frame.ts';
import { clusterNumber, HeartbeatAuth } from '../../../src/speaker/l2/heartbeat-auth.ts';
import { readFrame } from '../../../src/speaker/l2/heartbeat-frame.ts';
import { decodeMessage, type Message } from '../../../src/speaker/l2/heartbeat-message.ts';
import { Layer2 } from '../../../src/speaker/l2/layer2.ts';
import type { SegmentIo, SegmentReceiver } from '../../../src/speaker/l2/segment-runtime.ts';
import { timingOf } from '../../../src/speaker/l2/timing.ts';

const key = Buffer.from('sixteen bytes or more');
const port = 7472;
const vip = '192.0.2.100';

/** An interface's sockets, as the host would see them. */
class FakeIo implements SegmentIo {
  readonly messages: Message[] = [];
  readonly arpFrames: Buffer[] = [];
  readonly order: string[] = [];
  gateUntilMs = 0;
  works = true;
  closed = false;
  drains = 0;
  onDrain: (() => void) | undefined;
  readonly receiver: SegmentReceiver;
  readonly #clock: ManualClock;

  constructor(clock: ManualClock, receiver: SegmentReceiver) {
    this.#clock = clock;
    this.receiver = receiver;
  }

  nowMs(): number {
    return this.#clock.monotonicMs();
  }

  sendHeartbeat(frame: Uint8Array): boolean {
    if (!this.works) return false;
    const payload = readFrame(Buffer.from(frame), port);
    const opened = payload && new HeartbeatAuth({ current: key }).open(payload);
    const message = opened && decodeMessage(opened);
    if (!message) throw new RangeError('not a frame of ours');
    this.messages.push(message);
    this.order.push(message.body.kind === 'news' && message.body.ops.length > 0 ? 'claim' : 'heartbeat');
    return true;
  }

  sendArp(frame: Uint8Array): boolean {
    this.arpFrames.push(Buffer.from(frame));
    return this.works;
  }

  sendArpGated(frame: Uint8Array): boolean {
    if (this.nowMs() >= this.gateUntilMs || !this.works) return false;
    this.order.push('arp');
    return this.sendArp(frame);
  }

  openGate(untilMs: number): void {
    this.order.push('open');
    this.gateUntilMs = untilMs;
  }

  closeGate(): void {
    this.gateUntilMs = 0;
  }

  drain(): void {
    this.drains += 1;
    this.onDrain?.();
  }

  close(): void {
    this.closed = true;
  }

  /** Announcements so far of an address: pairs of a request and a reply that name it as sender and target. */
  announcements(address: string): number {
    const own = this.arpFrames.filter(
      (frame) =>
        isArpFrame(frame) && arpSender(frame) === arpTarget(frame) && addressText(arpTarget(frame)) === address,
    );
    return own.length / 2;
  }
}

function host() {
  const clock = new ManualClock();
  const ios = new Map<string, FakeIo>();
  const refused = new Set<string>();
  const changed: string[] = [];
  const layer2 = new Layer2({
    node: 'node-a',
    clusterId: 'test',
    keys: { current: key },
    port,
    timing: timingOf(100),
    clock,
    random: () => 0.5,
    logger: silentLogger,
    openIo({ name }, receiver) {
      if (refused.has(name)) throw new RangeError(`${name} refuses`);
      const io = new FakeIo(clock, receiver);
      ios.set(name, io);
      return io;
    },
    onChanged: (addresses) => changed.push(...addresses),
    onPeersChanged() {},
  });
  return {
    clock,
    layer2,
    refused,
    changed,
    io(name: string): FakeIo {
      const io = ios.get(name);
      if (!io) throw new RangeError(`${name} was not opened`);
      return io;
    },
    opened: (name: string) => ios.has(name) && !ios.get(name)?.closed,
    event: (event: LinkEvent) => layer2.onLinkEvent(event),
    codes: (address: string) =>
      layer2.reports(address).map(({ interface: name, reason }) => `${name ?? '-'} ${reason.code}`),
  };
}

function link(index: number, name: string, more: Partial<Link> = {}): Extract<LinkEvent, { type: 'link' }> {
  const flags = {
    up: true,
    running: true,
    broadcast: true,
    loopback: false,
    pointToPoint: false,
    noArp: false,
    multicast: true,
  };
  const mac = Uint8Array.of(2, 0, 0, 0, 0, index);
  return {
    type: 'link',
    link: { index, name, flags, carrier: true, operationalState: 'up', mac, ethernet: true, mtu: 1500, ...more },
  };
}

function address(index: number, text: string, prefixLength = 24): Extract<LinkEvent, { type: 'address' }> {
  const bytes = Uint8Array.from(text.split('.'), Number);
  return { type: 'address', address: { index, address: bytes, prefixLength, scope: 'global', tentative: false } };
}

/** An ARP request from 192.0.2.9. */
function question(text: string): Buffer {
  const target = Buffer.from(text.split('.').map(Number)).toString('hex');
  return Buffer.from(
    `ffffffffffff0200000000090806000108000604000102000000 0009c0000209000000000000${target}`.replace(' ', ''),
    'hex',
  );
}

const assign = (text: string, interfaces: string[] = [], nodes = ['node-a']) => ({
  address: text,
  interfaces,
  eligible: new Set(nodes),
});

/** A host with eth0 in 192.0.2.0/24 and eth1 in 198.51.100.0/24 that has listened. */
async function settledHost() {
  const it = host();
  it.event(link(1, 'lo', { mac: new Uint8Array(6), ethernet: false }));
  it.event(link(2, 'eth0'));
  it.event(address(2, '192.0.2.5'));
  it.event(link(3, 'eth1'));
  it.event(address(3, '198.51.100.5'));
  it.layer2.onLinksSynced();
  await it.clock.advance(1_000);
  return it;
}

describe('interfaces', () => {
  test('those that could be used listen from the start, before there is any address', async () => {
    const it = await settledHost();
    expect(it.opened('eth0')).toBe(true);
    expect(it.opened('eth1')).toBe(true);
    expect(it.layer2.segments().map(({ interface: name, mode }) => [name, mode])).toEqual([
      ['eth0', 'active'],
      ['eth1', 'active'],
    ]);
  });

  test('an address is claimed at once on the interface whose subnet holds it: questions are answered from then on', async () => {
    const it = await settledHost();
    const io = it.io('eth0');
    io.order.length = 0;
    it.layer2.changeAssignments([assign(vip)], []);
    expect(io.order).toEqual(['claim']);
    expect(it.codes(vip)).toEqual(['eth0 FirstPlacement']);
    io.receiver.onArp(question(vip));
    expect(io.order).toEqual(['claim', 'arp']);
    // Announced only when two probes found nobody else.
    await it.clock.advance(79);
    expect(io.announcements(vip)).toBe(0);
    await it.clock.advance(2);
    expect(io.announcements(vip)).toBe(1);
    await it.clock.advance(4_000);
    expect(it.io('eth1').announcements(vip)).toBe(0);
    expect(io.announcements(vip)).toBe(5);
    expect(it.changed).toContain(vip);
  });

  test('a heartbeat carries the first address of the interface, the name of the cluster and the node', async () => {
    const it = await settledHost();
    const [first] = it.io('eth0').messages;
    expect(first?.header).toMatchObject({ node: 'node-a', mac: 0x020000000002, heartbeatMs: 100, holdMs: 400 });
    expect(clusterNumber('test')).not.toBe(clusterNumber('test2'));
  });

  test('names in the assignment win; a name that cannot announce is told', async () => {
    const it = await settledHost();
    it.layer2.changeAssignments([assign(vip, ['eth1']), assign('192.0.2.101', ['eth9'])], []);
    expect(it.codes(vip)).toEqual(['eth1 FirstPlacement']);
    expect(it.layer2.reports('192.0.2.101')).toMatchObject([
      { role: 'none', reason: { code: 'NoInterface', message: expect.stringContaining('eth9 does not exist') } },
    ]);
    it.event(link(9, 'eth9'));
    await it.clock.advance(1_000);
    expect(it.codes('192.0.2.101')).toEqual(['eth9 FirstPlacement']);
  });

  test('IPv6 addresses are refused with a reason, and never forgotten', async () => {
    const it = await settledHost();
    it.layer2.changeAssignments([assign('2001:db8::1')], []);
    expect(it.codes('2001:db8::1')).toEqual(['- UnsupportedFamily']);
    it.layer2.changeAssignments([], ['2001:db8::1']);
    expect(it.codes('2001:db8::1')).toEqual([]);
  });

  test('before the links are known nothing is decided', async () => {
    const it = host();
    it.layer2.changeAssignments([assign(vip)], []);
    expect(it.codes(vip)).toEqual(['- NoInterface']);
    it.event(link(2, 'eth0'));
    it.event(address(2, '192.0.2.5'));
    expect(it.opened('eth0')).toBe(false);
    it.layer2.onLinksSynced();
    expect(it.codes(vip)).toEqual(['eth0 Listening']);
    await it.clock.advance(500);
    expect(it.codes(vip)).toEqual(['eth0 FirstPlacement']);
  });

  test('a subnet that moves to another interface takes its addresses along', async () => {
    const it = await settledHost();
    it.layer2.changeAssignments([assign(vip)], []);
    it.event({ ...address(2, '192.0.2.5'), type: 'address-gone' });
    it.event(address(3, '192.0.2.5'));
    await it.clock.advance(20);
    expect(it.codes(vip)).toEqual(['eth1 FirstPlacement']);
    expect(it.io('eth0').messages.at(-1)?.header.setCount).toBe(0);
  });

  test('carrier loss closes the gate in the same turn; its return means listening first', async () => {
    const it = await settledHost();
    it.layer2.changeAssignments([assign(vip)], []);
    const io = it.io('eth0');
    expect(io.gateUntilMs).toBeGreaterThan(it.clock.monotonicMs());
    it.event(link(2, 'eth0', { carrier: false }));
    expect(io.gateUntilMs).toBe(0);
    expect(it.codes(vip)).toEqual(['eth0 LinkDown']);
    await it.clock.advance(1_000);
    it.event(link(2, 'eth0'));
    expect(it.codes(vip)).toEqual(['eth0 Listening']);
    await it.clock.advance(390);
    expect(it.codes(vip)).toEqual(['eth0 Listening']);
    await it.clock.advance(20);
    expect(it.codes(vip)).toEqual(['eth0 OwnerReleased']);
  });

  test('a new MAC address is announced at once', async () => {
    const it = await settledHost();
    it.layer2.changeAssignments([assign(vip)], []);
    await it.clock.advance(10_000);
    const io = it.io('eth0');
    const before = io.announcements(vip);
    it.event(link(2, 'eth0', { mac: Uint8Array.of(2, 0, 0, 0, 0, 0x77) }));
    await it.clock.advance(20);
    expect(io.announcements(vip)).toBe(before + 1);
    expect(io.arpFrames.at(-1)?.subarray(22, 28).toString('hex')).toBe('020000000077');
    expect(io.messages.at(-1)?.header.mac).toBe(0x020000000077);
  });

  test('an interface that goes is closed; one that comes under its name again starts anew', async () => {
    const it = await settledHost();
    it.layer2.changeAssignments([assign(vip)], []);
    const gone = it.io('eth0');
    it.event({ type: 'link-gone', link: link(2, 'eth0').link });
    expect(gone.closed).toBe(true);
    expect(gone.gateUntilMs).toBe(0);
    expect(it.codes(vip)).toEqual(['eth1 FirstPlacement']);
    it.event(link(12, 'eth0'));
    it.event(address(12, '192.0.2.5'));
    await it.clock.advance(1_000);
    expect(it.io('eth0')).not.toBe(gone);
    expect(it.codes(vip)).toEqual(['eth0 FirstPlacement']);
  });

  test.each([
    ['wherever they fit', []],
    ['on a named interface', ['eth0']],
  ])('the interfaces of pods come and go without a look at the addresses: %s', async (_where, interfaces) => {
    const it = await settledHost();
    let looks = 0;
    const assignment = {
      get address() {
        looks += 1;
        return vip;
      },
      interfaces,
      eligible: new Set(['node-a']),
    };
    it.layer2.changeAssignments([assignment], []);
    looks = 0;
    for (let index = 10; index < 20; index++) it.event(link(index, `veth${index}`));
    await it.clock.advance(100);
    const gone = link(10, 'veth10');
    it.event({ type: 'link-gone', link: gone.link });
    await it.clock.advance(100);
    expect(looks).toBe(0);
    it.event(link(20, 'eth2'));
    await it.clock.advance(100);
    expect(looks).toBeGreaterThan(0);
    expect(it.codes(vip)).toEqual(['eth0 FirstPlacement']);
  });

  test('a pod interface that an assignment names is used as soon as it is there', async () => {
    const it = await settledHost();
    it.layer2.changeAssignments([assign(vip, ['veth9'])], []);
    expect(it.codes(vip)).toEqual(['- NoInterface']);
    it.event(link(9, 'veth9', { flags: { ...link(9, '').link.flags, loopback: true } }));
    await it.clock.advance(100);
    expect(it.layer2.reports(vip)[0]?.reason.message).toContain('veth9 is a loopback');
    it.event(link(9, 'veth9'));
    await it.clock.advance(1_000);
    expect(it.codes(vip)).toEqual(['veth9 FirstPlacement']);
  });

  test('an interface that becomes part of a bond is let go of', async () => {
    const it = await settledHost();
    it.layer2.changeAssignments([assign(vip)], []);
    it.event(link(8, 'bond0', { kind: 'bond' }));
    it.event(link(2, 'eth0', { masterIndex: 8 }));
    expect(it.opened('eth0')).toBe(false);
  });

  test('an interface that cannot be opened is tried again', async () => {
    const it = host();
    it.refused.add('eth0');
    it.event(link(2, 'eth0'));
    it.event(address(2, '192.0.2.5'));
    it.layer2.onLinksSynced();
    it.layer2.changeAssignments([assign(vip)], []);
    expect(it.opened('eth0')).toBe(false);
    await it.clock.advance(3_000);
    expect(it.codes(vip)).toEqual(['- InterfaceUnusable']);
    it.refused.clear();
    await it.clock.advance(2_000);
    expect(it.codes(vip)).toEqual(['eth0 FirstPlacement']);
  });
});

describe('the gate', () => {
  test('is extended by a heartbeat that left, by less than the hold time', async () => {
    const it = await settledHost();
    const io = it.io('eth0');
    expect(io.gateUntilMs - it.clock.monotonicMs()).toBeLessThanOrEqual(350);
    expect(io.gateUntilMs - it.clock.monotonicMs()).toBeGreaterThan(200);
  });

  test('runs out when heartbeats do not leave; the node then starts over', async () => {
    const it = await settledHost();
    it.layer2.changeAssignments([assign(vip)], []);
    const io = it.io('eth0');
    const opened = io.gateUntilMs;
    io.works = false;
    await it.clock.advance(300);
    expect(io.gateUntilMs).toBe(opened);
    await it.clock.advance(5_000);
    expect(io.gateUntilMs).toBe(0);
    expect(it.codes(vip)).toEqual(['eth0 Listening']);
    io.works = true;
    await it.clock.advance(1_000);
    expect(it.codes(vip)).toEqual(['eth0 OwnerReleased']);
    expect(io.gateUntilMs).toBeGreaterThan(it.clock.monotonicMs());
  });

  test('what the sockets hold is read before each judgement', async () => {
    const it = await settledHost();
    const io = it.io('eth0');
    const before = io.drains;
    await it.clock.advance(1_000);
    expect(io.drains - before).toBeGreaterThanOrEqual(10);
  });
});

describe('many addresses', () => {
  test('are announced at a bearable pace, each once before any twice', async () => {
    const it = await settledHost();
    const io = it.io('eth0');
    const addresses = Array.from({ length: 1_000 }, (_, i) => `192.0.2.${i % 250}`).map(
      (_, i) => `10.0.${i >> 8}.${i & 255}`,
    );
    it.layer2.changeAssignments(
      addresses.map((text) => assign(text, ['eth0'])),
      [],
    );
    const before = io.arpFrames.length;
    await it.clock.advance(100);
    expect(io.arpFrames.length - before).toBeLessThanOrEqual(5 * 100 + 100);
    await it.clock.advance(500);
    for (const text of addresses) expect(io.announcements(text)).toBeGreaterThanOrEqual(1);
  });
});

describe('resigning', () => {
  test('releases everything when nobody else is there, says goodbye, claims nothing after', async () => {
    const it = await settledHost();
    it.layer2.changeAssignments([assign(vip)], []);
    await it.layer2.resign(1_000);
    expect(it.io('eth0').gateUntilMs).toBe(0);
    expect(
      it
        .io('eth0')
        .messages.slice(-2)
        .every(({ header }) => header.leaving),
    ).toBe(true);
    it.layer2.changeAssignments([assign('192.0.2.101')], []);
    await it.clock.advance(3_000);
    expect(it.codes('192.0.2.101')).toEqual(['eth0 Resigning']);
    it.layer2.close();
    expect(it.clock.pendingTimers).toBe(0);
  });

  test('with no interface is over at once', async () => {
    const it = host();
    await it.layer2.resign(1_000);
  });
});

test('hostile and foreign packets are counted and change nothing', async () => {
  const it = await settledHost();
  const io = it.io('eth0');
  it.layer2.changeAssignments([assign(vip)], []);
  const frameOf = (payload: Buffer) => {
    const frame = Buffer.alloc(42 + payload.length);
    Buffer.from(
      '01005e0000fe020000000099080045c00000000040 00ff110000c0000299e00000fe'.replaceAll(' ', ''),
      'hex',
    ).copy(frame);
    frame.writeUInt16BE(28 + payload.length, 16);
    frame.writeUInt16BE(port, 34);
    frame.writeUInt16BE(port, 36);
    frame.writeUInt16BE(8 + payload.length, 38);
    payload.copy(frame, 42);
    return frame;
  };
  const own = Buffer.from('4f420101', 'hex');
  const ours = Buffer.alloc(4);
  ours.writeUInt32BE(clusterNumber('test'));
  io.receiver.onHeartbeat(frameOf(Buffer.from('hello')));
  io.receiver.onHeartbeat(frameOf(Buffer.concat([own, Buffer.alloc(80)])));
  io.receiver.onHeartbeat(frameOf(Buffer.concat([own, ours, Buffer.alloc(80)])));
  io.receiver.onHeartbeat(Buffer.alloc(3));
  const [segment] = it.layer2.segments();
  expect(segment?.counters).toMatchObject({ malformed: 1, foreign: 1, unauthenticated: 1, messagesReceived: 0 });
  expect(it.codes(vip)).toEqual(['eth0 FirstPlacement']);
});
