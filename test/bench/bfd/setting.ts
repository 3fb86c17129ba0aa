/**
 * Our BFD and BIRD's on two ports of a switch, where a cable can be pulled without either losing carrier. BIRD has a
 * real-time priority, so that it keeps time as a router does which has a machine to itself.
 */
import { spawnSync } from 'node:child_process';
import { OurSpeaker } from '../../integration/bfd/our-speaker.ts';
import { Bird, whyNo } from '../../integration/bfd/routing-daemons.ts';
import type { ProcessSettings } from '../../integration/bfd/speaker-process.ts';
import { Namespaces } from '../../integration/namespaces.ts';

export const timing = { desiredMinTxMs: 50, requiredMinRxMs: 50, detectMultiplier: 3 };
const ours = '10.0.0.1';
const theirs = '10.0.0.2';

export interface Switched {
  us: OurSpeaker;
  /** Where our end of the cable is. */
  tap: { netns: string; interface: string };
  bird: Bird;
  /** Gives when the cable was surely whole and when it was surely gone, ms. */
  cut(): { beforeMs: number; afterMs: number };
  mend(): void;
  /** Wall clock, ms since 1970, when BIRD came to its present state. */
  birdSince(): { state: string; sinceMs: number };
}

/** Brings the session up with intervals in force, hands it over, and takes everything down. */
export async function withSession<T>(
  settings: ProcessSettings,
  measure: (setting: Switched) => Promise<T>,
): Promise<T> {
  const reason = whyNo('bird');
  if (reason !== undefined) throw new Error(`BIRD in a network namespace is needed: ${reason}`);
  const namespaces = new Namespaces('bfd-bench');
  const bird = new Bird(namespaces.prefix('peer'), 20);
  let us: OurSpeaker | undefined;
  try {
    for (const host of ['us', 'switch', 'peer']) namespaces.add(host);
    namespaces.ip('switch', 'link add br0 type bridge forward_delay 0', 'link set br0 up');
    namespaces.cable('us', 'eu', 'switch', 'p1');
    namespaces.cable('peer', 'ep', 'switch', 'p2');
    namespaces.ip('switch', 'link set p1 master br0', 'link set p2 master br0');
    namespaces.ip('us', `addr add ${ours}/24 dev eu`);
    namespaces.ip('peer', `addr add ${theirs}/24 dev ep`);
    us = new OurSpeaker(namespaces.prefix('us'), settings);
    await us.ready();
    const session = { address: ours, localAddress: theirs, interface: 'ep' };
    await bird.configure([session], { txMs: 50, rxMs: 50, multiplier: 3 });
    await us.add('s', { peer: theirs, interface: 'eu', ...timing });
    await us.until('s', (event) => event.type === 'timing' && event.detectionTimeMs === 150, { timeoutMs: 30_000 });
    const port = (master: string) => namespaces.ip('switch', `link set p2 ${master}`);
    return await measure({
      us,
      tap: { netns: namespaces.name('us'), interface: 'eu' },
      bird,
      cut() {
        const beforeMs = performance.now();
        port('nomaster');
        return { beforeMs, afterMs: performance.now() };
      },
      mend: () => port('master br0'),
      birdSince() {
        const { state = '', text = '' } = bird.view(ours) ?? {};
        const [, hours, minutes, seconds] = /(\d\d):(\d\d):(\d\d\.\d+)/.exec(text) ?? [];
        const midnight = new Date();
        midnight.setHours(0, 0, 0, 0);
        return {
          state,
          sinceMs: midnight.getTime() + (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000,
        };
      },
    });
  } finally {
    await us?.kill();
    await bird.kill();
    await namespaces.close();
  }
}

export function birdVersion(): string {
  const { stdout, stderr } = spawnSync('bird', ['--version'], { encoding: 'utf8' });
  return /version (\S+)/.exec(stdout + stderr)?.[1] ?? 'unknown';
}
