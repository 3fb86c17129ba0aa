/** A thousand sessions of one speaker share its thread: no turn of the event loop is longer than its slice. */
import { expect, test } from '@jest/globals';
import { ManualClock } from '../../../src/base/index.ts';
import { createSpeaker, type Session } from '../../../src/bgp-speaker/index.ts';
import { MemoryTransport } from './memory-transport.ts';
import { keepalive, open, ScriptedPeer } from './scripted-peer.ts';

const count = 1000;
const sliceMs = 2;

/** Time goes on where the test says that work takes time, and when it is told to. */
class CostlyClock extends ManualClock {
  spentMs = 0;
  override monotonicMs(): number {
    return super.monotonicMs() + this.spentMs;
  }
}

test('a thousand sessions are dialled, sent their routes, kept alive and closed in turns', async () => {
  const clock = new CostlyClock();
  const transport = new MemoryTransport();
  const speaker = await createSpeaker({
    localAs: 65_001,
    identifier: '192.0.2.1',
    transport,
    clock,
    random: () => 1,
    routesComplete: true,
  });
  const peers: ScriptedPeer[] = [];
  transport.onDial = (socket) => {
    clock.spentMs += 0.5;
    const peer = new ScriptedPeer(socket);
    peers.push(peer);
    peer.send(open(65_002), keepalive);
  };
  /** Turns until it is so; the most that one took, ms. */
  const turnsUntil = async (isSo: () => boolean): Promise<{ turns: number; longestMs: number }> => {
    let longestMs = 0;
    for (let turns = 0; turns < 20_000; turns++) {
      if (isSo()) return { turns, longestMs };
      const before = clock.spentMs;
      await new Promise((resolve) => setImmediate(resolve));
      longestMs = Math.max(longestMs, clock.spentMs - before);
    }
    throw new Error('not within 20000 turns');
  };
  const sessions: Session[] = [];
  const before = clock.spentMs;
  for (let index = 0; index < count; index++) {
    const address = `198.18.${index >> 8}.${index & 255}`;
    const exportRoute = <Given>(_: unknown, given: Given) => {
      clock.spentMs += 0.5;
      return given;
    };
    sessions.push(speaker.addPeer({ address, peerAs: 65_002, exportRoute }));
  }
  // Adding them dials no more than fits a slice.
  expect(clock.spentMs - before).toBeLessThanOrEqual(sliceMs);
  const isUp = () => sessions.every(({ state }) => state === 'Established');
  const dialling = await turnsUntil(isUp);
  expect(dialling.longestMs).toBeLessThanOrEqual(sliceMs + 0.5);
  expect(dialling.turns).toBeGreaterThan((count * 0.5) / (sliceMs + 0.5) - 10);

  for (const prefix of ['10.0.0.0/8', '10.0.0.0/16', '10.0.0.0/24']) speaker.announce(prefix);
  // What is sent at once, at the end of the microtask, has a slice of its own. The last session in one may end beyond it.
  const announced = clock.spentMs;
  await Promise.resolve();
  const longestMs = sliceMs + 3 * 0.5;
  expect(clock.spentMs - announced).toBeLessThanOrEqual(longestMs);
  const sending = await turnsUntil(() => sessions.every(({ counters }) => counters.prefixesOut === 3));
  expect(sending.longestMs).toBeLessThanOrEqual(longestMs);
  await turnsUntil(() => peers.every(({ changes }) => changes.length === 3));

  const kept = peers.map((peer) => peer.of(4).length);
  await clock.advance(30_000);
  await turnsUntil(() => peers.every((peer, index) => peer.of(4).length === (kept[index] ?? 0) + 1));
  for (const peer of peers) peer.send(keepalive);
  await turnsUntil(() => sessions.every(({ counters }) => counters.messagesIn.keepalive === 2));

  let isClosed = false;
  const closed = speaker.close().then(() => {
    isClosed = true;
  });
  await turnsUntil(() => isClosed);
  await closed;
  expect(peers.map(({ notified }) => notified)).toEqual(peers.map(() => [6, 2]));
  expect(sessions.filter(({ counters }) => counters.flaps !== 1)).toEqual([]);
  expect([clock.pendingTimers, transport.dialled.length]).toEqual([0, count]);
});
