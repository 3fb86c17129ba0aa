/** The BGP library on real sockets of the loopback interface, and its program. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { type BgpSpeaker, createSpeaker, MessageFramer } from '../../src/bgp-speaker/index.ts';
import { keepalive, open, routes } from '../bgp-speaker/speaker/scripted-peer.ts';
import { eventually } from '../eventually.ts';

jest.setTimeout(60_000);
const program = join(import.meta.dirname, '../../src/bgp-speaker/cli.ts');
const signal = () => AbortSignal.timeout(20_000);

const atEnd: (() => unknown)[] = [];
afterEach(async () => {
  for (const run of atEnd.splice(0).reverse()) await run();
});

async function newSpeaker(options: Partial<Parameters<typeof createSpeaker>[0]> = {}): Promise<BgpSpeaker> {
  const speaker = await createSpeaker({ localAs: 65_001, identifier: '192.0.2.1', ...options });
  atEnd.push(() => speaker.close());
  return speaker;
}

/** A peer that a test plays on a real socket. */
async function rawPeer(onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    onConnection(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const bound = server.address();
  return typeof bound === 'object' && bound ? bound.port : 0;
}

describe('a speaker that has closed leaves nothing that keeps the process alive', () => {
  test.each([
    ['established', 'the peer says: cease (6/2): administrative shutdown "over"'],
    ['drained', 'withdrawn 1'],
    ['restarting', 'the peer closed the connection'],
    ['together', 'closed'],
    ['a peer that reads nothing', 'Idle'],
    ['an attempt that hangs', 'Idle'],
    ['unnumbered', 'Connect'],
    ['a signal', 'events ended after 1'],
    ['strangers', 'sessions 0'],
    ['a dynamic session', 'dynamic true: the peer says: cease (6/2): administrative shutdown'],
    ['a drain that waits', 'Idle'],
    ['an established peer that reads nothing', 'Established'],
    ['with BFD', 'Idle'],
  ])('%s', async (name, output) => {
    const script = join(import.meta.dirname, 'bgp-library/endings.ts');
    const { stdout } = await promisify(execFile)(process.execPath, [script, name], { timeout: 20_000 });
    expect(stdout).toBe(`${output}\n`);
  });
});

describe('faults of real sockets', () => {
  test('a reset within the OPEN ends in another attempt, which succeeds', async () => {
    let connections = 0;
    const port = await rawPeer((socket) => {
      connections += 1;
      if (connections === 1) {
        socket.write(open().subarray(0, 25));
        socket.once('data', () => socket.resetAndDestroy());
      } else socket.write(Buffer.concat([open(), keepalive]));
    });
    const speaker = await newSpeaker();
    const session = speaker.addPeer({ address: '127.0.0.1', port, peerAs: 65_002, connectRetrySeconds: 1 });
    await session.whenEstablished(signal());
    expect(session.counters).toMatchObject({
      failures: 1,
      lastError: 'the peer reset the connection (ECONNRESET)',
      established: 1,
    });
  });

  test('a zero window: little is buffered, and the send hold timer ends it although keepalives come', async () => {
    let alive: NodeJS.Timeout | undefined;
    const port = await rawPeer((socket) => {
      socket.write(Buffer.concat([open(), keepalive]));
      socket.pause();
      alive = setInterval(() => socket.write(keepalive), 200);
      atEnd.push(() => clearInterval(alive));
    });
    const speaker = await newSpeaker();
    // 10 MB of UPDATEs, each route with attributes of its own.
    const count = 200_000;
    for (let index = 0; index < count; index++) {
      speaker.announce(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}/32`, { multiExitDiscriminator: index });
    }
    const peer = { address: '127.0.0.1', port, peerAs: 65_002 };
    const session = speaker.addPeer({ ...peer, holdTimeSeconds: 4, sendHoldSeconds: 5 });
    const events = speaker.events();
    await session.whenEstablished(signal());
    await eventually('the window to be full', () => !session.isInStep && session.counters.bytesOut > 100_000);
    const reason = await (async () => {
      for await (const event of events) if (event.type === 'down') return event.text;
      return '';
    })();
    // What the kernel of both ends takes, and a buffer of ours; not the 11 MB that there are.
    expect(session.counters.bytesOut).toBeLessThan(9_000_000);
    expect(session.counters.prefixesOut).toBe(0);
    expect(reason).toBe('ended here: send hold timer expired (8/0)');
  });

  test('a peer that floods delays neither the keepalives nor the routes of another', async () => {
    const flood = Buffer.concat(
      Array.from({ length: 400 }, (_, index) => routes(`10.${index % 256}.0.0/16`, '10.0.0.0/8')),
    );
    const flooding = await rawPeer((socket) => {
      socket.write(Buffer.concat([open(), keepalive]));
      const write = () => {
        while (!socket.destroyed && socket.write(flood));
      };
      socket.on('drain', write).resume();
      write();
    });
    const seen: { type: number; atMs: number }[] = [];
    const quiet = await rawPeer((socket) => {
      socket.write(Buffer.concat([open(65_003, { holdTimeSeconds: 3, identifier: [192, 0, 2, 3] }), keepalive]));
      const framer = new MessageFramer();
      socket.on('data', (chunk) => {
        framer.append(chunk);
        for (let message = framer.next(); message; message = framer.next()) {
          seen.push({ type: message.type, atMs: performance.now() });
          if (message.type === 4) socket.write(keepalive);
        }
      });
    });
    const speaker = await newSpeaker();
    const loud = speaker.addPeer({ name: 'loud', address: '127.0.0.1', port: flooding, peerAs: 65_002 });
    const session = speaker.addPeer({ name: 'quiet', address: '127.0.0.1', port: quiet, peerAs: 65_003 });
    await session.whenEstablished(signal());
    await eventually('the flood', () => loud.counters.prefixesIn > 100_000);
    const of = (wanted: number) => seen.filter(({ type }) => type === wanted).map(({ atMs }) => atMs);
    const before = of(4).length;
    for (let index = 0; index < 20; index++) {
      speaker.announce(`192.0.2.${index}/32`);
      await eventually(`UPDATE ${index + 1}`, () => of(2).length > index);
    }
    await eventually('four keepalives in the flood', () => of(4).length >= before + 4);
    expect(session.counters).toMatchObject({ flaps: 0, established: 1 });
    expect(of(2).length).toBeGreaterThanOrEqual(20);
    // One a second, of which some may be late, but none by the hold time.
    const alive = of(4);
    expect(alive.length).toBeGreaterThanOrEqual(4);
    expect(Math.max(...alive.slice(1).map((at, index) => at - (alive[index] ?? 0)))).toBeLessThan(2_500);
    expect(loud.state).toBe('Established');
  });
});

describe('the program', () => {
  /** Its output as lines, while it runs. */
  function run(...args: string[]): {
    child: ChildProcess;
    lines: string[];
    errors: string[];
    status: Promise<unknown>;
  } {
    const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    atEnd.push(() => child.kill('SIGKILL'));
    const [lines, errors]: [string[], string[]] = [[], []];
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      lines.push(...parts);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => errors.push(text));
    return { child, lines, errors, status: once(child, 'close').then(([code]) => code as unknown) };
  }

  function files(contents: Record<string, string>): string {
    const directory = mkdtempSync(join(tmpdir(), 'bgp-speaker-'));
    atEnd.push(() => rmSync(directory, { recursive: true, force: true }));
    for (const [name, text] of Object.entries(contents)) writeFileSync(join(directory, name), text);
    return directory;
  }

  test('announces a file, reads it again on SIGHUP, drains on SIGTERM, and says all as JSON', async () => {
    const router = await newSpeaker({ listen: [{ address: '127.0.0.1', port: 0 }] });
    const session = router.addPeer({ address: '127.0.0.1', peerAs: 65_002, passive: true });
    const directory = files({
      routes: '# ours\n198.51.100.1/32 community 65002:1 med 5\n198.51.100.2/32\n2001:db8::/48 as-path 64500,64501\n',
    });
    const routesFile = join(directory, 'routes');
    const peer = `127.0.0.1,port=${router.listening[0]?.port},as=65001,hold=9`;
    const hops = ['--next-hop', '192.0.2.2', '--next-hop', '2001:db8::2'];
    const own = ['--as', '65002', '--id', '192.0.2.2', '--peer', peer, '--routes', routesFile, '--text', 'moving'];
    const { child, lines, status } = run(...own, ...hops, '--drain', '1', '--json', '203.0.113.0/24');
    await eventually('4 prefixes', () => session.counters.prefixesIn === 4);
    expect(session.counters).toMatchObject({ treatedAsWithdraw: 0, attributesDiscarded: 0 });
    writeFileSync(routesFile, '198.51.100.2/32\n');
    child.kill('SIGHUP');
    await eventually('2 withdrawals', () => session.counters.withdrawnIn === 2);
    writeFileSync(routesFile, '198.51.100.2/33\n');
    child.kill('SIGHUP');
    await eventually('the mistake to be told', () => lines.some((line) => line.includes('routes line 1')));
    child.kill('SIGTERM');
    expect(await status).toBe(0);
    await eventually('the end', () => session.counters.flaps === 1);
    expect(session.counters.withdrawnIn).toBe(4);
    expect(session.counters.lastError).toBe('the peer says: cease (6/2): administrative shutdown "moving"');
    const types = new Set(lines.map((line) => (JSON.parse(line) as { type: string }).type));
    expect([...types]).toEqual(expect.arrayContaining(['established', 'end-of-rib', 'error', 'drain', 'down']));
  });

  test('takes a configuration file, and ends at once on SIGINT', async () => {
    const router = await newSpeaker({ listen: [{ address: '127.0.0.1', port: 0 }] });
    const session = router.addPeer({ address: '127.0.0.1', peerAs: 'any', passive: true });
    const { port } = router.listening[0] ?? {};
    const peers = [{ address: '127.0.0.1', port, peerAs: 'external', nextHopIpv4: '192.0.2.2', shutdownText: 'bye' }];
    const directory = files({ 'speaker.json': JSON.stringify({ localAs: 65_002, identifier: '192.0.2.2', peers }) });
    const { child, lines, status } = run('--config', join(directory, 'speaker.json'), '10.0.0.0/8');
    await eventually('the prefix', () => session.counters.prefixesIn === 1);
    child.kill('SIGINT');
    expect(await status).toBe(0);
    expect(
      lines.some((line) => line.endsWith('established with AS 65001, ipv4-unicast and ipv6-unicast, hold time 90 s')),
    ).toBe(true);
    await eventually('the text', () => session.counters.lastError?.includes('"bye"') ?? false);
  });

  const base = ['--as', '65002', '--id', '192.0.2.2'];
  const peer = ['--peer', '192.0.2.1,as=1'];
  test.each([
    ['nothing', [], /--as: give our AS number/],
    ['no peer', base, /--peer: give at least one/],
    ['no AS of the peer', [...base, '--peer', '192.0.2.1'], /--peer 192\.0\.2\.1: add as=NUMBER/],
    ['a wrong AS', ['--as', '4294967296', ...peer], /--as: "4294967296" is not a whole number from 1 to 4294967295/],
    ['a wrong identifier', ['--as', '1', '--id', '::1', ...peer], /identifier: "::1" is not an IPv4 address/],
    ['a wrong option', [...base, ...peer, '--foo'], /command line: Unknown option '--foo'/],
    ['a wrong word of a peer', [...base, '--peer', '192.0.2.1,as=1,hold=x'], /hold=x: "x" is not a whole number/],
    ['a wrong field of a peer', [...base, '--peer', '192.0.2.1,as=1,hold=2'], /peer 192\.0\.2\.1: holdTimeSeconds: /],
    ['a wrong prefix', [...base, ...peer, '10.0.0.1/8'], /PREFIX line 1: .*did you mean "10\.0\.0\.0\/8"/],
    ['a wrong community', [...base, ...peer, '-c', '65536:1', '10.0.0.0/8'], /community "65536:1": write/],
    [
      'no such file',
      [...base, ...peer, '--routes', '/nowhere/at/all'],
      /--routes: cannot read \/nowhere\/at\/all: ENOENT/,
    ],
  ])('wrong usage, %s: status 2 and what is wrong', async (_, args, message) => {
    const { errors, status } = run(...args);
    expect(await status).toBe(2);
    expect(errors.join('')).toMatch(/^bgp-speaker: /);
    expect(errors.join('')).toMatch(message);
  });

  test('a wrong configuration file is named with every field', async () => {
    const wrong = { localAs: '65002', neighbours: [] };
    const directory = files({
      a: JSON.stringify(wrong),
      b: '{',
      c: JSON.stringify({ peers: [{ adress: '192.0.2.1' }] }),
    });
    const told = async (name: string) => {
      const { errors, status } = run('--config', join(directory, name));
      return [await status, errors.join('')];
    };
    expect(await told('a')).toEqual([
      2,
      expect.stringMatching(/a\.localAs: give number, not string; .*a\.neighbours: there is no such field/),
    ]);
    expect(await told('b')).toEqual([2, expect.stringMatching(/b: no JSON/)]);
    expect(await told('c')).toEqual([
      2,
      expect.stringMatching(/c peers\[0\]\.adress: there is no such field; known: address,/),
    ]);
  });

  test('--help is all that there is', async () => {
    const { lines, status } = run('--help');
    expect(await status).toBe(0);
    expect(lines[0]).toBe('Usage: bgp-speaker [OPTION]... [PREFIX]...');
  });
});
