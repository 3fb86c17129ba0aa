import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { silentLogger, systemClock } from '../../src/base/index.ts';
import { connectNorthbound, Northbound, type OvnService } from '../../src/ovn/index.ts';
import { eventually } from '../eventually.ts';
import { port, service } from '../ovn/service-fixtures.ts';
import { type Cluster, cluster, dump, tearDown } from '../ovsdb-client/real-server.ts';
import { ovnUnavailable } from './ovn-central.ts';

jest.setTimeout(120_000);

const unavailable = ovnUnavailable();
if (unavailable) process.stderr.write(`skipped: northbound writer with a clustered database: ${unavailable}\n`);

function many(count: number, backend: string): OvnService[] {
  return Array.from({ length: count }, (_, i) =>
    service({
      name: `s${i}`,
      clusterIPs: [],
      externalAddresses: [`10.77.0.${i}`],
      ports: [port({ endpoints: [{ address: backend, port: 8080 }] })],
    }),
  );
}

(unavailable ? describe.skip : describe)('northbound writer on a cluster', () => {
  let servers: Cluster;
  let northbound: Northbound;
  let stop: AbortController;
  let running: Promise<void>;

  beforeEach(async () => {
    servers = await cluster(JSON.parse(readFileSync('/usr/share/ovn/ovn-nb.ovsschema', 'utf8')), 'OVN_Northbound');
    northbound = new Northbound({
      connect: connectNorthbound({ remotes: servers.endpoints, clock: systemClock, logger: silentLogger }),
      clock: systemClock,
      logger: silentLogger,
      clusterId: 'lab',
      mode: 'full',
      transactionTimeoutMs: 2_000,
    });
    stop = new AbortController();
    running = northbound.run(stop.signal);
  });

  afterEach(async () => {
    stop.abort();
    await running;
    await tearDown(...servers.members);
  });

  async function written(): Promise<void> {
    const wanted = northbound.status().desiredGeneration;
    // Not `ready`: the database has no switches, so the rows act nowhere.
    await eventually(
      'the rows are written',
      () => northbound.status().writtenGeneration,
      (generation) => generation >= wanted,
      { timeoutMs: 40_000 },
    );
  }

  async function rows(): Promise<{ names: string[]; vips: string; members: number }> {
    const tables = await dump(await servers.leader(), 'OVN_Northbound');
    const balancers = Object.values(tables.Load_Balancer ?? {});
    const groups = Object.values(tables.Load_Balancer_Group ?? {});
    const names = groups.map(({ name }) => String(name)).sort();
    expect(names).toEqual(['ovenbird-lab', 'ovenbird-lab-hosts']);
    const every = groups.find(({ name }) => name === 'ovenbird-lab')?.load_balancer as [string, unknown[]];
    return {
      names: balancers.map(({ name }) => String(name)).sort(),
      vips: JSON.stringify(balancers.map(({ vips }) => vips)),
      members: every[1].length,
    };
  }

  test('leaders change in mid-write, the quorum goes and comes: no row twice, none missing', async () => {
    northbound.setDesired({ services: many(10, '10.16.0.1'), nodes: [], complete: true });
    await written();
    for (let round = 0; round < 3; round++) {
      const followers = await servers.followers();
      const leader = await servers.leader();
      // Without a quorum what is sent now is executed after an election, perhaps twice.
      for (const follower of followers) follower.pause();
      const backend = `10.16.1.${round}`;
      northbound.setDesired({ services: many(20 + 10 * round, backend), nodes: [], complete: true });
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      for (const follower of followers) follower.resume();
      northbound.setDesired({ services: many(25 + 10 * round, backend), nodes: [], complete: true });
      if (round === 1) await servers.moveLeader();
      if (round === 2) await leader.kill();
      await written();
      if (round === 2) await leader.start();
      const { names, vips, members } = await rows();
      expect(names).toHaveLength(25 + 10 * round);
      expect(new Set(names).size).toBe(names.length);
      expect(members).toBe(names.length);
      expect(vips.split(backend)).toHaveLength(names.length + 1);
    }
  });
});
