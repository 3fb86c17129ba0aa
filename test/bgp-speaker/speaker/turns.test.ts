import { describe, expect, test } from '@jest/globals';
import { ManualClock } from '../../../src/base/index.ts';
import { Connection } from '../../../src/bgp-speaker/speaker/connection.ts';
import { DeadlineTimer } from '../../../src/bgp-speaker/speaker/deadline-timer.ts';
import { Dialler } from '../../../src/bgp-speaker/speaker/dialler.ts';
import { Turns } from '../../../src/bgp-speaker/speaker/turns.ts';
import { socketPair } from './memory-transport.ts';
import { keepalive } from './scripted-peer.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A clock whose time goes on by itself: each look takes so long. */
class BusyClock extends ManualClock {
  ms = 0;
  override monotonicMs(): number {
    return this.ms;
  }
}

describe('Turns', () => {
  test('work stops when its time is over, others get theirs in turn, and all ends', async () => {
    const clock = new BusyClock();
    const turns = new Turns(clock, 2);
    const done: string[] = [];
    const work = (name: string, steps: number) => (isOver: () => boolean) => {
      while (steps > 0) {
        steps -= 1;
        clock.ms += 1;
        done.push(name);
        if (isOver()) break;
      }
      return steps > 0;
    };
    turns.run(work('a', 5));
    turns.run(work('b', 3));
    expect(done.join('')).toBe('aa');
    const perTurn: string[] = [];
    for (let index = 0; index < 5; index++) {
      const before = done.length;
      await turn();
      perTurn.push(done.slice(before).join(''));
    }
    expect(perTurn).toEqual(['aa', 'bb', 'ab', '', '']);
  });
});

describe('Connection', () => {
  test('a burst is read over several turns, and nothing is read ahead of it', async () => {
    const clock = new BusyClock();
    const [ours, theirs] = socketPair('a', 'b');
    let messages = 0;
    const handlers = {
      onMessage: () => {
        messages += 1;
        clock.ms += 0.5;
      },
      onBadFrame: () => {},
      onClosed: () => {},
      onSent: () => {},
      onRoom: () => {},
      onGone: () => {},
    };
    const connection = new Connection({ socket: ours as never, handlers, turns: new Turns(clock, 2), clock });
    theirs.write(Buffer.concat(Array.from({ length: 64 }, () => keepalive)));
    theirs.write(Buffer.concat(Array.from({ length: 64 }, () => keepalive)));
    const seen: number[] = [];
    for (let index = 0; index < 12; index++) {
      await turn();
      seen.push(messages);
    }
    // 16 messages between two looks at the clock.
    expect(Math.max(...seen.map((count, index) => count - (seen[index - 1] ?? 0)))).toBe(16);
    expect(seen.at(-1)).toBe(128);
    expect(connection.bytesIn).toBe(128 * 19);
    connection.destroy();
  });

  test('messages before the end of the stream are handled before the end is told', async () => {
    const clock = new BusyClock();
    const [ours, theirs] = socketPair('a', 'b');
    const log: string[] = [];
    const handlers = {
      onMessage: () => {
        clock.ms += 1;
        if (log.at(-1) !== 'message') log.push('message');
      },
      onBadFrame: () => {},
      onClosed: (reason: string) => log.push(reason),
      onSent: () => {},
      onRoom: () => {},
      onGone: () => log.push('gone'),
    };
    new Connection({ socket: ours as never, handlers, turns: new Turns(clock, 2), clock });
    theirs.write(Buffer.concat(Array.from({ length: 100 }, () => keepalive)));
    await turn();
    theirs.reset();
    for (let index = 0; index < 20; index++) await turn();
    expect(log).toEqual(['message', 'ECONNRESET', 'gone']);
  });
});

describe('Connection, closed by what it reads', () => {
  test('is gone at once when the peer has gone already', async () => {
    const clock = new BusyClock();
    const [ours, theirs] = socketPair('a', 'b');
    const log: string[] = [];
    const handlers = {
      onMessage: () => {
        clock.ms += 1;
        // The last one makes the session end, as a NOTIFICATION does.
        if (connection.bytesIn === 100 * 19 && log.push('message') === 100) connection.close();
      },
      onBadFrame: () => {},
      onClosed: (reason: string) => log.push(reason),
      onSent: () => {},
      onRoom: () => {},
      onGone: () => log.push('gone'),
    };
    const connection = new Connection({ socket: ours as never, handlers, turns: new Turns(clock, 2), clock });
    theirs.write(Buffer.concat(Array.from({ length: 100 }, () => keepalive)));
    await turn();
    theirs.reset();
    for (let index = 0; index < 20; index++) await turn();
    expect([log.length, log.at(-1), clock.pendingTimers]).toEqual([101, 'gone', 0]);
  });
});

describe('Dialler', () => {
  test('an attempt given up that succeeds, or fails, all the same belongs to nobody', async () => {
    const attempts: PromiseWithResolvers<never>[] = [];
    const log: unknown[] = [];
    const dialler = new Dialler({
      soon: (run) => run(),
      dial: () => {
        const attempt = Promise.withResolvers<never>();
        attempts.push(attempt);
        return attempt.promise;
      },
      onConnected: (socket) => log.push(socket),
      onFailed: ({ message }) => log.push(message),
    });
    for (let count = 0; count < 4; count++) dialler.start();
    const sockets = socketPair('a', 'b');
    attempts[0]?.resolve(sockets[0] as never);
    attempts[1]?.reject(new Error('late'));
    attempts[3]?.resolve(sockets[1] as never);
    await turn();
    attempts[2]?.reject(new Error('later'));
    await turn();
    expect(log).toEqual([sockets[1]]);
    expect(sockets[0].destroyed).toBe(true);
    dialler.start();
    attempts[4]?.reject(new Error('refused'));
    await turn();
    expect(log).toEqual([sockets[1], 'refused']);
  });
});

describe('Dialler, waiting for its turn', () => {
  test('dials only when nobody has cancelled meanwhile', () => {
    const waiting: (() => void)[] = [];
    let dialled = 0;
    const dialler = new Dialler({
      soon: (run) => waiting.push(run),
      dial: () => {
        dialled += 1;
        return new Promise(() => {});
      },
      onConnected: () => {},
      onFailed: () => {},
    });
    dialler.start();
    dialler.cancel();
    dialler.start();
    dialler.start();
    for (const run of waiting) run();
    expect([waiting.length, dialled]).toEqual([3, 1]);
  });
});

describe('DeadlineTimer', () => {
  test('fires once at the last deadline set, earlier or later than before, unless cancelled', async () => {
    const clock = new ManualClock();
    const fired: number[] = [];
    const timer = new DeadlineTimer(clock, () => fired.push(clock.monotonicMs()));
    timer.set(1000);
    await clock.advance(600);
    timer.set(1000);
    await clock.advance(900);
    expect(fired).toEqual([]);
    await clock.advance(5000);
    timer.set(9000);
    timer.set(100);
    await clock.advance(20_000);
    timer.set(100);
    timer.cancel();
    await clock.advance(1000);
    expect(fired).toEqual([1600, 6600]);
    expect(clock.pendingTimers).toBe(0);
  });
});
