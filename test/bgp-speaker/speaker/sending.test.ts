import { expect, test } from '@jest/globals';
import { ManualClock } from '../../../src/base/index.ts';
import { newWorld } from './world.ts';

/** A clock on which work takes time. */
class BusyClock extends ManualClock {
  spentMs = 0;
  override monotonicMs(): number {
    return super.monotonicMs() + this.spentMs;
  }
}

test('an export policy that takes its time holds up no turn of the event loop for long, and every route is sent', async () => {
  const clock = new BusyClock();
  const { speaker, establish, settle, told } = await newWorld({ clock });
  let asked = 0;
  const { session, peer } = await establish({
    exportRoute: (prefix, attributes) => {
      clock.spentMs += 0.1;
      asked += 1;
      if (prefix.prefixLength === 31) throw new Error('no pairs');
      return { ...attributes, multiExitDiscriminator: asked % 3 };
    },
  });
  const before = peer.changes.length;
  for (let index = 0; index < 2000; index++) {
    speaker.announce(`10.0.${index >> 7}.${(index & 127) * 2}/${index % 4 === 0 ? 31 : 32}`);
  }
  // They are published at the end of the microtask.
  await Promise.resolve();
  const turns: number[] = [asked];
  while (!session.isInStep && turns.length < 1000) {
    const at = asked;
    await new Promise((resolve) => setImmediate(resolve));
    turns.push(asked - at);
  }
  // 2 ms are 20 questions; the clock is looked at after every 16.
  expect(Math.max(...turns)).toBeLessThanOrEqual(32);
  await settle();
  expect([asked, peer.changes.length - before, session.counters.prefixesOut]).toEqual([2000, 1500, 1500]);
  expect(told('unsendable')).toMatchObject([
    { prefixes: 500, unreported: 0, text: expect.stringMatching(/no pairs$/) },
  ]);
  const closed = speaker.close();
  await settle();
  await closed;
  expect(clock.pendingTimers).toBe(0);
});

test('a turn of the event loop that is over is over for messages too, though the peer would take more', async () => {
  /** Every look at it takes time. */
  class SlowClock extends ManualClock {
    looks = 0;
    override monotonicMs(): number {
      this.looks += 1;
      return super.monotonicMs() + this.looks * 0.25;
    }
  }
  const clock = new SlowClock();
  const { speaker, establish, settle } = await newWorld({ clock });
  const { session } = await establish();
  for (let index = 0; index < 200; index++) {
    speaker.announce(`10.0.0.${index}/32`, { multiExitDiscriminator: index });
  }
  await Promise.resolve();
  const sent = () => session.counters.messagesOut.update;
  const turns: number[] = [sent()];
  while (!session.isInStep && turns.length < 1000) {
    const before = sent();
    await new Promise((resolve) => setImmediate(resolve));
    turns.push(sent() - before);
  }
  // A turn has time for 8 looks, and each message takes one.
  expect(Math.max(...turns)).toBeLessThanOrEqual(8);
  expect(sent()).toBe(200);
  const closed = speaker.close();
  await settle();
  await closed;
});

test('routes that cannot be sent are told ten times a second, with how many were left out', async () => {
  const { speaker, establish, settle, pass, told } = await newWorld();
  await establish({
    exportRoute: (prefix) => {
      throw new Error(`not ${prefix}`);
    },
  });
  for (let index = 0; index < 25; index++) speaker.announce(`10.0.0.${index}/32`);
  await settle();
  await pass(1000);
  speaker.announce('10.0.1.0/24');
  await settle();
  expect(told('unsendable').map(({ first, unreported }) => `${first} ${unreported}`)).toEqual([
    ...Array.from({ length: 10 }, (_, index) => `10.0.0.${index}/32 0`),
    '10.0.1.0/24 15',
  ]);
  const closed = speaker.close();
  await settle();
  await closed;
});
