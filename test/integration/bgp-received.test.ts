import { afterEach, expect, test } from '@jest/globals';
import { dumpOf } from '../bench/bgp/dump.ts';
import { PlainPeer } from '../bench/bgp/plain-peer.ts';
import { BenchSpeaker } from '../bench/bgp/speaker.ts';
import { eventually } from '../eventually.ts';

const routes = 100_000;
const holdTimeSeconds = 3;
/** Two collections of garbage differ by half a megabyte by themselves; one byte kept of each route would be eight. */
const tolerance = 2 * 1024 * 1024;

let close = () => {};
afterEach(() => close());

test('what a peer dumps at us again and again leaves nothing behind, and the session lives', async () => {
  const peer = new PlainPeer(holdTimeSeconds);
  const us = new BenchSpeaker();
  close = () => {
    us.kill();
    peer.close();
  };
  const port = await peer.listen();
  await us.ask({ do: 'peers', peers: [{ address: '127.0.0.1', port, peerAs: peer.as, holdTimeSeconds }] });
  await us.ask({ do: 'when-established' });
  const dump = dumpOf(routes, 5);
  let dumped = 0;
  const dumpOnce = async () => {
    for (const messages of dump) await peer.write(messages);
    dumped += routes;
    await eventually(
      `${dumped} routes are counted`,
      () => us.figures(),
      ({ prefixesIn }) => prefixesIn === dumped,
    );
    return us.ask<number>({ do: 'live-bytes' });
  };
  const live: number[] = [];
  for (let time = 0; time < 85; time++) live.push(await dumpOnce());
  // What is left behind stays, so it is in the least of several looks; more in a single one is garbage on its way.
  expect(Math.min(...live.slice(-5)) - Math.min(...live.slice(0, 5))).toBeLessThan(tolerance);
  expect((await us.figures()).established).toBe(1);
}, 60_000);
