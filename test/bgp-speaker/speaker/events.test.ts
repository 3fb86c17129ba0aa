import { describe, expect, test } from '@jest/globals';
import { EventHub } from '../../../src/bgp-speaker/speaker/events.ts';

const bfd = (peer: string) => ({ type: 'bfd', peer, state: 'up' }) as const;

async function take(reader: AsyncIterator<unknown>, count: number): Promise<unknown[]> {
  const taken: unknown[] = [];
  while (taken.length < count) {
    const { done, value } = await reader.next();
    if (done) break;
    taken.push(value);
  }
  return taken;
}

describe('EventHub', () => {
  test('every reader gets every event, in order, with its time', async () => {
    let now = 5;
    const hub = new EventHub(() => now++);
    hub.emit(bfd('nobody reads yet'));
    const [a, b] = [hub.read(), hub.read()];
    hub.emit(bfd('1'));
    hub.emit(bfd('2'));
    const both = [
      { atMs: 5, ...bfd('1') },
      { atMs: 6, ...bfd('2') },
    ];
    expect([await take(a, 2), await take(b, 2)]).toEqual([both, both]);
  });

  test('a slow reader loses the oldest, and is told how many; a quick one loses nothing', async () => {
    const hub = new EventHub(() => 0);
    const [slow, quick] = [hub.read({ buffer: 3 }), hub.read()];
    for (let index = 0; index < 10; index++) hub.emit(bfd(String(index)));
    expect(await take(slow, 4)).toMatchObject([{ type: 'gap', lost: 7 }, { peer: '7' }, { peer: '8' }, { peer: '9' }]);
    expect(await take(quick, 10)).toHaveLength(10);
    hub.emit(bfd('after'));
    expect(await take(slow, 1)).toMatchObject([{ peer: 'after' }]);
  });

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1_000_001])('a buffer of %d is refused', (buffer) => {
    const signal = new AbortController().signal;
    expect(() => new EventHub(() => 0).read({ buffer, signal })).toThrow(/^buffer: .* from 1 to 1000000$/);
  });

  test('a reader that waits is woken; one that breaks holds nothing', async () => {
    const hub = new EventHub(() => 0);
    const reader = hub.read();
    const waiting = take(reader, 1);
    hub.emit(bfd('now'));
    expect(await waiting).toMatchObject([{ peer: 'now' }]);
    hub.emit(bfd('left'));
    await reader.return?.();
    hub.emit(bfd('later'));
    expect(await take(reader, 5)).toEqual([]);
  });

  test('close gives what is held, then the end; so does an aborted signal', async () => {
    const hub = new EventHub(() => 0);
    const abort = new AbortController();
    const [one, two] = [hub.read(), hub.read({ signal: abort.signal })];
    hub.emit(bfd('1'));
    abort.abort();
    hub.emit(bfd('2'));
    hub.close();
    expect([await take(one, 9), await take(two, 9)]).toMatchObject([[{ peer: '1' }, { peer: '2' }], [{ peer: '1' }]]);
    expect(await take(hub.read(), 1)).toEqual([]);
    expect(await take(hub.read({ signal: abort.signal }), 1)).toEqual([]);
  });

  test('several reads at once are answered in order', async () => {
    const hub = new EventHub(() => 0);
    const reader = hub.read();
    const reads = [reader.next(), reader.next()];
    hub.emit(bfd('1'));
    hub.emit(bfd('2'));
    expect((await Promise.all(reads)).map(({ value }) => value.peer)).toEqual(['1', '2']);
  });
});
