/** Millions of mutated messages through the BGP decoders: none crashes, none takes long, memory stays where it was. */
import { randomInt } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { corpus, fuzz, Taker } from '../bgp-speaker/fuzz-messages.ts';
import { type Bench, summarize } from './bench.ts';

const batch = 100_000;
/** A batch takes a second or two; this is a hang. */
const longestBatchMs = 60_000;
/** After the first batches everything that grows by nature has grown. */
const warmUp = 5;
const mostGrowthMegabytes = 4;

export const run: Bench = async ({ samples = 50, progress }) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const seed = randomInt(1, 2 ** 31);
  const seeds = corpus();
  const taker = new Taker();
  const times: number[] = [];
  let settled = 0;
  let most = 0;
  for (let index = 0; index < warmUp + samples; index++) {
    const begun = performance.now();
    fuzz(seed + index, batch, taker, seeds);
    const took = performance.now() - begun;
    if (took > longestBatchMs) throw new Error(`seed ${seed + index}: ${batch} messages took ${Math.round(took)} ms`);
    collect();
    const megabytes = process.memoryUsage().heapUsed / 2 ** 20;
    if (index < warmUp) settled = Math.max(settled, megabytes);
    else {
      times.push(took);
      most = Math.max(most, megabytes);
    }
    if (index % 10 === 9) progress(`${((index + 1) * batch) / 1e6} million messages, ${megabytes.toFixed(1)} MB`);
  }
  if (most - settled > mostGrowthMegabytes) {
    throw new Error(`seed ${seed}: the heap grew from ${settled.toFixed(1)} to ${most.toFixed(1)} MB`);
  }
  const result = summarize('bgp-fuzz', 'ms per 100,000 messages', times, {
    messages: (warmUp + samples) * batch,
    seed,
    seeds: seeds.length,
  });
  const outcomes = Object.fromEntries([...taker.outcomes].sort(([a], [b]) => (a < b ? -1 : 1)));
  return {
    ...result,
    details: { ...outcomes, mostBufferedBytes: taker.mostBuffered, heapGrowthMegabytes: Math.max(0, most - settled) },
  };
};
