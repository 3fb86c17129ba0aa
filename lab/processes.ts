import { type SpawnOptions, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../src/base/index.ts';
import { LabError } from './errors.ts';
import { type Lab, netnsOf } from './lab.ts';
import { endProcesses, identify, isAlive } from './process-table.ts';
import { type ProcessRecord, processRecords, updateState } from './state.ts';

type LabRoot = Pick<Lab, 'root'>;

/** A command that runs and ends. */
export interface Command {
  /** The host whose namespaces it runs in; absent = the machine itself. */
  readonly host?: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Written to its standard input, which is empty otherwise. */
  readonly input?: string;
  /** It is killed after this long. Default 120 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** A daemon of the lab; it outlives the command that starts it. */
export interface ProcessSpec {
  /** Unique in the lab, also the name of its log file: `node-1.kubelet`. */
  readonly name: string;
  /** The host whose namespaces it lives in; absent = the machine itself. */
  readonly host?: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** File descriptors it inherits as 3, 4, ... */
  readonly inherit?: readonly number[];
  /** Whatever else it depends on (text of its configuration files): another value restarts it. */
  readonly dependsOn?: string;
  /** Asked again until it says true; a rejection counts as false. Absent = ready once started. */
  readonly ready?: () => Promise<boolean>;
  /** Default 60 s. */
  readonly readyTimeoutMs?: number;
}

/**
 * Runs a command to its end and gives its output.
 * @throws LabError `CommandFailed` with the end of its stderr when it cannot be started, fails or takes too long.
 */
export async function run(lab: LabRoot, command: Command): Promise<CommandResult> {
  const result = await tryRun(lab, command);
  if (result.code === 0) return result;
  const where = command.host ? ` on ${command.host}` : '';
  const said = lastLines(result.stderr || result.stdout, 12);
  throw new LabError(
    'CommandFailed',
    `${[command.command, ...command.args].join(' ')}${where}: ${result.ending}${said ? `\n${said}` : ''}`,
  );
}

/** Like `run`, for commands whose failure is an answer. `code` is -1 when it did not end by itself. */
export async function tryRun(
  lab: LabRoot,
  command: Command,
): Promise<CommandResult & { code: number; ending: string }> {
  const [program, ...args] = enter(lab, command.host, [command.command, ...command.args]);
  const options: SpawnOptions = {
    env: { ...process.env, ...command.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    ...(command.signal === undefined ? {} : { signal: command.signal }),
  };
  const output = { stdout: '', stderr: '' };
  return new Promise((resolve) => {
    const child = spawn(program ?? '', args, options);
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
    child.stdin?.on('error', () => {}); // it may end without reading
    child.stdin?.end(command.input ?? '');
    // Not spawn's own timeout: that one goes on after a start that failed.
    const limit = systemClock.setTimer(command.timeoutMs ?? 120_000, () => child.kill('SIGKILL'));
    const settle = (code: number, ending: string) => {
      limit.cancel();
      resolve({ ...output, code, ending });
    };
    child.on('error', (error) => settle(-1, error.message));
    child.on('close', (code, signal) => settle(code ?? -1, signal ? `ended by ${signal}` : `exit code ${code}`));
  });
}

/** Runs a command in a host with this terminal; gives its exit code. */
export async function runInTerminal(lab: LabRoot, command: Omit<Command, 'input' | 'timeoutMs'>): Promise<number> {
  const [program, ...args] = enter(lab, command.host, [command.command, ...command.args]);
  return new Promise((resolve, reject) => {
    const child = spawn(program ?? '', args, { stdio: 'inherit', env: { ...process.env, ...command.env } });
    child.on('error', (cause) =>
      reject(new LabError('MissingProgram', `${command.command} cannot be started`, { cause })),
    );
    child.on('close', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 1)));
  });
}

/**
 * Starts a daemon, or keeps the one of this name that was started with the very same things, and waits until it is
 * ready. It is recorded before its program starts, so a kill of the caller at any point leaves no unknown process.
 * @throws LabError `ProcessDied` or `NotReady`, with the last lines of its log.
 */
export async function startProcess(lab: LabRoot, spec: ProcessSpec): Promise<ProcessRecord> {
  const log = logPath(lab, spec.name);
  const fingerprint = fingerprintOf(spec);
  const old = processRecords(lab)[spec.name];
  let record = old && isAlive(old) && old.fingerprint === fingerprint ? old : undefined;
  if (!record) {
    await stopProcess(lab, spec.name);
    record = spawnRecorded(lab, spec, fingerprint, log);
  }
  await waitUntilReady(spec, record);
  return record;
}

/** Ends a daemon and forgets it. Nothing happens when it does not run. */
export async function stopProcess(
  lab: LabRoot,
  name: string,
  options: { signal?: NodeJS.Signals; graceMs?: number } = {},
): Promise<void> {
  const record = processRecords(lab)[name];
  if (!record) return;
  await endProcesses([record], options);
  updateState(lab.root, (state) => {
    const { [name]: _, ...processes } = state.processes;
    return { ...state, processes };
  });
}

/** True while the daemon of this name runs. */
export function isRunning(lab: LabRoot, name: string): boolean {
  const record = processRecords(lab)[name];
  return record !== undefined && isAlive(record);
}

/** Where the daemon of this name writes its output. */
export function logPath(lab: LabRoot, name: string): string {
  return join(lab.root, 'logs', `${name}.log`);
}

/**
 * Asks `check` again, ever less often, until it says true; a rejection counts as false.
 * @throws LabError `NotReady` naming `what`; or, at once, a `ProcessDied` of the check.
 */
export async function waitFor(what: string, withinMs: number, check: () => Promise<boolean>): Promise<void> {
  const deadline = systemClock.monotonicMs() + withinMs;
  for (let pauseMs = 20; ; pauseMs = Math.min(300, pauseMs * 1.5)) {
    const holds = await check().catch((thrown: unknown) => {
      if (thrown instanceof LabError && thrown.code === 'ProcessDied') throw thrown;
      return false;
    });
    if (holds) return;
    if (systemClock.monotonicMs() > deadline) {
      throw new LabError('NotReady', `${what}: not so within ${Math.round(withinMs / 1000)} s`);
    }
    await systemClock.sleep(pauseMs);
  }
}

/** The name of the process that keeps a host's own view of the machine: mounts (/run, /var, /etc) and host name. */
export function mountsProcess(host: string): string {
  return `${host}.mounts`;
}

/** The words that run `command` inside a host's namespaces; the same words when no host is named. */
function enter(lab: LabRoot, host: string | undefined, command: readonly string[]): string[] {
  if (host === undefined) return [...command];
  const mounts = processRecords(lab)[mountsProcess(host)];
  const inMounts =
    mounts && isAlive(mounts) ? [`--mount=/proc/${mounts.pid}/ns/mnt`, `--uts=/proc/${mounts.pid}/ns/uts`] : [];
  return ['nsenter', `--net=/run/netns/${netnsOf(host)}`, ...inMounts, '--', ...command];
}

/**
 * The shell waits for a line on the pipe after the inherited descriptors, which the parent writes once the record is
 * on disk. When the parent dies first the pipe ends and nothing is started.
 */
function spawnRecorded(lab: LabRoot, spec: ProcessSpec, fingerprint: string, log: string): ProcessRecord {
  mkdirSync(join(lab.root, 'logs'), { recursive: true });
  const inherit = spec.inherit ?? [];
  const gate = 3 + inherit.length;
  const gated = ['sh', '-c', `read -r go <&${gate} || exit 0; exec ${gate}<&-; exec "$@"`, 'sh'];
  const [program, ...args] = enter(lab, spec.host, [...gated, spec.command, ...spec.args]);
  const output = openSync(log, 'a');
  try {
    const child = spawn(program ?? '', args, {
      detached: true,
      cwd: spec.cwd ?? '/',
      env: { ...process.env, ...spec.env },
      stdio: ['ignore', output, output, ...inherit, 'pipe'],
    });
    child.on('error', () => {}); // seen below: no pid, or the readiness check fails
    const identity = child.pid === undefined ? undefined : identify(child.pid);
    if (!identity) {
      throw new LabError('ProcessDied', `${spec.name}: ${program} cannot be started; is util-linux installed?`);
    }
    const record: ProcessRecord = {
      ...identity,
      ...(spec.host === undefined ? {} : { host: spec.host }),
      command: [spec.command, ...spec.args].join(' '),
      fingerprint,
      log,
    };
    updateState(lab.root, (state) => ({ ...state, processes: { ...state.processes, [spec.name]: record } }));
    const pipe = child.stdio[gate];
    if (pipe && 'end' in pipe) {
      pipe.on('error', () => {});
      pipe.end('go\n', () => pipe.destroy()); // what is written can still be read; an open end would keep us running
    }
    child.unref();
    return record;
  } finally {
    closeSync(output);
  }
}

async function waitUntilReady(spec: ProcessSpec, record: ProcessRecord): Promise<void> {
  const ready = spec.ready;
  if (!ready) return;
  const withinMs = spec.readyTimeoutMs ?? 60_000;
  const deadline = systemClock.monotonicMs() + withinMs;
  for (let pauseMs = 20; ; pauseMs = Math.min(300, pauseMs * 1.5)) {
    const isReady = await ready().catch(() => false);
    if (!isAlive(record)) throw new LabError('ProcessDied', `${spec.name} ended by itself${logEnd(record.log)}`);
    if (isReady) return;
    if (systemClock.monotonicMs() > deadline) {
      const seconds = Math.round(withinMs / 1000);
      throw new LabError('NotReady', `${spec.name} is not ready after ${seconds} s${logEnd(record.log)}`);
    }
    await systemClock.sleep(pauseMs);
  }
}

function fingerprintOf(spec: ProcessSpec): string {
  const parts = [spec.host ?? '', spec.command, spec.args, spec.env ?? {}, spec.cwd ?? '', spec.dependsOn ?? ''];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}

/** The end of a log file, as words to end an error message with. */
export function logEnd(log: string): string {
  const text = existsSync(log) ? readFileSync(log, 'utf8') : '';
  return `; log ${log}${text ? `:\n${lastLines(text, 12)}` : ' is empty'}`;
}

/** The last `count` lines that say something, indented, to stand under a message; stack frames say nothing to a person. */
function lastLines(text: string, count: number): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !/^\s+at /.test(line));
  return lines
    .slice(-count)
    .map((line) => `    ${line.slice(0, 300)}`)
    .join('\n');
}
