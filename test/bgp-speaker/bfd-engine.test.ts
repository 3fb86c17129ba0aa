import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ManualClock, OvenbirdError } from '../../src/base/index.ts';
import type { BfdControlPacket } from '../../src/bgp-speaker/bfd/control-packet.ts';
import { BfdEngine } from '../../src/bgp-speaker/bfd/engine.ts';
import { BfdError } from '../../src/bgp-speaker/bfd/errors.ts';
import { type BfdSessionEvent, bfdDropReasons, noDrops } from '../../src/bgp-speaker/bfd/session-events.ts';
import { type BfdSessionOptions, resolveBfdSession } from '../../src/bgp-speaker/bfd/session-options.ts';
import { Address } from '../../src/net/index.ts';
import { type Arrival, FakeTransport, said } from './bfd-fakes.ts';

const ours = 7;
const peer = '10.0.0.2';

/** Time can pass without the timers' knowing. */
class StallingClock extends ManualClock {
  stalledMs = 0;
  override monotonicMs(): number {
    return super.monotonicMs() + this.stalledMs;
  }
}

function setting(random: () => number = () => 0.5) {
  const clock = new StallingClock();
  const transport = new FakeTransport(clock);
  let last = ours - 1;
  const engine = new BfdEngine({
    transport,
    clock,
    random,
    discriminator: () => {
      last += 1;
      return last;
    },
  });
  const add = (options: Partial<Omit<BfdSessionOptions, 'peer'>> & { peer?: string } = {}) => {
    const events: BfdSessionEvent[] = [];
    const { peer: address = peer, ...rest } = options;
    const resolved = resolveBfdSession({
      peer: Address.parse(address),
      desiredMinTxMs: 50,
      requiredMinRxMs: 50,
      ...rest,
    });
    const session = engine.addSession(resolved, (event) => events.push(event));
    const states = () =>
      events.flatMap((event) =>
        event.type === 'state' ? [`${event.to} ${event.reason}${event.isFailure ? '!' : ''}`] : [],
      );
    return { session, events, states };
  };
  const hear = (change: Partial<BfdControlPacket> = {}, arrival: Partial<Arrival> = {}, queued = false) =>
    transport.arrive({ bytes: said({ yourDiscriminator: ours, ...change }), from: peer, ...arrival }, queued);
  /** Brings the session of discriminator 7 up and the poll to its end. */
  const comeUp = () => {
    hear({ yourDiscriminator: 0 });
    hear({ state: 'init' });
    hear({ state: 'up', final: true });
    transport.take();
  };
  return { clock, transport, engine, add, hear, comeUp };
}

describe('a session', () => {
  test('comes up, tells what was negotiated, and goes down when the peer is silent', async () => {
    const { clock, transport, engine, add, comeUp } = setting();
    const { session, states, events } = add();
    expect(transport.take().map(({ packet }) => [packet.state, packet.desiredMinTxMicroseconds])).toEqual([
      ['down', 1_000_000],
    ]);
    comeUp();
    expect(events.at(-1)).toMatchObject({ type: 'timing', transmitIntervalMs: 50, detectionTimeMs: 150 });
    await clock.advance(149);
    expect(session.status().state).toBe('up');
    await clock.advance(1);
    expect(states()).toEqual(['down started', 'init peer-seen', 'up established', 'down peer-silent!']);
    expect(session.status()).toMatchObject({ state: 'down', diagnostic: 1, ups: 1, downs: 1, received: 3 });
    void engine.close();
    expect(clock.pendingTimers).toBe(0);
  });

  test('sends at 75-100 % of the interval, and what it hears does not change that', async () => {
    const randoms = [0, 0.999999, 0.3, 0.7];
    let drawn = 0;
    const { clock, transport, add, hear, comeUp } = setting(() => randoms[drawn++ % randoms.length] ?? 0);
    const { session } = add();
    comeUp();
    for (let i = 0; i < 400; i++) {
      await clock.advance(10);
      hear({ state: 'up' });
    }
    const times = transport.take().map(({ atMs }) => atMs);
    const gaps = times.slice(1).map((atMs, i) => atMs - (times[i] ?? 0));
    expect(gaps.length).toBeGreaterThan(80);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(37.5);
    expect(Math.min(...gaps)).toBeLessThan(40);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(50);
    expect(Math.max(...gaps)).toBeGreaterThan(47);
    expect(session.status()).toMatchObject({ state: 'up', received: 403 });
  });

  test('an own timer that is late hears first what lies in the socket, and only then judges', async () => {
    const { clock, add, hear, comeUp } = setting();
    const { session, states } = add();
    comeUp();
    hear({ state: 'up' }, {}, true);
    await clock.advance(400);
    // Read at 150 ms, when the deadline came: good until 300 ms, then silence.
    expect(states().at(-1)).toBe('down peer-silent!');
    expect(session.status().forMs).toBe(100);
  });

  test('a stall longer than the detection time is not the silence of the peer', async () => {
    const { clock, add, hear, comeUp } = setting();
    const { session } = add();
    comeUp();
    // As when a thread stands still: time has passed, the timers have not fired, the packets are there.
    clock.stalledMs += 900;
    hear({ state: 'up' }, {}, true);
    await clock.advance(50);
    expect(session.status()).toMatchObject({ state: 'up', downs: 0 });
    expect(session.status().lateness.maxMs).toBeGreaterThan(850);
    expect(session.status().lateness.counts.at(-2)).toBe(1);
    await clock.advance(151);
    expect(session.status()).toMatchObject({ state: 'down', downs: 1 });
  });

  test('the peer wants packets faster: at once, counted from the packet before', async () => {
    const { clock, transport, add, hear, comeUp } = setting();
    add({ desiredMinTxMs: 10 });
    comeUp();
    hear({ state: 'up', requiredMinRxMicroseconds: 900_000, desiredMinTxMicroseconds: 900_000 });
    await clock.advance(400);
    transport.take();
    const beforeMs = clock.monotonicMs();
    hear({ state: 'up', requiredMinRxMicroseconds: 100_000, desiredMinTxMicroseconds: 900_000 });
    await clock.advance(1);
    expect(transport.take().map(({ atMs }) => atMs - beforeMs)).toEqual([0]);
  });

  test('a poll is answered at once, and the pace goes on as before', async () => {
    const { clock, transport, add, hear, comeUp } = setting(() => 0);
    add();
    comeUp();
    await clock.advance(40);
    const [periodic] = transport.take();
    expect(periodic?.packet.final).toBe(false);
    await clock.advance(10);
    hear({ state: 'up', poll: true });
    hear({ state: 'up', poll: true });
    expect(transport.take().map(({ packet }) => [packet.poll, packet.final])).toEqual([
      [false, true],
      [false, true],
    ]);
    // Nor do the answers count when the pace changes.
    hear({ state: 'up', requiredMinRxMicroseconds: 60_000 });
    await clock.advance(36);
    expect(transport.take().map(({ atMs }) => atMs - (periodic?.atMs ?? 0))).toEqual([45]);
  });

  test('other intervals are polled for, without a flap', async () => {
    const { clock, transport, add, hear, comeUp } = setting();
    const { session, states } = add();
    comeUp();
    session.configure({ desiredMinTxMs: 300, requiredMinRxMs: 100, detectMultiplier: 5 });
    hear({ state: 'up' });
    await clock.advance(50);
    const [first] = transport.take();
    expect(first?.packet).toMatchObject({
      poll: true,
      desiredMinTxMicroseconds: 300_000,
      requiredMinRxMicroseconds: 100_000,
      detectMultiplier: 5,
    });
    expect(session.status().transmitIntervalMs).toBe(50);
    hear({ state: 'up', final: true });
    expect(session.status()).toMatchObject({ transmitIntervalMs: 300, detectionTimeMs: 300 });
    expect(() => session.configure({ requiredMinRxMs: 9 })).toThrow(BfdError);
    expect(states().at(-1)).toBe('up established');
  });

  test('taken down by an operator, ours or theirs, is no failure; being put down by the peer is', async () => {
    const { add, hear, comeUp, transport } = setting();
    const { session, states } = add();
    comeUp();
    hear({ state: 'admin-down', diagnostic: 7 });
    comeUp();
    session.setAdminDown(true);
    session.setAdminDown(true);
    expect(transport.take().map(({ packet }) => [packet.state, packet.diagnostic])).toEqual([['admin-down', 7]]);
    hear({ state: 'up' });
    expect(session.status()).toMatchObject({ state: 'admin-down', discarded: { ...noDrops(), 'admin-down': 1 } });
    session.setAdminDown(false);
    comeUp();
    hear({ state: 'down', diagnostic: 1 });
    expect(states().slice(2)).toEqual([
      'up established',
      'down peer-admin-down',
      'init peer-seen',
      'up established',
      'admin-down admin-down',
      'down started',
      'init peer-seen',
      'up established',
      'down peer-signaled-down!',
    ]);
  });

  test('begins taken down when asked to, and passive when asked to', async () => {
    const { clock, transport, add } = setting();
    const down = add({ adminDown: true });
    const passive = add({ peer: '10.0.0.3', passive: true });
    await clock.advance(5000);
    expect(new Set(transport.take().map(({ peer: to, packet }) => `${to} ${packet.state}`))).toEqual(
      new Set([`${peer} admin-down`]),
    );
    expect(down.session.status().state).toBe('admin-down');
    expect(passive.session.status()).toMatchObject({ state: 'down', sent: 0 });
    transport.arrive({ bytes: said(), from: '10.0.0.3' });
    expect(transport.take().map(({ peer: to, packet }) => `${to} ${packet.state}`)).toEqual(['10.0.0.3 init']);
  });

  test('the peer is kept for a detection time after it fell silent, then forgotten', async () => {
    const { clock, add, comeUp } = setting();
    const { session } = add();
    comeUp();
    await clock.advance(160);
    expect(session.status().remote.discriminator).toBe(99);
    await clock.advance(150);
    expect(session.status().remote.discriminator).toBe(0);
  });

  test('whoever hears of a change may call back', () => {
    const { engine, transport, hear } = setting();
    const states: string[] = [];
    const session = engine.addSession(resolveBfdSession({ peer: Address.parse(peer) }), (event) => {
      if (event.type === 'state') states.push(event.to);
      if (event.type === 'state' && event.to === 'init') session.setAdminDown(true);
      if (event.type === 'state' && event.to === 'admin-down') void session.remove();
    });
    hear({ yourDiscriminator: 0 });
    expect(states).toEqual(['down', 'init', 'admin-down']);
    expect([transport.senders, transport.receivers.size, engine.status().sessions]).toEqual([0, 0, 0]);
  });
});

describe('farewell', () => {
  /** What a session says when it goes, ms after that. */
  const said = (transport: FakeTransport, fromMs: number) =>
    transport.take().map(({ atMs, packet }) => [packet.state, atMs - fromMs] as const);

  test('is said again at the pace of before, until the peer has had its detection time to hear it', async () => {
    const { clock, transport, engine, add, hear, comeUp } = setting();
    const { session, states } = add({ detectMultiplier: 4 });
    comeUp();
    const atMs = clock.monotonicMs();
    let isGone = false;
    const removed = session.remove().then(() => {
      isGone = true;
    });
    await clock.advance(60);
    // What the peer sent before it heard us.
    hear({ state: 'up' });
    await clock.advance(60);
    expect([isGone, transport.senders, engine.status().sessions]).toEqual([false, 1, 0]);
    await clock.advance(30);
    await removed;
    const packets = said(transport, atMs);
    expect(packets.map(([state]) => state)).toEqual(['admin-down', 'admin-down', 'admin-down', 'admin-down']);
    expect(packets.at(-1)?.[1]).toBeLessThanOrEqual(150);
    expect([transport.senders, transport.receivers.size, clock.pendingTimers]).toEqual([0, 0, 0]);
    expect(states().at(-1)).toBe('admin-down admin-down');
  });

  test('ends when the peer says that it is down', async () => {
    const { clock, transport, engine, add, hear, comeUp } = setting();
    const { session } = add();
    comeUp();
    const removed = session.remove();
    hear({ state: 'down', diagnostic: 3 });
    await removed;
    expect(said(transport, clock.monotonicMs())).toEqual([['admin-down', 0]]);
    expect([transport.senders, transport.receivers.size]).toEqual([0, 0]);
    void engine.close();
    expect(clock.pendingTimers).toBe(0);
  });

  test('of a session that goes on is said again too, then slowly', async () => {
    const { clock, transport, add, comeUp } = setting();
    const { session } = add();
    comeUp();
    const atMs = clock.monotonicMs();
    session.setAdminDown(true);
    await clock.advance(140);
    expect(said(transport, atMs).map(([state]) => state)).toEqual(['admin-down', 'admin-down', 'admin-down']);
    await clock.advance(700);
    expect(transport.take()).toEqual([]);
    await clock.advance(200);
    expect(said(transport, atMs).map(([state]) => state)).toEqual(['admin-down']);
  });

  test('gives way to a new session with the same peer, and is not said to a peer that hears nothing', async () => {
    const { clock, transport, engine, add, comeUp } = setting();
    const { session } = add();
    comeUp();
    const removed = session.remove();
    transport.take();
    add();
    await removed;
    await clock.advance(150);
    expect(new Set(said(transport, 0).map(([state]) => state))).toEqual(new Set(['down']));
    await engine.close();
    expect(said(transport, 0).map(([state]) => state)).toEqual(['admin-down']);
    expect([transport.senders, transport.receivers.size, clock.pendingTimers]).toEqual([0, 0, 0]);
  });

  test('is not said at all to a peer that wants no packets', async () => {
    const { clock, transport, engine, add, hear, comeUp } = setting();
    add();
    comeUp();
    hear({ state: 'up', requiredMinRxMicroseconds: 0 });
    await engine.close();
    expect([transport.take(), transport.senders, clock.pendingTimers]).toEqual([[], 0, 0]);
  });

  test('is over after two seconds, however slow the session was', async () => {
    const { clock, transport, engine, add, comeUp } = setting();
    add({ desiredMinTxMs: 1500, requiredMinRxMs: 1500, detectMultiplier: 100 });
    comeUp();
    const closed = engine.close();
    await clock.advance(1999);
    expect(transport.senders).toBe(1);
    await clock.advance(1);
    await closed;
    expect([transport.senders, transport.receivers.size, clock.pendingTimers]).toEqual([0, 0, 0]);
  });
});

describe('to whom a packet belongs', () => {
  test('every reason to discard is counted, for the session when it is known', () => {
    const { engine, add, hear, transport } = setting();
    const { session } = add();
    const other = add({ peer: '10.0.0.3', interface: 'eth0' });
    add({ peer: '10.0.0.4', multihop: true, minimumTtl: 250 });
    const spoiled = (at: number, value: number) => said({ yourDiscriminator: ours }).with(at, value);
    const arrive = (bytes: Uint8Array, rest: Partial<Arrival> = {}) => transport.arrive({ bytes, from: peer, ...rest });
    arrive(spoiled(0, 0x40)); // version 2
    arrive(spoiled(3, 23));
    arrive(new Uint8Array(0));
    arrive(spoiled(2, 0)); // multiplier
    arrive(spoiled(1, 0x41)); // M
    hear({ myDiscriminator: 0 });
    hear({ yourDiscriminator: 1234 });
    hear({ yourDiscriminator: 0, state: 'up' });
    arrive(Uint8Array.of(...spoiled(1, 0x44).with(3, 26), 1, 2)); // A
    hear({ yourDiscriminator: 0 }, { from: '10.0.0.77' });
    hear({}, { ttl: 254 });
    hear({}, { ttl: -1 });
    // For the session on eth0, but through the socket of the others; for ours, but on the port of several hops.
    hear({ yourDiscriminator: ours + 1 });
    hear({}, { multihop: true });
    hear({ yourDiscriminator: 0 }, { from: '10.0.0.4', multihop: true, ttl: 249 });
    session.setAdminDown(true);
    hear({ state: 'up' });
    expect(session.status().discarded).toEqual({
      version: 1,
      length: 2,
      'detect-multiplier': 1,
      multipoint: 1,
      'my-discriminator': 1,
      'your-discriminator': 2,
      authentication: 1,
      'no-session': 0,
      'wrong-path': 1,
      ttl: 2,
      'admin-down': 1,
    });
    expect(other.session.status().discarded).toEqual({ ...noDrops(), 'wrong-path': 1 });
    expect(engine.status().discarded).toEqual({
      ...session.status().discarded,
      'no-session': 1,
      'wrong-path': 2,
      ttl: 3,
    });
    expect(bfdDropReasons.every((reason) => engine.status().discarded[reason] > 0)).toBe(true);
    expect(session.status().received).toBe(0);
  });

  test('a repeated packet must come by the same path too', () => {
    const { add, hear, comeUp } = setting();
    const { session } = add();
    comeUp();
    hear({ state: 'up' });
    const { received } = session.status();
    hear({ state: 'up' }, { ttl: 254 });
    hear({ state: 'up' }, { multihop: true });
    expect(session.status()).toMatchObject({ received, discarded: { ...noDrops(), ttl: 1 } });
    hear({ state: 'up' });
    expect(session.status().received).toBe(received + 1);
  });

  test('without discriminator: by interface, hop kind, source and local address', () => {
    const { add, transport } = setting();
    transport.interfaces.set('eth1', 3);
    const sessions = {
      anywhere: add(),
      eth0: add({ interface: 'eth0' }),
      eth1: add({ interface: 'eth1' }),
      multihop: add({ multihop: true }),
      local: add({ multihop: true, localAddress: Address.parse('10.0.0.9') }),
      six: add({ peer: 'fe80::2', interface: 'eth0' }),
      sixToo: add({ peer: 'fe80::2', interface: 'eth1' }),
    };
    const arrivals: Record<keyof typeof sessions, Partial<Arrival>> = {
      anywhere: {},
      eth0: { interface: 'eth0' },
      eth1: { interface: 'eth1' },
      multihop: { multihop: true, to: '10.0.0.1' },
      local: { multihop: true, to: '10.0.0.9' },
      six: { from: 'fe80::2', to: 'fe80::1', interface: 'eth0' },
      sixToo: { from: 'fe80::2', to: 'fe80::1', interface: 'eth1' },
    };
    for (const [name, arrival] of Object.entries(arrivals)) {
      transport.arrive({ bytes: said(), from: peer, ...arrival });
      const reached = Object.entries(sessions).flatMap(([other, { session }]) =>
        session.status().received > 0 ? [other] : [],
      );
      expect(reached).toEqual(Object.keys(arrivals).slice(0, Object.keys(arrivals).indexOf(name) + 1));
    }
    // One receiver for each address family, hop kind and interface.
    expect(transport.receivers.size).toBe(6);
  });

  test('a session for any interface hears its peer on an interface where another has a socket', () => {
    const { add, transport } = setting();
    const any = add();
    add({ peer: '10.0.0.3', interface: 'eth0' });
    transport.arrive({ bytes: said(), from: peer, interface: 'eth0' });
    expect(any.session.status().state).toBe('init');
  });

  test('the kernel may drop what no session of a socket would take', () => {
    const { add, transport } = setting();
    add({ peer: '10.0.0.3', multihop: true, minimumTtl: 254 });
    const [receiver] = transport.receivers;
    const low = add({ peer: '10.0.0.4', multihop: true, minimumTtl: 60 });
    expect(receiver?.minimumTtl).toBe(60);
    transport.arrive({ bytes: said(), from: '10.0.0.4', ttl: 60, multihop: true });
    expect(low.session.status().received).toBe(1);
    void low.session.remove();
    expect(receiver?.minimumTtl).toBe(254);
  });

  test('100,000 random packets change no session, are all counted, and leave the next good one its way', () => {
    const { engine, add, hear, comeUp, transport } = setting();
    const { session } = add();
    comeUp();
    let seed = 12345;
    const random = () => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return seed >>> 8;
    };
    const good = said({ state: 'up', yourDiscriminator: ours });
    for (let i = 0; i < 100_000; i++) {
      const length = random() % 64;
      const bytes = i % 2 ? new Uint8Array(length) : good.slice();
      // Either all random, or a good packet for a session that is not there with a few bytes spoiled.
      if (i % 2) for (let at = 0; at < length; at++) bytes[at] = random();
      else {
        bytes[random() % 24] = random();
        bytes[8] = 1 + (random() % 255);
      }
      transport.arrive({ bytes, from: i % 3 ? peer : '10.9.9.9', ttl: i % 5 ? 255 : random() % 256 });
    }
    const total = Object.values(engine.status().discarded).reduce((sum, count) => sum + count, 0);
    expect(total).toBe(100_000);
    expect(session.status()).toMatchObject({ state: 'up', received: 3 });
    hear({ state: 'up' });
    expect(session.status().received).toBe(4);
    expect(transport.take()).toEqual([]);
  });

  test('hostile packets that reach the session leave it with sane timers', async () => {
    const word = fc.oneof(fc.constantFrom(0, 1, 0xffffffff), fc.nat(0xffffffff));
    const hostile = fc.record({
      state: fc.constantFrom<BfdControlPacket['state']>('admin-down', 'down', 'init', 'up'),
      poll: fc.boolean(),
      final: fc.boolean(),
      demand: fc.boolean(),
      detectMultiplier: fc.integer({ min: 1, max: 255 }),
      myDiscriminator: fc.integer({ min: 1, max: 0xffffffff }),
      desiredMinTxMicroseconds: word,
      requiredMinRxMicroseconds: word,
    });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(hostile, fc.nat(300)), { maxLength: 30 }), async (packets) => {
        const { clock, engine, add, hear, transport } = setting();
        const { session } = add();
        let answers = 0;
        for (const [packet, waitMs] of packets) {
          hear(packet);
          if (packet.poll) answers += 1;
          await clock.advance(waitMs);
        }
        const spanMs = clock.monotonicMs();
        const { state, ups, downs } = session.status();
        // Never faster than our own interval: besides answers and changes of state, which are one to a packet.
        expect(transport.sent.length).toBeLessThanOrEqual(spanMs / 37.5 + answers + 2 * packets.length + 2);
        expect(ups - downs).toBe(state === 'up' ? 1 : 0);
        expect(clock.pendingTimers).toBeLessThanOrEqual(1);
        void engine.close();
        await clock.advance(2000);
        expect(clock.pendingTimers).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});

describe('sockets', () => {
  test('an interface that is not there yet is a problem, told once, and tried again', async () => {
    const { clock, add, transport } = setting();
    const { events, session } = add({ peer: 'fe80::2', interface: 'eth7' });
    await clock.advance(3000);
    expect(events.filter(({ type }) => type !== 'state' && type !== 'timing')).toMatchObject([
      { type: 'problem', code: 'NoSuchInterface' },
    ]);
    expect(session.status()).toMatchObject({ sourcePort: 0, sent: 0, problem: expect.stringContaining('eth7') });
    transport.interfaces.set('eth7', 9);
    await clock.advance(2000);
    expect(events.at(-1)).toMatchObject({ type: 'recovered' });
    expect(session.status()).toMatchObject({ sourcePort: 50_000, problem: undefined });
    expect(transport.take().length).toBeGreaterThan(0);
  });

  test('an interface that came back as another is opened anew, with the same source port', async () => {
    const { clock, add, transport, hear } = setting();
    const { session } = add({ interface: 'eth0' });
    const [before] = transport.receivers;
    transport.interfaces.set('eth0', 22);
    await clock.advance(1000);
    expect(transport.receivers.size).toBe(1);
    expect(transport.receivers.has(before as never)).toBe(false);
    hear({ yourDiscriminator: 0 }, { interface: 'eth0' });
    expect(session.status()).toMatchObject({ state: 'init', sourcePort: 50_000 });
    expect(transport.senders).toBe(1);
    transport.interfaces.delete('eth0');
    await clock.advance(1000);
    expect([transport.receivers.size, transport.senders]).toEqual([0, 0]);
    expect(session.status().problem).toContain('eth0');
  });

  test('what cannot be opened leaves nothing open; what cannot be sent is counted and told once', async () => {
    const { clock, add, transport } = setting();
    transport.openError = new OvenbirdError('AddressNotAvailable', 'no such address');
    const { session, events } = add({ localAddress: Address.parse('10.0.0.1') });
    expect(transport.receivers.size).toBe(0);
    transport.openError = undefined;
    await clock.advance(1000);
    expect(events.at(-1)).toMatchObject({ type: 'recovered' });
    transport.sendError = new OvenbirdError('SystemCall', 'ENETUNREACH');
    await clock.advance(3000);
    transport.sendError = undefined;
    await clock.advance(1000);
    expect(events.flatMap((event) => (event.type === 'problem' ? [event.message] : []))).toEqual([
      'no such address',
      'ENETUNREACH',
    ]);
    expect(session.status().unsent).toBeGreaterThanOrEqual(3);
    expect(session.status().problem).toBeUndefined();
  });

  test('one session between two addresses; none when closed', () => {
    const { add, engine, transport, clock } = setting();
    const { session } = add();
    expect(() => add()).toThrow(expect.objectContaining({ code: 'DuplicateSession' }) as never);
    void session.remove();
    void session.remove();
    expect(transport.take().at(-1)?.packet.state).toBe('admin-down');
    add();
    void engine.close();
    expect([transport.receivers.size, transport.senders, clock.pendingTimers]).toEqual([0, 0, 0]);
    expect(() => add()).toThrow(expect.objectContaining({ code: 'Closed' }) as never);
  });
});

test.each<[string, Partial<BfdSessionOptions> & { at?: string }]>([
  ['peer', { at: '224.0.0.1' }],
  ['peer', { at: '10.0.0.300' }],
  ['peer', { at: 'fe80::1%eth0', interface: 'eth0' }],
  ['localAddress', { localAddress: '' }],
  ['peer', { at: '0.0.0.0' }],
  ['peer', { at: 'ff02::1' }],
  ['interface', { at: 'fe80::1' }],
  ['interface', { interface: 'name that is too long' }],
  ['localAddress', { localAddress: Address.parse('fe80::1') }],
  ['desiredMinTxMs', { desiredMinTxMs: 9 }],
  ['requiredMinRxMs', { requiredMinRxMs: 60_001 }],
  ['requiredMinRxMs', { requiredMinRxMs: 10.5 }],
  ['detectMultiplier', { detectMultiplier: 0 }],
  ['detectMultiplier', { detectMultiplier: 256 }],
  ['minimumTtl', { minimumTtl: 254 }],
  ['minimumTtl', { multihop: true, minimumTtl: 0 }],
  ['multihop', { at: 'fe80::1', interface: 'eth0', multihop: true }],
])('options: %s is named when it is wrong', (field, { at = '10.0.0.2', ...options }) => {
  expect(() => resolveBfdSession({ peer: at, ...options })).toThrow(
    expect.objectContaining({ code: 'BadOptions', message: expect.stringContaining(`${field}: `) }) as never,
  );
});
