/** Our speaker in a process of its own, told over IPC what to do (see speaker.ts). */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type BgpSpeaker, createSpeaker } from '../../../src/bgp-speaker/index.ts';
import { Address } from '../../../src/net/index.ts';
import { nextHop } from './bird.ts';
import { prefixOf } from './routes.ts';
import type { ChildFigures, Request } from './speaker.ts';

const localAs = Number(process.argv[2]);
let speaker: BgpSpeaker | undefined;
const attributes = { nextHop: Address.parse(nextHop) };
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
let cpu = process.cpuUsage();

async function carryOut(request: Request): Promise<unknown> {
  speaker ??= await createSpeaker({ localAs, identifier: `127.0.0.${localAs % 100}`, routesComplete: true });
  switch (request.do) {
    case 'listen':
      speaker.acceptPeers('127.0.0.0/8', { peerAs: 'any', maximumPeers: 2_000, multihop: 2 });
      return speaker.listen({ address: '0.0.0.0', port: 0 });
    case 'peers':
      for (const peer of request.peers) speaker.addPeer({ multihop: 2, connectRetrySeconds: 1, ...peer });
      return;
    case 'start':
      for (const session of speaker.sessions) session.start();
      return;
    case 'when-established':
      await Promise.all(speaker.sessions.map((session) => session.whenEstablished()));
      return;
    case 'when-in-step':
      await Promise.all(speaker.sessions.map((session) => session.whenInStep()));
      return;
    case 'announce': {
      const start = performance.now();
      for (let i = 0; i < request.count; i++) speaker.announce(prefixOf(request.from + i), attributes);
      return performance.now() - start;
    }
    case 'announce-now': {
      // On the clock that all processes of the machine share.
      const atMs = Number(process.hrtime.bigint()) / 1e6;
      speaker.announce(prefixOf(request.index), attributes);
      return atMs;
    }
    case 'reset':
      for (const session of speaker.sessions) session.reset();
      return;
    case 'clear':
      delay.reset();
      cpu = process.cpuUsage();
      return;
    case 'live-bytes': {
      globalThis.gc?.();
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    }
    case 'figures': {
      const used = process.cpuUsage(cpu);
      return {
        rssMb: process.memoryUsage.rss() / 1e6,
        peakMb: (process.resourceUsage().maxRSS * 1024) / 1e6,
        stallMs: delay.max / 1e6,
        cpuMs: (used.user + used.system) / 1000,
        tableBytes: speaker.routesMemoryBytes,
        established: speaker.sessions.filter((session) => session.state === 'Established').length,
        prefixesIn: speaker.sessions.reduce((sum, session) => sum + session.counters.prefixesIn, 0),
      } satisfies ChildFigures;
    }
  }
}

process.on('message', ({ id, request }: { id: number; request: Request }) => {
  carryOut(request).then(
    (ok) => process.send?.({ id, ok }),
    (thrown: unknown) => process.send?.({ id, error: thrown instanceof Error ? thrown.message : String(thrown) }),
  );
});
process.once('disconnect', () => process.exit(0));
