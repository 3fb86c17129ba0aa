/** BFD sessions between two processes of our own: the wire, faults of host and process, and what strangers send. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { encodeBfdPacket, startBfd } from '../../src/bgp-speaker/bfd/index.ts';
import { eventually } from '../eventually.ts';
import { cable, Lan } from './bfd/lan.ts';
import type { OurSpeaker } from './bfd/our-speaker.ts';
import { whyNo } from './bfd/routing-daemons.ts';
import type { SenderSettings } from './bfd/sender-process.ts';

jest.setTimeout(180_000);
/** How long a busy main thread must do no harm. */
const busySeconds = Number(process.env.OVENBIRD_BFD_BUSY_SECONDS ?? 60);
const fast = { desiredMinTxMs: 50, requiredMinRxMs: 50, detectMultiplier: 3 };

const reason = whyNo();
const suite = reason === undefined ? describe : describe.skip;

suite(`BFD sessions${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  const closing: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  function lan(): Lan {
    const made = new Lan(`own${closing.length}`);
    closing.push(() => made.close());
    return made;
  }

  async function pair(made: Lan, us: OurSpeaker, peer: OurSpeaker, timing: object = fast): Promise<void> {
    await us.add('s', { peer: cable.peer, interface: 'eu', ...timing });
    await peer.add('s', { peer: cable.us, interface: 'ep', ...timing });
    await us.untilState('s', 'up');
    await peer.untilState('s', 'up');
    const detectionTimeMs = (await us.status('s')).remote.detectMultiplier * 50;
    await eventually(
      'the negotiated detection time',
      () => us.status('s'),
      (now) => now.detectionTimeMs <= Math.max(150, detectionTimeMs),
    );
    expect(made.namespaces.name('us')).toBeDefined();
  }

  function send(made: Lan, settings: SenderSettings): void {
    const script = new URL('./bfd/sender-process.ts', import.meta.url).pathname;
    const argv = [process.execPath, '--no-warnings', script, JSON.stringify(settings)];
    made.namespaces.run('peer', argv);
  }

  test('closing: the peer hears that it is no failure, and the process has nothing left to do', async () => {
    for (const thread of ['worker', 'caller'] as const) {
      const made = lan();
      const [us, peer] = await Promise.all([made.speaker('us', { thread }), made.speaker('peer')]);
      await pair(made, us, peer);
      const answer = await us.ask({ do: 'close' });
      expect(answer).toEqual({ resources: expect.not.arrayContaining(['MessagePort', 'Timeout']) });
      expect(await us.exited).toBe(0);
      await peer.untilState('s', 'down');
      expect(peer.states('s').at(-1)).toBe('down peer-admin-down');
    }
  });

  test('a single hop is one hop: TTL 254 does not reach the session, 255 does', async () => {
    const made = lan();
    const us = await made.speaker();
    await us.add('s', { peer: cable.peer, interface: 'eu' });
    const packet = {
      diagnostic: 0,
      state: 'down' as const,
      poll: false,
      final: false,
      controlPlaneIndependent: false,
      demand: false,
      detectMultiplier: 3,
      myDiscriminator: 5,
      yourDiscriminator: 0,
      desiredMinTxMicroseconds: 1_000_000,
      requiredMinRxMicroseconds: 1_000_000,
      requiredMinEchoRxMicroseconds: 0,
    };
    const bytes = Buffer.from(encodeBfdPacket(packet)).toString('hex');
    for (const ttl of [254, 64, 1]) send(made, { to: cable.us, port: 3784, ttl, bytes, count: 1 });
    expect(await us.status('s')).toMatchObject({ state: 'down', received: 0 });
    expect(await us.engineStatus()).toMatchObject({ droppedByKernel: 3 });
    send(made, { to: cable.us, port: 3784, ttl: 255, bytes, count: 1 });
    expect(await us.status('s')).toMatchObject({ state: 'init', received: 1 });
  });

  test('a flood of rubbish from the peer changes nothing', async () => {
    const made = lan();
    const [us, peer] = await Promise.all([made.speaker(), made.speaker('peer')]);
    // Rubbish takes the room of heartbeats: on a busy machine more than a few in a row.
    await pair(made, us, peer, { ...fast, detectMultiplier: 255 });
    const from = us.events.length;
    send(made, { to: cable.us, port: 3784, ttl: 255, count: 20_000 });
    send(made, { to: cable.us, port: 3784, ttl: 64, count: 5000 });
    const { discarded, droppedByKernel } = await us.engineStatus();
    const total = Object.values(discarded).reduce((sum, count) => sum + count, 0) + droppedByKernel;
    // Where the flood overruns the receive buffer, heartbeats of the peer go the same way.
    const { received } = await us.status('s');
    const lost = (await peer.status('s')).sent - received;
    expect(total).toBeGreaterThanOrEqual(25_000);
    expect(total).toBeLessThanOrEqual(25_000 + lost);
    expect(discarded.version).toBeGreaterThan(1000);
    expect(discarded['your-discriminator']).toBeGreaterThan(100);
    expect(us.states('s', from)).toEqual([]);
    expect(await us.status('s')).toMatchObject({ state: 'up', downs: 0 });
  });

  test('a port that another speaker has is a problem, which is over when that one ends', async () => {
    const made = lan();
    const [first, second, peer] = await Promise.all([made.speaker(), made.speaker(), made.speaker('peer')]);
    await first.add('s', { peer: '10.0.0.77', interface: 'eu' });
    await first.add('any', { peer: '10.0.0.78' });
    await first.status('any');
    await second.add('s', { peer: cable.peer });
    await second.until('s', (event) => event.type === 'problem' && event.code === 'AddressInUse');
    await second.add('t', { peer: cable.peer, interface: 'eu' });
    await second.until('t', (event) => event.type === 'problem' && event.code === 'AddressInUse');
    await first.ask({ do: 'close' });
    await peer.add('s', { peer: cable.us, interface: 'ep' });
    await second.until('s', (event) => event.type === 'recovered');
    await second.until('t', (event) => event.type === 'recovered');
    // Both sockets are there; the one of the interface gets the packet, and its session is found first.
    await second.untilState('t', 'up');
  });

  test('an interface that is deleted and made again', async () => {
    const made = lan();
    const [us, peer] = await Promise.all([made.speaker(), made.speaker('peer')]);
    await pair(made, us, peer);
    const from = us.events.length;
    const { sourcePort } = await us.status('s');
    made.namespaces.ip('us', 'link del eu');
    await us.untilState('s', 'down', from);
    await us.until('s', (event) => event.type === 'problem' && event.code === 'NoSuchInterface', { from });
    made.namespaces.cable('us', 'eu', 'peer', 'ep');
    made.namespaces.ip('us', `addr add ${cable.us}/24 dev eu`);
    made.namespaces.ip('peer', `addr add ${cable.peer}/24 dev ep`);
    await us.untilState('s', 'up', from);
    const status = await us.status('s');
    expect(status).toMatchObject({ sourcePort });
    expect(status).not.toHaveProperty('problem');
  });

  test('a process that is stopped for a while hears first what it missed', async () => {
    const made = lan();
    const [us, peer] = await Promise.all([made.speaker(), made.speaker('peer')]);
    await pair(made, us, peer);
    const from = us.events.length;
    const peerFrom = peer.events.length;
    spawnSync('pkill', ['-STOP', '-P', String(us.pid)]);
    us.signal('SIGSTOP');
    await peer.untilState('s', 'down', peerFrom);
    us.signal('SIGCONT');
    spawnSync('pkill', ['-CONT', '-P', String(us.pid)]);
    await us.untilState('s', 'up', from);
    expect(peer.states('s', peerFrom)[0]).toBe('down peer-silent !');
    // Not silence: the peer spoke all the time, and said in the end that it does not hear us.
    expect(us.states('s', from)[0]).toBe('down peer-signaled-down !');
  });

  test('a killed process starts again, as somebody else, and the peer takes it', async () => {
    const made = lan();
    const [us, peer] = await Promise.all([made.speaker(), made.speaker('peer', { thread: 'caller' })]);
    await pair(made, us, peer);
    const from = peer.events.length;
    await us.kill();
    const again = await made.speaker();
    await again.add('s', { peer: cable.peer, interface: 'eu', ...fast });
    await again.untilState('s', 'up');
    await peer.untilState('s', 'up', from);
    expect(peer.states('s', from)[0]).toMatch(/^down .* !$/);
  });

  test(`a main thread that is busy for ${busySeconds} s does a worker no harm, at 50 ms x 3`, async () => {
    // Before other processes of a busy machine; before the own main thread it is a thread of its own that counts.
    const realtimePriority = 10;
    const begin = async (blockMs?: number) => {
      const made = lan();
      const [us, peer] = await Promise.all([
        made.speaker('us', { realtimePriority, ...(blockMs === undefined ? {} : { blockMs }) }),
        made.speaker('peer', { realtimePriority }),
      ]);
      await pair(made, us, peer);
      return [us, peer] as const;
    };
    const downsOf = async (speakers: readonly OurSpeaker[]) => {
      const statuses = await Promise.all(speakers.map((speaker) => speaker.status('s')));
      return statuses.reduce((sum, { downs }) => sum + downs, 0);
    };
    const busy = await begin(400);
    // Where packets come late to processes that do nothing else either, the machine is to blame, and that time is no proof.
    const idle = await begin();
    for (let round = 1; ; round++) {
      const before = [await downsOf(busy), await downsOf(idle)];
      await new Promise((resolve) => setTimeout(resolve, busySeconds * 1000));
      const after = [await downsOf(busy), await downsOf(idle)];
      const { lateness, sent } = await busy[0].status('s');
      console.log(
        `busy main thread, round ${round}: downs of busy and idle ${before} -> ${after}, late at most ${lateness.maxMs.toFixed(1)} ms, ${JSON.stringify(lateness.counts)}`,
      );
      expect(sent).toBeGreaterThan(round * busySeconds * 15);
      if (after[1] !== before[1] && round < 4) continue;
      expect(after).toEqual(before);
      return;
    }
  }, 600_000);

  test('the same in the thread of the caller would be a failure', async () => {
    const made = lan();
    const [us, peer] = await Promise.all([
      made.speaker('us', { blockMs: 400, thread: 'caller' }),
      made.speaker('peer'),
    ]);
    await us.add('s', { peer: cable.peer, interface: 'eu', ...fast });
    await peer.add('s', { peer: cable.us, interface: 'ep', ...fast });
    await peer.until('s', (event) => event.type === 'state' && event.isFailure);
  });

  const noTshark = whyNo('tshark');
  (noTshark === undefined ? test : test.skip)(
    `tshark reads what is sent without a complaint${noTshark === undefined ? '' : ` (skipped: ${noTshark})`}`,
    async () => {
      const made = lan();
      const [us, peer] = await Promise.all([made.speaker(), made.speaker('peer')]);
      const fields = [
        'ip.ttl',
        'ip.dsfield.dscp',
        'udp.srcport',
        'udp.dstport',
        'bfd.sta',
        'bfd.flags.p',
        'bfd.flags.f',
      ];
      fields.push('bfd.required_min_echo_interval', '_ws.expert.message', '_ws.malformed', 'udp.checksum.status');
      const shark = capture(made, fields);
      closing.push(() => void shark.child.kill());
      await shark.ready;
      await pair(made, us, peer);
      const ours = () => shark.rows().filter(([source]) => source === cable.us);
      await eventually('ten packets of ours', ours, (rows) => rows.length >= 10);
      await us.ask({ do: 'configure', session: 's', change: { desiredMinTxMs: 100, requiredMinRxMs: 100 } });
      await eventually('a poll of ours', ours, (rows) => rows.some((row) => row[6] === '1'));
      await peer.ask({ do: 'configure', session: 's', change: { desiredMinTxMs: 60, requiredMinRxMs: 60 } });
      await eventually('a final of ours', ours, (rows) => rows.some((row) => row[7] === '1'));
      await us.ask({ do: 'close' });
      const rows = await eventually('our last packet', ours, (seen) => seen.some((row) => row[5] === '0x00'));
      const column = (at: number) => [...new Set(rows.map((row) => row[at]))].sort();
      expect(column(1)).toEqual(['255']);
      expect(column(2)).toEqual(['48']);
      expect(column(3)).toHaveLength(1);
      expect(Number(column(3)[0])).toBeGreaterThanOrEqual(49152);
      expect(column(4)).toEqual(['3784']);
      // Whether it was seen in Down and Init depends on who came first.
      expect(column(5)).toEqual(expect.arrayContaining(['0x00', '0x03']));
      expect(column(6).length).toBe(2);
      expect(column(7).length).toBe(2);
      expect(column(8)).toEqual(['0']);
      expect(column(9)).toEqual(['']);
      // Not checked where the sending kernel left it to hardware that is not there.
      expect(column(10)).not.toContain('0');
    },
  );

  function capture(made: Lan, fields: readonly string[]) {
    const words = ['-i', 'ep', '-l', '-n', '-Q', '-T', 'fields', '-E', 'separator=;', '-f', 'udp'];
    for (const field of ['ip.src', ...fields]) words.push('-e', field);
    const [program = '', ...rest] = made.namespaces.prefix('peer');
    const child: ChildProcess = spawn(program, [...rest, 'tshark', ...words.filter((word) => word !== '-Q')]);
    let output = '';
    child.stdout?.on('data', (chunk) => {
      output += String(chunk);
    });
    const ready = new Promise<void>((resolve) => {
      child.stderr?.on('data', (chunk) => String(chunk).includes('Capturing') && resolve());
    });
    return {
      child,
      ready,
      rows: () =>
        output
          .split('\n')
          .slice(0, -1)
          .map((line) => line.split(';')),
    };
  }
});

describe('startBfd', () => {
  test('ends with its signal, and leaves no thread', async () => {
    const before = process.getActiveResourcesInfo().filter((name) => name === 'MessagePort').length;
    const abort = new AbortController();
    const bfd = await startBfd({ signal: abort.signal });
    abort.abort(new Error('enough'));
    await bfd.close();
    await expect(bfd.status()).rejects.toMatchObject({ code: 'Closed' });
    expect(process.getActiveResourcesInfo().filter((name) => name === 'MessagePort')).toHaveLength(before);
    await expect(startBfd({ signal: abort.signal })).rejects.toThrow('enough');
  });

  test('says when its worker cannot run', () => {
    const library = JSON.stringify(new URL('../../src/bgp-speaker/bfd/index.ts', import.meta.url).href);
    const program = `
      const { startBfd } = await import(${library});
      const onFailure = () => console.log('told twice');
      await startBfd({ onFailure }).catch(({ code, message }) => console.log(code, message));`;
    const { stdout, status } = spawnSync(process.execPath, ['--no-warnings', '--input-type=module', '-e', program], {
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: '', OVENBIRD_RAW_SOCKET: '/nowhere/raw-socket.node' },
    });
    expect(stdout).toMatch(/^WorkerFailed .*\/nowhere\/raw-socket\.node.*\n$/);
    expect(status).toBe(0);
  });
});
