import { describe, expect, test } from '@jest/globals';
import type { Message } from '../../../src/speaker/l2/heartbeat-message.ts';
import { SimulatedLan } from './simulated-lan.ts';

const vip = '192.0.2.100';
const names = ['a', 'b', 'c'];

/** Three speakers that have listened, and an address that one of them owns. */
function settled(options: ConstructorParameters<typeof SimulatedLan>[1] = {}): {
  lan: SimulatedLan;
  owner: string;
  others: string[];
} {
  const lan = new SimulatedLan(names, options);
  lan.startAll();
  lan.run(1_000);
  lan.desire(vip, names);
  lan.run(1_000);
  const [owner = ''] = lan.answerers(vip);
  lan.resetGaps();
  return { lan, owner, others: names.filter((name) => name !== owner) };
}

describe('first placement', () => {
  test('nothing is claimed before the hold time has passed in listening', () => {
    const lan = new SimulatedLan(['a']);
    lan.desire(vip, ['a']);
    lan.startAll();
    lan.run(lan.timing.holdMs - 1);
    expect(lan.answerers(vip)).toEqual([]);
    expect(lan.ownership('a', vip)).toMatchObject({ role: 'listening', reason: { code: 'Listening' } });
    lan.run(5);
    expect(lan.answerers(vip)).toEqual(['a']);
  });

  test('an address that arrives later is answered within 5 ms, by one node, the same on every run', () => {
    const lan = new SimulatedLan(names);
    lan.startAll();
    lan.run(1_000);
    lan.desire(vip, names);
    lan.run(5);
    const [owner] = lan.answerers(vip);
    expect(lan.answerers(vip)).toHaveLength(1);
    expect(settled({ seed: 99 }).owner).toBe(owner);
    lan.run(10_000);
    expect(lan.answerers(vip)).toEqual([owner]);
    expect(lan.longestOverlapMs).toBe(0);
    for (const name of names) expect(lan.ownership(name, vip)?.owner).toBe(owner);
  });

  test('owners are spread over the nodes', () => {
    const lan = new SimulatedLan(names, { account: false });
    lan.startAll();
    lan.run(1_000);
    const addresses = Array.from({ length: 90 }, (_, i) => `192.0.2.${i + 1}`);
    for (const address of addresses) lan.desire(address, names);
    lan.run(1_000);
    for (const name of names) {
      const owned = addresses.filter((address) => lan.answerers(address)[0] === name).length;
      expect(owned).toBeGreaterThan(15);
    }
  });

  test('when the first in line has not heard of the address, the next claims it, and the first leaves it there', () => {
    const { owner, lan, others } = settled();
    const second = '192.0.2.101';
    lan.desire(second, names, others);
    lan.run(1_000);
    const [taker] = lan.answerers(second);
    expect(others).toContain(taker);
    lan.desire(second, names, [owner]);
    lan.run(2_000);
    expect(lan.answerers(second)).toEqual([taker]);
  });

  test('a node that may not own the address never does', () => {
    const lan = new SimulatedLan(names);
    lan.startAll();
    lan.desire(vip, ['b']);
    lan.run(2_000);
    expect(lan.answerers(vip)).toEqual(['b']);
    expect(lan.ownership('a', vip)).toMatchObject({ role: 'none', owner: 'b', reason: { code: 'NotEligible' } });
  });

  test('an address that a stranger answers for is let go at once and tried again later', () => {
    const lan = new SimulatedLan(names);
    const stranger = lan.addStranger([vip]);
    lan.startAll();
    lan.run(1_000);
    lan.desire(vip, names);
    lan.run(1_500);
    expect(lan.answerers(vip)).toEqual([]);
    const codes = names.map((name) => lan.ownership(name, vip)?.reason.code);
    expect(codes).toEqual(['AddressInUse', 'AddressInUse', 'AddressInUse']);
    expect(lan.announcements).toEqual([]);
    stranger.addresses.clear();
    lan.run(2 * lan.timing.inUseRetryMs + 1_000);
    expect(lan.answerers(vip)).toHaveLength(1);
  });
});

describe('others that use an owned address', () => {
  test('a stranger that comes later is reported for a minute, and defended against now and then', () => {
    const { lan, owner } = settled();
    lan.run(5_000);
    const before = lan.announcements.length;
    lan.claimByArp(vip, 0x02bb00000001);
    lan.claimByArp(vip, 0x02bb00000001);
    lan.run(10);
    expect(lan.answerers(vip)).toEqual([owner]);
    expect(lan.ownership(owner, vip)?.reason).toMatchObject({
      code: 'Conflict',
      message: expect.stringContaining('02:bb:00:00:00:01'),
    });
    expect(lan.announcements.length).toBe(before + 1);
    expect(lan.node(owner).state.counters.conflicts).toBe(2);
    lan.run(50_000);
    lan.claimByArp(vip, 0x02bb00000001);
    lan.run(50_000);
    expect(lan.ownership(owner, vip)?.reason.code).toBe('Conflict');
    expect(lan.announcements.length).toBe(before + 2);
    lan.run(20_000);
    expect(lan.ownership(owner, vip)?.reason.code).toBe('FirstPlacement');
  });

  test("another node's kernel that answers is named, and keeps nobody from owning", () => {
    const lan = new SimulatedLan(names);
    lan.kernelAnswers.set('c', new Set([vip]));
    lan.startAll();
    lan.run(1_000);
    lan.desire(vip, ['a', 'b']);
    lan.run(2_000);
    const [owner = ''] = lan.answerers(vip);
    expect(lan.ownership(owner, vip)?.reason).toMatchObject({
      code: 'Conflict',
      message: expect.stringContaining('c answers for 192.0.2.100 too though it does not own it'),
    });
    lan.resetGaps();
    lan.kill(owner);
    lan.run(2_000);
    expect(lan.answerers(vip)).toHaveLength(1);
    expect(lan.longestGapMs(vip)).toBeLessThan(2 * lan.timing.holdMs);
  });
});

describe('an owner that dies', () => {
  test('is replaced within hold time and a little, by one node', () => {
    const { lan, owner } = settled();
    lan.kill(owner);
    lan.run(2_000);
    expect(lan.answerers(vip)).toHaveLength(1);
    expect(lan.answerers(vip)).not.toContain(owner);
    expect(lan.longestGapMs(vip)).toBeLessThanOrEqual(lan.timing.holdMs + 5);
    expect(lan.longestGapMs(vip)).toBeGreaterThan(lan.timing.holdMs - lan.timing.heartbeatMs - 5);
    expect(lan.longestOverlapMs).toBe(0);
    const [taker = ''] = lan.answerers(vip);
    expect(lan.ownership(taker, vip)).toMatchObject({ epoch: 2, reason: { code: 'OwnerDied' } });
  });

  test('takes nothing back when it returns', () => {
    const { lan, owner } = settled();
    lan.kill(owner);
    lan.run(2_000);
    const [taker] = lan.answerers(vip);
    const changes = lan.ownerChanges.length;
    lan.start(owner);
    lan.run(5_000);
    expect(lan.answerers(vip)).toEqual([taker]);
    expect(lan.ownerChanges).toHaveLength(changes);
    expect(lan.longestOverlapMs).toBe(0);
  });

  test('that restarts at once is replaced without waiting for its hold time', () => {
    const { lan, owner } = settled();
    lan.kill(owner);
    lan.run(20);
    lan.start(owner);
    lan.run(2_000);
    expect(lan.answerers(vip)).toHaveLength(1);
    expect(lan.longestGapMs(vip)).toBeLessThan(lan.timing.holdMs);
    expect(lan.longestOverlapMs).toBe(0);
  });

  test('together with the first in line after it: the third takes over', () => {
    const { lan, owner } = settled();
    lan.kill(owner);
    lan.run(1_000);
    const [second = ''] = lan.answerers(vip);
    lan.start(owner);
    lan.run(1_000);
    lan.resetGaps();
    // Witness: without any sign of life from the wire the last one would suspect itself.
    const third = names.find((name) => name !== owner && name !== second) ?? '';
    lan.kill(second);
    lan.kill(owner);
    for (let i = 0; i < 30; i++) {
      lan.noise();
      lan.run(50);
    }
    expect(lan.answerers(vip)).toEqual([third]);
    expect(lan.longestGapMs(vip)).toBeLessThanOrEqual(
      lan.timing.holdMs + 3 * lan.timing.rankDelayMs + 2 * lan.timing.heartbeatMs,
    );
  });

  test('with three that would have come before: the last in line does not wait for the dead', () => {
    const all = ['a', 'b', 'c', 'd', 'e'];
    const eligible = all.slice(0, 4);
    const begin = () => {
      const lan = new SimulatedLan(all);
      lan.addStranger(['192.0.2.7']);
      lan.startAll();
      lan.run(1_000);
      lan.desire(vip, eligible);
      lan.run(1_000);
      return lan;
    };
    // The line, found by killing one after the other.
    const line: string[] = [];
    for (const lan = begin(); line.length < 4; lan.run(2_000)) {
      const [next = ''] = lan.answerers(vip);
      line.push(next);
      lan.kill(next);
    }
    for (let phase = 0; phase < 100; phase += 10) {
      const lan = begin();
      lan.run(phase);
      lan.resetGaps();
      for (const name of line.slice(0, 3)) lan.kill(name);
      lan.run(2_000);
      expect(lan.answerers(vip)).toEqual([line[3]]);
      const { holdMs, heartbeatMs, probeCount, probeIntervalMs } = lan.timing;
      expect(lan.longestGapMs(vip)).toBeLessThanOrEqual(holdMs + heartbeatMs + probeCount * probeIntervalMs + 5);
    }
  });

  test('with a thousand addresses: all are answered again in the same time', () => {
    const lan = new SimulatedLan(['a', 'b', 'c', 'd'], { account: false });
    lan.startAll();
    lan.run(1_000);
    const addresses = Array.from({ length: 1_000 }, (_, i) => `198.51.${100 + Math.floor(i / 250)}.${i % 250}`);
    for (const address of addresses) lan.desire(address, ['a']);
    lan.run(100);
    for (const address of addresses) lan.desire(address, ['a', 'b', 'c', 'd']);
    lan.run(1_000);
    expect(addresses.filter((address) => lan.answerers(address).join() !== 'a')).toEqual([]);
    lan.kill('a');
    const before = lan.nowMs;
    lan.run(1_000);
    const last = Math.max(
      ...lan.ownerChanges.filter(({ kind, atMs }) => kind === 'own' && atMs > before).map(({ atMs }) => atMs),
    );
    expect(last - before).toBeLessThanOrEqual(lan.timing.holdMs + 5);
    expect(addresses.filter((address) => lan.answerers(address).length !== 1)).toEqual([]);
  });
});

describe('lost heartbeats alone move nothing', () => {
  test('an owner whose transmitter fails, but that is heard by probes, is left alone', () => {
    const { lan, owner, others } = settled();
    // Multicast from the owner is lost, unicast and ARP pass: as with a storm control that drops group frames.
    lan.dropGroupFrom = owner;
    lan.run(3_000);
    expect(lan.answerers(vip)).toEqual([owner]);
    expect(others.map((name) => lan.ownership(name, vip)?.reason.code)).toContain('OwnerAnswers');
    lan.dropGroupFrom = undefined;
    lan.run(1_000);
    expect(lan.answerers(vip)).toEqual([owner]);
    for (const name of others) expect(lan.ownership(name, vip)?.reason.code).toBe('OwnedByPeer');
  });

  test('a switch that answers in the name of a dead owner does not keep its address from others', () => {
    const { lan, owner } = settled();
    lan.addStranger([], new Map([[vip, lan.node(owner).mac]]));
    lan.kill(owner);
    lan.run(1_500);
    expect(lan.answerers(vip)).toHaveLength(1);
    expect(lan.longestGapMs(vip)).toBeLessThanOrEqual(lan.timing.holdMs + 3 * lan.timing.probeIntervalMs + 20);
  });

  test('frames lost, doubled and out of order: one owner, no move, for a minute', () => {
    const { lan, owner } = settled({ seed: 5 });
    lan.quality = { delayMs: [0.1, 2], loss: 0.05, duplicate: 0.2, reorder: 0.2 };
    const changes = lan.ownerChanges.length;
    lan.run(60_000);
    expect(lan.answerers(vip)).toEqual([owner]);
    expect(lan.ownerChanges).toHaveLength(changes);
  });
});

describe('planned moves', () => {
  test('an owner that stops is replaced without a gap', () => {
    const { lan, owner } = settled();
    lan.resign(owner);
    lan.runUntil(() => lan.node(owner).resigned, 100);
    lan.kill(owner);
    lan.run(2_000);
    expect(lan.answerers(vip)).toHaveLength(1);
    expect(lan.longestGapMs(vip)).toBe(0);
    expect(lan.longestOverlapMs).toBeLessThan(2);
    const [taker = ''] = lan.answerers(vip);
    expect(lan.ownership(taker, vip)?.reason.code).toBe('OwnerResigned');
  });

  test('an owner that loses its carrier while it stops has stopped, and claims nothing when the carrier is back', () => {
    const { lan, owner } = settled();
    lan.resign(owner);
    expect(lan.node(owner).resigned).toBe(false);
    lan.setLink(owner, false);
    expect(lan.node(owner).resigned).toBe(true);
    lan.run(1_000);
    for (const { name } of lan.nodes.values()) if (name !== owner) lan.kill(name);
    lan.setLink(owner, true);
    lan.noise();
    lan.run(5_000);
    expect(lan.answerers(vip)).toEqual([]);
  });

  test('a last node that stops does not wait for anybody', () => {
    const lan = new SimulatedLan(['a']);
    lan.desire(vip, ['a']);
    lan.startAll();
    lan.run(1_000);
    lan.resign('a');
    expect(lan.runUntil(() => lan.node('a').resigned, 100)).toBeLessThanOrEqual(1);
    expect(lan.answerers(vip)).toEqual([]);
  });

  test('nodes that said goodbye are missed by nobody: the last one does not think that it is cut off', () => {
    const { lan, owner, others } = settled();
    const [last = '', second = ''] = others;
    for (const name of [owner, second]) {
      lan.resign(name);
      lan.run(100);
      lan.kill(name);
    }
    lan.run(2_000);
    expect(lan.answerers(vip)).toEqual([last]);
    lan.desire('192.0.2.101', names);
    lan.run(5);
    expect(lan.answerers('192.0.2.101')).toEqual([last]);
  });

  test('an owner that may not own any more is replaced without a gap, whoever hears of it first', () => {
    for (const order of [0, 1]) {
      const { lan, owner, others } = settled();
      const told = order === 0 ? [owner] : others;
      lan.desire(vip, others, told);
      lan.run(200);
      lan.desire(vip, others, order === 0 ? others : [owner]);
      lan.run(1_000);
      expect(lan.answerers(vip)).toHaveLength(1);
      expect(others).toContain(lan.answerers(vip)[0]);
      expect(lan.longestGapMs(vip)).toBe(0);
      expect(lan.longestOverlapMs).toBeLessThan(2);
    }
  });

  test('when nobody may own it, the owner stops at once', () => {
    const { lan, owner } = settled();
    lan.desire(vip, []);
    expect(lan.answerers(vip)).toEqual([]);
    lan.run(1_000);
    lan.desire(vip, [owner]);
    lan.run(1);
    expect(lan.answerers(vip)).toEqual([owner]);
  });

  test('a successor that never claims is waited for only so long', () => {
    const { lan, owner, others } = settled();
    // The others still believe that only the owner may own it, and never learn better.
    lan.desire(vip, [owner], others);
    lan.desire(vip, others, [owner]);
    lan.run(lan.timing.yieldMs - 10);
    expect(lan.answerers(vip)).toEqual([owner]);
    expect(lan.ownership(owner, vip)?.reason.code).toBe('HandingOver');
    lan.run(20);
    expect(lan.answerers(vip)).toEqual([]);
  });

  test('an address is moved on purpose at most three times in three minutes', () => {
    const { lan, owner, others } = settled();
    let moves = 0;
    let holder = owner;
    for (let i = 0; i < 20; i++) {
      lan.desire(
        vip,
        names.filter((name) => name !== holder),
      );
      lan.run(2_000);
      const [now = ''] = lan.answerers(vip);
      expect(lan.answerers(vip)).toHaveLength(1);
      if (now !== holder) moves += 1;
      holder = now;
    }
    expect(moves).toBe(3);
    expect(others).toBeDefined();
    expect(lan.ownership(holder, vip)?.reason.code).toBe('MovesDamped');
    lan.run(180_000);
    expect(lan.answerers(vip)).not.toContain(holder);
    expect(lan.longestGapMs(vip)).toBe(0);
  });

  test('who learns in one message that it may take the address, and that it is taken back, does not answer', () => {
    const { lan, owner, others } = settled();
    lan.drops = (from) => from.name === owner;
    lan.desire(vip, others, [owner]);
    lan.desire(vip, [], [owner]);
    lan.desire(vip, names, [owner]);
    lan.drops = undefined;
    lan.run(500);
    expect(lan.answerers(vip)).toEqual([owner]);
    expect(lan.ownerChanges.filter(({ address }) => address === vip).map(({ node }) => node)).toEqual([
      owner,
      owner,
      owner,
    ]);
  });

  test('removing the address stops it everywhere', () => {
    const { lan } = settled();
    lan.desire(vip, undefined);
    expect(lan.answerers(vip)).toEqual([]);
    lan.run(5_000);
    expect(lan.answerers(vip)).toEqual([]);
  });
});

describe('a node that stands still', () => {
  test('for less than the hold time keeps its addresses', () => {
    const { lan, owner } = settled();
    const changes = lan.ownerChanges.length;
    lan.pause(owner);
    lan.run(200);
    lan.resume(owner);
    lan.run(3_000);
    expect(lan.answerers(vip)).toEqual([owner]);
    expect(lan.ownerChanges).toHaveLength(changes);
  });

  test.each([380, 395, 400, 405, 440, 480, 500, 1_000, 10_000])(
    'for %i ms: two never answer at once, and one does soon',
    (pauseMs) => {
      for (let phase = 0; phase < 100; phase += 7) {
        const { lan, owner } = settled();
        lan.run(phase);
        lan.pause(owner);
        lan.run(pauseMs);
        lan.resume(owner);
        lan.run(3_000);
        expect(lan.answerers(vip)).toHaveLength(1);
        expect(lan.longestOverlapMs).toBe(0);
        expect(lan.longestGapMs(vip)).toBeLessThanOrEqual(lan.timing.holdMs + 2 * lan.timing.rankDelayMs + 100);
      }
    },
  );

  test('and whose sockets lost what was said meanwhile does not answer beside its successor', () => {
    const { lan, owner } = settled();
    lan.queueLength = 0;
    lan.pause(owner);
    lan.run(1_000);
    lan.resume(owner);
    lan.run(3_000);
    expect(lan.answerers(vip)).toHaveLength(1);
    expect(lan.answerers(vip)).not.toContain(owner);
    expect(lan.longestOverlapMs).toBe(0);
    expect(lan.node(owner).state.counters.stalls).toBe(1);
  });

  test('a little less than the hold time, having missed what was said, does not suspect its peers', () => {
    const { lan, owner, others } = settled();
    const [standby = ''] = others;
    lan.queueLength = 0;
    for (let i = 0; i < 5; i++) {
      lan.pause(standby);
      lan.run(290);
      lan.resume(standby);
      lan.run(1_000);
    }
    expect(lan.answerers(vip)).toEqual([owner]);
    expect(lan.node(standby).state.counters).toMatchObject({ probesAnswered: 0, claims: 0, stalls: 0 });
  });

  test('does not take its peers for dead when it wakes up', () => {
    const { lan, owner, others } = settled();
    const [standby = ''] = others;
    lan.pause(standby);
    lan.run(5_000);
    lan.resume(standby);
    lan.run(3_000);
    expect(lan.answerers(vip)).toEqual([owner]);
    expect(lan.node(standby).state.counters.claims).toBe(0);
  });
});

describe('links and partitions', () => {
  test('carrier loss ends the right to answer at once, and the returning node stays standby', () => {
    const { lan, owner } = settled();
    lan.setLink(owner, false);
    expect(lan.answerers(vip)).toEqual([]);
    expect(lan.ownership(owner, vip)).toMatchObject({ role: 'none', reason: { code: 'LinkDown' } });
    lan.run(1_000);
    const [taker] = lan.answerers(vip);
    expect(lan.longestGapMs(vip)).toBeLessThanOrEqual(lan.timing.holdMs + 5);
    lan.setLink(owner, true);
    lan.run(3_000);
    expect(lan.answerers(vip)).toEqual([taker]);
    expect(lan.longestOverlapMs).toBe(0);
  });

  test('a short carrier loss does not leave two owners', () => {
    for (let downMs = 50; downMs < 800; downMs += 50) {
      const { lan, owner } = settled();
      lan.setLink(owner, false);
      lan.run(downMs);
      lan.setLink(owner, true);
      lan.run(2_000);
      expect(lan.answerers(vip)).toHaveLength(1);
      expect(lan.longestOverlapMs).toBe(0);
    }
  });

  test('in a partition both halves serve their clients; at the heal one stops within two heartbeats', () => {
    for (let phase = 0; phase < 100; phase += 10) {
      const { lan, owner, others } = settled();
      lan.addStranger(['192.0.2.7']);
      lan.run(phase);
      lan.partition([owner], others);
      for (let i = 0; i < 20; i++) {
        lan.noise(1);
        lan.run(50 + phase / 20);
      }
      expect(lan.answerers(vip, 0)).toEqual([owner]);
      expect(lan.answerers(vip, 1)).toHaveLength(1);
      lan.heal();
      lan.run(3_000);
      expect(lan.answerers(vip)).toHaveLength(1);
      // The half that claimed later has the higher epoch.
      expect(others).toContain(lan.answerers(vip)[0]);
      expect(lan.longestOverlapMs).toBeLessThanOrEqual(lan.timing.heartbeatMs + 5);
      // The last to speak wins in switches and hosts: that must be the one that stays.
      const [winner] = lan.answerers(vip);
      const stopped = lan.ownerChanges.findLast(({ kind }) => kind === 'disown');
      expect(stopped?.node).toBe(owner);
      expect(lan.announcements.at(-1)?.node).toBe(winner);
      expect(lan.announcements.at(-1)?.atMs).toBeGreaterThan(stopped?.atMs ?? Number.POSITIVE_INFINITY);
    }
  });

  test('who hears neither peers nor anything else claims nothing, and takes nothing when it is back', () => {
    const { lan, owner, others } = settled();
    const [lost = '', rest = ''] = others;
    lan.partition([owner, rest], [lost]);
    lan.run(10_000);
    expect(lan.answerers(vip)).toEqual([owner]);
    expect(lan.ownership(lost, vip)).toMatchObject({ role: 'standby', reason: { code: 'Isolated' } });
    const changes = lan.ownerChanges.length;
    lan.heal();
    lan.run(3_000);
    expect(lan.answerers(vip)).toEqual([owner]);
    expect(lan.ownerChanges).toHaveLength(changes);
  });

  test('a port that passes nothing for a while after its link came up: the returning node takes nothing', () => {
    for (let phase = 0; phase < 100; phase += 10) {
      const { lan, owner, others } = settled();
      lan.setLink(owner, false);
      lan.run(1_000 + phase);
      const [taker] = lan.answerers(vip);
      lan.partition(others, [owner]);
      lan.setLink(owner, true);
      lan.run(5_000);
      expect(lan.ownership(owner, vip)?.reason.code).toBe('Isolated');
      const changes = lan.ownerChanges.length;
      lan.heal();
      // The first thing that passes need not be a heartbeat.
      lan.noise();
      lan.run(3_000);
      expect(lan.answerers(vip)).toEqual([taker]);
      expect(lan.ownerChanges).toHaveLength(changes);
    }
  });

  test('the first of several speakers waits for a sign of life from the wire; one that may own alone does not', () => {
    const lan = new SimulatedLan(names);
    lan.desire(vip, names);
    lan.desire('192.0.2.101', ['a']);
    lan.start('a');
    lan.run(5_000);
    expect(lan.answerers('192.0.2.101')).toEqual(['a']);
    expect(lan.ownership('a', vip)?.reason.code).toBe('Isolated');
    lan.noise();
    lan.run(3 * lan.timing.heartbeatMs);
    expect(lan.answerers(vip)).toEqual(['a']);
  });

  test('a sign of life while it listens is enough', () => {
    const lan = new SimulatedLan(names);
    lan.desire(vip, names);
    lan.start('a');
    lan.run(250);
    lan.noise();
    lan.run(200);
    expect(lan.answerers(vip)).toEqual(['a']);
  });

  test('nodes that all claimed everything apart share it fairly when they meet', () => {
    const lan = new SimulatedLan(names, { account: false });
    const addresses = Array.from({ length: 60 }, (_, i) => `192.0.2.${i + 1}`);
    for (const address of addresses) lan.desire(address, names);
    lan.partition(...names.map((name) => [name]));
    lan.startAll();
    for (let i = 0; i < 40; i++) {
      for (let island = 0; island < names.length; island++) lan.noise(island);
      lan.run(50);
    }
    for (const name of names) expect(lan.node(name).answersFor.size).toBe(60);
    lan.heal();
    lan.run(2_000);
    for (const name of names) expect(lan.node(name).answersFor.size).toBeGreaterThan(8);
    expect(addresses.filter((address) => lan.answerers(address).length !== 1)).toEqual([]);
  });

  test('the last of three serves the addresses of the two that died, as soon as the wire shows life', () => {
    const { lan, owner, others } = settled();
    const [last = '', second = ''] = others;
    lan.kill(owner);
    lan.kill(second);
    lan.run(3_000);
    expect(lan.ownership(last, vip)?.reason.code).toBe('Isolated');
    lan.noise();
    lan.run(400);
    expect(lan.answerers(vip)).toEqual([last]);
  });

  test('a witness that answers is enough: no waiting for traffic', () => {
    const { lan, owner, others } = settled();
    lan.addStranger(['192.0.2.7']);
    const [last = '', second = ''] = others;
    lan.kill(owner);
    lan.kill(second);
    lan.run(1_000);
    expect(lan.answerers(vip)).toEqual([last]);
  });

  test('of two nodes the survivor takes over without any witness', () => {
    const lan = new SimulatedLan(['a', 'b']);
    lan.startAll();
    lan.desire(vip, ['a', 'b']);
    lan.run(2_000);
    const [owner = ''] = lan.answerers(vip);
    lan.resetGaps();
    lan.kill(owner);
    lan.run(1_000);
    expect(lan.answerers(vip)).toHaveLength(1);
    expect(lan.longestGapMs(vip)).toBeLessThanOrEqual(lan.timing.holdMs + 5);
  });

  test('of two nodes, one that hears no witness either waits a second longer', () => {
    const lan = new SimulatedLan(['a', 'b']);
    const witness = lan.addStranger(['192.0.2.7']);
    lan.startAll();
    lan.desire(vip, ['a', 'b']);
    lan.run(2_000);
    const [owner = ''] = lan.answerers(vip);
    const other = owner === 'a' ? 'b' : 'a';
    witness.island = 0;
    lan.partition([owner], [other]);
    lan.run(lan.timing.holdMs + lan.timing.lonelyWaitMs - 100);
    expect(lan.ownership(other, vip)?.reason.code).toBe('Isolated');
    lan.run(1_000);
    expect(lan.answerers(vip, 1)).toEqual([other]);
  });

  test('a transmitter that fails silently: the node loses its addresses and two answer no longer than its gate', () => {
    const { lan, owner } = settled();
    lan.node(owner).transmits = false;
    lan.run(2_000);
    const takers = lan.answerers(vip).filter((name) => name !== owner);
    expect(takers).toHaveLength(1);
    // It hears the successor's claim and stops, though it cannot say so.
    expect(lan.answerers(vip)).toEqual(takers);
    expect(lan.longestOverlapMs).toBeLessThan(2);
  });
});

describe('names and keys', () => {
  test('a recording of an earlier boot, proofs of life included, changes nothing', () => {
    const lan = new SimulatedLan(names);
    const recorded: Message[] = [];
    const victim = 'a';
    lan.onMessage = (from, message) => {
      if (from.name === victim) recorded.push(structuredClone(message));
    };
    lan.startAll();
    lan.desire(vip, [victim]);
    lan.run(2_000);
    lan.onMessage = undefined;
    expect(recorded.some(({ body }) => body.kind === 'answer')).toBe(true);
    lan.kill(victim);
    lan.run(2_000);
    lan.start(victim);
    lan.run(2_000);
    lan.desire(vip, names);
    lan.run(1_000);
    expect(lan.answerers(vip)).toEqual([victim]);
    const changes = lan.ownerChanges.length;
    const oldBoot = recorded[0]?.header.boot ?? '';
    for (const message of recorded) {
      lan.inject(message);
      lan.run(10);
      expect([...lan.nodes.values()].some(({ state }) => state.peers.has(oldBoot))).toBe(false);
    }
    expect(lan.answerers(vip)).toEqual([victim]);
    expect(lan.ownerChanges).toHaveLength(changes);
  });

  test('a recording of a dead owner does not keep it alive', () => {
    const { lan, owner } = settled();
    const recorded: Message[] = [];
    lan.onMessage = (from, message) => {
      if (from.name === owner) recorded.push(structuredClone(message));
    };
    lan.run(3_000);
    lan.onMessage = undefined;
    lan.kill(owner);
    for (const message of recorded.slice(-20)) {
      lan.inject(message);
      lan.run(50);
    }
    expect(lan.answerers(vip)).toHaveLength(1);
    expect(lan.longestGapMs(vip)).toBeLessThanOrEqual(lan.timing.holdMs + 5);
  });

  test('two machines with one name do not both answer', () => {
    const lan = new SimulatedLan(['a', 'b']);
    lan.rename('b', 'a');
    lan.desire(vip, ['a']);
    lan.startAll();
    lan.run(3_000);
    expect(lan.answerers(vip)).toHaveLength(1);
    expect(lan.longestOverlapMs).toBeLessThan(lan.timing.heartbeatMs);
  });
});
