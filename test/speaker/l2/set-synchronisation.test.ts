import { describe, expect, test } from '@jest/globals';
import type { Message } from '../../../src/speaker/l2/heartbeat-message.ts';
import { SimulatedLan } from './simulated-lan.ts';

const addresses = Array.from({ length: 1_000 }, (_, i) => `198.51.${100 + Math.floor(i / 250)}.${i % 250}`);

/** "a" and "b" that know each other; "a" alone may own. Counts messages by kind, heartbeats without news aside. */
function pair(): { lan: SimulatedLan; counts: Record<string, number> } {
  const lan = new SimulatedLan(['a', 'b'], { account: false });
  lan.startAll();
  lan.run(1_000);
  const counts: Record<string, number> = {};
  lan.onMessage = (_from, { body }) => {
    const kind = body.kind === 'news' && body.ops.length === 0 ? 'heartbeat' : body.kind;
    counts[kind] = (counts[kind] ?? 0) + 1;
  };
  return { lan, counts };
}

function desireAll(lan: SimulatedLan): void {
  // In one event, as the worker gets them.
  lan.desireMany(addresses, ['a']);
}

const known = (lan: SimulatedLan, by: string) => [...lan.node(by).state.peers.values()][0];

describe('what a peer owns', () => {
  test('is known from the news alone, at a bearable number of messages', () => {
    const { lan, counts } = pair();
    desireAll(lan);
    lan.run(20);
    expect(known(lan, 'b')).toMatchObject({ inSync: true, setCount: 1_000 });
    expect(known(lan, 'b')?.owned.size).toBe(1_000);
    expect(counts).toMatchObject({ news: 11 });
    expect(counts.ask).toBeUndefined();
    lan.run(10_000);
    expect(counts.ask).toBeUndefined();
    expect(counts.chunk).toBeUndefined();
  });

  test('when news are lost, only what is missing is asked for', () => {
    const { lan, counts } = pair();
    let losing = 4;
    lan.drops = (from, { body }) => from.name === 'a' && body.kind === 'news' && body.ops.length > 0 && losing-- > 0;
    desireAll(lan);
    lan.run(200);
    expect(known(lan, 'b')?.inSync).toBe(true);
    expect(counts.ask).toBe(1);
    expect(counts.chunk).toBeUndefined();
  });

  test('news in the wrong order wait for each other and nobody asks', () => {
    const { lan, counts } = pair();
    lan.quality = { delayMs: [0.1, 15], loss: 0, duplicate: 0, reorder: 0 };
    desireAll(lan);
    lan.run(18);
    expect(counts.ask).toBeUndefined();
    lan.run(200);
    expect(known(lan, 'b')?.inSync).toBe(true);
  });

  test('a speaker that comes later gets the whole set, lost parts included', () => {
    const { lan, counts } = pair();
    desireAll(lan);
    lan.kill('b');
    lan.run(1_000);
    let chunks = 0;
    lan.drops = (_from, { body }) => body.kind === 'chunk' && chunks++ < 3;
    lan.start('b');
    lan.run(300);
    expect(known(lan, 'b')?.inSync).toBe(true);
    expect(known(lan, 'b')?.owned.size).toBe(1_000);
    expect(counts.ask).toBe(2);
  });

  test('a set that changes while it is being sent arrives whole', () => {
    const { lan } = pair();
    desireAll(lan);
    lan.kill('b');
    lan.run(1_000);
    lan.start('b');
    for (let i = 0; i < 200; i++) {
      lan.desire(addresses[i] ?? '', undefined, ['a']);
      lan.run(1);
    }
    lan.run(300);
    expect(known(lan, 'b')?.inSync).toBe(true);
    expect([...(known(lan, 'b')?.owned.keys() ?? [])].sort()).toEqual(addresses.slice(200).sort());
  });

  test('a peer whose digest is wrong is asked for everything', () => {
    const { lan, counts } = pair();
    desireAll(lan);
    lan.run(500);
    known(lan, 'b')?.owned.delete(addresses[0] ?? '');
    lan.run(300);
    expect(counts.chunk).toBeGreaterThan(0);
    expect(known(lan, 'b')?.owned.size).toBe(1_000);
  });

  test('a heartbeat costs the same with a thousand addresses as with none', () => {
    const { lan } = pair();
    desireAll(lan);
    lan.run(5_000);
    const sizes: number[] = [];
    lan.onMessage = (_from: unknown, message: Message) => {
      sizes.push(message.body.kind === 'news' ? message.body.ops.length : -1);
    };
    lan.run(5_000);
    expect(sizes.length).toBeGreaterThan(90);
    expect(Math.max(...sizes)).toBe(0);
    expect(Math.min(...sizes)).toBe(0);
  });
});
