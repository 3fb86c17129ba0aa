/** RFC 8654: messages of more than 4096 bytes, where both sides have said so, and only there. */
import { afterEach, describe, expect, test } from '@jest/globals';
import type { SpeakerOptions } from '../../../src/bgp-speaker/index.ts';
import { longUpdates } from '../long-updates.ts';
import { asPath, attribute, message, nextHop, origin, prefix4, update } from '../wire-bytes.ts';
import { keepalive, open, ScriptedPeer } from './scripted-peer.ts';
import { closesCleanly, newWorld, type World } from './world.ts';

let world: World;
async function begin(options: Partial<SpeakerOptions> = {}): Promise<World> {
  world = await newWorld(options);
  return world;
}

afterEach(() => closesCleanly(world));

const extendedMessage = [6, 0];
const extended = open(65002, { capabilities: [extendedMessage] });
/** An UPDATE with one route and an attribute that makes it so many bytes long. */
const long = (bytes: number) => {
  const unknown = attribute(0xd0, 99, new Uint8Array(bytes - 19 - 4 - 20 - 4 - 4));
  const made = message(2, update({ attributes: [origin, asPath, nextHop, unknown], nlri: [prefix4('10.0.0.0/24')] }));
  expect(made).toHaveLength(bytes);
  return made;
};
const communities = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('sending', () => {
  test('attributes that take more than 4096 bytes go to the peer that has said so; the other is told without', async () => {
    const { speaker, establish, told, settle } = await begin();
    const wide = await establish({ extendedMessages: true }, extended);
    const narrow = await establish(
      { address: '192.0.2.3', extendedMessages: true },
      open(65002, { identifier: [192, 0, 2, 3] }),
    );
    speaker.announce('10.0.0.0/8', { communities: communities(2000) });
    speaker.announce('10.1.0.0/16');
    await settle();
    expect(wide.peer.changes).toEqual(['+10.0.0.0/8', '+10.1.0.0/16']);
    expect(wide.peer.of(2).map((bytes) => bytes.length > 8000)).toEqual([true, false]);
    expect(narrow.peer.changes).toEqual(['+10.1.0.0/16']);
    expect(told('unsendable')).toMatchObject([{ peer: '192.0.2.3', prefixes: 1, text: expect.stringMatching(/4096/) }]);
    // Shorter, they are for both.
    speaker.announce('10.0.0.0/8', { communities: communities(20) });
    await settle();
    expect(narrow.peer.changes.at(-1)).toBe('+10.0.0.0/8');
  });

  test('many routes take messages of up to 65535 bytes, and not one byte more than 4096 without', async () => {
    const { speaker, establish, settle } = await begin();
    const lengths: number[][] = [];
    for (let index = 0; index < 30_000; index++) speaker.announce(`10.${index >> 8}.${index & 255}.0/24`);
    for (const [last, opened] of [
      [2, extended],
      [3, open(65002, { identifier: [192, 0, 2, 3] })],
    ] as const) {
      const { session, peer } = await establish({ address: `192.0.2.${last}`, extendedMessages: true }, opened);
      while (!session.isInStep) await settle();
      lengths.push(peer.of(2).map((bytes) => bytes.length));
      expect(new Set(peer.changes).size).toBe(30_000);
    }
    const [wide = [], narrow = []] = lengths;
    // A window of 16,384 routes is a little more than a message.
    expect([wide.length, Math.max(...wide) > 65_500, Math.max(...wide) <= 65_535]).toEqual([3, true, true]);
    expect([narrow.length, Math.max(...narrow) <= 4096]).toEqual([31, true]);
  });
});

describe('receiving', () => {
  test('where both have said so, up to 65535 bytes are one UPDATE', async () => {
    const { establish, settle } = await begin();
    const { session, peer } = await establish({ extendedMessages: true }, extended);
    peer.send(long(4097), long(8192), long(65_535), keepalive);
    await settle();
    expect(session.counters).toMatchObject({ prefixesIn: 3, bytesIn: expect.any(Number) });
    expect([session.state, session.counters.messagesIn.update, peer.notified]).toEqual(['Established', 3, undefined]);
  });

  test.each(longUpdates)('$section: $name: $outcome', async ({ body, outcome }) => {
    const { establish, settle } = await begin();
    const { session, peer } = await establish({ extendedMessages: true }, extended);
    peer.send(message(2, body), keepalive);
    await settle();
    const { treatedAsWithdraw, attributesDiscarded, sessionResets } = session.counters;
    expect([treatedAsWithdraw, attributesDiscarded]).toEqual([outcome === 'withdraw' ? 1 : 0, 0]);
    expect(sessionResets).toBe(outcome.startsWith('reset') ? 1 : 0);
    // The NOTIFICATION shows the attribute, cut where it does not fit 4096 bytes.
    const said = peer.of(3)[0];
    expect(said === undefined ? session.state : `reset ${said[19]}/${said[20]}`).toBe(
      sessionResets > 0 ? outcome : 'Established',
    );
    expect(said?.length ?? 0).toBeLessThanOrEqual(4096);
  });

  test.each<[string, boolean, Uint8Array]>([
    ['we have not', false, extended],
    ['the peer has not', true, open()],
    ['nobody has', false, open()],
  ])('where %s said so, 4096 bytes are the end', async (_, extendedMessages, opened) => {
    const { establish, settle } = await begin();
    const { session, peer } = await establish({ extendedMessages }, opened);
    peer.send(long(4096));
    await settle();
    expect([session.state, session.counters.prefixesIn]).toEqual(['Established', 1]);
    peer.send(long(4097));
    await settle();
    expect(peer.notified).toEqual([1, 2, 0x10, 0x01]);
  });

  test('an OPEN and a KEEPALIVE never grow, nor does anything before the OPEN', async () => {
    const { speaker, settle, transport, establish } = await begin();
    const passive = { address: '192.0.2.9', peerAs: 65002, passive: true, extendedMessages: true };
    speaker.addPeer(passive);
    const early = new ScriptedPeer(transport.connect('192.0.2.9'));
    early.send(long(4097));
    await settle();
    expect(early.notified?.slice(0, 2)).toEqual([1, 2]);
    const { peer } = await establish({ extendedMessages: true }, extended);
    peer.send(message(4, new Uint8Array(5000)));
    await settle();
    expect(peer.notified?.slice(0, 2)).toEqual([1, 2]);
  });

  test('the next session is as its own OPEN says', async () => {
    const { establish, dialled, pass, settle, speaker } = await begin();
    const { session, peer } = await establish({ extendedMessages: true }, extended);
    speaker.announce('10.0.0.0/8', { communities: communities(2000) });
    await settle();
    peer.socket.reset();
    await pass(2_000);
    dialled().send(open(), keepalive);
    await settle();
    expect([session.state, session.counters.prefixesOut]).toEqual(['Established', 0]);
    dialled().send(long(4097));
    await settle();
    expect(dialled().notified).toEqual([1, 2, 0x10, 0x01]);
  });
});
