import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type {
  BfdEngineStatus,
  BfdSessionEvent,
  BfdSessionOptions,
  BfdSessionStatus,
} from '../../../src/bgp-speaker/bfd/index.ts';
import type { Answer, Line, ProcessSettings, Request } from './speaker-process.ts';

export interface Noted {
  session: string;
  event: BfdSessionEvent;
  /** When the line was read, ms of this process's monotonic clock. */
  atMs: number;
}

/** A `speaker-process.ts`, seen from the test. */
export class OurSpeaker {
  readonly events: Noted[] = [];
  readonly #child: ChildProcess;
  readonly #waiting: ((answer: Answer) => void)[] = [];
  readonly #ready = Promise.withResolvers<void>();
  readonly exited: Promise<number | null>;
  #watchers: (() => void)[] = [];
  #end: string | undefined;

  constructor(prefix: readonly string[], settings: ProcessSettings = {}) {
    const [program = '', ...words] = prefix;
    const script = new URL('./speaker-process.ts', import.meta.url).pathname;
    this.#child = spawn(
      program,
      [...words, process.execPath, '--no-warnings', '--max-semi-space-size=2', script, JSON.stringify(settings)],
      { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, NODE_OPTIONS: '' } },
    );
    this.exited = new Promise((resolve) => this.#child.once('exit', (code) => resolve(code)));
    this.#child.once('exit', (code, signal) => {
      this.#end = `the speaker ended with ${signal ?? code}`;
      for (const answer of this.#waiting.splice(0)) answer({ error: this.#end });
    });
    this.#ready.promise.catch(() => {});
    void this.exited.then((code) => this.#ready.reject(new Error(`the speaker ended with ${code}`)));
    if (this.#child.stdout) createInterface({ input: this.#child.stdout }).on('line', (text) => this.#onLine(text));
  }

  ready(): Promise<void> {
    return this.#ready.promise;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  add(session: string, options: BfdSessionOptions): Promise<Answer> {
    return this.ask({ do: 'add', session, options });
  }

  async status(session: string): Promise<BfdSessionStatus> {
    return (await this.ask({ do: 'status', session })) as BfdSessionStatus;
  }

  async engineStatus(): Promise<BfdEngineStatus> {
    return (await this.ask({ do: 'engine-status' })) as BfdEngineStatus;
  }

  async ask(request: Request): Promise<Answer> {
    if (this.#end !== undefined) throw new Error(this.#end);
    const { promise, resolve } = Promise.withResolvers<Answer>();
    this.#waiting.push(resolve);
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    const answer = await promise;
    if (answer && 'error' in answer) throw new Error(answer.error);
    return answer;
  }

  /** The states that a session came to since event `from`, with their reasons. */
  states(session: string, from = 0): string[] {
    return this.events
      .slice(from)
      .flatMap(({ session: of, event }) =>
        of === session && event.type === 'state' ? [`${event.to} ${event.reason}${event.isFailure ? ' !' : ''}`] : [],
      );
  }

  /** Waits for an event after `from` events. */
  async until(
    session: string,
    wanted: (event: BfdSessionEvent) => boolean,
    { from = 0, timeoutMs = 15_000 } = {},
  ): Promise<Noted> {
    const endMs = performance.now() + timeoutMs;
    for (;;) {
      const found = this.events.slice(from).find((one) => one.session === session && wanted(one.event));
      if (found) return found;
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) {
        throw new Error(
          `session ${session}: nothing in ${timeoutMs} ms but ${JSON.stringify(this.events.slice(from))}`,
        );
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#watchers.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  untilState(session: string, to: string, from = 0, timeoutMs = 15_000): Promise<Noted> {
    return this.until(session, (event) => event.type === 'state' && event.to === to, { from, timeoutMs });
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    await this.exited;
  }

  #onLine(text: string): void {
    const line = JSON.parse(text) as Line;
    if ('ready' in line) this.#ready.resolve();
    else if ('answer' in line) this.#waiting.shift()?.(line.answer);
    else this.events.push({ ...line, atMs: performance.now() });
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const watcher of watchers) watcher();
  }
}
