/** What watchLinks tells of real changes. */
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LinkEvent, type LinkWatcher, watchLinks } from '../../../src/raw-socket/index.ts';
import { eventually } from '../../eventually.ts';

const ip = (words: string, input?: string) =>
  execFileSync('ip', words.split(' '), { encoding: 'utf8', ...(input === undefined ? {} : { input }) });

const textOf = (address: Uint8Array) =>
  address.length === 4 ? address.join('.') : Buffer.from(address).toString('hex');

function shown(event: LinkEvent): string {
  if ('address' in event) {
    const { address, prefixLength, scope } = event.address;
    return `${event.type} ${textOf(address)}/${prefixLength} ${scope}`;
  }
  const { name, flags, carrier, masterIndex } = event.link;
  const state = [
    flags.up ? 'up' : 'down',
    carrier ? 'carrier' : 'no carrier',
    ...(masterIndex === undefined ? [] : ['enslaved']),
  ];
  return event.type === 'link' ? `link ${name} ${state.join(', ')}` : `gone ${name}`;
}

function follow(receiveBufferBytes?: number) {
  const words: string[] = [];
  const errors: string[] = [];
  let syncs = 0;
  const watcher: LinkWatcher = watchLinks({
    onEvent: (event) => words.push(shown(event)),
    onSynced: () => {
      syncs += 1;
    },
    onError: (error) => errors.push(error.code),
    ...(receiveBufferBytes === undefined ? {} : { receiveBufferBytes }),
  });
  const comes = (what: string, isSo: () => boolean) => eventually(what, () => ({ words, errors }), isSo);
  const heard = (word: string) => comes(word, () => words.includes(word));
  return {
    words,
    errors,
    watcher,
    comes,
    heard,
    synced: (times: number) => comes(`sync ${times}`, () => syncs >= times),
  };
}

/** Step by step; after each step the words that the step must bring are awaited, then all are given. */
export async function linkEvents() {
  const { words, errors, watcher, heard, synced } = follow();
  await synced(1);
  const start = words.splice(0).sort();
  const steps: Record<string, string[]> = {};
  const step = async (name: string, act: () => void, last: string) => {
    act();
    await heard(last);
    await sleep(20);
    steps[name] = [...new Set(words.splice(0))];
  };
  await step('address', () => ip('addr add 192.0.2.1/24 dev va'), 'address 192.0.2.1/24 global');
  await step('carrier', () => ip('link set vb down'), 'link va up, no carrier');
  await step('back', () => ip('link set vb up'), 'link va up, carrier');
  ip('link add br0 type bridge');
  await step('bridge', () => ip('link set va master br0'), 'link va up, carrier, enslaved');
  await step('leaves the bridge', () => ip('link set va nomaster'), 'link va up, carrier');
  await step('renamed', () => ip('link set br0 name br1'), 'link br1 down, no carrier');
  await step('removed', () => ip('link del va'), 'gone vb');
  const names = watcher.links.map(({ name, kind }) => `${name} ${kind ?? '-'}`);
  const addresses = watcher.addresses.map(({ address }) => textOf(address));
  watcher.close();
  return { start, steps, names, addresses, errors };
}

/** 400 addresses come and 399 go while this thread is stalled, with room for a few events only. */
export async function overrun() {
  const { words, errors, watcher, synced, comes } = follow(4608);
  await synced(1);
  words.length = 0;
  const addresses = Array.from({ length: 400 }, (_, i) => `10.1.${i >> 8}.${i & 0xff}`);
  ip('-batch -', addresses.map((address) => `addr add ${address}/32 dev va`).join('\n'));
  await synced(2);
  const afterAdding = watcher.addresses.filter(({ address }) => address[0] === 10).length;
  ip(
    '-batch -',
    addresses
      .slice(1)
      .map((address) => `addr del ${address}/32 dev va`)
      .join('\n'),
  );
  ip('link set vb down');
  await comes('the last', () => watcher.addresses.filter(({ address }) => address[0] === 10).length === 1);
  await comes('carrier', () => watcher.links.some(({ name, carrier }) => name === 'va' && !carrier));
  watcher.close();
  const count = (start: string) => words.filter((word) => word.startsWith(start)).length;
  return { afterAdding, come: count('address 10.1.'), gone: count('address-gone 10.1.'), errors: [...new Set(errors)] };
}
