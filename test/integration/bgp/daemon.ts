/** Programs of other projects in network namespaces: started, asked, stopped, by process id. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** One running program; its output goes to a file. */
export class Daemon {
  readonly pid: number;
  readonly logPath: string;
  readonly #child: ChildProcess;
  readonly #exit = Promise.withResolvers<void>();
  #ended: string | undefined;

  /** @param namespace the name of the network namespace; mounts stay those of the machine */
  constructor(namespace: string, argv: readonly string[], logPath: string, env: Record<string, string> = {}) {
    this.logPath = logPath;
    const log = openSync(logPath, 'a');
    this.#child = spawn('nsenter', [`--net=/run/netns/${namespace}`, ...argv], {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...env },
    });
    closeSync(log);
    this.pid = this.#child.pid ?? 0;
    const end = (how: string) => {
      this.#ended = how;
      this.#exit.resolve();
    };
    this.#child.once('error', (error) => end(error.message));
    this.#child.once('exit', (code, signal) => end(`ended with ${code ?? signal}`));
  }

  /** What it wrote so far. */
  log(): string {
    return readFileSync(this.logPath, 'utf8');
  }

  /** @throws Error with the end of its log when it is gone */
  assertRunning(): void {
    if (this.#ended === undefined) return;
    throw new Error(`${this.#child.spawnargs.join(' ')}: ${this.#ended}: ${this.log().slice(-600)}`);
  }

  signal(name: NodeJS.Signals): void {
    if (this.#ended === undefined) this.#child.kill(name);
  }

  /** Ends it, the hard way after two seconds; a stopped process is woken for it. */
  async stop(name: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.signal(name);
    this.signal('SIGCONT');
    const timer = setTimeout(() => this.signal('SIGKILL'), 2000);
    await this.#exit.promise;
    clearTimeout(timer);
  }
}

/** Runs a program in a namespace to its end. @throws Error with what it printed when it fails */
export function ask(namespace: string, argv: readonly string[]): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const options = { encoding: 'utf8', maxBuffer: 256 << 20, timeout: 30_000 } as const;
  execFile('nsenter', [`--net=/run/netns/${namespace}`, ...argv], options, (error, stdout, stderr) => {
    if (error) reject(new Error(`${argv.join(' ')}: ${stderr.trim() || stdout.trim() || error.message}`));
    else resolve(stdout);
  });
  return promise;
}

/** True when a program is on the PATH, or exists where a path is given. */
export function isInstalled(program: string): boolean {
  if (program.startsWith('/')) return existsSync(program);
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return directories.some((directory) => directory !== '' && existsSync(join(directory, program)));
}

/** A directory that only its owner can look into, as OpenBGPD wants it. */
export function makeDirectory(...parts: string[]): string {
  const path = join(...parts);
  mkdirSync(path, { recursive: true, mode: 0o755 });
  return path;
}
