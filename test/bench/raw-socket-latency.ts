/**
 * How long an ARP request waits for its answer when a worker thread answers through the addon, beside the kernel's own
 * answer on the same veth pair. The headline is the case that matters: the main thread is parsing a large list.
 */
import { release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { buildAddon } from '../../scripts/build-addon.ts';
import { Namespace, whyNoNamespaces } from '../integration/raw-socket/namespace.ts';
import { type Bench, summarize } from './bench.ts';

type Responder = 'answer' | 'answer-busy' | 'answer-busy-fifo' | undefined;

export const run: Bench = async ({ samples = 5000, progress }) => {
  const reason = whyNoNamespaces();
  if (reason !== undefined) throw new Error(`network namespaces with veth pairs are needed: ${reason}`);
  buildAddon();

  const measure = async (what: string, responder: Responder, target: string) => {
    progress(`${what}: ${samples} requests`);
    const namespace = new Namespace(fileURLToPath(new URL('./raw-socket/run.ts', import.meta.url)));
    try {
      if (responder === undefined) namespace.ip(`addr add ${target}/24 dev vb`);
      else await ready(namespace.start(responder));
      const result = await namespace.run('probe', { TARGET: target, SAMPLES: String(samples) });
      const { samples: microseconds, lost } = result as { samples: number[]; lost: number };
      if (lost > 0) progress(`${what}: ${lost} requests without an answer`);
      return {
        ...summarize(
          'arp-latency',
          'ms',
          microseconds.map((us) => us / 1000),
          {},
        ),
        lost,
      };
    } finally {
      namespace.remove();
    }
  };

  const kernel = await measure('kernel', undefined, '10.0.0.2');
  const idle = await measure('worker, main thread idle', 'answer', '10.0.0.9');
  const busy = await measure('worker, main thread busy', 'answer-busy', '10.0.0.9');
  const fifo = await measure('real-time worker, main thread busy', 'answer-busy-fifo', '10.0.0.9');
  const { lost, ...figures } = busy;
  return {
    ...figures,
    conditions: { link: 'veth', responder: 'worker thread, gated', mainThread: 'parsing 11 MB of JSON every 5 ms' },
    peer: { name: 'Linux kernel', version: release(), median: kernel.median, p99: kernel.p99, max: kernel.max },
    ratio: Math.round((busy.median / kernel.median) * 1000) / 1000,
    details: {
      lost,
      'main thread idle, median': idle.median,
      'main thread idle, p99': idle.p99,
      'main thread idle, max': idle.max,
      'SCHED_FIFO, median': fifo.median,
      'SCHED_FIFO, p99': fifo.p99,
      'SCHED_FIFO, max': fifo.max,
    },
  };
};

/** Waits until a responder says that it listens. */
function ready(child: ReturnType<Namespace['start']>): Promise<void> {
  return new Promise((resolve, reject) => {
    let complaints = '';
    child.stderr?.on('data', (chunk) => {
      complaints += String(chunk);
    });
    child.stdout?.once('data', () => resolve());
    child.once('close', () => reject(new Error(`the responder ended: ${complaints}`)));
  });
}
