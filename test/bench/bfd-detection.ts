/**
 * How long it takes to find that the path is gone, at 50 ms x 3: from the moment the cable is pulled (inside a switch, so
 * that nobody loses carrier) until our event of the session going down, beside BIRD at the other end of the same cable.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { buildAddon } from '../../scripts/build-addon.ts';
import { type Bench, summarize } from './bench.ts';
import { birdVersion, withSession } from './bfd/setting.ts';

export const run: Bench = async ({ samples = 30, progress }) => {
  buildAddon();
  return withSession({}, async ({ us, cut, mend, birdSince }) => {
    const taken: number[] = [];
    const birds: number[] = [];
    const pulls: number[] = [];
    for (let i = 0; i < samples; i++) {
      // Anywhere between two packets.
      await sleep(500 + Math.random() * 50);
      const from = us.events.length;
      const { beforeMs, afterMs } = cut();
      const wallMs = performance.timeOrigin + beforeMs;
      const down = await us.untilState('s', 'down', from, 5000);
      await sleep(200);
      const bird = birdSince();
      taken.push(down.atMs - beforeMs);
      pulls.push(afterMs - beforeMs);
      if (bird.state === 'down') birds.push(bird.sinceMs - wallMs);
      progress(`${i + 1}/${samples}: ${taken.at(-1)?.toFixed(0)} ms, BIRD ${birds.at(-1)?.toFixed(0)} ms`);
      mend();
      await us.until('s', (event) => event.type === 'timing' && event.detectionTimeMs === 150, {
        from: from + 2,
        timeoutMs: 20_000,
      });
    }
    const result = summarize('bfd-detection', 'ms', taken, { interval: '50 ms x 3', thread: 'worker' });
    const theirs = summarize('', 'ms', birds, {});
    return {
      ...result,
      peer: { name: 'BIRD', version: birdVersion(), median: theirs.median, p99: theirs.p99, max: theirs.max },
      ratio: Math.round((result.median / theirs.median) * 1000) / 1000,
      details: { 'pulling the cable took, ms': summarize('', '', pulls, {}).median },
    };
  });
};
