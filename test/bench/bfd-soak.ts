/**
 * False downs at 50 ms x 3 with BIRD, our side in its worker while the main thread lists 20,000 objects anew every
 * 200 ms. A sample is a minute; 10 by default. `max` is their number over the whole time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { buildAddon } from '../../scripts/build-addon.ts';
import { latenessBoundsMs } from '../../src/bgp-speaker/bfd/index.ts';
import type { ProcessSettings } from '../integration/bfd/speaker-process.ts';
import { type Bench, summarize } from './bench.ts';
import { birdVersion, withSession } from './bfd/setting.ts';

const relistObjects = 20_000;
const minuteMs = 60_000;

export const run: Bench = (options) => soak('bfd-soak', {}, options);
/** The same with SCHED_FIFO for the worker. */
export const runRealtime: Bench = (options) => soak('bfd-soak-realtime', { realtimePriority: 10 }, options);

async function soak(
  name: string,
  settings: ProcessSettings,
  { samples = 10, progress }: Parameters<Bench>[0],
): ReturnType<Bench> {
  buildAddon();
  return withSession({ relistObjects, ...settings }, async ({ us }) => {
    const perMinute: number[] = [];
    let before = (await us.status('s')).downs;
    for (let minute = 1; minute <= samples; minute++) {
      await sleep(minuteMs);
      const { downs, lateness } = await us.status('s');
      perMinute.push(downs - before);
      before = downs;
      progress(
        `minute ${minute}/${samples}: ${downs} false downs, timers late at most ${lateness.maxMs.toFixed(1)} ms`,
      );
    }
    const status = await us.status('s');
    const reasons = us.states('s').filter((text) => text.endsWith('!'));
    const count = (reason: string) => reasons.filter((text) => text.includes(reason)).length;
    const conditions = {
      interval: '50 ms x 3',
      thread: settings.realtimePriority === undefined ? 'worker' : 'worker with SCHED_FIFO',
      minutes: samples,
      mainThread: `listing ${relistObjects} objects every 200 ms`,
    };
    const result = summarize(name, 'false downs', perMinute, { ...conditions, peer: `BIRD ${birdVersion()}` });
    const late = (aboveMs: number) =>
      status.lateness.counts.reduce(
        (sum, count, i) => sum + ((latenessBoundsMs[i - 1] ?? 0) >= aboveMs ? count : 0),
        0,
      );
    return {
      ...result,
      max: reasons.length,
      details: {
        'we heard nothing': count('peer-silent'),
        'BIRD heard nothing': count('peer-signaled-down'),
        'packets received': status.received,
        'packets sent': status.sent,
        'own timers late at most, ms': Math.round(status.lateness.maxMs * 10) / 10,
        'own timers more than 10 ms late': late(10),
        'own timers more than 50 ms late': late(50),
      },
    };
  });
}
