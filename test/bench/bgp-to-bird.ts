/**
 * 1,000,000 IPv4 host routes, in the sender's table already, to BIRD: from BIRD's establishing the session until it has
 * them all. GoBGP does the same to a BIRD alike, in turns with us.
 */
import { join } from 'node:path';
import { type Bench, summarize } from './bench.ts';
import { BenchBird, birdAddress, birdAs, birdVersion, nextHop, residentMb } from './bgp/bird.ts';
import { BenchGobgp, gobgpVersion } from './bgp/gobgp.ts';
import { writeMrt } from './bgp/routes.ts';
import { BenchSpeaker, rounded } from './bgp/speaker.ts';

const ROUTES = 1_000_000;
const ourAs = 65_001;
const ourAddress = '127.0.0.2';
const theirAddress = '127.0.0.3';

export const toBird1m: Bench = async ({ samples = 3, progress }) => {
  const ours: Sent[] = [];
  const theirs: Sent[] = [];
  for (let i = 0; i < samples; i++) {
    ours.push(await withBird(ourAddress, fromUs));
    progress(`ours ${i + 1}/${samples}: ${JSON.stringify(ours.at(-1))}`);
    theirs.push(await withBird(theirAddress, (bird) => fromGobgp(bird, progress)));
    progress(`GoBGP ${i + 1}/${samples}: ${JSON.stringify(theirs.at(-1))}`);
  }
  const middle = (of: readonly Sent[], field: keyof Sent) =>
    summarize(
      '',
      '',
      of.map((one) => one[field] ?? 0),
      {},
    ).median;
  const result = summarize(
    'bgp-to-bird-1m',
    'ms',
    ours.map(({ ms }) => ms),
    { routes: ROUTES, family: 'ipv4-unicast', attributeSets: 1, bird: birdVersion(), clock: "BIRD's established" },
  );
  const median = middle(theirs, 'ms');
  return {
    ...result,
    peer: { name: 'GoBGP', version: gobgpVersion, median },
    ratio: rounded(result.median / median),
    details: {
      'routes/s': Math.round((ROUTES * 1000) / result.median),
      'announcing them to the table, ms': middle(ours, 'tableMs'),
      'table, bytes a prefix': middle(ours, 'tableBytes'),
      'resident, MB': middle(ours, 'rssMb'),
      'resident, GoBGP, MB': middle(theirs, 'rssMb'),
      'longest event-loop stall while sending, ms': middle(ours, 'stallMs'),
    },
  };
};

interface Sent {
  ms: number;
  rssMb: number;
  tableMs?: number;
  tableBytes?: number;
  stallMs?: number;
}

async function withBird(address: string, send: (bird: BenchBird) => Promise<Sent>): Promise<Sent> {
  const bird = await BenchBird.start([{ address, as: ourAs }]);
  try {
    return await send(bird);
  } finally {
    await bird.stop();
  }
}

async function fromUs(bird: BenchBird): Promise<Sent> {
  const us = new BenchSpeaker();
  try {
    const peer = { address: birdAddress, port: bird.port, peerAs: birdAs, localAddress: ourAddress, disabled: true };
    await us.ask({ do: 'peers', peers: [peer] });
    const tableMs = await us.ask<number>({ do: 'announce', from: 0, count: ROUTES });
    await us.ask({ do: 'clear' });
    await us.ask({ do: 'start' });
    const ms = await bird.untilImported(ROUTES);
    const { rssMb, stallMs, tableBytes } = await us.figures();
    return { ms, rssMb, tableMs, tableBytes: tableBytes / ROUTES, stallMs };
  } finally {
    us.kill();
  }
}

async function fromGobgp(bird: BenchBird, progress: (text: string) => void): Promise<Sent> {
  const mrt = join(bird.directory, 'routes.mrt');
  await writeMrt(mrt, ROUTES, nextHop);
  const peer = { address: birdAddress, port: bird.port, as: birdAs };
  const { directory } = bird;
  const gobgp = await BenchGobgp.start({ directory, address: theirAddress, as: ourAs, peer }, progress);
  try {
    const startedMs = performance.now();
    await gobgp.load(mrt, ROUTES);
    const tableMs = performance.now() - startedMs;
    await gobgp.enable();
    const ms = await bird.untilImported(ROUTES);
    return { ms, tableMs, rssMb: residentMb(gobgp.pid) };
  } finally {
    await gobgp.stop();
  }
}

/** A session comes again: from BIRD's establishing it until BIRD has 10,000 routes. */
export const resync10k: Bench = async ({ samples = 10, progress }) => {
  const count = 10_000;
  const bird = await BenchBird.start([{ address: ourAddress, as: ourAs }]);
  const us = new BenchSpeaker();
  try {
    await us.ask({ do: 'announce', from: 0, count });
    const peer = { address: birdAddress, port: bird.port, peerAs: birdAs, localAddress: ourAddress };
    await us.ask({ do: 'peers', peers: [peer] });
    await bird.untilImported(count);
    const taken: number[] = [];
    for (let i = 0; i < samples; i++) {
      const { sinceMs } = await bird.view();
      await bird.ask('restart s0');
      taken.push(await bird.untilImported(count, { afterMs: sinceMs + 2 }));
      progress(`${i + 1}/${samples}: ${rounded(taken.at(-1) ?? 0)} ms`);
    }
    return summarize('bgp-resync-10k', 'ms', taken, { routes: count, bird: birdVersion(), pollMs: 1 });
  } finally {
    us.kill();
    await bird.stop();
  }
};
