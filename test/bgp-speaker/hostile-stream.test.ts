import { randomInt } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { MessageFramer } from '../../src/bgp-speaker/message/framing.ts';
import { corpus, fuzz, Taker } from './fuzz-messages.ts';
import { join, toHex } from './wire-bytes.ts';

test('100,000 mutated messages: each is understood or refused with a NOTIFICATION', () => {
  const { outcomes, mostBuffered } = fuzz(randomInt(1, 2 ** 31), 100_000);
  expect(mostBuffered).toBeLessThanOrEqual(4096);
  // The mutations reach every part.
  const expected = [
    ...['type 1', 'type 2', 'type 3', 'type 4', 'type 5', 'error 1', 'error 2', 'error 7'],
    ...['accept', 'attribute-discard', 'treat-as-withdraw', 'session-reset'],
  ];
  const reached = expected.filter((outcome) => (outcomes.get(outcome) ?? 0) > 20);
  expect(reached).toEqual(expected);
});

test('100,000 chunks of random bytes', () => {
  const taker = new Taker();
  const sender = { internal: false, fourOctetAs: true, ipv4NextHopOverIpv6: false };
  const header = Uint8Array.from({ length: 16 }, () => 0xff);
  const bytes = new Uint8Array(64);
  for (let round = 0; round < 100_000; round++) {
    crypto.getRandomValues(bytes);
    const length = 19 + ((bytes[0] ?? 0) % 45);
    // A header that is good, so that the rest is looked at.
    const good = join(header, [0, length, 1 + ((bytes[1] ?? 0) % 5)], bytes.subarray(0, length - 19));
    taker.take(round % 4 === 0 ? bytes : good, sender);
  }
  expect(taker.mostBuffered).toBeLessThanOrEqual(4096);
  expect(taker.outcomes.get('error 1')).toBeGreaterThan(1000);
  expect(taker.outcomes.get('type 2')).toBeGreaterThan(1000);
});

test('every message, split at every byte, between two others', () => {
  const [keepalive = new Uint8Array(0)] = corpus();
  const read = (chunks: readonly Uint8Array[]) => {
    const framer = new MessageFramer();
    const found: string[] = [];
    for (const chunk of chunks) {
      framer.append(chunk);
      for (let next = framer.next(); next; next = framer.next()) found.push(`${next.type} ${toHex(next.bytes)}`);
    }
    return found;
  };
  for (const message of corpus()) {
    const stream = join(keepalive, message, keepalive);
    const whole = [keepalive, message, keepalive].map((one) => `${one[18]} ${toHex(one)}`);
    for (let at = 0; at <= stream.length; at++) {
      const found = read([stream.subarray(0, at), stream.subarray(at)]);
      // Not `expect` each time: there are tens of thousands.
      if (found.join() !== whole.join()) expect([at, found]).toEqual([at, whole]);
    }
    expect(read([...stream].map((octet) => Uint8Array.of(octet)))).toEqual(whole);
  }
});
