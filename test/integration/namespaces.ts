import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { PeerAnswer, PeerRequest } from './namespace-peer.ts';

/** Whether network namespaces can be made here, or why not. */
export function namespacesUnavailable(): string | undefined {
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  for (const program of ['ip', 'nft']) {
    if (spawnSync(program, ['-V']).error) return `${program} is not installed`;
  }
  return undefined;
}

/** Runs a program to its end; throws with what it printed when it fails. */
export function run(argv: readonly string[], stdin = ''): string {
  const [program = '', ...words] = argv;
  const { status, stdout, stderr } = spawnSync(program, words, { input: stdin, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${argv.join(' ')} ended with ${status}: ${stderr}`);
  return stdout;
}

/** Throwaway network namespaces with a common prefix of their own; `close` removes them and what runs in them. */
export class Namespaces {
  readonly #prefix: string;
  readonly #names: string[] = [];
  readonly #peers: Peer[] = [];

  constructor(word: string) {
    // Not "ovb-": the lab takes namespaces of that name, and what runs in them, for its own when it goes down.
    this.#prefix = `ovbtest-${word}-${process.pid}`;
  }

  name(host: string): string {
    return `${this.#prefix}-${host}`;
  }

  /** Words to put before a command so that it runs in this host's namespace. */
  prefix(host: string): string[] {
    return ['ip', 'netns', 'exec', this.name(host)];
  }

  add(host: string): void {
    run(['ip', 'netns', 'add', this.name(host)]);
    this.#names.push(this.name(host));
    this.run(host, ['ip', 'link', 'set', 'lo', 'up']);
  }

  run(host: string, argv: readonly string[], stdin?: string): string {
    return run([...this.prefix(host), ...argv], stdin);
  }

  /** Sends lines to `ip -batch` in a host's namespace. */
  ip(host: string, ...lines: string[]): void {
    this.run(host, ['ip', '-batch', '-'], `${lines.join('\n')}\n`);
  }

  sysctl(host: string, settings: Record<string, string>): void {
    const lines = Object.entries(settings).map(([name, value]) => `echo ${value} > /proc/sys/${name}`);
    this.run(host, ['sh', '-c', lines.join(' && ')]);
  }

  /** A virtual cable: an interface in each of two hosts. */
  cable(a: string, aName: string, b: string, bName: string): void {
    run([
      'ip',
      'link',
      'add',
      aName,
      'netns',
      this.name(a),
      'type',
      'veth',
      'peer',
      'name',
      bName,
      'netns',
      this.name(b),
    ]);
    for (const [host, name] of [
      [a, aName],
      [b, bName],
    ] as const) {
      this.ip(host, `link set ${name} up`);
      spawnSync('ip', ['netns', 'exec', this.name(host), 'ethtool', '-K', name, 'tx', 'off', 'rx', 'off']);
    }
  }

  /** Starts a host's helper process. */
  peer(host: string): Peer {
    const peer = new Peer(this.prefix(host));
    this.#peers.push(peer);
    return peer;
  }

  async close(): Promise<void> {
    await Promise.all(this.#peers.map((peer) => peer.close()));
    for (const name of this.#names) spawnSync('ip', ['netns', 'del', name]);
  }
}

/** Talks to a `namespace-peer.ts` process, one request after another. */
export class Peer {
  readonly #child: ChildProcess;
  readonly #waiting: ((answer: PeerAnswer) => void)[] = [];

  constructor(prefix: readonly string[]) {
    const [program = '', ...words] = prefix;
    const script = new URL('./namespace-peer.ts', import.meta.url).pathname;
    const child = spawn(program, [...words, process.execPath, '--no-warnings', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) =>
      this.#waiting.shift()?.(JSON.parse(line) as PeerAnswer),
    );
  }

  ask(request: PeerRequest): Promise<PeerAnswer> {
    const { promise, resolve } = Promise.withResolvers<PeerAnswer>();
    this.#waiting.push(resolve);
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    return promise;
  }

  async #text(request: PeerRequest): Promise<string> {
    const answer = await this.ask(request);
    return 'ok' in answer ? answer.ok : answer.error;
  }

  listen(name: string, port: number): Promise<string> {
    return this.#text({ do: 'listen', name, port });
  }

  /** What the server says ("NAME CLIENT-ADDRESS"), or the error code. */
  tcp(host: string, port: number, timeoutMs = 5000): Promise<string> {
    return this.#text({ do: 'tcp', host, port, timeoutMs });
  }

  udp(host: string, port: number, from: number, timeoutMs = 3000): Promise<string> {
    return this.#text({ do: 'udp', host, port, from, timeoutMs });
  }

  open(as: string, host: string, port: number, timeoutMs = 5000): Promise<string> {
    return this.#text({ do: 'open', as, host, port, timeoutMs });
  }

  say(as: string, timeoutMs = 5000): Promise<string> {
    return this.#text({ do: 'say', as, timeoutMs });
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const closed = Promise.withResolvers<void>();
    this.#child.once('close', () => closed.resolve());
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 2000);
    await closed.promise;
    clearTimeout(timer);
  }
}
