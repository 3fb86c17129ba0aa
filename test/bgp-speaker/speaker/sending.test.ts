import { expect, test } from '@jest/globals';
import { ManualClock } from '../../../src/base/index.ts';
import { message } from '../wire-bytes.ts';
import { enhancedRefresh, keepalive, open, routeRefresh } from './scripted-peer.ts';
import { newWorld } from './world.ts';

/** A clock on which work takes time. */
class BusyClock extends ManualClock {
  spentMs = 0;
  override monotonicMs(): number {
    return super.monotonicMs() + this.spentMs;
  }
}

/** A clock at which every look takes time. */
class SlowClock extends ManualClock {
  readonly #lookMs: number;
  #looks = 0;
  constructor(lookMs: number) {
    super();
    this.#lookMs = lookMs;
  }
  override monotonicMs(): number {
    this.#looks += 1;
    return super.monotonicMs() + this.#looks * this.#lookMs;
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
  const clock = new SlowClock(0.25);
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

test('a peer is in step when it has the markers of the end too, however busy the event loop is', async () => {
  // Time for one message a turn.
  const clock = new SlowClock(3);
  const { speaker, settle, dialled } = await newWorld({ clock, routesComplete: true });
  speaker.announce('10.0.0.0/8');
  const session = speaker.addPeer({ address: '192.0.2.2', peerAs: 65002 });
  await settle();
  const sent = () => [session.counters.messagesOut.update, session.counters.messagesOut.routeRefresh];
  /** What was sent when it was in step for the first time after something came. */
  const inStepAfter = async (came: () => boolean) => {
    while (!came() || !session.isInStep) await new Promise((resolve) => setImmediate(resolve));
    return sent();
  };
  dialled().send(open(65002, { capabilities: [routeRefresh, enhancedRefresh] }), keepalive);
  // The route, and End-of-RIB of both families.
  expect(await inStepAfter(() => session.state === 'Established')).toEqual([3, 0]);
  dialled().send(message(5, [0, 1, 0, 1]));
  // BoRR, the route again, EoRR.
  expect(await inStepAfter(() => session.counters.messagesIn.routeRefresh === 1)).toEqual([4, 2]);
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
