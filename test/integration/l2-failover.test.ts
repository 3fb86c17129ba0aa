import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '../eventually.ts';
import { type Prober, type Sighting, SpeakerLan } from './l2/speaker-lan.ts';
import { namespacesUnavailable } from './namespaces.ts';

const names = ['node-a', 'node-b', 'node-c'];
const vip = '192.0.2.100';
/** Twice the default, so that a busy test machine does not cause failovers of its own. */
const heartbeatMs = 200;
/** Worst case of two answering at once: an owner may be late by this before it must be silent. */
const holdMs = 4 * heartbeatMs;

const unavailable = namespacesUnavailable();
const suite = unavailable === undefined ? describe : describe.skip;
if (unavailable !== undefined) console.warn(`layer 2 failover is not tested: ${unavailable}`);

suite('speakers on a bridge', () => {
  let lan: SpeakerLan;
  let prober: Prober;
  let other: Prober;
  const measured: string[] = [];

  beforeAll(async () => {
    lan = new SpeakerLan(names, () => ({ key: 'a key of at least 16 bytes', heartbeatMs }));
    await Promise.all(lan.speakers.map((speaker) => speaker.start()));
    for (const speaker of lan.speakers) speaker.assign([{ address: vip, eligibleNodes: names }]);
    prober = lan.prober('client', [vip]);
    other = lan.prober('other', [vip]);
    await settled();
  }, 60_000);

  afterAll(async () => {
    await prober?.close();
    await other?.close();
    await lan?.close();
    if (measured.length > 0) console.log([`hold time ${holdMs} ms`, ...measured].join('\n'));
  }, 60_000);

  /** Waits until one host has answered alone for a while; its name. */
  async function settled(by: Prober = prober): Promise<string> {
    const answerersForAWhile = async () => {
      await by.take(vip);
      await sleep(300);
      return (await by.take(vip)).answerers;
    };
    const [owner] = await eventually('a single owner', answerersForAWhile, ({ length }) => length === 1);
    return lan.hostOf(owner);
  }

  function note(what: string, { outageMs, overlapMs, answerers }: Sighting): void {
    const path = answerers.map((mac) => lan.hostOf(mac)).join(' -> ');
    measured.push(`${what}: outage ${outageMs.toFixed(0)} ms, two answering ${overlapMs.toFixed(0)} ms (${path})`);
  }

  /** Does something to the owner, waits for another one, and judges what the client saw. */
  async function failover(what: string, fault: (owner: string) => Promise<void> | void): Promise<[string, string]> {
    const owner = await settled();
    await prober.take(vip);
    await fault(owner);
    await sleep(2_500);
    const next = await settledAfter(what);
    expect(next).not.toBe(owner);
    return [owner, next];
  }

  async function settledAfter(what: string): Promise<string> {
    const sighting = await prober.take(vip);
    note(what, sighting);
    expect(sighting.overlapMs).toBeLessThanOrEqual(holdMs);
    return settled();
  }

  test('exactly one answers, and everybody knows who', async () => {
    const owner = await settled();
    expect(names).toContain(owner);
    for (const speaker of lan.speakers) {
      expect(speaker.reports.get(vip)).toMatchObject([
        { interface: 'eth0', role: speaker.name === owner ? 'owner' : 'standby', owner },
      ]);
    }
    const { segments } = await lan.speaker(owner).status();
    expect(segments).toMatchObject([{ interface: 'eth0', mode: 'active', owned: 1 }]);
    expect(segments[0]?.peers.map(({ node, alive }) => [node, alive])).toEqual(
      names.filter((name) => name !== owner).map((name) => [name, true]),
    );
  }, 60_000);

  test('a killed owner is replaced, and takes nothing back', async () => {
    const [owner, next] = await failover('SIGKILL', (name) => lan.speaker(name).kill());
    await prober.take(vip);
    await lan.speaker(owner).start();
    await sleep(2_500);
    const sighting = await prober.take(vip);
    expect(sighting.answerers.map((mac) => lan.hostOf(mac))).toEqual([next]);
  }, 60_000);

  test('a stopped owner is replaced, and says nothing when it goes on', async () => {
    const [owner, next] = await failover('SIGSTOP', (name) => lan.speaker(name).signal('SIGSTOP'));
    await prober.take(vip);
    lan.speaker(owner).signal('SIGCONT');
    await sleep(2_500);
    const sighting = await prober.take(vip);
    note('SIGCONT', sighting);
    expect(sighting.answerers.map((mac) => lan.hostOf(mac))).toEqual([next]);
    const { segments } = await lan.speaker(owner).status();
    expect(segments[0]?.counters.stalls).toBeGreaterThanOrEqual(1);
  }, 60_000);

  test('a pulled cable moves the address; plugged in again the node stays standby', async () => {
    const [owner, next] = await failover('cable pulled', (name) => lan.setCable(name, false));
    await prober.take(vip);
    lan.setCable(owner, true);
    await sleep(2_500);
    const sighting = await prober.take(vip);
    note('cable plugged', sighting);
    expect(sighting.answerers.map((mac) => lan.hostOf(mac))).toEqual([next]);
  }, 60_000);

  test('an interface set down and up again', async () => {
    const [owner, next] = await failover('interface down', (name) => lan.setInterface(name, false));
    lan.setInterface(owner, true);
    await sleep(2_500);
    expect(await settled()).toBe(next);
  }, 60_000);

  test('an owner that ends on purpose leaves no gap worth mentioning', async () => {
    const [owner] = await failover('SIGTERM', (name) => lan.speaker(name).resign());
    await lan.speaker(owner).start();
    await sleep(1_000);
  }, 60_000);

  test('in a partition both halves are served; when it heals one stops', async () => {
    const owner = await settled();
    await prober.take(vip);
    lan.split([owner, 'other']);
    await sleep(3_000);
    const near = await settled(prober);
    const far = await settled(other);
    note('partition', await prober.take(vip));
    expect(far).toBe(owner);
    expect(near).not.toBe(owner);
    await prober.take(vip);
    await other.take(vip);
    lan.join([owner, 'other']);
    await sleep(2_500);
    const sighting = await prober.take(vip);
    note('heal', sighting);
    expect(sighting.overlapMs).toBeLessThanOrEqual(holdMs);
    expect(await settled(prober)).toBe(near);
    expect(await settled(other)).toBe(near);
  }, 60_000);
});
