import { describe, expect, test } from '@jest/globals';
import { classifyUpdate } from '../../src/bgp-speaker/message/update-classifier.ts';
import { longUpdates } from './long-updates.ts';
import { malformedUpdates } from './rfc7606-cases.ts';
import type { Outcome } from './update-cases.ts';
import { lessons } from './update-lessons.ts';

const external = { internal: false, fourOctetAs: true, ipv4NextHopOverIpv6: false };
const words = { accept: 'accept', 'attribute-discard': 'discard', 'treat-as-withdraw': 'withdraw' } as const;

function judge(body: Uint8Array): Outcome {
  const { action, notification } = classifyUpdate(body, external);
  if (action !== 'session-reset') return words[action];
  expect(notification?.code).toBe(3);
  return `reset 3/${notification?.subcode ?? 0}`;
}

describe.each([
  ['RFC 7606', malformedUpdates],
  ['what brought others down', lessons],
  ['extended messages', longUpdates],
])('%s', (_, cases) => {
  test.each(cases)('$section: $name', ({ body, outcome }) => {
    expect(judge(body)).toBe(outcome);
  });
});

test('long ones are longer than a peer without extended messages may send, and as long as one with them may', () => {
  for (const { body } of longUpdates) {
    expect(body.length).toBeGreaterThan(4096 - 19);
    expect(body.length).toBeLessThanOrEqual(65_535 - 19);
  }
});

test('the routes of what is treated as a withdrawal are found', () => {
  for (const { name, outcome, body } of malformedUpdates.filter((one) => one.outcome === 'withdraw')) {
    const { announced } = classifyUpdate(body, external);
    expect([outcome, name, announced['ipv4-unicast'] + announced['ipv6-unicast'] > 0]).toEqual([outcome, name, true]);
  }
});
