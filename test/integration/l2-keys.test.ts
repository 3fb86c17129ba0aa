import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { silentLogger } from '../../src/base/index.ts';
import { WireWorker } from '../../src/speaker/wire.ts';
import { eventually } from '../eventually.ts';
import { type Prober, SpeakerLan } from './l2/speaker-lan.ts';
import { namespacesUnavailable } from './namespaces.ts';

const friends = ['node-a', 'node-b'];
const names = [...friends, 'stranger'];
const vip = '192.0.2.100';
const key = 'the key that all share';
const nextKey = 'the key that comes after';

const unavailable = namespacesUnavailable();
const suite = unavailable === undefined ? describe : describe.skip;
if (unavailable !== undefined) console.warn(`keys of speakers are not tested: ${unavailable}`);

suite('the key that speakers share', () => {
  let lan: SpeakerLan;
  let prober: Prober;

  beforeAll(async () => {
    lan = new SpeakerLan(names, (name) => ({
      key: name === 'stranger' ? 'another key entirely' : key,
      heartbeatMs: 200,
    }));
    prober = lan.prober('client', [vip]);
    await Promise.all(friends.map((name) => lan.speaker(name).start()));
    for (const name of friends) lan.speaker(name).assign([{ address: vip, eligibleNodes: names }]);
    await eventually('one owner', async () => (await owners()).length === 1);
  }, 60_000);

  afterAll(async () => {
    await prober?.close();
    await lan?.close();
  }, 60_000);

  async function owners(): Promise<string[]> {
    await prober.take(vip);
    await sleep(200);
    return (await prober.take(vip)).answerers.map((mac) => lan.hostOf(mac));
  }

  test('who has another key claims nothing that somebody answers for, and says so', async () => {
    const before = await owners();
    await lan.speaker('stranger').start();
    lan.speaker('stranger').assign([{ address: vip, eligibleNodes: names }]);
    const code = () => lan.speaker('stranger').reports.get(vip)?.[0]?.reason.code;
    await eventually('the stranger tells that the address is in use', async () => code() === 'AddressInUse');
    expect(await owners()).toEqual(before);
    const { segments } = await lan.speaker('stranger').status();
    expect(segments[0]?.peers).toEqual([]);
    expect(segments[0]?.counters.unauthenticated).toBeGreaterThan(0);
    await lan.speaker('stranger').kill();
  }, 60_000);

  test('is replaced node by node, in any order, and nothing moves', async () => {
    const before = await owners();
    await prober.take(vip);
    const [first = '', second = ''] = friends;
    lan.speaker(second).setKeys(nextKey, key);
    await sleep(800);
    lan.speaker(first).setKeys(nextKey, key);
    await sleep(800);
    lan.speaker(first).setKeys(nextKey);
    await sleep(800);
    lan.speaker(second).setKeys(nextKey);
    await sleep(800);
    const sighting = await prober.take(vip);
    expect(sighting.answerers.map((mac) => lan.hostOf(mac))).toEqual(before);
    for (const name of friends) {
      const { segments } = await lan.speaker(name).status();
      expect(segments[0]?.peers).toMatchObject([{ alive: true }]);
    }
  }, 60_000);

  test('withdrawing the address stops the answers and forgets the reports', async () => {
    for (const name of friends) lan.speaker(name).assign([]);
    await eventually('no owner', async () => (await owners()).length === 0);
    for (const name of friends) expect(lan.speaker(name).reports.get(vip)).toEqual([]);
  }, 60_000);
});

test('a worker that cannot start is told to whoever starts it', async () => {
  const failures: Error[] = [];
  const starting = WireWorker.start({
    node: 'node-a',
    clusterId: 'test',
    keys: { current: Buffer.from('short') },
    logger: silentLogger,
    onChange() {},
    onFailure: (error) => failures.push(error),
  });
  await expect(starting).rejects.toThrow(/5 bytes/);
  expect(failures).toMatchObject([{ code: 'WireWorkerFailed' }]);
}, 60_000);
