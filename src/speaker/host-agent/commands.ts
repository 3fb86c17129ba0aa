import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { OvenbirdError } from '../../base/index.ts';

export type HostCommandErrorCode = 'CommandMissing' | 'CommandFailed' | 'CommandTimedOut';

/** A program of the host could not be run, or said no. */
export class HostCommandError extends OvenbirdError<HostCommandErrorCode> {}

export interface RunOptions {
  stdin?: string;
  signal?: AbortSignal;
  /** After this long the program is killed, ms. Default 10000. */
  timeoutMs?: number;
  /** Exit codes that are an answer and no failure. Default [0]. */
  acceptCodes?: readonly number[];
}

/** Runs the programs of the host; handed in so that tests can run them in a network namespace, or not at all. */
export interface HostCommands {
  /** Runs to the end and gives what was printed. @throws HostCommandError with the program's own words */
  run(argv: readonly string[], options?: RunOptions): Promise<string>;
  /** Runs until it ends or `signal` aborts, calling `onLine` for each line it prints. */
  follow(argv: readonly string[], onLine: (line: string) => void, signal: AbortSignal): Promise<void>;
}

/**
 * Programs found in PATH.
 *
 * @param prefix words put before every command, e.g. `['ip', 'netns', 'exec', 'node-1']`
 */
export function systemCommands(prefix: readonly string[] = []): HostCommands {
  return {
    run: (argv, options) => run([...prefix, ...argv], argv[0] ?? '', options),
    follow: (argv, onLine, signal) => follow([...prefix, ...argv], onLine, signal),
  };
}

async function run(argv: readonly string[], name: string, options: RunOptions = {}): Promise<string> {
  const { stdin, signal, timeoutMs = 10_000, acceptCodes = [0] } = options;
  signal?.throwIfAborted();
  const [program = '', ...words] = argv;
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = Promise.withResolvers<{ code: number | null; signalName: string | null }>();
  child.on('error', (cause: NodeJS.ErrnoException) => {
    ended.reject(
      cause.code === 'ENOENT'
        ? new HostCommandError('CommandMissing', `${name} is not installed; the host agent needs it in PATH`, { cause })
        : new HostCommandError('CommandFailed', `${name} could not be started`, { cause }),
    );
  });
  child.on('close', (code, signalName) => ended.resolve({ code, signalName }));
  // A program that dies before it read everything says why on stderr; the broken pipe adds nothing.
  child.stdin.on('error', () => {});
  child.stdin.end(stdin ?? '');
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  const onAbort = () => child.kill('SIGKILL');
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const { code, signalName } = await ended.promise;
    if (late)
      throw new HostCommandError('CommandTimedOut', `${name} did not end within ${timeoutMs} ms`, { retryable: true });
    signal?.throwIfAborted();
    if (code === null || !acceptCodes.includes(code)) {
      const said = firstLines(Buffer.concat(stderr).toString('utf8'));
      throw new HostCommandError('CommandFailed', `${argvText(argv)} ended with ${code ?? signalName}: ${said}`, {
        retryable: true,
      });
    }
    return Buffer.concat(stdout).toString('utf8');
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

async function follow(argv: readonly string[], onLine: (line: string) => void, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const [program = '', ...words] = argv;
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = Promise.withResolvers<void>();
  child.on('error', (cause) =>
    ended.reject(new HostCommandError('CommandMissing', `${program} could not be started`, { cause })),
  );
  child.on('close', () => ended.resolve());
  createInterface({ input: child.stdout }).on('line', onLine);
  const onAbort = () => child.kill('SIGKILL');
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await ended.promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function argvText(argv: readonly string[]): string {
  return argv.slice(0, 8).join(' ');
}

function firstLines(text: string): string {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return lines.slice(0, 3).join(' / ').slice(0, 500) || 'no message';
}
