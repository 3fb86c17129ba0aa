import { describe, expect, test } from '@jest/globals';
import { ManualClock } from '../../src/base/index.ts';
import { HostReadiness } from '../../src/speaker/host-readiness.ts';

function setUp(ready: boolean) {
  const clock = new ManualClock();
  const changes: boolean[] = [];
  const host = new HostReadiness(clock, ready, () => changes.push(host.ready));
  return { clock, host, changes };
}

describe('HostReadiness', () => {
  test('a host that carries stands at once', () => {
    const { host, changes } = setUp(false);
    host.tell(false);
    expect(host.ready).toBe(false);
    host.tell(true);
    host.tell(true);
    expect(changes).toEqual([true]);
  });

  test('one that cannot any more lets go when that lasts, however often it is said', async () => {
    const { clock, host, changes } = setUp(true);
    for (let i = 0; i < 3; i++) {
      host.tell(false);
      await clock.advance(900);
    }
    expect(changes).toEqual([]);
    await clock.advance(300);
    expect(changes).toEqual([false]);
    host.tell(true);
    expect(changes).toEqual([false, true]);
  });

  test('an interface that is made anew moves nothing', async () => {
    const { clock, host, changes } = setUp(true);
    for (let i = 0; i < 5; i++) {
      host.tell(false);
      await clock.advance(2_000);
      host.tell(true);
      await clock.advance(2_000);
    }
    expect(changes).toEqual([]);
    host.tell(false);
    host.stop();
    await clock.advance(10_000);
    expect(changes).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  });
});
