/** What OPENs and other messages brought down elsewhere, and what a session makes of it. UPDATEs: update-lessons.ts. */
import { afterEach, describe, expect, test } from '@jest/globals';
import { hex, join, message } from '../wire-bytes.ts';
import { gracefulRestart, keepalive, notification, open, routes, type ScriptedPeer } from './scripted-peer.ts';
import { closesCleanly, newWorld, type World } from './world.ts';

let world: World;

afterEach(() => closesCleanly(world));

/** An OPEN of AS 65002 with these optional parameters, their length first. */
const withParameters = (text: string) => message(1, join(hex('04 fdea 005a c0000202'), hex(text)));
/** The capabilities that a session needs, and these. */
const withCapabilities = (text: string) => open(65002, { capabilities: [[...hex(text)]] });

/** "2/0", or the state when nobody complained. */
async function answer(peer: ScriptedPeer, state: string): Promise<string> {
  await world.settle();
  const [code, subcode] = peer.notified ?? [];
  return code === undefined ? state : `${code}/${subcode}`;
}

describe('OPEN', () => {
  test.each<[string, Uint8Array, string]>([
    ['CVE-2022-36440: the AS number goes beyond its parameter', withParameters('06 0204 4104 0000'), '2/0'],
    ['CVE-2022-36440: the AS number goes beyond the message', withParameters('04 0202 4104'), '2/0'],
    ['CVE-2022-36440: half the head of a capability is left', withParameters('09 0207 4104 0000fdea 41'), '2/0'],
    ['CVE-2022-36440: half the head of a parameter is left', withParameters('09 0206 4104 0000fdea 02'), '2/0'],
    ['CVE-2023-41361: a software version of 200 bytes', withCapabilities(`4bc8 ff ${'41'.repeat(199)}`), 'Established'],
    ['CVE-2023-41361: a software version longer than its capability', withCapabilities('4b03 40 4141'), 'Established'],
    ['CVE-2025-43971: a software version that says zero', withCapabilities('4b01 00'), 'Established'],
    ['CVE-2023-46565: a software version of no bytes', withCapabilities('4b00'), 'Established'],
    ['a host name of which the lengths lie', withCapabilities('4904 ff4141ff'), 'Established'],
    ['multiprotocol of no bytes', withCapabilities('0100'), '2/0'],
    ['graceful restart of one byte', withCapabilities('4001 00'), '2/0'],
    ['graceful restart with half a family', withCapabilities('4004 0078 0001'), '2/0'],
    ['CVE-2023-31489: long-lived graceful restart with half a family', withCapabilities('4706 000101800000'), '2/0'],
  ])('%s', async (_, bytes, expected) => {
    world = await newWorld();
    const { session, peer } = await world.establish({}, bytes);
    expect(await answer(peer, session.state)).toBe(expected);
  });
});

describe('CAPABILITY messages, which nobody here has announced (draft-ietf-idr-dynamic-cap)', () => {
  test.each<[string, Uint8Array]>([
    ['CVE-2022-37032: nothing', message(6)],
    ['CVE-2022-37032: half the head of a capability', message(6, [0])],
    ['CVE-2022-37032: a capability longer than the message', message(6, [0, 1, 255])],
    ['CVE-2024-31949: multiprotocol of three bytes, again and again', message(6, [0, 1, 3, 0, 1, 0, 0, 1, 3, 0, 1, 0])],
    ['CVE-2024-31949: multiprotocol of no bytes', message(6, [0, 1, 0, 0, 1, 0, 0, 1, 0])],
    ['CVE-2024-31949: graceful restart of one byte', message(6, [0, 64, 1, 0])],
    ['FRR 21602: a software version longer than its capability', message(6, [0, 75, 2, 255, 65])],
    ['FRR 21602: a software version of no bytes', message(6, [0, 75, 0])],
  ])('%s', async (_, bytes) => {
    world = await newWorld();
    // Also of a peer that has announced it itself, in the old and the new way.
    const { peer } = await world.establish({}, withCapabilities('4300 4303 014049'));
    peer.send(bytes);
    await world.settle();
    expect(peer.notified).toEqual([1, 3, 6]);
  });
});

describe('ROUTE-REFRESH with filters, which nobody here has announced (RFC 5291)', () => {
  test.each<[string, readonly number[]]>([
    ['CVE-2023-41360: when to refresh, and no filter', [1]],
    ['CVE-2023-41360: no length of the filters', [1, 64]],
    ['CVE-2023-41360: half a length', [1, 64, 0]],
    ['FRR 22828: filters longer than the message', [1, 64, 255, 255, 0x80]],
    ['FRR 22828: a filter of no bytes', [1, 64, 0, 0]],
    ['FRR 22828: a prefix of 255 bits', [1, 64, 0, 6, 0, 0, 0, 0, 0, 255]],
    ['FRR 22828: an unknown kind of refresh and of filter', [9, 200, 0, 1, 0]],
  ])('%s', async (_, filters) => {
    world = await newWorld({ routesComplete: true });
    world.speaker.announce('10.0.0.0/8');
    const { session, peer } = await world.establish({}, open(65002, { capabilities: [[2, 0]] }));
    peer.send(message(5, [0, 1, 0, 1, ...filters]), routes('203.0.113.0/24'), keepalive);
    expect(await answer(peer, session.state)).toBe('Established');
    expect(session.counters.prefixesIn).toBe(1);
  });
});

// GoBGP read the type of an RTR message, a protocol that is not spoken here, when there were no bytes. BGP's is the 19th.
describe('a message without a type', () => {
  test('CVE-2025-43973: the peer leaves after 18 bytes', async () => {
    world = await newWorld();
    const { session, peer } = await world.establish();
    peer.send(message(2).subarray(0, 18));
    await world.settle();
    expect(session.state).toBe('Established');
    peer.socket.end();
    await world.settle();
    expect([peer.notified, session.counters.lastError]).toEqual([undefined, 'the peer closed the connection']);
  });

  test('CVE-2025-43973: the length ends before it', async () => {
    world = await newWorld();
    const { peer } = await world.establish();
    const header = Uint8Array.of(...new Uint8Array(16).fill(255), 0, 18);
    peer.send(header, keepalive);
    await world.settle();
    expect(peer.notified).toEqual([1, 2, 0, 18]);
  });
});

// FRR looked for the code and subcode within, whatever the length; the report's message has one byte.
describe('a hard reset that does not say why (RFC 8538), where both sides have graceful restart with the N bit', () => {
  test.each<[string, number[]]>([
    ['FRR 20793: a code and no subcode', [6]],
    ['FRR 20793: nothing', []],
  ])('%s', async (_, data) => {
    world = await newWorld();
    const restart = { restartTimeSeconds: 30, restarted: false, forwarding: true };
    const { session, peer } = await world.establish(
      { gracefulRestart: restart },
      open(65002, { capabilities: [gracefulRestart] }),
    );
    expect(session.negotiated?.gracefulRestart?.notification).toBe(true);
    peer.send(notification(6, 9, data));
    await world.settle();
    expect(world.told('down')).toMatchObject([{ text: 'the peer says: cease (6/9): hard reset' }]);
    expect([peer.notified, peer.isEnded]).toEqual([undefined, true]);
  });
});
