/** Strangers that connect to a listener, by the thousand and with bad intent, beside a session that must not notice. */
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type BgpSpeaker, createSpeaker, type Session, type SpeakerEvent } from '../../../src/bgp-speaker/index.ts';
import { keepalive, open } from '../../bgp-speaker/speaker/scripted-peer.ts';
import { hex, message } from '../../bgp-speaker/wire-bytes.ts';
import { eventually } from '../../eventually.ts';
import { RawConnection } from './raw-peer.ts';

const maximumPeers = 20;
let speaker: BgpSpeaker;
let witness: Session;
let friend: RawConnection;
let alive: NodeJS.Timeout;
let began: number;
const events: SpeakerEvent[] = [];
const keepalivesAt: number[] = [];

/** A connection from an address of ours that is the stranger's. */
async function from(localAddress: string): Promise<RawConnection> {
  const socket = connect({ host: '127.0.0.1', port: speaker.listening[0]?.port ?? 0, localAddress });
  const connection = new RawConnection(socket);
  // The reset may be here before anybody looks.
  await new Promise<void>((resolve) => socket.once('connect', resolve).once('close', resolve));
  return connection;
}

/** Connects so often, a few at a time, and does something with each. */
async function crowd(count: number, address: (index: number) => string, run: (one: RawConnection) => void) {
  for (let done = 0; done < count; done += 50) {
    const batch = Array.from({ length: Math.min(50, count - done) }, (_, index) => from(address(done + index)));
    for (const one of await Promise.all(batch)) run(one);
  }
}

const told = (type: SpeakerEvent['type']) => events.filter((event) => event.type === type);
const visitors = () => speaker.sessions.filter((session) => session !== witness);
/** What may have been told by now at ten a second, with a second begun. */
const mostTold = () => 10 * (Math.ceil((performance.now() - began) / 1000) + 1);

beforeAll(async () => {
  speaker = await createSpeaker({
    localAs: 65_001,
    identifier: '192.0.2.1',
    listen: [{ address: '127.0.0.1', port: 0 }],
  });
  void (async () => {
    for await (const event of speaker.events({ buffer: 100_000 })) events.push(event);
  })();
  witness = speaker.addPeer({
    name: 'friend',
    address: '127.0.0.1',
    peerAs: 65_002,
    passive: true,
    holdTimeSeconds: 3,
  });
  speaker.acceptPeers('127.0.2.0/24', { peerAs: 'any', maximumPeers, maximumIdleHoldSeconds: 1 });
  friend = await from('127.0.0.1');
  friend.socket.on('data', (chunk: Buffer) => {
    if (chunk.at(-1) === 4) keepalivesAt.push(performance.now());
  });
  await friend.establish();
  alive = setInterval(() => friend.send(keepalive), 500);
  await witness.whenEstablished();
  began = performance.now();
});

afterAll(async () => {
  clearInterval(alive);
  await speaker?.close();
  friend?.socket.destroy();
});

test('thousands from nowhere: each is reset before a byte, ten a second are told', async () => {
  const strangers: RawConnection[] = [];
  await crowd(
    3_000,
    (index) => `127.0.3.${1 + (index % 250)}`,
    (one) => {
      one.send(open(65_002), keepalive);
      strangers.push(one);
    },
  );
  await eventually('all are closed', () => strangers.every(({ isClosed }) => isClosed));
  expect(strangers.filter(({ messages }) => messages.length > 0)).toEqual([]);
  expect(told('refused').length).toBeGreaterThan(0);
  expect(told('refused').length).toBeLessThanOrEqual(mostTold());
  expect(visitors()).toEqual([]);
}, 60_000);

test('a range takes so many that say nothing, and no more', async () => {
  const silent: RawConnection[] = [];
  await crowd(
    100,
    (index) => `127.0.2.${1 + index}`,
    (one) => silent.push(one),
  );
  await eventually('the others are refused', () => silent.filter(({ isClosed }) => isClosed).length === 80);
  expect(visitors().map(({ state }) => state)).toEqual(Array.from({ length: maximumPeers }, () => 'OpenSent'));
  for (const { socket } of silent) socket.destroy();
  await eventually('they are forgotten', () => visitors().length === 0);
}, 60_000);

test.each([
  ['half an OPEN', open(65_002).subarray(0, 25), undefined],
  ['a request of HTTP', hex('474554202f20485454502f312e310d0a0d0a0d0a'), '1/1'],
  ['routes before an OPEN', message(2, [0, 0, 0, 0]), '5/1'],
  ['a wrong version', message(1, [3, 0xfd, 0xea, 0, 90, 192, 0, 2, 2, 0]), '2/1'],
])(
  '%s from a range is answered as it should be, and nothing stays',
  async (_, bytes, answer) => {
    const rude: RawConnection[] = [];
    await crowd(
      maximumPeers,
      (index) => `127.0.2.${1 + index}`,
      (one) => {
        one.send(bytes);
        rude.push(one);
      },
    );
    if (answer === undefined) for (const { socket } of rude) socket.end();
    else expect(await Promise.all(rude.map((one) => one.notification()))).toEqual(rude.map(() => answer));
    await eventually('all are closed', () => rude.every(({ isClosed }) => isClosed));
    await eventually('they are forgotten', () => visitors().length === 0);
  },
  60_000,
);

test('one that connects and resets thousands of times is told ten times a second', async () => {
  const before = told('peer-added').length;
  const since = performance.now();
  await crowd(
    3_000,
    () => '127.0.2.77',
    (one) => one.socket.resetAndDestroy(),
  );
  await eventually('it is forgotten', () => visitors().length === 0);
  const most = 10 * (Math.ceil((performance.now() - since) / 1000) + 1);
  expect(told('peer-added').length - before).toBeLessThanOrEqual(most);
  expect(told('peer-added').length).toBe(told('peer-removed').length + 1);
}, 60_000);

test('the session beside all that has had its keepalives in time', async () => {
  expect({ state: witness.state, flaps: witness.counters.flaps }).toEqual({ state: 'Established', flaps: 0 });
  await eventually('four keepalives', () => keepalivesAt.length >= 4);
  const gaps = keepalivesAt.slice(1).map((at, index) => at - (keepalivesAt[index] ?? 0));
  expect(Math.max(...gaps)).toBeLessThan(2_500);
  expect(speaker.sessions).toEqual([witness]);
}, 30_000);
