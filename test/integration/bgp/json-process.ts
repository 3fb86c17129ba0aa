/** A helper process that carries out requests, one JSON line each, and may send words of its own meanwhile. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** The side of the test. */
export class JsonProcess<Request extends object, Event> {
  readonly pid: number;
  readonly events: Event[] = [];
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  readonly #exit = Promise.withResolvers<void>();
  #nextId = 1;

  constructor(namespace: string, script: URL, nodeArguments: readonly string[] = []) {
    const argv = [
      `--net=/run/netns/${namespace}`,
      process.execPath,
      '--no-warnings',
      ...nodeArguments,
      script.pathname,
    ];
    const child = spawn('nsenter', argv, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child = child;
    this.pid = child.pid ?? 0;
    child.stdin.on('error', () => {});
    createInterface({ input: child.stdout }).on('line', (line) => this.#heard(line));
    child.once('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the process ended with ${code ?? signal}`));
      this.#waiting.clear();
      this.#exit.resolve();
    });
  }

  #heard(line: string): void {
    const word = JSON.parse(line) as { id: number; ok?: unknown; error?: string } | { event: Event };
    if ('event' in word) {
      this.events.push(word.event);
      return;
    }
    const waiting = this.#waiting.get(word.id);
    this.#waiting.delete(word.id);
    if (word.error === undefined) waiting?.resolve(word.ok);
    else waiting?.reject(new Error(word.error));
  }

  /** @throws Error with what the process says went wrong */
  ask<Answer = void>(request: Request): Promise<Answer> {
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
    this.#child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`);
    return promise;
  }

  signal(name: NodeJS.Signals): void {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(name);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#exit.promise;
  }
}

/** The side of the helper process: reads requests until the end of stdin. */
export async function serve<Request>(carryOut: (request: Request) => unknown): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, ...request } = JSON.parse(line) as { id: number };
    Promise.resolve()
      .then(() => carryOut(request as Request))
      .then(
        (ok) => say({ id, ok: ok ?? null }),
        (thrown: unknown) => say({ id, error: thrown instanceof Error ? thrown.message : String(thrown) }),
      );
  }
  process.exit(0);
}

export function say(word: object): void {
  const text = JSON.stringify(word, (_, value: unknown) => {
    if (typeof value === 'bigint') return `0x${value.toString(16)}`;
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
    if (value instanceof Error) return value.message;
    return value;
  });
  process.stdout.write(`${text}\n`);
}
