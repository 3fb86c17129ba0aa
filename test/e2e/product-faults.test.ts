import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { release } from '../../lab/chart.ts';
import {
  apiDown,
  apiFreeze,
  apiUp,
  crashNode,
  deleteLoadBalancers,
  healNetwork,
  killController,
  killSpeaker,
  linkDown,
  linkUp,
  partition,
  restartNorthboundDatabase,
  restoreNode,
} from '../../lab/faults.ts';
import { transact } from '../../lab/ovn/northbound.ts';
import { waitFor } from '../../lab/processes.ts';
import { silentProgress } from '../../lab/progress.ts';
import { processRecords } from '../../lab/state.ts';
import { systemClock } from '../../src/base/index.ts';
import { resources } from '../../src/kube/index.ts';
import { monotonicMs } from '../bench/lab/arp-watch.ts';
import { nodeOfMac } from './arp-history.ts';
import { FaultWatch } from './fault-watch.ts';
import { describeLab, lab } from './lab-setup.ts';
import { shown } from './measured.ts';
import { ownRows } from './northbound-rows.ts';
import { Stage } from './stage.ts';
import { ask, type Backend } from './workload.ts';

const name = 'e2e-faults';
const many = 'e2e-faults-many';
/** How long the API server is away: the lab's own minute, or an operator's bad quarter of an hour. */
const apiDownSeconds = Number(process.env.E2E_API_DOWN_SECONDS ?? '35');
const services = ['main', 'one', 'two', 'three', 'four'];
/** What a node that was cut off or stopped is watched for afterwards, ms. */
const afterwardsMs = 4_000;
jest.setTimeout(300_000);

/**
 * Something breaks; Services keep their addresses and, where the fault leaves a way, their traffic; afterwards everything
 * is as before.
 */
describeLab('faults', () => {
  let stage: Stage;
  let watch: FaultWatch;
  let pods: Backend[] = [];
  let faultMs = 0;

  beforeAll(async () => {
    stage = await Stage.open(lab, name, ['10.77.0.80-10.77.0.99']);
    await stage.createPool(many, ['10.79.0.0/26']);
    pods = await stage.pods('web', lab.nodes.length);
    for (const service of services) await stage.createService(service, 'web');
    watch = await FaultWatch.start(stage, services);
    await watch.healed(pods);
  }, 300_000);

  afterEach(async () => {
    await healNetwork(lab);
    pods = await stage.pods('web', lab.nodes.length);
    await watch.healed(pods);
    for (const service of services)
      expect([service, watch.historyOf(service)]).toEqual([service, [watch.addresses.get(service)]]);
  }, 300_000);

  afterAll(async () => {
    watch?.close();
    await stage?.close();
  }, 300_000);

  /** A Service made now has an address, answers, and goes. */
  const newServiceWorks = async (called: string): Promise<void> => {
    const fromMs = monotonicMs();
    await stage.createService(called, 'web');
    const address = await stage.addressOf(called);
    shown(`a new Service (${called}) has its address after`, [monotonicMs() - fromMs]);
    await waitFor(
      `http://${address}: an answer`,
      60_000,
      async () => (await ask(lab, 'client', `http://${address}/`)) !== undefined,
    );
    await stage.deleteService(called);
  };
  /** Since the fault every address was answered for by its one owner, and the client always had its answers. */
  const nobodyNoticed = (owners: ReadonlyMap<string, string>): void => {
    for (const service of services) {
      const seen = watch.reigns(service, faultMs).map(({ mac }) => nodeOfMac(lab, mac));
      expect([service, seen]).toEqual([service, [owners.get(service)]]);
    }
    expect(watch.failures(faultMs)).toEqual([]);
  };
  const currentOwners = async () => {
    const owners = new Map<string, string>();
    for (const service of services) owners.set(service, await watch.ownerOf(service));
    return owners;
  };
  const lease = async () =>
    (await stage.client.get(resources.leases, { namespace: release.namespace, name: `${release.name}-controller` }))
      .spec;
  const newLeader = async (than: string | undefined): Promise<void> => {
    await waitFor(
      'another leader',
      120_000,
      async () => ![than, '', undefined].includes((await lease())?.holderIdentity),
    );
    shown('without a leader for', [monotonicMs() - faultMs]);
  };

  describe('the API server', () => {
    test.each([
      ['is gone', apiDown, apiDownSeconds],
      ['hangs', apiFreeze, Math.min(20, apiDownSeconds)],
    ])(
      '%s: addresses answer, traffic flows, nothing changes',
      async (_how, cause, forSeconds) => {
        const owners = await currentOwners();
        const rows = await ownRows(lab);
        faultMs = monotonicMs();
        await cause(lab);
        try {
          await systemClock.sleep(forSeconds * 1_000);
          nobodyNoticed(owners);
          expect(await ownRows(lab)).toEqual(rows);
        } finally {
          await apiUp(lab, silentProgress);
        }
        shown('the API server was away for', [(monotonicMs() - faultMs) / 1_000], 's');
        await newServiceWorks('after-api');
        await watch.answered(20);
        nobodyNoticed(owners);
      },
      (apiDownSeconds + 240) * 1_000,
    );
  });

  describe('OVN', () => {
    test('all load balancers are deleted at once, as Kube-OVN does: all are back', async () => {
      const before = await ownRows(lab);
      const wanted = JSON.stringify(before);
      faultMs = monotonicMs();
      expect(await deleteLoadBalancers(lab)).toBe(Object.keys(before).length);
      // Not by a monitor: a row that is deleted and back before the server tells of it has not changed for it.
      await waitFor('the rows are back', 10_000, async () => JSON.stringify(await ownRows(lab)) === wanted);
      shown('all rows are deleted until they are back', [monotonicMs() - faultMs]);
    });

    test('the northbound database comes back empty: all rows are back', async () => {
      const before = JSON.stringify(await ownRows(lab));
      const server = () => processRecords(lab)['ovn-nb']?.pid;
      const old = server();
      const seen = { answersMs: 0, topologyMs: 0, rowsMs: 0 };
      const back = waitFor('the rows are back', 60_000, async () => {
        if (server() === old) return false;
        const switches = await switchNames();
        seen.answersMs ||= monotonicMs();
        if (switches.length === 0) return false;
        seen.topologyMs ||= monotonicMs();
        if (JSON.stringify(await ownRows(lab)) !== before) return false;
        seen.rowsMs = monotonicMs();
        return true;
      });
      await Promise.all([restartNorthboundDatabase(lab, { empty: true }), back]);
      shown('the empty database answers until all rows are back', [seen.rowsMs - seen.answersMs]);
      shown('the topology is back until all rows are', [seen.rowsMs - seen.topologyMs]);
      expect(seen.rowsMs - seen.answersMs).toBeLessThan(10_000);
    });
  });

  describe('controllers', () => {
    test('the leader is killed: nobody notices, the other one takes over', async () => {
      const owners = await currentOwners();
      const before = await lease();
      faultMs = monotonicMs();
      await killController(lab, 'SIGKILL');
      await newLeader(before?.holderIdentity);
      await newServiceWorks('after-leader');
      nobodyNoticed(owners);
    });

    test('all are killed: nobody notices, and they come back to work', async () => {
      const owners = await currentOwners();
      const rows = await ownRows(lab);
      const before = await lease();
      faultMs = monotonicMs();
      expect(await killController(lab, 'SIGKILL', { all: true })).toHaveLength(2);
      await newLeader(before?.holderIdentity);
      await newServiceWorks('after-all');
      nobodyNoticed(owners);
      await waitFor('the rows are as before', 30_000, async () => {
        return JSON.stringify(await ownRows(lab)) === JSON.stringify(rows);
      });
    });

    test('the leader is killed while 50 Services are created: each has one address, no two the same', async () => {
      const names = Array.from({ length: 50 }, (_, index) => `many-${index}`);
      const waiting = [...names];
      const create = async () => {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
          await stage.createService(next, 'web', { spec: { allocateLoadBalancerNodePorts: false }, pool: many });
        }
      };
      const creating = Promise.all([create(), create()]);
      const addressed = () => watch.addressed.filter((called) => called.startsWith('many-'));
      await waitFor('a few have addresses', 60_000, () => Promise.resolve(addressed().length >= 10));
      faultMs = monotonicMs();
      const before = addressed().length;
      await killController(lab, 'SIGKILL');
      await creating;
      await waitFor('all have addresses', 120_000, () => Promise.resolve(addressed().length === names.length));
      shown(`the leader killed after ${before} of 50 had addresses; all have after`, [monotonicMs() - faultMs]);
      for (const called of names) await stage.addressOf(called);
      const histories = names.map((called) => watch.historyOf(called));
      expect(histories.filter((history) => history.length !== 1)).toEqual([]);
      expect(new Set(histories.flat()).size).toBe(names.length);
      await Promise.all(names.map((called) => stage.deleteService(called)));
    });
  });

  describe('the owner of an address', () => {
    let owner = '';
    let next = { node: '', atMs: 0 };

    beforeEach(async () => {
      owner = await watch.ownerOf('main');
    });

    /** Breaks the owner and waits until another node has claimed the address. */
    const takenOver = async (cause: () => Promise<unknown>): Promise<void> => {
      const taken = watch.takeover('main', owner);
      faultMs = monotonicMs();
      await Promise.all([taken, cause()]);
      next = await taken;
      shown(`${owner} lost the address, ${next.node} claimed it after`, [next.atMs - faultMs]);
      await watch.answered(20);
      shown('the client was without answers for', [watch.longestSilence(faultMs)]);
    };
    /** The old owner is well again for a while: it has not claimed the address since the new one did, nor anybody else. */
    const staysWithNext = async (): Promise<void> => {
      await systemClock.sleep(afterwardsMs);
      const since = watch.reigns('main', next.atMs).map(({ mac }) => nodeOfMac(lab, mac));
      expect(since).toEqual([next.node]);
    };

    test('its speaker is killed: another node takes over and keeps it', async () => {
      await takenOver(() => killSpeaker(lab, owner, 'SIGKILL'));
      await watch.healed(pods);
      await staysWithNext();
    });

    test('its speaker hangs and goes on: never two that answer', async () => {
      await takenOver(() => killSpeaker(lab, owner, 'SIGSTOP'));
      await killSpeaker(lab, owner, 'SIGCONT');
      await staysWithNext();
    });

    test('its cable is pulled and plugged in: another node takes over and keeps it', async () => {
      await takenOver(() => linkDown(lab, owner, 'fabric'));
      await linkUp(lab, owner, 'fabric');
      await staysWithNext();
    });

    test('it is cut off from the other nodes only: one owner when that ends', async () => {
      await partition(lab, owner);
      // The client hears both sides; each serves its own.
      await waitFor('both sides answer for every address', 30_000, () => {
        const sinceMs = monotonicMs() - 500;
        const nodesOf = (service: string) =>
          new Set(watch.reigns(service, sinceMs).map(({ mac }) => nodeOfMac(lab, mac)));
        return Promise.resolve(services.map(nodesOf).every((nodes) => nodes.size === 2 && nodes.has(owner)));
      });
      const healedMs = monotonicMs();
      await healNetwork(lab);
      await watch.healed(pods);
      for (const service of services) {
        const reignsAfter = watch.reigns(service, healedMs);
        const settledMs = (reignsAfter.at(-1)?.firstMs ?? healedMs) - healedMs;
        shown(`${service}: ${reignsAfter.length} changes of owner, the last after`, [settledMs]);
        expect(settledMs).toBeLessThan(10_000);
      }
    });

    test('its node crashes and comes back: another node takes over and keeps it', async () => {
      await takenOver(() => crashNode(lab, owner));
      await restoreNode(lab, owner, silentProgress);
      pods = await stage.pods('web', lab.nodes.length);
      await watch.healed(pods);
      await staysWithNext();
    });
  });
});

async function switchNames(): Promise<string[]> {
  const [found] = await transact(lab, 'northbound', [
    { op: 'select', table: 'Logical_Switch', where: [], columns: ['name'] },
  ]);
  return (found?.rows ?? []).map((row) => String(row.name));
}
