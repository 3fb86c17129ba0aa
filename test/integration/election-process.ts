/**
 * One contender as a process of its own, for tests that stop and kill it: `node election-process.ts SERVER CA TOKEN ID`.
 *
 * Prints a line for each thing that happens, "MONOTONIC-MS WHAT"; the clock is the machine's, so that lines of several
 * processes can be compared. While it leads it "writes" every 10 ms, after asking whether it may.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { KubeClient, LeaderElection } from '../../src/kube/index.ts';

const [server = '', caFile = '', token = '', identity = ''] = process.argv.slice(2);
const say = (what: string) => process.stdout.write(`${process.hrtime.bigint() / 1_000_000n} ${what}\n`);

const client = new KubeClient(
  {
    servers: [server],
    tls: async () => ({ ca: readFileSync(caFile) }),
    headers: async () => ({ authorization: `Bearer ${token}` }),
    forgetCredentials() {},
  },
  { fieldManager: identity, ping: { intervalMs: 1_000, timeoutMs: 1_000 } },
);
const election = new LeaderElection({
  client,
  namespace: 'default',
  name: 'election',
  identity,
  leaseMs: 3_000,
  renewDeadlineMs: 2_000,
  retryMs: 300,
});
const stopping = new AbortController();
process.once('SIGTERM', () => stopping.abort(new Error('SIGTERM')));

await election.run(stopping.signal, async (leadership) => {
  say(`leads ${leadership.term}`);
  while (!leadership.signal.aborted) {
    try {
      leadership.check();
      say('writes');
    } catch {
      break;
    }
    await sleep(10);
  }
  say('stopped');
});
client.close();
