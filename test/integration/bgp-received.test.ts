import { afterEach, expect, test } from '@jest/globals';
import { dumpOf } from '../bench/bgp/dump.ts';
import { PlainPeer } from '../bench/bgp/plain-peer.ts';
import { BenchSpeaker } from '../bench/bgp/speaker.ts';
import { eventually } from '../eventually.ts';

const routes = 100_000;
const holdTimeSeconds = 3;
/** What differs between two collections of garbage by itself; one byte kept of each route would be a megabyte. */
const tolerance = 512 * 1024;

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
  const first: number[] = [];
  for (let time = 0; time < 3; time++) first.push(await dumpOnce());
  const later: number[] = [];
  for (let time = 0; time < 10; time++) later.push(await dumpOnce());
  expect(Math.max(...later) - Math.max(...first)).toBeLessThan(tolerance);
  expect((await us.figures()).established).toBe(1);
}, 60_000);
