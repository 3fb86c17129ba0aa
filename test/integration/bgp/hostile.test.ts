import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type BgpSpeaker, createSpeaker, type PeerOptions, type Session } from '../../../src/bgp-speaker/index.ts';
import { randomNumbers } from '../../bgp-speaker/fuzz-messages.ts';
import { malformedUpdates } from '../../bgp-speaker/rfc7606-cases.ts';
import { keepalive, open, routes } from '../../bgp-speaker/speaker/scripted-peer.ts';
import type { MalformedUpdate } from '../../bgp-speaker/update-cases.ts';
import { lessons } from '../../bgp-speaker/update-lessons.ts';
import { hex, join, message } from '../../bgp-speaker/wire-bytes.ts';
import { eventually } from '../../eventually.ts';
import { type RawConnection, RawPeer } from './raw-peer.ts';

let speaker: BgpSpeaker;
let peer: RawPeer;
let port: number;

beforeAll(async () => {
  peer = new RawPeer();
  port = await peer.listen();
  speaker = await createSpeaker({ localAs: 65_001, identifier: '192.0.2.1', routesComplete: true });
  speaker.announce('198.51.100.1/32');
});

afterAll(async () => {
  await speaker?.close();
  await peer?.close();
});

/** A session of its own, and the connection that it made. */
async function meet(name: string, options: Partial<PeerOptions> = {}): Promise<[Session, RawConnection]> {
  const session = speaker.addPeer({ address: '127.0.0.1', port, peerAs: 65_002, name, ...options });
  return [session, await peer.connection()];
}

describe('malformed UPDATEs over TCP', () => {
  const counter = { accept: undefined, discard: 'attributesDiscarded', withdraw: 'treatedAsWithdraw' } as const;

  async function tell({ body, outcome }: MalformedUpdate, name: string): Promise<string> {
    const [session, connection] = await meet(name);
    try {
      await connection.establish();
      await session.whenEstablished();
      connection.send(message(2, body), keepalive);
      if (outcome.startsWith('reset')) {
        const said = await connection.notification();
        await connection.when(() => connection.isClosed);
        return `reset ${said}`;
      }
      // What comes after it is still heard.
      const before = session.counters.prefixesIn;
      connection.send(routes('203.0.113.0/24', '203.0.113.128/25'));
      const name = counter[outcome as keyof typeof counter];
      await eventually(
        'what comes after it is heard',
        () => session.counters.prefixesIn >= before + 2 && session.counters.messagesIn.update >= 2,
      );
      const { treatedAsWithdraw, attributesDiscarded, sessionResets } = session.counters;
      const sum = treatedAsWithdraw + attributesDiscarded + sessionResets;
      const isCounted = name === undefined ? sum === 0 : session.counters[name] === 1 && sum === 1;
      return session.state === 'Established' && isCounted
        ? outcome
        : `${session.state} ${JSON.stringify(session.counters)}`;
    } finally {
      connection.socket.destroy();
      await speaker.removePeer(session);
    }
  }

  test('each has the outcome that RFC 7606 wants, and no other session notices', async () => {
    const [witness, connection] = await meet('witness');
    await connection.establish();
    await witness.whenEstablished();
    const cases = [...malformedUpdates, ...lessons];
    for (const [index, one] of cases.entries()) {
      expect([one.section, one.name, await tell(one, `case ${index}`)]).toEqual([one.section, one.name, one.outcome]);
    }
    expect(cases.length).toBeGreaterThan(200);
    expect({ state: witness.state, flaps: witness.counters.flaps }).toEqual({ state: 'Established', flaps: 0 });
    await speaker.removePeer(witness);
  }, 60_000);
});

describe('instead of an OPEN', () => {
  const other = open(65_002);
  const changed = (at: number, ...values: number[]) => {
    const bytes = Uint8Array.from(other);
    bytes.set(values, at);
    return bytes;
  };
  const withParameters = (text: string) => join(...[message(1, join(hex('04fdea005ac0000202'), hex(text)))]);
  test.each<[string, Uint8Array, string]>([
    ['a marker that is wrong', changed(3, 0), '1/1'],
    ['a length below 19', changed(16, 0, 18), '1/2'],
    ['a length above 4096', changed(16, 0x10, 0x01), '1/2'],
    ['an OPEN of 28 bytes', message(1, new Uint8Array(9)), '1/2'],
    ['a KEEPALIVE of 20 bytes', message(4, [0]), '1/2'],
    ['type 0', message(0), '1/3'],
    ['type 6', message(6), '1/3'],
    ['type 255', message(255, new Uint8Array(100)), '1/3'],
    ['version 3', changed(19, 3), '2/1'],
    ['version 5', changed(19, 5), '2/1'],
    ['another AS', open(65_003), '2/2'],
    ['AS 0', withParameters('00').with(20, 0).with(21, 0), '2/2'],
    ['AS 0 in four bytes (RFC 7607)', withParameters('08 0206 4104 00000000'), '2/2'],
    ['identifier 0.0.0.0', open(65_002, { identifier: [0, 0, 0, 0] }), '2/3'],
    ['a hold time of 1 s', open(65_002, { holdTimeSeconds: 1 }), '2/6'],
    ['a hold time of 2 s', open(65_002, { holdTimeSeconds: 2 }), '2/6'],
    ['authentication, which is long gone', withParameters('03 0101 00'), '2/4'],
    ['a parameter that overruns (CVE-2022-40302)', withParameters('04 02ff 4104'), '2/0'],
    ['a capability that overruns (CVE-2022-40318)', withParameters('06 0204 41ff 0000'), '2/0'],
    ['extended parameters that overrun (CVE-2022-43681)', withParameters('ff ff ffff 02'), '2/0'],
    ['extended parameters cut', withParameters('ff ff 00'), '2/0'],
    ['a four-byte AS of two bytes (GHSA-gjrg)', withParameters('06 0204 4102 fdea'), '2/0'],
    ['LLGR of six bytes (CVE-2023-31489)', withParameters('0a 0208 4706 000101800000'), '2/0'],
    ['no family in common', open(65_002, { families: [[1, 4, 0, 25, 0, 70]] }), '2/7'],
    ['a KEEPALIVE', keepalive, '5/1'],
    ['an UPDATE', message(2, [0, 0, 0, 0]), '5/1'],
    ['a ROUTE-REFRESH', message(5, [0, 1, 0, 1]), '5/1'],
  ])('%s', async (name, bytes, expected) => {
    const [session, connection] = await meet(name);
    await connection.message(1);
    connection.send(bytes);
    expect(await connection.notification()).toBe(expected);
    await connection.when(() => connection.isClosed);
    await speaker.removePeer(session);
  });

  test.each<[string, Uint8Array]>([
    ['a software version of no bytes (CVE-2023-46565)', withParameters('0c 020a 4b00 4104 0000fdea 0200')],
    ['an FQDN whose lengths lie', withParameters('0f 020d 4903ffffff 4104 0000fdea 0200')],
    ['unknown capabilities of every length', withParameters('0c 020a c800 c90101 ca00 cb0101')],
    ['many parameters of one capability each', withParameters('10 0206 010400010001 0206 41040000fdea')],
  ])('%s is nothing to stumble over', async (name, bytes) => {
    const [session, connection] = await meet(name);
    await connection.message(1);
    connection.send(bytes, keepalive);
    await session.whenEstablished();
    connection.socket.destroy();
    await speaker.removePeer(session);
  });
});

describe('in an established session', () => {
  test.each<[string, Uint8Array, string]>([
    ['an OPEN', open(65_002), '5/3'],
    ['a BoRR of 24 bytes (RFC 7313)', message(5, [0, 1, 1, 1, 0]), '7/1'],
    ['a ROUTE-REFRESH of 20 bytes', message(5, [0]), '1/2'],
    ['an UPDATE of 22 bytes', message(2, [0, 0, 0]), '1/2'],
    ['a wrong marker', new Uint8Array(19), '1/1'],
  ])('%s ends it', async (name, bytes, expected) => {
    const [session, connection] = await meet(name);
    await connection.establish();
    await session.whenEstablished();
    connection.send(bytes);
    expect(await connection.notification()).toBe(expected);
    await speaker.removePeer(session);
  });

  test.each<[string, Uint8Array]>([
    ['a ROUTE-REFRESH with filters nobody announced (FRR 22828)', message(5, [0, 1, 0, 1, 1, 64, 0, 2, 0x80, 0])],
    ['a ROUTE-REFRESH of subtype 255', message(5, [0, 1, 255, 1])],
    ['a ROUTE-REFRESH of another family', message(5, [0, 25, 0, 70])],
  ])('%s does not', async (name, bytes) => {
    const [session, connection] = await meet(name);
    await connection.establish();
    await session.whenEstablished();
    connection.send(bytes, routes('203.0.113.0/24'));
    await eventually('the route', () => session.counters.prefixesIn === 1);
    expect(session.state).toBe('Established');
    connection.socket.destroy();
    await speaker.removePeer(session);
  });

  test.each([127, 128, 129, 254, 255])(
    'a shutdown text of %i bytes (CVE-2019-16159) is shown, or left out',
    async (length) => {
      for (const claimed of [length, 255]) {
        const [session, connection] = await meet(`text ${length} ${claimed}`);
        await connection.establish();
        await session.whenEstablished();
        connection.send(message(3, [6, 2, claimed, ...new Array<number>(length).fill(0x41)]));
        await eventually('the session is over', () => session.state !== 'Established');
        const shows = session.counters.lastError?.includes('A'.repeat(length)) ?? false;
        expect([claimed, shows]).toEqual([claimed, claimed <= length]);
        await speaker.removePeer(session);
      }
    },
  );

  test('a NOTIFICATION and a reset right behind it: the NOTIFICATION is the reason, every time', async () => {
    for (let round = 0; round < 25; round++) {
      const [session, connection] = await meet(`reset ${round}`);
      await connection.establish();
      await session.whenEstablished();
      connection.socket.write(message(3, [6, 4]), () => connection.socket.resetAndDestroy());
      await eventually('the end', () => session.state !== 'Established');
      expect(session.counters.lastError).toBe('the peer says: cease (6/4): administrative reset');
      await speaker.removePeer(session);
    }
  });
});

test('a peer that repeats a malformed UPDATE waits longer each time', async () => {
  const from = peer.cameAtMs.length;
  const [session, first] = await meet('again and again', { idleHoldSeconds: 1, maximumIdleHoldSeconds: 60 });
  let connection = first;
  for (let round = 0; round < 4; round++) {
    await connection.establish();
    await session.whenEstablished();
    connection.send(message(2, hex('ffff 0000')));
    expect(await connection.notification()).toBe('3/1');
    if (round < 3) connection = await peer.connection();
  }
  const came = peer.cameAtMs.slice(from);
  const waits = came.slice(1).map((at, index) => (at - (came[index] ?? 0)) / 1000);
  // 1, 2 and 4 s, each times 0.75 to 1.
  expect(waits).toHaveLength(3);
  for (const [index, wait] of waits.entries()) {
    expect(wait).toBeGreaterThanOrEqual(0.74 * 2 ** index);
    expect(wait).toBeLessThan(2 ** index + 5);
  }
  expect(session.counters.sessionResets).toBe(4);
  await speaker.removePeer(session);
}, 30_000);

test('bursts of 64 KB cut anywhere: everything is counted, keepalives included', async () => {
  const [session, connection] = await meet('bursts');
  await connection.establish();
  await session.whenEstablished();
  const random = randomNumbers(7);
  const one = join(routes('203.0.113.0/24'), keepalive, message(2, [0, 0, 0, 0]));
  const stream = join(...Array.from({ length: 10_000 }, () => one));
  for (let at = 0; at < stream.length; ) {
    const next = at + 1 + random(65_536);
    if (!connection.socket.write(stream.subarray(at, next)))
      await new Promise((resolve) => connection.socket.once('drain', resolve));
    at = next;
  }
  await eventually('every UPDATE is counted', () => session.counters.messagesIn.update === 20_000);
  expect(session.counters).toMatchObject({ prefixesIn: 10_000, flaps: 0, treatedAsWithdraw: 0 });
  expect(session.counters.messagesIn.keepalive).toBe(10_001);
  connection.socket.destroy();
  await speaker.removePeer(session);
}, 30_000);
