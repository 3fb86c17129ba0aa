/** What the program `bgp-speaker` keeps on a terminal while its sessions come and go. */
import { afterEach, expect, test } from '@jest/globals';
import { announce } from '../../../src/bgp-speaker/cli/announce.ts';
import { readCommandLine } from '../../../src/bgp-speaker/cli/arguments.ts';
import { createSpeaker } from '../../../src/bgp-speaker/index.ts';
import { eventually } from '../../eventually.ts';

/** As much of a terminal as the program uses; anything else is an error. */
class Screen {
  readonly lines: string[] = [''];
  #row = 0;

  write(text: string): void {
    const visible = text.replaceAll('\u001b', '␛');
    for (const [part = ''] of visible.matchAll(/␛\[[0-9;]*[A-Za-z]|[\r\n]|[^␛\r\n]+|␛/g)) {
      const [, count = '', command] = /^␛\[(\d*)([A-Z])$/.exec(part) ?? [];
      if (command === 'A') this.#row = Math.max(0, this.#row - Number(count));
      else if (command === 'K' && count === '2') this.lines[this.#row] = '';
      else if (command === 'J' && count === '') this.lines.splice(this.#row, Number.POSITIVE_INFINITY, '');
      else if (part === '\n') this.lines[++this.#row] ??= '';
      else if (part === '\r' || !part.startsWith('␛')) this.lines[this.#row] += part === '\r' ? '' : part;
      else throw new RangeError(`the terminal does not know ${JSON.stringify(part)}`);
    }
  }

  /** The row of the table that begins with this name, words apart. */
  row(name: string): string[] | undefined {
    return this.lines.find((line) => line.startsWith(`${name} `))?.split(/ {2,}/);
  }
}

const atEnd: (() => unknown)[] = [];
afterEach(async () => {
  for (const run of atEnd.splice(0).reverse()) await run();
});

test('a table of the sessions, written over itself, and the last events below it', async () => {
  const router = await createSpeaker({
    localAs: 65_000,
    identifier: '192.0.2.254',
    listen: [{ address: '127.0.0.1', port: 0 }],
  });
  atEnd.push(() => router.close());
  const session = router.addPeer({ address: '127.0.0.1', peerAs: 65_001, passive: true, nextHopIpv4: '192.0.2.254' });
  const peers = [
    `127.0.0.1,port=${router.listening[0]?.port},as=65000,name=spine`,
    '127.0.0.1,port=1,as=65003,name=gone',
  ];
  const line = readCommandLine([
    ...['--as', '65001', '--id', '192.0.2.1', '--drain', '0', '--next-hop', '192.0.2.1'],
    ...peers.flatMap((peer) => ['--peer', peer]),
    ...['198.51.100.1/32', '198.51.100.2/32'],
  ]);
  if (!line) throw new RangeError('no help was asked for');
  const screen = new Screen();
  const wish = new EventTarget();
  let columns = 200;
  const ended = announce({
    line,
    write: (text) => screen.write(text),
    terminal: { columns: () => columns, rows: () => 24 },
    wish,
  });
  atEnd.push(() => {
    wish.dispatchEvent(new Event('SIGINT'));
    return ended;
  });

  await eventually('both prefixes at the router', () => session.counters.prefixesIn === 2);
  await eventually('the row of the session', () => screen.row('spine')?.[4] === '2');
  expect(screen.lines[0]?.split(/ {2,}/)).toEqual([
    'PEER',
    'AS',
    'STATE',
    'SINCE',
    'SENT',
    'RECEIVED',
    'FLAPS',
    'LAST ERROR',
  ]);
  expect(screen.row('spine')).toEqual([
    'spine',
    '65000',
    'Established',
    expect.stringMatching(/^\d+ s$/),
    '2',
    '0',
    '0',
  ]);
  expect(screen.row('gone')?.slice(0, 3)).toEqual(['gone', '-', expect.stringMatching(/^(Idle|Connect|Active)$/)]);
  expect(screen.row('gone')?.at(-1)).toMatch(/ECONNREFUSED/);
  expect(screen.lines.filter((one) => one.includes('spine: established with AS 65000'))).toHaveLength(1);

  router.announce('203.0.113.0/24');
  await eventually('the prefix of the router', () => screen.row('spine')?.[5] === '1');
  session.stop({ text: 'maintenance' });
  await eventually('the end of the session', () => screen.row('spine')?.[6] === '1');
  expect(screen.row('spine')?.at(-1)).toContain('administrative shutdown "maintenance"');
  // Written over, not below: each session has one row.
  expect(screen.lines.filter((one) => /^(spine|gone|PEER) /.test(one))).toHaveLength(3);

  columns = 40;
  await eventually('the narrower table', () => screen.lines.every((one) => one.length <= 40));
  wish.dispatchEvent(new Event('SIGTERM'));
  await ended;
  expect(screen.row('spine')?.[2]).toBe('Idle');
  // The ten last events, an empty line, and where the prompt comes.
  expect(screen.lines.length).toBeLessThanOrEqual(3 + 1 + 10 + 1);
  expect(screen.lines.at(-1)).toBe('');
});
