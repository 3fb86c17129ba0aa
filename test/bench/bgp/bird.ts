/** BIRD on loopback as the receiver of routes, asked over its own control socket: an answer takes a fraction of a ms. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const birdAs = 65_002;
export const birdAddress = '127.0.0.1';
/** Routes carry it; BIRD would refuse one of loopback. */
export const nextHop = '192.0.2.1';

/** What BIRD says of a session. */
export interface BirdView {
  isEstablished: boolean;
  /** When it came to its state, ms since 1970. */
  sinceMs: number;
  /** Routes of the session in the table. */
  imported: number;
}

/** A BIRD with one session per neighbour (address and AS), each waiting for the neighbour to connect to `port`. */
export class BenchBird {
  readonly port: number;
  /** Scratch space that goes with it. */
  readonly directory: string;
  readonly #child: ChildProcess;
  #socket: Socket | undefined;
  #answer = '';
  #resolve: ((text: string) => void) | undefined;

  private constructor(port: number, directory: string) {
    this.port = port;
    this.directory = directory;
    const at = (name: string) => join(directory, name);
    this.#child = spawn('bird', ['-f', '-c', at('bird.conf'), '-s', at('bird.ctl'), '-P', at('bird.pid')], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` },
    });
  }

  /** @throws Error with one sentence when BIRD does not start */
  static async start(neighbors: readonly { address: string; as: number }[]): Promise<BenchBird> {
    const directory = mkdtempSync(join(tmpdir(), 'bgp-bench-'));
    const port = await freePort();
    writeFileSync(join(directory, 'bird.conf'), configuration(port, neighbors));
    const bird = new BenchBird(port, directory);
    let failure: Error | undefined;
    bird.#child.once('error', (error) => {
      failure = error;
    });
    for (let attempt = 0; attempt < 200; attempt++) {
      if (failure || bird.#child.exitCode !== null) break;
      const socket = await connected(join(directory, 'bird.ctl'));
      if (socket) {
        bird.#take(socket);
        return bird;
      }
      await sleep(25);
    }
    await bird.stop();
    throw new Error(`BIRD is needed and does not start${failure ? `: ${failure.message}` : ''}; install bird2`);
  }

  get rssMb(): number {
    return residentMb(this.#child.pid ?? 0);
  }

  /** The session with the neighbour of this index. */
  async view(index = 0): Promise<BirdView> {
    const text = await this.ask(`show protocols all s${index}`);
    const [, hours, minutes, seconds] = /\sBGP\s+\S+\s+\S+\s+(\d\d):(\d\d):(\d\d\.\d+)/.exec(text) ?? [];
    const midnight = new Date();
    midnight.setHours(0, 0, 0, 0);
    return {
      isEstablished: /BGP state:\s+Established/.test(text),
      sinceMs: midnight.getTime() + (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000,
      imported: Number(/Routes:\s+(\d+) imported/.exec(text)?.[1] ?? 0),
    };
  }

  /**
   * Waits until a session established after `afterMs` has given this many routes.
   * @returns ms from BIRD's establishing the session until it had them
   */
  async untilImported(
    count: number,
    options: { index?: number; afterMs?: number; timeoutMs?: number } = {},
  ): Promise<number> {
    const { index = 0, afterMs = 0, timeoutMs = 120_000 } = options;
    const end = wallMs() + timeoutMs;
    let last: BirdView | undefined;
    while (wallMs() < end) {
      last = await this.view(index);
      // The times of BIRD are cut to microseconds.
      if (last.isEstablished && last.imported >= count && last.sinceMs >= afterMs - 1) return wallMs() - last.sinceMs;
      await sleep(1);
    }
    throw new Error(`BIRD has not ${count} routes after ${timeoutMs} ms: ${JSON.stringify(last)}`);
  }

  /** One command at a time. */
  ask(command: string): Promise<string> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#socket?.write(`${command}\n`);
    });
  }

  async stop(): Promise<void> {
    this.#socket?.destroy();
    if (this.#child.exitCode === null && this.#child.pid !== undefined) {
      const gone = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.kill('SIGKILL');
      await gone;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  #take(socket: Socket): void {
    this.#socket = socket;
    socket.setEncoding('utf8').on('data', (text: string) => {
      this.#answer += text;
      // Four digits and a blank end an answer, a dash continues it; 0001 is the greeting.
      if (!/^(0\d{3}|[89]\d{3}) .*\n$/m.test(this.#answer.slice(-200))) return;
      const whole = this.#answer;
      this.#answer = '';
      if (!whole.startsWith('0001 ')) this.#resolve?.(whole);
    });
  }
}

export function birdVersion(): string {
  const { stdout, stderr } = spawnSync('bird', ['--version'], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` },
  });
  return /version (\S+)/.exec(`${stdout}${stderr}`)?.[1] ?? 'unknown';
}

/** The clock that BIRD's times are of, with fractions of a ms. */
export function wallMs(): number {
  return performance.timeOrigin + performance.now();
}

/** Resident memory of a process, MB. */
export function residentMb(pid: number): number {
  const { stdout } = spawnSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' });
  return Number(stdout) / 1024;
}

/** A TCP port that nobody has on loopback. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}

function configuration(port: number, neighbors: readonly { address: string; as: number }[]): string {
  const sessions = neighbors.map(
    ({ address, as }, index) => `protocol bgp s${index} {
  local ${birdAddress} port ${port} as ${birdAs};
  neighbor ${address} as ${as};
  multihop 2;
  strict bind on;
  passive on;
  hold time 90;
  error wait time 1, 2;
  ipv4 { import all; export none; };
}`,
  );
  return `router id 127.0.0.1;
timeformat protocol iso short us;
protocol device {}
protocol static { ipv4; route 192.0.2.0/24 blackhole; }
${sessions.join('\n')}
`;
}
