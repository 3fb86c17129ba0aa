import { expect, test } from '@jest/globals';
import { BgpMessageError } from '../../src/bgp-speaker/errors.ts';
import { MessageFramer } from '../../src/bgp-speaker/message/framing.ts';
import { decodeNotification, describeNotification } from '../../src/bgp-speaker/message/notification.ts';
import { decodeOpen } from '../../src/bgp-speaker/message/open.ts';
import { decodeRouteRefresh } from '../../src/bgp-speaker/message/route-refresh.ts';
import { classifyUpdate } from '../../src/bgp-speaker/message/update-classifier.ts';
import {
  asPath,
  attribute,
  hex,
  join,
  message,
  mpReach,
  mpUnreach,
  nextHop,
  origin,
  prefix4,
  update,
} from './wire-bytes.ts';

const seeds = [
  message(1, hex('04fde9005ac0000201 1e 02 1c 010400010001 010400020001 4006401e00010180 41040000fde9 4600')),
  message(1, hex('04fde9005ac0000201 ff ff 0009 02 0006 41040000fde9')),
  message(
    2,
    update({
      attributes: [origin, asPath, nextHop, attribute(0xc0, 8, [0, 0, 0, 1])],
      nlri: [prefix4('198.51.100.0/24')],
    }),
  ),
  message(2, update({ attributes: [mpReach, origin, asPath, attribute(0xc0, 32, new Array<number>(12).fill(1))] })),
  message(2, update({ withdrawn: [prefix4('198.51.100.0/24')], attributes: [mpUnreach] })),
  message(
    2,
    update({
      attributes: [origin, asPath, nextHop, attribute(0x40, 6, []), attribute(0xc0, 7, [0, 0, 0, 1, 1, 1, 1, 1])],
      nlri: [prefix4('198.51.100.0/24')],
    }),
  ),
  message(3, hex('0602 03 627965')),
  message(3, hex('0609 0602 03 627965')),
  message(4),
  message(5, [0, 1, 0, 1]),
  message(5, [0, 2, 1, 1]),
];

/** The same numbers every time (xorshift). */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

test('100,000 mutated messages, in chunks of any size: each is understood or refused with a NOTIFICATION', () => {
  const random = randomNumbers(0x5eed);
  const sender = { internal: false, fourOctetAs: true, ipv4NextHopOverIpv6: false };
  const outcomes = new Map<string, number>();
  const count = (outcome: string) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  let most = 0;
  let framer = new MessageFramer();
  for (let round = 0; round < 100_000; round++) {
    const bytes = join(seeds[random(seeds.length)] ?? new Uint8Array(0));
    // Mostly what follows the header; a broken header ends the stream.
    const from = random(20) === 0 ? 0 : 19;
    for (let changes = random(4); changes > 0 && bytes.length > from; changes--) {
      bytes[from + random(bytes.length - from)] = random(3) === 0 ? 0xff : random(256);
    }
    const split = random(bytes.length + 1);
    try {
      for (const chunk of [bytes.subarray(0, split), bytes.subarray(split)]) {
        framer.append(chunk);
        for (let next = framer.next(); next; next = framer.next()) {
          if (next.type === 1) decodeOpen(next.body);
          else if (next.type === 2) count(classifyUpdate(next.body, sender).action);
          else if (next.type === 3) describeNotification(decodeNotification(next.body));
          else if (next.type === 5) decodeRouteRefresh(next.bytes);
          count(`type ${next.type}`);
        }
      }
      most = Math.max(most, framer.bufferedBytes);
    } catch (thrown) {
      if (!(thrown instanceof BgpMessageError)) throw thrown;
      count(`error ${thrown.notification.code}`);
      framer = new MessageFramer();
    }
  }
  expect(most).toBeLessThanOrEqual(4096);
  // The mutations reach every part.
  for (const outcome of [
    'type 1',
    'type 2',
    'type 3',
    'type 4',
    'type 5',
    'error 1',
    'error 2',
    'accept',
    'attribute-discard',
    'treat-as-withdraw',
    'session-reset',
  ]) {
    expect([outcome, (outcomes.get(outcome) ?? 0) > 50]).toEqual([outcome, true]);
  }
});
