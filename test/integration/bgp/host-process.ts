import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** Talks in JSON lines to a script that runs in a network namespace, one request after another. */
export class HostProcess<Request> {
  readonly #child: ChildProcess;
  readonly #waiting: ((text: string) => void)[] = [];

  /** `prefix`: the words that enter the namespace. */
  constructor(prefix: readonly string[], script: URL, name: string) {
    const [program = '', ...words] = prefix;
    const child = spawn(program, [...words, process.execPath, '--no-warnings', script.pathname, name], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => this.#waiting.shift()?.(JSON.parse(line) as string));
    child.on('close', (status) => {
      for (const give of this.#waiting.splice(0)) give(`${name} ended with ${status}`);
    });
  }

  ask(request: Request): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#waiting.push(resolve);
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    return promise;
  }

  /** Ends the process, and waits until it has. */
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
