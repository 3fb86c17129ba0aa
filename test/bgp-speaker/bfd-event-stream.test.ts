import { describe, expect, test } from '@jest/globals';
import { EventStream } from '../../src/bgp-speaker/bfd/event-stream.ts';
import { noLateness, noteLateness } from '../../src/bgp-speaker/bfd/lateness.ts';
import type { BfdSessionEvent } from '../../src/bgp-speaker/bfd/session-events.ts';

const timing = (transmitIntervalMs: number): BfdSessionEvent => ({
  type: 'timing',
  transmitIntervalMs,
  detectionTimeMs: 0,
  atMs: 0,
});
const problem: BfdSessionEvent = { type: 'problem', code: 'LinkDown', message: 'down', atMs: 0 };

async function take(events: AsyncIterableIterator<BfdSessionEvent>, count: number): Promise<BfdSessionEvent[]> {
  const taken: BfdSessionEvent[] = [];
  while (taken.length < count) {
    const { value, done } = await events.next();
    if (done) break;
    taken.push(value);
  }
  return taken;
}

describe('the events of a session', () => {
  test('each subscriber begins with how things stand, then hears all', async () => {
    const stream = new EventStream();
    stream.push(timing(1));
    stream.push(problem);
    stream.push(timing(2));
    const early = stream.subscribe();
    expect(await take(early, 1)).toEqual([timing(2)]);
    stream.push({ type: 'recovered', atMs: 0 });
    const late = stream.subscribe();
    expect(await take(late, 1)).toEqual([timing(2)]);
    stream.push(timing(3));
    expect(await take(early, 3)).toEqual([problem, { type: 'recovered', atMs: 0 }, timing(3)]);
    expect(await take(late, 1)).toEqual([timing(3)]);
    const waiting = take(late, 1);
    stream.push(timing(4));
    expect(await waiting).toEqual([timing(4)]);
  });

  test('whoever takes nothing loses the oldest, and hears of that', async () => {
    const stream = new EventStream();
    const events = stream.subscribe();
    stream.push(problem);
    expect(await take(events, 1)).toEqual([problem]);
    for (let i = 0; i < 1003; i++) stream.push(timing(i));
    expect(await take(events, 3)).toEqual([{ type: 'lost', count: 3 }, timing(3), timing(4)]);
  });

  test('nothing is kept for who has not asked yet', async () => {
    const stream = new EventStream();
    const events = stream.subscribe();
    for (let i = 0; i < 1003; i++) stream.push(timing(i));
    expect(await take(events, 1)).toEqual([timing(1002)]);
    stream.push(timing(2000));
    expect(await take(events, 1)).toEqual([timing(2000)]);
    const left = stream.subscribe();
    await left.return?.();
    expect(await take(left, 1)).toEqual([]);
  });

  test('a signal ends the wait, after what has come', async () => {
    const stream = new EventStream();
    const stop = new AbortController();
    const events = stream.subscribe({ signal: stop.signal });
    const waiting = take(events, 1);
    stop.abort();
    expect(await waiting).toEqual([]);
    stream.push(timing(1));
    expect(await take(events, 1)).toEqual([]);
    expect(await take(stream.subscribe({ signal: stop.signal }), 1)).toEqual([]);
  });

  test('the end comes after what is left; an error to everybody who waits', async () => {
    const stream = new EventStream();
    const events = stream.subscribe();
    stream.push(timing(0));
    expect(await take(events, 1)).toEqual([timing(0)]);
    stream.push(timing(1));
    stream.end();
    expect(await take(events, 5)).toEqual([timing(1)]);
    expect(await take(stream.subscribe(), 5)).toEqual([timing(1)]);
    const failing = new EventStream();
    const [first, second] = [failing.subscribe(), failing.subscribe()].map((one) => one.next());
    failing.end(new Error('dead'));
    await expect(first).rejects.toThrow('dead');
    await expect(second).rejects.toThrow('dead');
    await expect(failing.subscribe().next()).rejects.toThrow('dead');
  });

  test('a subscriber that leaves is forgotten', async () => {
    const stream = new EventStream();
    const events = stream.subscribe();
    stream.push(timing(1));
    for await (const event of events) {
      expect(event).toEqual(timing(1));
      break;
    }
    expect(await take(events, 1)).toEqual([]);
  });
});

test('lateness is counted up to each bound, and beyond the last', () => {
  const lateness = noLateness();
  for (const lateMs of [0, 1, 1.5, 150, 1000, 1001]) noteLateness(lateness, lateMs);
  expect(lateness).toEqual({ counts: [2, 1, 0, 0, 0, 0, 0, 1, 0, 1, 1], maxMs: 1001 });
});
