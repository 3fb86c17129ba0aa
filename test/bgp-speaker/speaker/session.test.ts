import { afterEach, describe, expect, test } from '@jest/globals';
import type { Session, SpeakerOptions } from '../../../src/bgp-speaker/index.ts';
import { Address } from '../../../src/net/index.ts';
import { message } from '../wire-bytes.ts';
import {
  enhancedRefresh,
  gracefulRestart,
  keepalive,
  notification,
  open,
  routeRefresh,
  routes,
  ScriptedPeer,
} from './scripted-peer.ts';
import { closesCleanly, newWorld, type World } from './world.ts';

let world: World;
async function begin(options: Partial<SpeakerOptions> = {}): Promise<World> {
  world = await newWorld(options);
  return world;
}

afterEach(() => closesCleanly(world));

const refreshRequest = (subtype = 0) => message(5, [0, 1, subtype, 1]);
const endOfRib4 = message(2, [0, 0, 0, 0]);

describe('coming up', () => {
  test('OPEN, KEEPALIVE, then the routes; End-of-RIB only when they are complete', async () => {
    const { speaker, establish, settle } = await begin();
    speaker.announce('198.51.100.0/24');
    const { session, peer } = await establish();
    expect([session.state, peer.types]).toEqual(['Established', [1, 4, 2]]);
    expect(peer.changes).toEqual(['+198.51.100.0/24']);
    speaker.announce('198.51.100.1/32');
    await settle();
    expect(peer.changes).toEqual(['+198.51.100.0/24', '+198.51.100.1/32']);
    speaker.routesComplete();
    await settle();
    expect(
      peer
        .of(2)
        .map((bytes) => bytes.length)
        .slice(-2),
    ).toEqual([23, 29]);
    expect(world.told('end-of-rib').map(({ family }) => family)).toEqual(['ipv4-unicast', 'ipv6-unicast']);
    expect(session.counters).toMatchObject({ prefixesOut: 2, established: 1, messagesOut: { update: 4, open: 1 } });
  });

  test('End-of-RIB goes out even if there is no route, and again on the next session', async () => {
    const { establish, dialled, pass, settle } = await begin({ routesComplete: true });
    const { peer } = await establish();
    expect(peer.of(2)).toHaveLength(2);
    peer.socket.reset();
    await pass(2_000);
    dialled().send(open(), keepalive);
    await settle();
    expect(dialled().of(2)).toHaveLength(2);
  });

  test('a session is established over the connection that the peer makes', async () => {
    const { speaker, transport, settle } = await begin();
    const session = speaker.addPeer({ address: '192.0.2.2', peerAs: 'external', passive: true });
    const peer = new ScriptedPeer(transport.connect('192.0.2.2'));
    await settle();
    expect([session.state, transport.dialled]).toEqual(['OpenSent', []]);
    peer.send(open(), keepalive);
    await settle();
    expect(session.state).toBe('Established');
    await session.whenEstablished();
  });

  test('of two connections, the one of the higher identifier stays', async () => {
    const { speaker, transport, settle, dialled } = await begin();
    const session = speaker.addPeer({ address: '192.0.2.2', peerAs: 65002 });
    await settle();
    const ours = dialled();
    const theirs = new ScriptedPeer(transport.connect('192.0.2.2'));
    await settle();
    // 192.0.2.2 is higher than 192.0.2.1.
    ours.send(open());
    theirs.send(open());
    await settle();
    expect([ours.notified, theirs.notified]).toEqual([[6, 7], undefined]);
    theirs.send(keepalive);
    await settle();
    expect([session.state, ours.isEnded, theirs.isEnded]).toEqual(['Established', true, false]);
  });

  test('an attempt that hangs is given up for another; a refused one is repeated after the retry time', async () => {
    const { speaker, transport, pass, settle } = await begin();
    transport.answer = 'hang';
    const session = speaker.addPeer({ address: '192.0.2.2', peerAs: 65002, connectRetrySeconds: 5 });
    await settle();
    expect(session.state).toBe('Connect');
    transport.answer = 'refuse';
    await pass(5_000);
    expect([transport.dialled.length, transport.dialled[0]?.signal.aborted]).toEqual([2, true]);
    expect(session.state).toBe('Active');
    expect(session.counters).toMatchObject({ failures: 1, lastError: '192.0.2.2 refused' });
    await pass(5_000);
    expect(transport.dialled).toHaveLength(3);
  });

  test('without a hold time, too, a peer that opens and says no more is given up, once the session is up it may be silent', async () => {
    const { speaker, dialled, settle, pass } = await begin();
    const options = { address: '192.0.2.2', peerAs: 65002, holdTimeSeconds: 0, openHoldSeconds: 30 };
    const session = speaker.addPeer(options);
    await settle();
    const hung = dialled();
    hung.send(open());
    await pass(29_000);
    expect([session.state, hung.notified]).toEqual(['OpenConfirm', undefined]);
    await pass(2_000);
    expect([hung.notified, hung.isEnded]).toEqual([[4, 0], true]);
    await pass(1_000);
    expect(dialled()).not.toBe(hung);
    dialled().send(open(), keepalive);
    await pass(600_000);
    expect([session.state, session.counters.flaps]).toEqual(['Established', 0]);
  });

  test.each([
    ['another AS number', open(65009), [2, 2]],
    ['our own identifier in our AS', open(65001, { identifier: [192, 0, 2, 1] }), [2, 3]],
    ['a hold time of 2', open(65002, { holdTimeSeconds: 2 }), [2, 6]],
    ['version 3', message(1, [3, 0xfd, 0xea, 0, 90, 192, 0, 2, 2, 0]), [2, 1, 0, 4]],
    ['no OPEN but a KEEPALIVE', keepalive, [5, 1, 4]],
    ['no OPEN but routes', routes('10.0.0.0/8'), [5, 1, 2]],
    ['HTTP', new TextEncoder().encode('GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n'), [1, 1]],
    ['a length of 18', Uint8Array.of(...new Uint8Array(16).fill(255), 0, 18, 4), [1, 2, 0, 18]],
    ['a length of 5000', Uint8Array.of(...new Uint8Array(16).fill(255), 19, 136, 2), [1, 2, 19, 136]],
    ['type 9', message(9), [1, 3, 9]],
  ])('%s is answered with the right NOTIFICATION, and damped', async (_, bytes, notified) => {
    const { speaker, transport, dialled, settle, pass } = await begin();
    const ownAs = notified[1] === 3;
    const session = speaker.addPeer({ address: '192.0.2.2', peerAs: ownAs ? 'internal' : 65002 });
    await settle();
    const peer = dialled();
    peer.send(bytes);
    await settle();
    expect(peer.notified?.slice(0, notified.length)).toEqual(notified);
    expect(session.state).toBe('Idle');
    expect(peer.isEnded).toBe(true);
    expect(session.counters).toMatchObject({ failures: 1, established: 0 });
    const before = transport.dialled.length;
    await pass(900);
    expect(transport.dialled).toHaveLength(before);
    await pass(200);
    expect(transport.dialled).toHaveLength(before + 1);
  });

  test('a peer that keeps sending a malformed UPDATE waits twice as long each time', async () => {
    const { speaker, transport, settle, clock } = await begin();
    const bad = message(2, [0, 9, 0, 0]);
    transport.onDial = (socket) => {
      const peer = new ScriptedPeer(socket);
      peer.send(open(), keepalive, bad);
    };
    const session = speaker.addPeer({ address: '192.0.2.2', peerAs: 65002, maximumIdleHoldSeconds: 16 });
    const times: number[] = [];
    let seen = 0;
    while (times.length < 7) {
      await settle();
      if (transport.dialled.length > seen) times.push(clock.monotonicMs() / 1000);
      seen = transport.dialled.length;
      await clock.advance(1000);
    }
    expect(times.map((time, index) => time - (times[index - 1] ?? 0))).toEqual([0, 1, 2, 4, 8, 16, 16]);
    expect(session.counters).toMatchObject({ flaps: 7, sessionResets: 7, established: 7 });
    expect(session.counters.lastError).toBe(
      'ended here: UPDATE message error (3/1): malformed attribute list; UPDATE: the withdrawn routes end after the message',
    );
  });

  test.each(['OpenSent', 'OpenConfirm', 'Established'] as const)(
    'a reset in %s ends in another attempt',
    async (state) => {
      const { speaker, transport, settle, pass, dialled } = await begin();
      const session = speaker.addPeer({ address: '192.0.2.2', peerAs: 65002 });
      await settle();
      if (state !== 'OpenSent') dialled().send(open());
      if (state === 'Established') dialled().send(keepalive);
      await settle();
      expect(session.state).toBe(state);
      dialled().socket.reset();
      await settle();
      expect(['Idle', 'Active']).toContain(session.state);
      expect(session.counters.lastError).toBe('the peer reset the connection (ECONNRESET)');
      await pass(11_000);
      expect(transport.dialled).toHaveLength(2);
    },
  );

  test('an OPEN cut into single bytes is read', async () => {
    const { speaker, dialled, settle } = await begin();
    const session = speaker.addPeer({ address: '192.0.2.2', peerAs: 65002 });
    await settle();
    for (const byte of [...open(), ...keepalive]) dialled().send(Uint8Array.of(byte));
    await settle();
    expect(session.state).toBe('Established');
  });
});

describe('staying up', () => {
  test('keepalives at a third of the hold time; a silent peer is told 4/0 when it is over', async () => {
    const { establish, pass } = await begin();
    const { session, peer } = await establish({ holdTimeSeconds: 9 });
    await pass(7_000);
    expect(peer.types).toEqual([1, 4, 4, 4]);
    await pass(1_500);
    expect(session.state).toBe('Established');
    await pass(1_000);
    expect(peer.notified).toEqual([4, 0]);
    expect(session.state).toBe('Idle');
    expect(session.counters).toMatchObject({ flaps: 1, lastError: 'ended here: hold timer expired (4/0)' });
  });

  test('what waits in the kernel when the hold timer fires late saves the session', async () => {
    const { establish, clock, settle } = await begin();
    const { session, peer } = await establish({ holdTimeSeconds: 9 });
    await clock.advance(9_100);
    // The timer has fired; what the peer sent before is read in this turn of the event loop.
    peer.send(keepalive);
    await settle();
    expect(session.state).toBe('Established');
  });

  test('a hold time of 0 has no keepalives and no end', async () => {
    const { establish, pass } = await begin();
    const { session, peer } = await establish({ holdTimeSeconds: 0 });
    await pass(600_000);
    expect([session.state, peer.types]).toEqual(['Established', [1, 4]]);
  });

  test('received routes are counted and dropped, malformed ones told with the whole message', async () => {
    const { establish, settle, told } = await begin();
    const { session, peer } = await establish();
    const noOrigin = message(2, [0, 0, 0, 0, 8, 10]);
    peer.send(routes('10.0.0.0/8', '10.1.0.0/16'), noOrigin, endOfRib4);
    await settle();
    expect(session.state).toBe('Established');
    expect(session.counters).toMatchObject({ prefixesIn: 3, treatedAsWithdraw: 1, messagesIn: { update: 3 } });
    const [event] = told('malformed-update');
    expect(event).toMatchObject({ action: 'treat-as-withdraw', message: noOrigin, unreported: 0 });
    expect(told('end-of-rib')).toMatchObject([{ direction: 'in', family: 'ipv4-unicast' }]);
  });

  test('of many malformed UPDATEs ten a second are told', async () => {
    const { establish, settle, told, pass } = await begin();
    const { session, peer } = await establish();
    const bad = message(2, [0, 0, 0, 0, 8, 10]);
    for (let count = 0; count < 50; count++) peer.send(bad);
    await settle();
    expect(told('malformed-update')).toHaveLength(10);
    await pass(1_000);
    peer.send(bad);
    await settle();
    expect(told('malformed-update').at(-1)).toMatchObject({ unreported: 40 });
    expect(session.counters.treatedAsWithdraw).toBe(51);
  });

  test('a peer that floods End-of-RIB and ROUTE-REFRESH does not drown other events', async () => {
    const { establish, settle, told, events, speaker } = await begin();
    speaker.announce('10.0.0.0/8');
    const { session, peer } = await establish({}, open(65002, { capabilities: [routeRefresh] }));
    const before = events.length;
    for (let count = 0; count < 500; count++) peer.send(endOfRib4, refreshRequest());
    await settle();
    expect(session.counters.messagesIn).toMatchObject({ update: 500, routeRefresh: 500 });
    expect([told('end-of-rib').length, told('refresh-requested').length]).toEqual([1, 10]);
    expect(events.length - before).toBe(11);
  });

  test('ROUTE-REFRESH: the routes again; with RFC 7313 between BoRR and EoRR', async () => {
    const { speaker, establish, settle } = await begin({ routesComplete: true });
    speaker.announce('10.0.0.0/8');
    const { peer } = await establish({}, open(65002, { capabilities: [routeRefresh] }));
    const enhanced = await establish(
      { address: '192.0.2.3' },
      open(65002, { identifier: [192, 0, 2, 3], capabilities: [routeRefresh, enhancedRefresh] }),
    );
    const before = [peer.messages.length, enhanced.peer.messages.length];
    peer.send(refreshRequest());
    enhanced.peer.send(refreshRequest());
    await settle();
    expect(peer.messages.slice(before[0]).map(({ type }) => type)).toEqual([2]);
    const answer = enhanced.peer.messages.slice(before[1]);
    expect(answer.map(({ type }) => type)).toEqual([5, 2, 5]);
    expect([answer[0]?.bytes[21], answer[2]?.bytes[21]]).toEqual([1, 2]);
    expect(enhanced.peer.changes).toEqual(['+10.0.0.0/8', '+10.0.0.0/8']);
  });

  test('before End-of-RIB a refresh has no BoRR, after which the peer would drop what is not there yet', async () => {
    const { speaker, establish, settle } = await begin();
    speaker.announce('10.0.0.0/8');
    const { peer } = await establish({}, open(65002, { capabilities: [routeRefresh, enhancedRefresh] }));
    peer.send(refreshRequest());
    await settle();
    expect(peer.types).toEqual([1, 4, 2, 2]);
  });

  test.each([
    ['a ROUTE-REFRESH of a family not spoken', message(5, [0, 25, 0, 70])],
    ['an unknown subtype', refreshRequest(77)],
    ['BoRR', refreshRequest(1)],
  ])('%s changes nothing', async (_, bytes) => {
    const { establish, settle } = await begin();
    const { session, peer } = await establish({}, open(65002, { capabilities: [routeRefresh, enhancedRefresh] }));
    const before = peer.messages.length;
    peer.send(bytes);
    await settle();
    expect([session.state, peer.messages.length]).toEqual(['Established', before]);
  });

  test('a NOTIFICATION is shown with its text, and damped', async () => {
    const { establish, settle, told } = await begin();
    const { session, peer } = await establish();
    peer.send(notification(6, 2, [5, ...new TextEncoder().encode('lunch')]));
    peer.socket.reset();
    await settle();
    expect(session.state).toBe('Idle');
    expect(told('down')).toMatchObject([{ text: 'the peer says: cease (6/2): administrative shutdown "lunch"' }]);
  });
});

test('a peer that has forgotten the session and connects anew is not kept waiting for our next keepalive', async () => {
  const { establish, transport, settle, pass, dialled } = await begin();
  const { session, peer } = await establish();
  const read = peer.types.length;
  const again = new ScriptedPeer(transport.connect('192.0.2.2'));
  again.send(open());
  await settle();
  // RFC 4271 section 6.8: the established one stays, and is asked whether it is alive.
  expect([again.notified, peer.types.slice(read)]).toEqual([[6, 7], [4]]);
  expect(session.state).toBe('Established');
  // Its kernel knows nothing of it.
  peer.socket.reset();
  await settle();
  await pass(1_000);
  dialled().send(open(), keepalive);
  await settle();
  expect([session.state, session.counters.lastError]).toEqual([
    'Established',
    'the peer reset the connection (ECONNRESET)',
  ]);
});

describe('a peer that takes nothing', () => {
  const attributes = { nextHop: Address.parse('192.0.2.1') };

  test('is not sent more than a buffer of routes, gets the rest when it reads again, and never what was withdrawn', async () => {
    const { speaker, transport, dialled, settle } = await begin({ routesComplete: true });
    for (let index = 0; index < 100_000; index++) {
      speaker.announce(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}/32`, attributes);
    }
    const session = speaker.addPeer({ address: '192.0.2.2', peerAs: 65002 });
    await settle();
    const peer = dialled();
    const { socket } = transport.dialled[0] ?? {};
    socket?.setWindow(0);
    peer.send(open(), keepalive);
    await settle();
    const sent = session.counters.bytesOut;
    expect(sent).toBeLessThan(300_000);
    speaker.withdraw('10.1.134.159/32');
    speaker.announce('192.0.2.128/25', attributes);
    await settle();
    expect(session.counters.bytesOut).toBe(sent);
    expect([session.isInStep, session.state]).toEqual([false, 'Established']);
    socket?.setWindow(1_000_000);
    for (let round = 0; round < 30; round++) await settle();
    await session.whenInStep();
    expect(peer.changes).toContain('+192.0.2.128/25');
    expect(peer.changes).not.toContain('+10.1.134.159/32');
    expect(new Set(peer.changes).size).toBe(100_000);
    expect(session.counters.prefixesOut).toBe(100_000);
  });

  test('is ended by the send hold timer (RFC 9687) although it sends keepalives', async () => {
    const { speaker, establish, pass, transport } = await begin();
    const { session, peer } = await establish({ holdTimeSeconds: 30, sendHoldSeconds: 60 });
    transport.dialled[0]?.socket?.setWindow(0);
    for (let second = 0; second < 59; second += 1) {
      peer.send(keepalive);
      if (second === 1) speaker.announce('10.0.0.0/8', attributes);
      await pass(1_000);
    }
    expect(session.state).toBe('Established');
    await pass(3_000);
    expect(session.counters.flaps).toBe(1);
    expect(session.counters.lastError).toBe('ended here: send hold timer expired (8/0)');
  });

  test('that takes a large write bit by bit is slow, not silent', async () => {
    const { speaker, establish, pass, transport } = await begin();
    const { session, peer } = await establish({ holdTimeSeconds: 9, sendHoldSeconds: 10 });
    const socket = transport.dialled[0]?.socket;
    socket?.setWindow(0);
    const kernel = socket?.other?._handle;
    const keepAlive = async (seconds: number, taken: number) => {
      for (let second = 0; second < seconds; second += 1) {
        peer.send(keepalive);
        if (kernel) kernel.writeQueueSize -= taken;
        await pass(1_000);
      }
    };
    speaker.announce('10.0.0.0/8', attributes);
    await keepAlive(30, 1);
    expect([session.state, session.counters.flaps]).toEqual(['Established', 0]);
    await keepAlive(21, 0);
    expect(session.counters).toMatchObject({
      flaps: 1,
      lastError: 'ended here: send hold timer expired (8/0)',
    });
  });

  test('is not late when nothing waits for it, though we stood still for longer than its time', async () => {
    const { establish, settle, clock, transport } = await begin();
    const { session, peer } = await establish({ holdTimeSeconds: 4, sendHoldSeconds: 5 });
    // A socket that does not say how much the kernel has taken.
    const kernel = transport.dialled[0]?.socket?.other?._handle ?? {};
    Object.defineProperty(kernel, 'bytesWritten', { get: () => undefined, set: () => {} });
    for (const atMs of [3_000, 6_000, 9_000]) clock.setTimer(atMs, () => peer.send(keepalive));
    await clock.advance(11_000);
    await settle();
    expect([session.state, session.counters.flaps]).toEqual(['Established', 0]);
  });
});

describe('ending', () => {
  test('stop says Cease/2 with the text and refuses the peer; start comes back', async () => {
    const { establish, settle, transport, dialled } = await begin();
    const { session, peer } = await establish({ shutdownText: 'new cables' });
    session.stop();
    await settle();
    expect(peer.notified).toEqual([6, 2, 10, ...new TextEncoder().encode('new cables')]);
    expect(peer.isEnded).toBe(true);
    const caller = new ScriptedPeer(transport.connect('192.0.2.2'));
    await settle();
    expect([caller.notified, caller.isEnded]).toEqual([[6, 5], true]);
    session.start();
    await settle();
    dialled().send(open(), keepalive);
    await settle();
    expect(session.state).toBe('Established');
  });

  test('with the N bit on both sides stop is a hard reset, and closing for a restart has no word', async () => {
    const { establish, settle, speaker } = await begin({ routesComplete: true });
    const restart = { restartTimeSeconds: 30, restarted: true, forwarding: true };
    const first = await establish({ gracefulRestart: restart }, open(65002, { capabilities: [gracefulRestart] }));
    first.session.stop({ text: '' });
    await settle();
    expect(first.peer.notified).toEqual([6, 9, 6, 2]);
    const second = await establish(
      { address: '192.0.2.3', gracefulRestart: restart },
      open(65002, { identifier: [192, 0, 2, 3], capabilities: [gracefulRestart] }),
    );
    const closed = speaker.close({ mode: 'graceful-restart' });
    await settle();
    await closed;
    expect([second.peer.notified, second.peer.isEnded]).toEqual([undefined, true]);
  });

  test('the R bit goes out until the routes were sent once, or the restart time is over', async () => {
    const { speaker, establish, settle, pass, dialled } = await begin();
    const restart = { restartTimeSeconds: 30, restarted: true, forwarding: true };
    const flags = (peer: ScriptedPeer) => {
      const bytes = peer.of(1)[0] ?? Buffer.alloc(0);
      const at = bytes.indexOf(Buffer.of(64, 10));
      return (bytes[at + 2] ?? 0) >> 4;
    };
    const { peer } = await establish({ gracefulRestart: restart }, open(65002, { capabilities: [gracefulRestart] }));
    expect(flags(peer)).toBe(0b1100);
    peer.socket.reset();
    await pass(2_000);
    expect(flags(dialled())).toBe(0b1100);
    dialled().send(open(65002, { capabilities: [gracefulRestart] }), keepalive);
    speaker.routesComplete();
    await settle();
    dialled().socket.reset();
    await pass(3_000);
    expect(flags(dialled())).toBe(0b0100);
    const late = speaker.addPeer({ address: '192.0.2.3', peerAs: 65003, disabled: true, gracefulRestart: restart });
    await pass(31_000);
    late.start();
    await settle();
    expect(flags(dialled())).toBe(0b0100);
  });

  test('BFD down ends the session with Cease/10 and starts over; admin-down ends nothing', async () => {
    const { establish, settle, transport } = await begin();
    const { session, peer } = await establish();
    session.bfd('admin-down');
    session.bfd('up');
    await settle();
    expect(session.state).toBe('Established');
    session.bfd('down');
    await settle();
    expect([peer.notified, transport.dialled.length]).toEqual([[6, 10], 2]);
  });

  test.each([
    ['BFD down', (session: Session) => session.bfd('down'), [6, 9, 6, 10]],
    ['BFD down, softly', (session: Session) => session.bfd('down', { hardReset: false }), [6, 10]],
    ['reset', (session: Session) => session.reset(), [6, 4]],
    ['a hard reset', (session: Session) => session.reset({ hardReset: true, text: 'x' }), [6, 9, 6, 4, 1, 120]],
  ])('with the N bit on both sides, %s', async (_, end, notified) => {
    const { establish, settle, transport } = await begin();
    const restart = { restartTimeSeconds: 30, restarted: false, forwarding: true };
    const capabilities = [gracefulRestart];
    const { session, peer } = await establish({ gracefulRestart: restart }, open(65002, { capabilities }));
    end(session);
    await settle();
    expect([peer.notified, transport.dialled.length]).toEqual([notified, 2]);
  });

  test('drain: again with GRACEFUL_SHUTDOWN, withdrawn after the wait, then Cease/2', async () => {
    const { speaker, establish, settle, pass, told } = await begin({ routesComplete: true });
    speaker.announce('10.0.0.0/8', { communities: [0xfde9_0001] });
    speaker.announce('10.0.0.0/16');
    const { session, peer } = await establish();
    const before = peer.of(2).length;
    const drained = session.drain({ waitMs: 3_000, text: 'bye' });
    await settle();
    const again = peer.of(2).slice(before);
    expect(again.map((bytes) => bytes.includes(Buffer.of(0xff, 0xff, 0, 0)))).toEqual([true, true]);
    expect(peer.changes.slice(-2).sort()).toEqual(['+10.0.0.0/16', '+10.0.0.0/8']);
    // News during the wait carry it too.
    speaker.announce('10.0.0.0/24');
    await pass(2_900);
    expect(peer.changes.at(-1)).toBe('+10.0.0.0/24');
    expect(session.state).toBe('Established');
    await pass(200);
    await drained;
    expect(peer.changes.slice(-3).sort()).toEqual(['-10.0.0.0/16', '-10.0.0.0/24', '-10.0.0.0/8']);
    expect(peer.notified).toEqual([6, 2, 3, 98, 121, 101]);
    expect(told('drain').map(({ step }) => step)).toEqual(['graceful-shutdown', 'withdrawn', 'ended']);
    session.start();
    await settle();
    const next = world.dialled();
    next.send(open(), keepalive);
    await settle();
    expect(next.of(2).some((bytes) => bytes.includes(Buffer.of(0xff, 0xff, 0, 0)))).toBe(false);
  });

  test.each([Number.POSITIVE_INFINITY, Number.NaN, -1, 3_600_001])(
    'a wait of %d ms is refused, and nothing ends',
    async (waitMs) => {
      const { speaker, establish, settle } = await begin();
      const { session } = await establish();
      await expect(session.drain({ waitMs })).rejects.toThrow(`waitMs: ${waitMs}: give 0 to 3600000 ms`);
      await expect(speaker.close({ mode: 'drain', waitMs })).rejects.toThrow('waitMs');
      await settle();
      expect(session.state).toBe('Established');
    },
  );

  test('a drain ends when the session does', async () => {
    const { establish, settle } = await begin();
    const { session, peer } = await establish();
    const drained = session.drain({ waitMs: 60_000 });
    await settle();
    peer.socket.reset();
    await settle();
    await drained;
    expect(session.state).toBe('Idle');
  });

  test('a drain that is aborted, or whose peer takes nothing, ends all the same', async () => {
    const { speaker, establish, settle, transport, pass } = await begin();
    speaker.announce('10.0.0.0/8');
    const first = await establish();
    const abort = new AbortController();
    const aborted = expect(first.session.drain({ signal: abort.signal })).rejects.toThrow('enough');
    await settle();
    abort.abort(new Error('enough'));
    await aborted;
    await settle();
    expect([first.session.state, first.peer.notified]).toEqual(['Idle', [6, 2]]);
    const second = await establish({ address: '192.0.2.3' }, open(65002, { identifier: [192, 0, 2, 3] }));
    transport.dialled.at(-1)?.socket?.setWindow(0);
    const drained = second.session.drain({ mode: 'withdraw' });
    await pass(2_500);
    await drained;
    expect(second.session.state).toBe('Idle');
  });
});
