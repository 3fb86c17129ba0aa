import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type BfdControlPacket,
  type BfdSessionState,
  decodeBfdPacket,
  encodeBfdPacket,
  isTtlAcceptable,
} from '../../src/bgp-speaker/bfd/control-packet.ts';
import {
  type BfdEffect,
  type BfdEvent,
  type BfdSession,
  type BfdSessionConfig,
  detectionMicroseconds,
  newBfdSession,
  stepBfd,
} from '../../src/bgp-speaker/bfd/session-machine.ts';
import { hex, toHex } from './wire-bytes.ts';

const packet: BfdControlPacket = {
  diagnostic: 3,
  state: 'init',
  poll: true,
  final: false,
  controlPlaneIndependent: false,
  demand: false,
  detectMultiplier: 3,
  myDiscriminator: 0x01020304,
  yourDiscriminator: 0x0a0b0c0d,
  desiredMinTxMicroseconds: 300_000,
  requiredMinRxMicroseconds: 50_000,
  requiredMinEchoRxMicroseconds: 0,
};
const wire = '23a00318 01020304 0a0b0c0d 000493e0 0000c350 00000000';

describe('control packets', () => {
  test('byte by byte, and back', () => {
    expect(toHex(encodeBfdPacket(packet))).toBe(wire.replaceAll(' ', ''));
    expect(decodeBfdPacket(hex(wire))).toEqual({ kind: 'packet', packet });
    const all = {
      ...packet,
      state: 'up' as const,
      poll: false,
      final: true,
      controlPlaneIndependent: true,
      demand: true,
    };
    expect(toHex(encodeBfdPacket(all).subarray(0, 2))).toBe('23da');
    expect(decodeBfdPacket(encodeBfdPacket(all))).toEqual({ kind: 'packet', packet: all });
  });

  test.each([
    ['nothing', '', 'length'],
    ['23 bytes', wire.slice(0, -2), 'length'],
    ['version 0', wire.replace('23', '03'), 'version'],
    ['version 2', wire.replace('23', '43'), 'version'],
    ['length 23', wire.replace('a00318', 'a00317'), 'length'],
    ['length beyond the payload', wire.replace('a00318', 'a00319'), 'length'],
    ['A with length 24', wire.replace('a0', 'a4'), 'length'],
    ['A with 26 bytes', `${wire.replace('a00318', 'a4031a')}0102`, 'authentication'],
    ['multiplier 0', wire.replace('a003', 'a000'), 'detect-multiplier'],
    ['M', wire.replace('a0', 'a1'), 'multipoint'],
    ['my discriminator 0', wire.replace('01020304', '00000000'), 'my-discriminator'],
    ['your discriminator 0 in Init', wire.replace('0a0b0c0d', '00000000'), 'your-discriminator'],
    ['your discriminator 0 in Up', wire.replace('a0', 'e0').replace('0a0b0c0d', '00000000'), 'your-discriminator'],
  ])('%s is discarded', (_, text, reason) => {
    expect(decodeBfdPacket(hex(text))).toEqual({ kind: 'discard', reason });
  });

  test.each([
    ['Down', '60'],
    ['AdminDown', '20'],
  ])('your discriminator 0 is fine in %s, and so are bytes after the packet', (_, second) => {
    const text = `${wire.replace('a0', second).replace('0a0b0c0d', '00000000')}ffff`;
    expect(decodeBfdPacket(hex(text)).kind).toBe('packet');
  });

  test('any bytes are a packet or discarded, and a packet is what was sent', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.tuple(fc.nat(23), fc.nat(255)).map(([at, value]) => hex(wire).with(at, value)),
    );
    fc.assert(
      fc.property(bytes, (payload) => {
        const decoded = decodeBfdPacket(payload);
        if (decoded.kind === 'packet') expect(decodeBfdPacket(encodeBfdPacket(decoded.packet))).toEqual(decoded);
      }),
      { numRuns: 1000 },
    );
  });

  test('TTL 255 for a single hop, the minimum for several', () => {
    expect([255, 254, 64].map((ttl) => isTtlAcceptable(ttl, 255))).toEqual([true, false, false]);
    expect([255, 254, 253].map((ttl) => isTtlAcceptable(ttl, 254))).toEqual([true, true, false]);
  });
});

const config: BfdSessionConfig = {
  localDiscriminator: 7,
  desiredMinTxMicroseconds: 50_000,
  requiredMinRxMicroseconds: 50_000,
  detectMultiplier: 3,
  passive: false,
};

function from(state: BfdSessionState, change: Partial<BfdControlPacket> = {}): BfdEvent {
  const base = { ...packet, diagnostic: 0, poll: false, myDiscriminator: 9, yourDiscriminator: 7 };
  return {
    type: 'packet',
    packet: { ...base, desiredMinTxMicroseconds: 100_000, requiredMinRxMicroseconds: 100_000, state, ...change },
  };
}

function play(events: readonly BfdEvent[], begin: BfdSession = newBfdSession(config)) {
  let session = begin;
  let effects: readonly BfdEffect[] = [];
  for (const event of events) ({ session, effects } = stepBfd(session, event));
  const sent = effects.flatMap((effect) => (effect.type === 'send' ? [effect.packet] : []));
  return { session, effects, sent };
}

const start: BfdEvent = { type: 'start' };
const upPath = [start, from('down', { yourDiscriminator: 0 }), from('init')];
/** Up, and the poll that lowered the interval answered. */
const settledPath = [...upPath, from('up', { final: true })];
const paths: Record<BfdSessionState, readonly BfdEvent[]> = {
  'admin-down': [],
  down: [start],
  init: upPath.slice(0, 2),
  up: upPath,
};

describe('states (RFC 5880 section 6.2)', () => {
  test.each<[BfdSessionState, BfdSessionState, BfdSessionState, number]>([
    ['down', 'admin-down', 'down', 0],
    ['down', 'down', 'init', 0],
    ['down', 'init', 'up', 0],
    ['down', 'up', 'down', 0],
    ['init', 'admin-down', 'down', 3],
    ['init', 'down', 'init', 0],
    ['init', 'init', 'up', 0],
    ['init', 'up', 'up', 0],
    ['up', 'admin-down', 'down', 3],
    ['up', 'down', 'down', 3],
    ['up', 'init', 'up', 0],
    ['up', 'up', 'up', 0],
    ['admin-down', 'down', 'admin-down', 0],
    ['admin-down', 'up', 'admin-down', 0],
  ])('%s hears %s: %s', (state, heard, after, code) => {
    const { session, effects, sent } = play([...paths[state], from(heard)]);
    expect([session.state, session.diagnostic]).toEqual([after, code]);
    const changes = effects.filter((effect) => effect.type === 'changed');
    expect(changes).toEqual(
      state === after
        ? []
        : [{ type: 'changed', from: state, to: after, diagnostic: code, byOperator: heard === 'admin-down' }],
    );
    // A change is told at once.
    expect(sent.map((one) => one.state)).toEqual(state === after ? [] : [after]);
  });

  test.each(['init', 'up'] as const)('silence in %s', (state) => {
    const { session, effects } = play([...paths[state], { type: 'detect-timer' }]);
    expect([session.state, session.diagnostic, session.remote.discriminator]).toEqual(['down', 1, 9]);
    expect(effects.some((effect) => effect.type === 'set-detect')).toBe(true);
    const later = play([{ type: 'detect-timer' }], session);
    expect([later.session.state, later.session.remote.discriminator]).toEqual(['down', 0]);
  });

  test('taken down by the operator it says so, hears nothing, and starts again', () => {
    const { session, effects, sent } = play([...settledPath, { type: 'admin-down' }]);
    expect(sent.map((one) => [one.state, one.diagnostic])).toEqual([['admin-down', 7]]);
    expect(effects).toContainEqual({ type: 'set-detect', microseconds: 300_000 });
    expect(play([from('up')], session).session.state).toBe('admin-down');
    // Later the peer is forgotten: when it comes back as another, it must not be called by the old name.
    expect(play([{ type: 'detect-timer' }], session).session.remote.discriminator).toBe(0);
    expect(play([{ type: 'transmit-timer' }], session).sent[0]?.state).toBe('admin-down');
    expect(play([start], session).session.state).toBe('down');
  });

  test('a packet for another session changes nothing', () => {
    const before = play(settledPath).session;
    const after = play([from('down', { yourDiscriminator: 8, requiredMinRxMicroseconds: 1 })], before);
    expect(after).toMatchObject({ session: before, effects: [] });
  });

  test('passive: silent until the peer speaks', () => {
    const waiting = play([start], newBfdSession({ ...config, passive: true }));
    expect(waiting.effects.map(({ type }) => type)).toEqual(['changed', 'cancel-detect']);
    expect(play([from('down', { yourDiscriminator: 0 })], waiting.session).sent[0]?.state).toBe('init');
  });
});

describe('timing', () => {
  const pace = (effects: readonly BfdEffect[]) => effects.find((effect) => effect.type === 'set-transmit');
  const detect = (effects: readonly BfdEffect[]) => effects.find((effect) => effect.type === 'set-detect');

  test('not up: one second at least, a quarter jitter', () => {
    const { effects, sent } = play([start]);
    expect(sent[0]).toMatchObject({
      desiredMinTxMicroseconds: 1_000_000,
      yourDiscriminator: 0,
      requiredMinEchoRxMicroseconds: 0,
    });
    expect(pace(effects)).toEqual({ type: 'set-transmit', leastMicroseconds: 750_000, mostMicroseconds: 1_000_000 });
  });

  test('up: the slower of what we want to send and the peer wants to receive, from now on', () => {
    const { effects, sent } = play(upPath);
    expect(pace(effects)).toEqual({ type: 'set-transmit', leastMicroseconds: 75_000, mostMicroseconds: 100_000 });
    expect(sent[0]).toMatchObject({ state: 'up', poll: true, desiredMinTxMicroseconds: 50_000 });
  });

  test('a multiplier of 1 leaves a tenth', () => {
    const { effects } = play(upPath, newBfdSession({ ...config, detectMultiplier: 1 }));
    expect(pace(effects)).toEqual({ type: 'set-transmit', leastMicroseconds: 75_000, mostMicroseconds: 90_000 });
  });

  test('detection: the multiplier of the peer, the slower of its sending and our receiving', () => {
    expect(detect(play([...settledPath, from('up', { detectMultiplier: 5 })]).effects)).toEqual({
      type: 'set-detect',
      microseconds: 500_000,
    });
    const slow = newBfdSession({ ...config, requiredMinRxMicroseconds: 400_000, detectMultiplier: 9 });
    expect(detectionMicroseconds(play(settledPath, slow).session)).toBe(1_200_000);
  });

  test('receiving does not start the transmit timer anew; sending does', () => {
    const { session } = play(settledPath);
    expect(pace(play([from('up')], session).effects)).toBeUndefined();
    expect(pace(play([{ type: 'transmit-timer' }], session).effects)).toBeDefined();
  });

  test('the peer wants packets faster, slower, or none: at once', () => {
    const { session } = play(settledPath);
    expect(pace(play([from('up', { requiredMinRxMicroseconds: 50_000 })], session).effects)).toMatchObject({
      mostMicroseconds: 50_000,
    });
    expect(pace(play([from('up', { requiredMinRxMicroseconds: 900_000 })], session).effects)).toMatchObject({
      mostMicroseconds: 900_000,
    });
    const silenced = play([from('up', { requiredMinRxMicroseconds: 0 })], session);
    expect(silenced.effects).toContainEqual({ type: 'cancel-transmit' });
    expect(play([{ type: 'transmit-timer' }], silenced.session).effects).toEqual([]);
    expect(play([from('up', { demand: true })], session).effects).toContainEqual({ type: 'cancel-transmit' });
  });

  test('P is answered with F at once, without P, outside the pace', () => {
    const { sent, effects } = play([...upPath, from('up', { poll: true })]);
    expect(sent.map(({ poll, final }) => [poll, final])).toEqual([[false, true]]);
    expect(pace(effects)).toBeUndefined();
  });

  test('P stands in every packet until F comes', () => {
    const { session, sent } = play([...upPath, { type: 'transmit-timer' }]);
    expect(sent[0]?.poll).toBe(true);
    expect(play([from('up', { final: true }), { type: 'transmit-timer' }], session).sent[0]?.poll).toBe(false);
  });

  const change = (tx: number, rx: number): BfdEvent => ({
    type: 'configure',
    desiredMinTxMicroseconds: tx,
    requiredMinRxMicroseconds: rx,
    detectMultiplier: 3,
  });

  test('sending slower waits for F, sending faster does not', () => {
    const { session } = play(settledPath);
    const slower = play([change(800_000, 50_000)], session);
    expect(slower.session.txInForceMicroseconds).toBe(50_000);
    const told = play([{ type: 'transmit-timer' }], slower.session);
    expect(told.sent[0]).toMatchObject({ poll: true, desiredMinTxMicroseconds: 800_000 });
    expect(pace(told.effects)).toMatchObject({ mostMicroseconds: 100_000 });
    expect(pace(play([from('up', { final: true })], told.session).effects)).toMatchObject({
      mostMicroseconds: 800_000,
    });
    const fast = from('up', { requiredMinRxMicroseconds: 10_000 });
    expect(pace(play([fast, change(20_000, 50_000)], session).effects)).toMatchObject({ mostMicroseconds: 20_000 });
  });

  test('detecting faster waits for F, detecting slower does not', () => {
    const slow = play(settledPath, newBfdSession({ ...config, requiredMinRxMicroseconds: 500_000 })).session;
    const faster = play([change(50_000, 200_000)], slow);
    expect(detectionMicroseconds(faster.session)).toBe(1_500_000);
    expect(detectionMicroseconds(play([from('up', { final: true })], faster.session).session)).toBe(600_000);
    expect(detect(play([change(50_000, 700_000)], slow).effects)).toEqual({
      type: 'set-detect',
      microseconds: 2_100_000,
    });
  });

  test('a change during a poll is polled again', () => {
    const { session } = play([
      ...settledPath,
      change(800_000, 50_000),
      change(900_000, 50_000),
      from('up', { final: true }),
    ]);
    expect([session.poll, session.txInForceMicroseconds]).toEqual(['active', 50_000]);
    expect(play([from('up', { final: true })], session).session).toMatchObject({
      poll: 'none',
      txInForceMicroseconds: 900_000,
    });
  });

  test('the same packet once more only moves the deadline, whatever it says', () => {
    const microseconds = fc.constantFrom(0, 10_000, 100_000, 900_000);
    const said = fc.record({
      state: fc.constantFrom<BfdSessionState>('init', 'up'),
      demand: fc.boolean(),
      detectMultiplier: fc.integer({ min: 1, max: 255 }),
      requiredMinRxMicroseconds: microseconds,
      desiredMinTxMicroseconds: microseconds,
    });
    fc.assert(
      fc.property(said, fc.boolean(), (change, settled) => {
        const before = play([...(settled ? settledPath : upPath), from('up', change)]).session;
        const { session, effects } = play([from('up', change)], before);
        expect(session).toEqual(before);
        expect(effects).toEqual([
          detectionMicroseconds(before) > 0
            ? { type: 'set-detect', microseconds: detectionMicroseconds(before) }
            : { type: 'cancel-detect' },
        ]);
      }),
    );
  });

  test('the same intervals again start no poll', () => {
    expect(play([...settledPath, change(50_000, 50_000)]).session.poll).toBe('none');
  });
});

/** Two sessions and a wire that loses packets, in simulated microseconds. */
class Pair {
  now = 0;
  readonly downs: number[] = [];
  /** Sides to which the end was a failure. */
  readonly failed: number[] = [];
  cut = false;
  /** So many packets of the first side are lost from now on. */
  losses = 0;
  readonly #sessions: BfdSession[];
  readonly #random: () => number;
  readonly #due: { at: number; side: number; event: BfdEvent; kind: string }[] = [];

  constructor(configs: readonly BfdSessionConfig[], random: () => number) {
    this.#sessions = configs.map(newBfdSession);
    this.#random = random;
    for (const side of configs.keys()) this.#step(side, start);
  }

  get states(): string[] {
    return this.#sessions.map(({ state }) => state);
  }

  step(side: number, event: BfdEvent): void {
    this.#step(side, event);
  }

  run(microseconds: number): void {
    const end = this.now + microseconds;
    for (;;) {
      this.#due.sort((a, b) => a.at - b.at);
      const [next] = this.#due;
      if (!next || next.at > end) break;
      this.#due.shift();
      this.now = next.at;
      this.#step(next.side, next.event);
    }
    this.now = end;
  }

  #step(side: number, event: BfdEvent): void {
    const before = this.#sessions[side] ?? newBfdSession(config);
    const { session, effects } = stepBfd(before, event);
    this.#sessions[side] = session;
    for (const effect of effects) this.#apply(side, effect);
  }

  #apply(side: number, effect: BfdEffect): void {
    const set = (kind: string, event: BfdEvent, after: number | undefined, to = side) => {
      const at = this.#due.findIndex((one) => one.side === to && one.kind === kind);
      if (at >= 0 && kind !== 'packet') this.#due.splice(at, 1);
      if (after !== undefined) this.#due.push({ at: this.now + after, side: to, event, kind });
    };
    switch (effect.type) {
      case 'send':
        if (side === 0 && this.losses > 0) this.losses -= 1;
        else if (!this.cut) set('packet', { type: 'packet', packet: effect.packet }, 100, 1 - side);
        break;
      case 'set-transmit':
        set(
          'transmit',
          { type: 'transmit-timer' },
          effect.leastMicroseconds + this.#random() * (effect.mostMicroseconds - effect.leastMicroseconds),
        );
        break;
      case 'cancel-transmit':
        set('transmit', { type: 'transmit-timer' }, undefined);
        break;
      case 'set-detect':
        set('detect', { type: 'detect-timer' }, effect.microseconds);
        break;
      case 'cancel-detect':
        set('detect', { type: 'detect-timer' }, undefined);
        break;
      case 'changed':
        if (effect.from !== 'up') break;
        this.downs.push(this.now);
        if (effect.to === 'down' && !effect.byOperator) this.failed.push(side);
    }
  }
}

const side = fc.record({
  tx: fc.constantFrom(50, 100, 300),
  rx: fc.constantFrom(50, 100, 300),
  multiplier: fc.constantFrom(2, 3, 5),
});
const jitter = fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true }));

/** Two sessions that are up. */
function pairOf(sides: { tx: number; rx: number; multiplier: number }[], randoms: Iterator<number>): Pair {
  const configs = sides.map(({ tx, rx, multiplier }, index) => ({
    localDiscriminator: index + 1,
    desiredMinTxMicroseconds: tx * 1000,
    requiredMinRxMicroseconds: rx * 1000,
    detectMultiplier: multiplier,
    passive: false,
  }));
  const pair = new Pair(configs, () => randoms.next().value ?? 0);
  pair.run(4_000_000);
  expect(pair.states).toEqual(['up', 'up']);
  return pair;
}

test('two sessions of any intervals come up, stay up, find a cut in time, and come back', () => {
  fc.assert(
    fc.property(side, side, jitter, (a, b, randoms) => {
      const pair = pairOf([a, b], randoms);
      pair.run(5_000_000);
      expect(pair.downs).toEqual([]);
      pair.cut = true;
      const cutAt = pair.now;
      pair.run(3_000_000);
      const detection = [b.multiplier * Math.max(a.rx, b.tx), a.multiplier * Math.max(b.rx, a.tx)].sort(
        (x, y) => x - y,
      );
      const found = pair.downs.map((at) => (at - cutAt) / 1000);
      expect(found).toHaveLength(2);
      found.forEach((milliseconds, index) => {
        expect(milliseconds).toBeLessThanOrEqual((detection[index] ?? 0) + 1);
      });
      pair.cut = false;
      pair.run(4_000_000);
      expect(pair.states).toEqual(['up', 'up']);
    }),
    { numRuns: 30 },
  );
});

test('a session taken down is no failure to the peer, though all packets that say so are lost but the last', () => {
  fc.assert(
    fc.property(side, side, fc.nat(1_000_000), jitter, (a, b, after, randoms) => {
      const pair = pairOf([a, b], randoms);
      pair.run(1_000_000 + after);
      pair.losses = a.multiplier - 1;
      pair.step(0, { type: 'admin-down' });
      pair.run(3_000_000);
      expect([pair.states, pair.failed, pair.downs.length]).toEqual([['admin-down', 'down'], [], 2]);
    }),
    { numRuns: 30 },
  );
});
