/** Mutated streams through connection, driver and state machine, in every state that a connection can be in. */
import { randomInt } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { ManualClock } from '../../../src/base/index.ts';
import { resolveSessionOptions } from '../../../src/bgp-speaker/session/session-options.ts';
import { newCounters } from '../../../src/bgp-speaker/speaker/counters.ts';
import { PeerDriver } from '../../../src/bgp-speaker/speaker/peer-driver.ts';
import { Turns } from '../../../src/bgp-speaker/speaker/turns.ts';
import { corpus, mutate, type Random, randomNumbers } from '../fuzz-messages.ts';
import { join } from '../wire-bytes.ts';
import { socketPair } from './memory-transport.ts';
import { enhancedRefresh, gracefulRestart, keepalive, open, routeRefresh, ScriptedPeer } from './scripted-peer.ts';

const config = resolveSessionOptions({
  localAs: 65_001,
  identifier: '192.0.2.1',
  peerAs: 'any',
  passive: true,
  gracefulRestart: { restartTimeSeconds: 30, restarted: false, forwarding: true },
});
const opened = open(65_002, { capabilities: [routeRefresh, enhancedRefresh, gracefulRestart] });
/** What the peer sends before the stream, by the state that it leads to. */
const openings = { OpenSent: [], OpenConfirm: [opened], Established: [opened, keepalive] };
const states = Object.keys(openings) as (keyof typeof openings)[];

/** One session and its peer; `told` is every state and end, in order. */
function newSession(clock: ManualClock, turns: Turns) {
  const told: string[] = [];
  const driver = new PeerDriver({
    config: () => config,
    dial: () => Promise.reject(new Error('a passive session dials nobody')),
    clock,
    random: () => 1,
    turns,
    counters: newCounters(),
    observer: {
      onState: (_, to) => told.push(to),
      onUp: () => told.push('up'),
      onDown: () => told.push('down'),
      onFailed: () => told.push('failed'),
      onConnectFailed: () => told.push('dialled'),
      onUpdate: () => {},
      onRouteRefresh: () => {},
      onRoom: () => {},
      onSettled: () => {},
    },
  });
  const [ours, theirs] = socketPair('192.0.2.1', '192.0.2.2');
  const peer = new ScriptedPeer(theirs);
  driver.step({ type: 'start' });
  driver.accept(ours as never);
  return { driver, peer, told };
}

/** What is wrong with how a session took its stream, if anything. */
function faultOf({ driver, peer, told }: ReturnType<typeof newSession>): string | undefined {
  const ups = told.filter((what) => what === 'up').length;
  const downs = told.filter((what) => what === 'down').length;
  const fails = told.filter((what) => what === 'failed').length;
  const isUp = driver.rfcState === 'Established';
  const isOpen = driver.state.phase === 'running' && driver.state.connections.length === 1;
  if (ups - downs !== (isUp ? 1 : 0)) return 'ups and downs do not match';
  if (isOpen ? downs + fails !== 0 : downs + fails !== 1) return 'the end was not told once';
  if (peer.of(3).length > (isOpen ? 0 : 1)) return 'a NOTIFICATION too many';
  if (peer.of(3).length === 1 && peer.types.at(-1) !== 3) return 'a NOTIFICATION is not the last word';
  if (peer.isEnded === isOpen) return 'the connection outlived its session, or did not live as long';
  return undefined;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** As it is, or what it was made of cut anywhere. */
function chunks(random: Random, stream: Uint8Array): Uint8Array[] {
  const cuts = Array.from({ length: random(4) }, () => random(stream.length + 1)).sort((a, b) => a - b);
  return [0, ...cuts].map((at, index) => stream.subarray(at, cuts[index] ?? stream.length));
}

test('10,000 mutated streams: every session goes on or ends once, with one NOTIFICATION, and leaves nothing', async () => {
  const seed = randomInt(1, 2 ** 31);
  const random = randomNumbers(seed);
  const seeds = corpus();
  // There are few of them, and most else is over at once in OpenSent.
  const opens = seeds.filter((bytes) => bytes[18] === 1);
  const outcomes = new Map<string, number>();
  const clock = new ManualClock();
  const turns = new Turns(clock);
  for (let round = 0; round < 50; round++) {
    const batch = Array.from({ length: 200 }, (_, index) => ({
      state: states[index % 3] ?? 'OpenSent',
      stream: join(...Array.from({ length: 1 + random(4) }, () => mutate(random, random(4) === 0 ? opens : seeds))),
      ...newSession(clock, turns),
    }));
    for (const { peer, state } of batch) peer.send(...openings[state], new Uint8Array(0));
    for (let count = 0; count < 4; count++) await turn();
    for (const { driver, peer, state, stream } of batch) {
      if (driver.rfcState !== state) throw new Error(`${driver.rfcState} instead of ${state}`);
      for (const chunk of chunks(random, stream)) peer.socket.write(chunk);
    }
    for (let count = 0; count < 10; count++) await turn();
    for (const { stream, ...session } of batch) {
      const fault = faultOf(session);
      const { state, driver, peer } = session;
      if (fault)
        throw new Error(`${fault}; seed ${seed}, round ${round}, ${state}: ${Buffer.from(stream).toString('hex')}`);
      const outcome = `${state}: ${peer.notified?.[0] ?? driver.rfcState}`;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    const gone = batch.map(({ driver, peer }) => {
      // A peer that goes without a word, while or after we end the session.
      if (random(2) === 0) peer.socket.reset();
      driver.step({ type: 'stop', notification: undefined });
      return driver.gone();
    });
    for (let count = 0; count < 4; count++) await turn();
    await Promise.all(gone);
    expect(clock.pendingTimers).toBe(0);
  }
  const expected = [
    ...['OpenSent: 1', 'OpenSent: 2', 'OpenSent: 5', 'OpenSent: OpenSent', 'OpenSent: OpenConfirm'],
    ...['OpenConfirm: 1', 'OpenConfirm: 5', 'OpenConfirm: OpenConfirm', 'OpenConfirm: Idle'],
    ...['Established: 1', 'Established: 3', 'Established: 5', 'Established: Established', 'Established: Idle'],
  ];
  expect(expected.filter((outcome) => (outcomes.get(outcome) ?? 0) < 5)).toEqual([]);
}, 60_000);
