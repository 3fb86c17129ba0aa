/** RFC 8654 over TCP, where 64 KB come in pieces. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type BgpSpeaker, createSpeaker } from '../../../src/bgp-speaker/index.ts';
import { longUpdates } from '../../bgp-speaker/long-updates.ts';
import { keepalive, routes } from '../../bgp-speaker/speaker/scripted-peer.ts';
import type { MalformedUpdate } from '../../bgp-speaker/update-cases.ts';
import { message } from '../../bgp-speaker/wire-bytes.ts';
import { eventually } from '../../eventually.ts';
import { RawPeer } from './raw-peer.ts';

let speaker: BgpSpeaker;
let peer: RawPeer;
let port: number;

beforeAll(async () => {
  peer = new RawPeer();
  port = await peer.listen();
  speaker = await createSpeaker({ localAs: 65_001, identifier: '192.0.2.1', routesComplete: true });
});

afterAll(async () => {
  await speaker?.close();
  await peer?.close();
});

async function meet(name: string) {
  const options = { nextHopIpv4: '192.0.2.1', extendedMessages: true };
  const session = speaker.addPeer({ address: '127.0.0.1', port, peerAs: 65_002, name, ...options });
  const connection = await peer.connection();
  await connection.establish({ capabilities: [[6, 0]] });
  await session.whenEstablished();
  return { session, connection };
}

async function tell({ body, outcome }: MalformedUpdate, name: string): Promise<string> {
  const { session, connection } = await meet(name);
  try {
    connection.send(message(2, body), keepalive);
    if (outcome.startsWith('reset')) return `reset ${await connection.notification()}`;
    // What comes after it is still heard.
    connection.send(routes('203.0.113.0/24'));
    await eventually('both UPDATEs', () => session.counters.messagesIn.update === 2);
    const { treatedAsWithdraw, attributesDiscarded, sessionResets } = session.counters;
    if (session.state !== 'Established' || attributesDiscarded + sessionResets > 0) return session.state;
    return treatedAsWithdraw === 1 ? 'withdraw' : 'accept';
  } finally {
    connection.socket.destroy();
    await speaker.removePeer(session);
  }
}

test('UPDATEs of up to 64 KB, an AS_PATH of thousands of numbers among them, have the outcome of RFC 7606', async () => {
  expect(Math.max(...longUpdates.map(({ body }) => body.length))).toBeGreaterThan(64_000);
  for (const [index, one] of longUpdates.entries()) {
    expect([one.section, one.name, await tell(one, `long ${index}`)]).toEqual([one.section, one.name, one.outcome]);
  }
});

test('attributes of 40 KB are sent in one UPDATE', async () => {
  const { session, connection } = await meet('wide');
  const communities = Array.from({ length: 10_000 }, (_, index) => index);
  speaker.announce('198.51.100.1/32', { communities });
  const found = () => connection.messages.find(({ bytes }) => bytes.length > 4096)?.bytes;
  await connection.when(() => found() !== undefined);
  const bytes = found();
  expect(bytes?.length).toBe(19 + 4 + (4 + 9 + 7) + (4 + 4 * communities.length) + 5);
  expect([...(bytes?.subarray(-5) ?? [])]).toEqual([32, 198, 51, 100, 1]);
  connection.socket.destroy();
  await speaker.removePeer(session);
});
