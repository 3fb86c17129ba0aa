/** A speaker with a clock and a network of the test's own. */
import { expect } from '@jest/globals';
import { ManualClock } from '../../../src/base/index.ts';
import type { PeerOptions, SpeakerEvent, SpeakerOptions } from '../../../src/bgp-speaker/index.ts';
import { type BgpSpeaker, createSpeaker, type Session } from '../../../src/bgp-speaker/index.ts';
import { MemoryTransport } from './memory-transport.ts';
import { keepalive, open, ScriptedPeer } from './scripted-peer.ts';

export interface World {
  clock: ManualClock;
  transport: MemoryTransport;
  speaker: BgpSpeaker;
  events: SpeakerEvent[];
  /** Lets everything happen that needs no time. */
  settle(): Promise<void>;
  /** Lets time pass, in steps of at most a second. */
  pass(ms: number): Promise<void>;
  /** The far end of the last connection that the speaker made. */
  dialled(): ScriptedPeer;
  /** A session at the state Established, and the peer. */
  establish(options?: Partial<PeerOptions>, opened?: Uint8Array): Promise<{ session: Session; peer: ScriptedPeer }>;
  /** Events of a type, without time. */
  told<Type extends SpeakerEvent['type']>(type: Type): Extract<SpeakerEvent, { type: Type }>[];
}

export async function newWorld(options: Partial<SpeakerOptions> = {}): Promise<World> {
  const clock = new ManualClock();
  const transport = new MemoryTransport();
  const speaker = await createSpeaker({
    localAs: 65001,
    identifier: '192.0.2.1',
    listen: [{ address: '192.0.2.1' }],
    transport,
    clock,
    // Timers with jitter run their full time.
    random: () => 1,
    ...options,
  });
  const events: SpeakerEvent[] = [];
  const reader = speaker.events({ buffer: 10_000 });
  void (async () => {
    for await (const event of reader) events.push(event);
  })();
  const peers: ScriptedPeer[] = [];
  transport.onDial = (socket) => void peers.push(new ScriptedPeer(socket));
  const settle = async () => {
    for (let turn = 0; turn < 12; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 1000) {
      await clock.advance(Math.min(1000, left));
      await settle();
    }
  };
  const dialled = () => {
    const last = peers.at(-1);
    if (!last) throw new Error('the speaker has connected to nobody');
    return last;
  };
  return {
    clock,
    transport,
    speaker,
    events,
    settle,
    pass,
    dialled,
    async establish(peerOptions = {}, opened = open()) {
      const where = peerOptions.interface === undefined ? { address: '192.0.2.2' } : {};
      const session = speaker.addPeer({ ...where, peerAs: 65002, ...peerOptions });
      await settle();
      const peer = dialled();
      peer.send(opened, keepalive);
      await settle();
      return { session, peer };
    },
    told: (type) => events.filter((event) => event.type === type) as never,
  };
}

/** Whatever happened, a closed speaker leaves no timer. */
export async function closesCleanly(world: World): Promise<void> {
  const closed = world.speaker.close();
  await world.settle();
  await world.pass(1000);
  await closed;
  expect(world.clock.pendingTimers).toBe(0);
}
