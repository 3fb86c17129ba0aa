import { createHash, createHmac } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { clusterNumber, HeartbeatAuth } from '../../../src/speaker/l2/heartbeat-auth.ts';
import { groupMac, readFrame, writeFrameHeaders } from '../../../src/speaker/l2/heartbeat-frame.ts';
import {
  decodeMessage,
  encodeMessage,
  type Message,
  type MessageBody,
  peekCluster,
} from '../../../src/speaker/l2/heartbeat-message.ts';

const cluster = 0xc1051e42;
const hex8 = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString('hex'));
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const u48 = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const address = fc.oneof(fc.ipV4(), fc.constantFrom('2001:db8::1', 'fd00::1:0:0:1', '::1', '2001:db8:1:2:3:4:5:6'));
const header: fc.Arbitrary<Message['header']> = fc.record({
  node: fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,252}$/),
  boot: hex8,
  mac: u48,
  sequence: u48,
  resigning: fc.boolean(),
  leaving: fc.boolean(),
  listening: fc.boolean(),
  heartbeatMs: fc.integer({ min: 1, max: 5_000 }),
  holdMs: fc.integer({ min: 5_000, max: 65_535 }),
  setVersion: u32,
  setCount: u32,
  digestHigh: u32,
  digestLow: u32,
});
const body: fc.Arbitrary<MessageBody> = fc.oneof(
  fc.record({
    kind: fc.constant('news' as const),
    base: u32,
    ops: fc.array(
      fc.record({ code: fc.constantFrom('claim', 'release', 'yield'), address, epoch: u32, planned: fc.boolean() }),
      { maxLength: 40 },
    ),
  }),
  fc.record({ kind: fc.constantFrom('question', 'answer'), boot: hex8, nonce: hex8 }),
  fc.record({
    kind: fc.constant('ask' as const),
    boot: hex8,
    have: fc.option(fc.integer({ min: 0, max: 0xfffffffe }), { nil: undefined }),
  }),
  fc.record({
    kind: fc.constant('chunk' as const),
    version: u32,
    index: fc.integer({ min: 0, max: 9 }),
    total: fc.constant(10),
    entries: fc.array(fc.record({ address, epoch: u32, yielding: fc.boolean() }), { maxLength: 40 }),
  }),
);
const message = fc.record({ header, body });

function encode(value: Message): Buffer {
  const buffer = Buffer.alloc(1_500, 0xee);
  return buffer.subarray(0, encodeMessage(value, cluster, buffer, 0));
}

describe('messages', () => {
  test('are read as they were written', () => {
    fc.assert(
      fc.property(message, (value) => {
        const bytes = encode(value);
        expect(peekCluster(bytes)).toBe(cluster);
        expect(decodeMessage(bytes)).toEqual(value);
      }),
    );
  });

  test('have the layout that the grammar says', () => {
    const bytes = encode({
      header: {
        node: 'node-1',
        boot: '0102030405060708',
        mac: 0x020000000001,
        sequence: 7,
        resigning: true,
        leaving: false,
        listening: true,
        heartbeatMs: 100,
        holdMs: 400,
        setVersion: 9,
        setCount: 1,
        digestHigh: 0xaabbccdd,
        digestLow: 0x11223344,
      },
      body: { kind: 'news', base: 8, ops: [{ code: 'claim', address: '192.0.2.1', epoch: 3, planned: true }] },
    });
    expect(bytes.toString('hex')).toBe(
      [
        '4f42',
        '01',
        '01',
        'c1051e42',
        '0102030405060708',
        '020000000001',
        '000000000007',
        '05',
        '0064',
        '0190',
        '00000009',
        '00000001',
        'aabbccdd',
        '11223344',
        '06',
        Buffer.from('node-1').toString('hex'),
        '00000008',
        '0001',
        '80',
        '04',
        'c0000201',
        '00000003',
      ].join(''),
    );
  });

  test('cut short, too long or with any byte changed never throw, and never pass as something longer', () => {
    fc.assert(
      fc.property(message, fc.nat(), fc.integer({ min: 0, max: 255 }), (value, where, byte) => {
        const bytes = Buffer.from(encode(value));
        expect(decodeMessage(bytes.subarray(0, where % bytes.length))).toBeUndefined();
        expect(decodeMessage(Buffer.concat([bytes, Buffer.of(0)]))).toBeUndefined();
        bytes[where % bytes.length] = byte;
        decodeMessage(bytes);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => decodeMessage(Buffer.from(noise)) === undefined),
    );
  });

  test('another version is not ours', () => {
    const bytes = Buffer.from(
      encode({
        header: fc.sample(header, { numRuns: 1, seed: 1 })[0] as Message['header'],
        body: { kind: 'news', base: 0, ops: [] },
      }),
    );
    bytes[2] = 2;
    expect(peekCluster(bytes)).toBeUndefined();
    expect(decodeMessage(bytes)).toBeUndefined();
  });
});

describe('authentication', () => {
  const oldKey = Buffer.from('the old key, long enough');
  const newKey = Buffer.from('the new key, long enough');
  const sign = (auth: HeartbeatAuth, text: string): Buffer => {
    const buffer = Buffer.alloc(200);
    const end = buffer.write(text, 5);
    return buffer.subarray(5, auth.sign(buffer, 5, 5 + end));
  };

  test('a message passes with the same key, and only unchanged', () => {
    const auth = new HeartbeatAuth({ current: oldKey });
    const bytes = sign(auth, 'hello');
    expect(bytes.length).toBe(5 + auth.trailerBytes);
    expect(auth.open(bytes)?.toString()).toBe('hello');
    for (let at = 0; at < bytes.length; at++) {
      for (const flip of [1, 0x80]) {
        const forged = Buffer.from(bytes);
        forged[at] = (forged[at] ?? 0) ^ flip;
        expect(auth.open(forged)).toBeUndefined();
      }
    }
    expect(new HeartbeatAuth({ current: newKey }).open(bytes)).toBeUndefined();
    for (let length = 0; length < bytes.length; length++) expect(auth.open(bytes.subarray(0, length))).toBeUndefined();
  });

  test('the code is HMAC-SHA256 over the message, cut to 16 bytes, behind the number of the key', () => {
    const bytes = sign(new HeartbeatAuth({ current: oldKey }), 'hello');
    const id = createHash('sha256').update('ovenbird speaker key id').update(oldKey).digest().subarray(0, 4);
    const tag = createHmac('sha256', oldKey).update('hello').digest().subarray(0, 16);
    expect(bytes).toEqual(Buffer.concat([Buffer.from('hello'), Buffer.of(1), id, tag]));
  });

  test('while a key is replaced, those with the old, the new and both understand who has both', () => {
    const before = new HeartbeatAuth({ current: oldKey });
    const during = new HeartbeatAuth({ current: newKey, previous: oldKey });
    const after = new HeartbeatAuth({ current: newKey });
    for (const auth of [before, during, after]) expect(auth.open(sign(during, 'x'))?.toString()).toBe('x');
    for (const auth of [before, after]) expect(during.open(sign(auth, 'x'))?.toString()).toBe('x');
    expect(after.open(sign(before, 'x'))).toBeUndefined();
  });

  test('noise is refused', () => {
    const auth = new HeartbeatAuth({ current: newKey, previous: oldKey });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 120 }), (noise) => auth.open(Buffer.from(noise)) === undefined));
  });

  test('a short key is refused', () => {
    expect(() => new HeartbeatAuth({ current: Buffer.alloc(15) })).toThrow(/15 bytes/);
  });

  test('clusters have numbers of their own', () => {
    expect(clusterNumber('a')).toBe(clusterNumber('a'));
    expect(clusterNumber('a')).not.toBe(clusterNumber('b'));
  });
});

describe('frames', () => {
  const port = 7472;
  const build = (payload: string): Buffer => {
    const frame = Buffer.alloc(1_500, 0xee);
    const length = frame.write(payload, 42);
    writeFrameHeaders(frame, length, {
      sourceMac: 0x020000000001,
      destinationMac: groupMac,
      sourceAddress: 0xc0000205,
      port,
    });
    return frame.subarray(0, 42 + length);
  };

  test('have the headers that the standards ask for, with right checksums', () => {
    const frame = build('hello');
    expect(frame.subarray(0, 14).toString('hex')).toBe('01005e0000fe0200000000010800');
    expect(frame.subarray(14, 34).toString('hex')).toMatch(/^45c0002100004000ff11....c0000205e00000fe$/);
    expect(onesComplementSum(frame.subarray(14, 34))).toBe(0xffff);
    const pseudo = Buffer.concat([frame.subarray(26, 34), Buffer.of(0, 17, 0, 13), frame.subarray(34), Buffer.of(0)]);
    expect(onesComplementSum(pseudo)).toBe(0xffff);
    expect(readFrame(frame, port)?.toString()).toBe('hello');
  });

  test.each([
    ['a TTL that a router lowered', 22, 254],
    ['another protocol', 23, 6],
    ['IP options', 14, 0x46],
    ['a fragment', 21, 1],
    ['more fragments to come', 20, 0x20],
    ['another destination', 33, 0xfb],
    ['another port', 37, 1],
    ['a UDP length beyond the packet', 39, 200],
    ['an IP length beyond the frame', 17, 200],
    ['another EtherType', 12, 0x86],
  ])('%s: not ours', (_what, at, value) => {
    const frame = Buffer.from(build('hello'));
    frame[at] = value;
    expect(readFrame(frame, port)).toBeUndefined();
  });

  test('padding that Ethernet adds to short frames is cut off', () => {
    expect(readFrame(Buffer.concat([build('hi'), Buffer.alloc(16)]), port)?.toString()).toBe('hi');
  });

  test('noise never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(), (noise, cut) => {
        readFrame(Buffer.from(noise), port);
        readFrame(build('hello').subarray(0, cut % 47), port);
      }),
    );
  });
});

function onesComplementSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
