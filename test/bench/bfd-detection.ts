/**
 * How long it takes to find that the path is gone, at 50 ms x 3: from the last packet of the peer, as a capture beside us
 * saw it, until our event of the session going down. The cable is pulled inside a switch, so that nobody loses carrier;
 * from the pulling of it, BIRD at the other end of the same cable is timed as well.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildAddon } from '../../scripts/build-addon.ts';
import { eventually } from '../eventually.ts';
import { type Bench, summarize } from './bench.ts';
import { birdVersion, withSession } from './bfd/setting.ts';

export const run: Bench = async ({ samples = 30, progress }) => {
  buildAddon();
  return withSession({}, async ({ us, tap, cut, mend, birdSince }) => {
    const capture = new Capture(tap);
    const fromLast: number[] = [];
    const fromCut: number[] = [];
    const birds: number[] = [];
    const pulls: number[] = [];
    try {
      for (let i = 0; i < samples; i++) {
        // Anywhere between two packets.
        await sleep(500 + Math.random() * 50);
        const from = us.events.length;
        const { beforeMs, afterMs } = cut();
        const down = await us.untilState('s', 'down', from, 5000);
        const bird = await eventually('BIRD says down', birdSince, ({ state }) => state === 'down', {
          timeoutMs: 5_000,
        });
        if (Number.isNaN(capture.lastMs)) throw new Error('no packet was captured; install tcpdump');
        fromLast.push(performance.timeOrigin + down.atMs - capture.lastMs);
        fromCut.push(down.atMs - beforeMs);
        pulls.push(afterMs - beforeMs);
        birds.push(bird.sinceMs - (performance.timeOrigin + beforeMs));
        progress(`${i + 1}/${samples}: ${[fromLast, fromCut, birds].map((of) => of.at(-1)?.toFixed(0)).join(', ')} ms`);
        mend();
        await us.until('s', (event) => event.type === 'timing' && event.detectionTimeMs === 150, {
          from: from + 2,
          timeoutMs: 20_000,
        });
      }
    } finally {
      capture.stop();
    }
    const result = summarize('bfd-detection', 'ms', fromLast, { interval: '50 ms x 3', thread: 'worker' });
    const [ours, theirs] = [fromCut, birds].map((values) => summarize('', 'ms', values, {}));
    return {
      ...result,
      details: {
        'from the pulling of the cable, ms': ours?.median ?? Number.NaN,
        [`BIRD ${birdVersion()} from the same, ms`]: theirs?.median ?? Number.NaN,
        'pulling the cable took, ms': summarize('', '', pulls, {}).median,
      },
    };
  });
};

/** When the last BFD packet came in through an interface. */
class Capture {
  /** Wall clock, ms since 1970. */
  lastMs = Number.NaN;
  readonly #child: ChildProcess;

  constructor({ netns, interface: name }: { netns: string; interface: string }) {
    const words = ['netns', 'exec', netns, 'tcpdump', '-i', name, '-Q', 'in', '-n', '-tt', '-l', '--immediate-mode'];
    this.#child = spawn('ip', [...words, 'udp', 'port', '3784'], { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child.once('error', () => {});
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const seconds = /^(\d+\.\d+) /.exec(line)?.[1];
      if (seconds !== undefined) this.lastMs = Number(seconds) * 1000;
    });
  }

  stop(): void {
    this.#child.kill();
  }
}
