import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { KubeClient, resources } from '../../src/kube/index.ts';
import { eventually } from '../eventually.ts';
import { type ControlPlane, controlPlaneMissing, startControlPlane } from './control-plane.ts';

const missing = controlPlaneMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);
const suite = missing === undefined ? describe : describe.skip;

interface Line {
  atMs: number;
  who: string;
  what: string;
}

/** A contender in a process of its own. */
class ElectionProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;

  constructor(plane: ControlPlane, who: string, lines: Line[]) {
    const file = join(import.meta.dirname, 'election-process.ts');
    const ca = join(plane.directory, 'certificates', 'apiserver.crt');
    const child = spawn(process.execPath, [file, plane.server, ca, plane.token, who], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.child = child;
    this.ended = new Promise((resolve) => child.once('exit', resolve));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [atMs = '', ...words] = line.split(' ');
      lines.push({ atMs: Number(atMs), who, what: words.join(' ') });
    });
  }

  async signal(name: NodeJS.Signals): Promise<void> {
    this.child.kill(name);
    if (name === 'SIGKILL' || name === 'SIGTERM') await this.ended;
  }
}

suite('leader election on a real Lease', () => {
  let plane: ControlPlane;
  let client: KubeClient;
  const contenders = new Map<string, ElectionProcess>();
  const lines: Line[] = [];
  beforeAll(async () => {
    plane = await startControlPlane();
    client = new KubeClient(plane.config, { fieldManager: 'test' });
  }, 120_000);
  afterEach(async () => {
    for (const contender of contenders.values()) {
      contender.child.kill('SIGKILL');
      await contender.ended;
    }
    contenders.clear();
    lines.length = 0;
    await client.delete(resources.leases, { namespace: 'default', name: 'election' });
  });
  afterAll(async () => {
    client?.close();
    await plane?.stop();
  });

  const start = (...names: string[]) => {
    for (const name of names) contenders.set(name, new ElectionProcess(plane, name, lines));
  };
  const process = (name: string) => contenders.get(name) as ElectionProcess;
  const terms = () => lines.filter(({ what }) => what.startsWith('leads'));
  const leader = () => terms().at(-1)?.who ?? '';
  const led = (count: number) => eventually(`${count} terms`, () => terms().length === count, { timeoutMs: 30_000 });

  /** In the order of time, writes change hands only as terms do; a leader whose term has just begun may not have written. */
  async function expectNoOverlap(): Promise<void> {
    const writesOf = (who: string) => lines.some((line) => line.what === 'writes' && line.who === who);
    await eventually('the leader writes', () => writesOf(leader()), { timeoutMs: 10_000 });
    const writes = lines.filter(({ what }) => what === 'writes').sort((a, b) => a.atMs - b.atMs);
    const changes = writes.filter((line, at) => at === 0 || line.who !== writes[at - 1]?.who).map(({ who }) => who);
    const holders = terms().map(({ who }) => who);
    let term = -1;
    for (const who of changes) {
      term = holders.indexOf(who, term + 1);
      expect({ who, follows: term >= 0, changes, holders }).toMatchObject({ follows: true });
    }
  }

  test('one of three leads; when it is told to stop, another follows without waiting for the lease', async () => {
    start('a', 'b', 'c');
    await led(1);
    const first = leader();
    await process(first).signal('SIGTERM');
    const stoppedAtMs = lines.findLast(({ who, what }) => who === first && what === 'stopped')?.atMs ?? 0;
    await led(2);
    expect(leader()).not.toBe(first);
    expect((terms().at(-1)?.atMs ?? 0) - stoppedAtMs).toBeLessThan(2_000);
    await expectNoOverlap();
    const lease = await client.get(resources.leases, { namespace: 'default', name: 'election' });
    expect(lease.spec).toMatchObject({ holderIdentity: leader(), leaseTransitions: 1, leaseDurationSeconds: 3 });
  }, 60_000);

  test('a leader that is killed is followed when its lease is over', async () => {
    start('a', 'b', 'c');
    await led(1);
    await process(leader()).signal('SIGKILL');
    await led(2);
    await expectNoOverlap();
  }, 60_000);

  test('a leader that was paused writes nothing when it goes on', async () => {
    start('a', 'b');
    await led(1);
    const first = leader();
    await eventually('it writes', () => lines.some(({ who, what }) => who === first && what === 'writes'));
    await process(first).signal('SIGSTOP');
    await led(2);
    expect(leader()).not.toBe(first);
    await process(first).signal('SIGCONT');
    await eventually('it noticed', () => lines.some(({ who, what }) => who === first && what === 'stopped'), {
      timeoutMs: 10_000,
    });
    await sleep(1_000);
    await expectNoOverlap();
    expect(terms()).toHaveLength(2);
  }, 60_000);

  test('while the API server is away nobody leads, and afterwards one does', async () => {
    start('a', 'b', 'c');
    await led(1);
    plane.apiServer.signal('SIGSTOP');
    try {
      await eventually('the leader stopped', () => lines.at(-1)?.what === 'stopped', { timeoutMs: 10_000 });
    } finally {
      plane.apiServer.signal('SIGCONT');
    }
    await led(2);
    await plane.apiServer.kill();
    await eventually('the leader stopped', () => lines.at(-1)?.what === 'stopped', { timeoutMs: 10_000 });
    await plane.apiServer.start();
    await led(3);
    await expectNoOverlap();
  }, 120_000);
});
