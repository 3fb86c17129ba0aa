/** What the BGP library costs beside sending a table: latency of one route, many sessions, what a peer dumps at it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { messageType, UpdatePacker } from '../../src/bgp-speaker/index.ts';
import { Address } from '../../src/net/index.ts';
import { type Bench, summarize } from './bench.ts';
import { nextHop } from './bgp/bird.ts';
import { context, dumpOf } from './bgp/dump.ts';
import { PlainPeer } from './bgp/plain-peer.ts';
import { BenchSpeaker, rounded } from './bgp/speaker.ts';

async function withPeer<T>(
  holdTimeSeconds: number,
  use: (us: BenchSpeaker, peer: PlainPeer, connect: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const peer = new PlainPeer(holdTimeSeconds);
  const us = new BenchSpeaker();
  try {
    const port = await peer.listen();
    return await use(us, peer, async () => {
      await us.ask({ do: 'peers', peers: [{ address: '127.0.0.1', port, peerAs: peer.as, holdTimeSeconds }] });
      await us.ask({ do: 'when-established' });
      await us.ask({ do: 'when-in-step' });
    });
  } finally {
    us.kill();
    peer.close();
  }
}

/** From the call of `announce` in one process until the bytes are read in another. */
export const announceLatency: Bench = ({ samples = 1000, progress }) =>
  withPeer(90, async (us, peer, connect) => {
    const table = 10_000;
    await us.ask({ do: 'announce', from: 0, count: table });
    await connect();
    await sleep(500);
    const taken: number[] = [];
    for (let i = 0; i < samples; i++) {
      const heard = Promise.withResolvers<number>();
      peer.onMessage = ({ type, atMs }) => {
        if (type === messageType.update) heard.resolve(atMs);
      };
      const calledMs = await us.ask<number>({ do: 'announce-now', index: table + i });
      taken.push((await heard.promise) - calledMs);
      await sleep(2);
    }
    const result = summarize('bgp-announce-latency', 'ms', taken, { routes: table, peers: 1, path: 'loopback' });
    progress(`${result.p99} ms at the 99th of a hundred`);
    const { raw, ...rest } = result;
    return { ...rest, details: { 'p99, ms': result.p99, 'samples kept': raw?.length ?? 0 } };
  });

/** One process with 1,000 sessions to 1,000 addresses of another: resident memory that a session takes. */
export const sessions1000: Bench = async ({ progress }) => {
  const count = 1000;
  const idleMs = 30_000;
  const theirAs = 65_002;
  const us = new BenchSpeaker();
  const them = new BenchSpeaker(theirAs);
  try {
    const port = await them.ask<number>({ do: 'listen' });
    await us.ask({ do: 'announce', from: 0, count: 100 });
    const before = await us.figures();
    const start = performance.now();
    const host = (i: number) => `${1 + (i >> 8)}.${i & 255}`;
    await us.ask({
      do: 'peers',
      peers: Array.from({ length: count }, (_, i) => ({
        address: `127.1.${host(i)}`,
        localAddress: `127.2.${host(i)}`,
        port,
        peerAs: theirAs,
        holdTimeSeconds: 90,
      })),
    });
    await us.ask({ do: 'when-established' });
    const establishedMs = performance.now() - start;
    const dial = await us.figures();
    progress(`established in ${rounded(establishedMs)} ms`);
    await us.ask({ do: 'when-in-step' });
    await sleep(2000);
    await us.ask({ do: 'clear' });
    await sleep(idleMs);
    const idle = await us.figures();
    if (idle.established !== count) throw new Error(`${idle.established} of ${count} sessions are left`);
    await us.ask({ do: 'clear' });
    const oneMs = performance.now();
    await us.ask({ do: 'announce-now', index: 100 });
    await us.ask({ do: 'when-in-step' });
    const toAllMs = performance.now() - oneMs;
    const result = summarize('bgp-sessions-1000', 'MB', [idle.rssMb], {
      sessions: count,
      holdTimeSeconds: 90,
      routes: 100,
      peers: 'one process of ours',
    });
    return {
      ...result,
      details: {
        'before the sessions, MB': rounded(before.rssMb),
        'a session, KB': rounded(((idle.rssMb - before.rssMb) * 1000) / count),
        'all established, ms': rounded(establishedMs),
        'longest event-loop stall meanwhile, ms': rounded(dial.stallMs),
        'idle, % of a core': rounded((idle.cpuMs * 100) / idleMs),
        'longest event-loop stall, idle, ms': rounded(idle.stallMs),
        'one route to all, ms': rounded(toAllMs),
      },
    };
  } finally {
    us.kill();
    them.kill();
  }
};

/** Memory of the last third of the dumps may be above that of the third before by so much; else it is not flat. */
const flatWithin = 1.03;

/** A peer dumps 1,000,000 routes at us, again and again: memory, KEEPALIVEs, stalls. Fails when memory goes on growing. */
export const memory1mReceived: Bench = ({ samples = 90, progress }) =>
  withPeer(3, async (us, peer, connect) => {
    const routes = 1_000_000;
    const perUpdate = 5;
    const dump = dumpOf(routes, perUpdate);
    await connect();
    await sleep(1000);
    const before = await us.figures();
    await us.ask({ do: 'clear' });
    const keepalives = [Number(process.hrtime.bigint()) / 1e6];
    peer.onMessage = ({ type, atMs }) => {
      if (type === messageType.keepalive) keepalives.push(atMs);
    };
    const rss: number[] = [];
    const onceMs: number[] = [];
    while (onceMs.length < samples) {
      const from = performance.now();
      for (const messages of dump) await peer.write(messages);
      const wanted = routes * (onceMs.length + 1);
      let figures = await us.figures();
      while (figures.prefixesIn < wanted) {
        if (figures.established !== 1) throw new Error('the session went down');
        await sleep(2);
        figures = await us.figures();
      }
      onceMs.push(performance.now() - from);
      rss.push(figures.rssMb);
      progress(`${rounded(onceMs.at(-1) ?? 0)} ms, ${rounded(figures.rssMb)} MB`);
    }
    const after = await us.figures();
    if (after.established !== 1) throw new Error('the session went down');
    const third = Math.floor(samples / 3);
    const [middle, last] = [rss.slice(-2 * third, -third), rss.slice(-third)].map(
      (values) => summarize('', '', values, {}).median,
    );
    if (middle === undefined || last === undefined || last > middle * flatWithin) {
      throw new Error(`memory is not flat: ${middle} MB in the second third of ${samples} dumps, ${last} in the last`);
    }
    const gaps = keepalives.slice(1).map((atMs, i) => atMs - (keepalives[i] ?? atMs));
    return {
      ...summarize('bgp-memory-1m-received', 'MB', rss, {
        routes,
        routesPerUpdate: perUpdate,
        holdTimeSeconds: 3,
        dumps: onceMs.length,
      }),
      details: {
        'before, MB': rounded(before.rssMb),
        'after the first million, MB': rounded(rss[0] ?? Number.NaN),
        'second third of the dumps, MB': middle,
        'last third, MB': last,
        'peak, MB': rounded(after.peakMb),
        'a million, ms': summarize('', '', onceMs, {}).median,
        'longest event-loop stall, ms': rounded(after.stallMs),
        'longest from one KEEPALIVE to the next (due each 1000), ms': rounded(Math.max(...gaps)),
      },
    };
  });

/** Packing 1,000,000 IPv4 host routes of one attribute set into UPDATEs, nothing else. */
export const encode: Bench = async ({ samples = 15 }) => {
  const routes = 1_000_000;
  const once = () => {
    let bytes = 0;
    let messages = 0;
    const packer = new UpdatePacker(context, (message) => {
      bytes += message.length;
      messages += 1;
    });
    const start = performance.now();
    packer.announce('ipv4-unicast', { asPath: [65_001], nextHop: Address.parse(nextHop) });
    for (let i = 0; i < routes; i++) packer.add('ipv4-unicast', 32, 0x0a00_0000 + i, 0, 0, 0);
    packer.finish();
    return { ms: performance.now() - start, bytes, messages };
  };
  // Not yet compiled.
  for (let i = 0; i < 3; i++) once();
  const runs = Array.from({ length: samples }, once);
  const [first] = runs;
  const result = summarize(
    'bgp-encode',
    'ms',
    runs.map(({ ms }) => ms),
    { routes, family: 'ipv4-unicast', attributeSets: 1 },
  );
  return {
    ...result,
    details: {
      'million routes/s': rounded(routes / 1000 / result.median),
      messages: first?.messages ?? 0,
      bytes: first?.bytes ?? 0,
    },
  };
};
