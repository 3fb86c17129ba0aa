import { describe, expect, test } from '@jest/globals';
import {
  Backoff,
  describeError,
  describeOptions,
  Lifecycle,
  ManualClock,
  Options,
  OvenbirdError,
  silentLogger,
  systemClock,
} from '../../src/base/index.ts';

describe('describeError', () => {
  test('follows causes and aggregates', () => {
    const inner = new AggregateError([new Error('a'), new Error('b')], 'both failed');
    expect(describeError(new OvenbirdError('X', 'outer', { cause: inner }))).toBe('outer: both failed [a; b]');
    expect(describeError('text')).toBe('text');
    expect(describeError(new OvenbirdError('X', 'the part failed: no disk', { cause: new Error('no disk') }))).toBe(
      'the part failed: no disk',
    );
  });
  test('a cycle of causes ends', () => {
    const error = new Error('loop');
    error.cause = error;
    expect(describeError(error)).toContain('loop');
  });
});

describe('Backoff', () => {
  test('doubles up to the maximum, jitter only lengthens, reset starts over', () => {
    const plain = new Backoff({ initialMs: 100, maximumMs: 350, jitter: 0.5 }, () => 0);
    expect([plain.next(), plain.next(), plain.next(), plain.next()]).toEqual([100, 200, 350, 350]);
    expect(plain.attempts).toBe(4);
    plain.reset();
    expect(plain.next()).toBe(100);
    const jittered = new Backoff({ initialMs: 100, maximumMs: 100, jitter: 0.5 }, () => 0.999);
    expect(jittered.next()).toBeCloseTo(149.95);
  });
});

describe('ManualClock', () => {
  test('fires timers in order of time, then of creation, and settles promises between', async () => {
    const clock = new ManualClock();
    const seen: string[] = [];
    clock.setTimer(20, () => seen.push('b'));
    clock.setTimer(10, () => {
      seen.push('a');
      void Promise.resolve().then(() => clock.setTimer(5, () => seen.push('a2')));
    });
    clock.setTimer(20, () => seen.push('c'));
    clock.setTimer(20, () => seen.push('never')).cancel();
    await clock.advance(30);
    expect(seen).toEqual(['a', 'a2', 'b', 'c']);
    expect(clock.pendingTimers).toBe(0);
    expect(clock.monotonicMs()).toBe(30);
  });
  test('the wall clock jumps alone', () => {
    const clock = new ManualClock(1_000);
    clock.jumpWallMs(-500);
    expect([clock.nowMs(), clock.monotonicMs()]).toEqual([500, 0]);
  });
  test.each([['manual', new ManualClock()] as const, ['system', systemClock] as const])(
    'an aborted sleep rejects with the reason (%s)',
    async (_, clock) => {
      const abort = new AbortController();
      const sleeping = clock.sleep(60_000, abort.signal);
      abort.abort(new OvenbirdError('Stopping', 'stop'));
      await expect(sleeping).rejects.toMatchObject({ code: 'Stopping' });
    },
  );
});

describe('Lifecycle', () => {
  const untilAborted = (onStop: () => void) => (signal: AbortSignal) =>
    new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => {
        onStop();
        resolve();
      });
    });

  test('stops in reverse order and names what does not end', async () => {
    const clock = new ManualClock();
    const life = new Lifecycle(clock, silentLogger);
    const stopped: string[] = [];
    life.start({ name: 'first', run: untilAborted(() => stopped.push('first')) });
    life.start({ name: 'stuck', run: () => new Promise(() => {}) });
    life.start({ name: 'last', run: untilAborted(() => stopped.push('last')) });
    const stopping = life.stop(1_000);
    await clock.advance(1_000);
    expect(await stopping).toEqual({ pending: ['stuck'] });
    expect(stopped[0]).toBe('last');
  });

  test('a failing task ends the wait with its name', async () => {
    const life = new Lifecycle(new ManualClock(), silentLogger);
    life.start({ name: 'fine', run: untilAborted(() => {}) });
    life.start({ name: 'broken', run: () => Promise.reject(new Error('boom')) });
    await expect(life.wait(new AbortController().signal)).rejects.toMatchObject({
      code: 'TaskFailed',
      message: 'broken: boom',
    });
    expect(await life.stop(10)).toEqual({ pending: [] });
  });

  test('an abort ends the wait without an error', async () => {
    const life = new Lifecycle(new ManualClock(), silentLogger);
    const abort = new AbortController();
    const waiting = life.wait(abort.signal);
    abort.abort();
    await expect(waiting).resolves.toBeUndefined();
  });
});

describe('Options', () => {
  const specs = {
    port: { value: 'PORT', help: 'Port.', default: '7' },
    mode: { value: 'MODE', help: 'Mode.', env: 'MODE' },
    on: { value: 'BOOL', help: 'Switch.', default: 'false' },
  };
  test('command line over environment over default', () => {
    const options = Options.parse(specs, ['--on=true'], { MODE: 'b' });
    expect(options.integer('port', 1, 10)).toBe(7);
    expect(options.oneOf('mode', ['a', 'b'])).toBe('b');
    expect(options.boolean('on')).toBe(true);
    expect(Options.parse(specs, ['--mode', 'a'], { MODE: 'b' }).oneOf('mode', ['a', 'b'])).toBe('a');
  });
  test.each([
    [['--prt=1'], /known options: --port --mode --on/],
    [['--port=11'], /--port=11: give a whole number from 1 to 10/],
    [['--port=1.5'], /whole number/],
    [['--mode=c'], /--mode=c: give one of a, b/],
    [['--on=yes'], /--on=yes: give one of true, false/],
    [[], /--mode is required/],
  ])('%j is refused, naming the option', (args, message) => {
    expect(() => {
      const options = Options.parse(specs, args, {});
      options.integer('port', 1, 10);
      options.boolean('on');
      options.oneOf('mode', ['a', 'b']);
    }).toThrow(message);
  });
  test('help is sorted and shows defaults and variables', () => {
    expect(
      describeOptions(specs)
        .split('\n')
        .map((line) => line.trim().split(/\s/)[0]),
    ).toEqual(['--mode=MODE', '--on=BOOL', '--port=PORT']);
    expect(describeOptions(specs)).toContain('(env MODE)');
  });
});
