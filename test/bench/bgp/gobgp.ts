/** GoBGP as the sender of routes, at the version that the comparison names; built once with Go. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirectory } from '../../../lab/lab.ts';
import { eventually } from '../../eventually.ts';

export const gobgpVersion = '4.8.0';

export interface BenchGobgpOptions {
  /** Scratch space for its files. */
  directory: string;
  /** Its own address and router ID. */
  address: string;
  as: number;
  peer: { address: string; port: number; as: number };
}

/** A gobgpd whose only neighbour is administratively down until `start`. */
export class BenchGobgp {
  readonly #daemon: ChildProcess;
  readonly #client: string;
  readonly #target: string;
  readonly #peer: string;

  private constructor(daemon: ChildProcess, client: string, target: string, peer: string) {
    this.#daemon = daemon;
    this.#client = client;
    this.#target = target;
    this.#peer = peer;
  }

  static async start(options: BenchGobgpOptions, progress: (text: string) => void): Promise<BenchGobgp> {
    const programs = await programDirectory(progress);
    const { directory, peer } = options;
    const target = `unix://${join(directory, 'gobgp.sock')}`;
    writeFileSync(join(directory, 'gobgp.toml'), configuration(options));
    const words = ['-t', 'toml', '-f', join(directory, 'gobgp.toml'), '--log-level', 'error', '--pprof-disable'];
    const daemon = spawn(join(programs, 'gobgpd'), [...words, '--api-hosts', target], { stdio: 'ignore' });
    const gobgp = new BenchGobgp(daemon, join(programs, 'gobgp'), target, peer.address);
    try {
      await gobgp.#untilAnswers();
    } catch (thrown) {
      await gobgp.stop();
      throw thrown;
    }
    return gobgp;
  }

  get pid(): number {
    return this.#daemon.pid ?? 0;
  }

  /** Reads a table dump into its table; resolves when all of it is there. */
  async load(mrt: string, count: number): Promise<void> {
    await this.#ask('mrt', 'inject', 'global', mrt);
    const [, paths] = /Path: (\d+)/.exec(await this.#ask('global', 'rib', 'summary')) ?? [];
    if (Number(paths) !== count) throw new Error(`GoBGP has ${paths} of ${count} routes of ${mrt}`);
  }

  /** Lets the neighbour's session come up. */
  async enable(): Promise<void> {
    await this.#ask('neighbor', this.#peer, 'enable');
  }

  async stop(): Promise<void> {
    if (this.#daemon.exitCode !== null || this.#daemon.pid === undefined) return;
    const gone = new Promise((resolve) => this.#daemon.once('exit', resolve));
    this.#daemon.kill('SIGKILL');
    await gone;
  }

  async #untilAnswers(): Promise<void> {
    await eventually('gobgpd answers', () => this.#ask('global'), { timeoutMs: 10_000 });
  }

  async #ask(...words: string[]): Promise<string> {
    const limits = { timeout: 300_000, maxBuffer: 64 << 20 };
    return (await promisify(execFile)(this.#client, ['--target', this.#target, ...words], limits)).stdout;
  }
}

/** Where gobgpd and gobgp are. @throws Error when they are absent and cannot be built */
async function programDirectory(progress: (text: string) => void): Promise<string> {
  const directory = join(cacheDirectory(), `gobgp-v${gobgpVersion}`);
  if (existsSync(join(directory, 'gobgpd')) && existsSync(join(directory, 'gobgp'))) return directory;
  mkdirSync(directory, { recursive: true });
  progress(`building GoBGP ${gobgpVersion} (minutes, once)`);
  const sources = ['gobgpd', 'gobgp'].map((name) => `github.com/osrg/gobgp/v4/cmd/${name}@v${gobgpVersion}`);
  const env = { ...process.env, GOBIN: directory, GOFLAGS: '', GOWORK: 'off', CGO_ENABLED: '0' };
  await promisify(execFile)('go', ['install', ...sources], { env, timeout: 1_800_000, maxBuffer: 64 << 20 });
  return directory;
}

function configuration({ address, as, peer }: BenchGobgpOptions): string {
  return `[global.config]
  as = ${as}
  router-id = "${address}"
  port = -1
[[neighbors]]
  [neighbors.config]
    neighbor-address = "${peer.address}"
    peer-as = ${peer.as}
    admin-down = true
  [neighbors.timers.config]
    connect-retry = 1
  [neighbors.transport.config]
    local-address = "${address}"
    remote-port = ${peer.port}
  [neighbors.ebgp-multihop.config]
    enabled = true
    multihop-ttl = 2
`;
}
