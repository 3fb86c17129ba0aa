/** Real ovsdb-server processes for tests and benchmarks, each with a directory of its own. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseEndpoints } from '../../src/ovsdb-client/index.ts';
import { eventually } from '../eventually.ts';

const run = promisify(execFile);

export const programsMissing = ['/usr/sbin/ovsdb-server', '/usr/bin/ovsdb-tool'].some((path) => !existsSync(path))
  ? 'ovsdb-server and ovsdb-tool are not installed (package openvswitch-common)'
  : undefined;

/** Runs a program and gives what it printed; rejects with its stderr. */
export async function output(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await run(program, args, { maxBuffer: 256 * 1024 * 1024 });
  return stdout;
}

export function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), `ovsdb-client-${process.pid}-`));
}

export interface ServerSettings {
  /** `--remote` of the server; default `punix:DIRECTORY/db.sock`. */
  remote?: string;
  /** More command line options. */
  options?: readonly string[];
}

/** One ovsdb-server process on a database file that exists. */
export class RealServer {
  readonly directory: string;
  readonly database: string;
  readonly name: string;
  readonly #settings: ServerSettings;
  #process: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  constructor(directory: string, database: string, settings: ServerSettings = {}) {
    this.directory = directory;
    this.database = database;
    this.name = database.replace(/^.*\//, '').replace(/\.db$/, '');
    this.#settings = settings;
  }

  get socket(): string {
    return join(this.directory, `${this.name}.sock`);
  }

  get endpoint(): string {
    return this.#settings.remote?.replace(/^p(tcp|ssl):(\d+):(.*)$/, '$1:$3:$2') ?? `unix:${this.socket}`;
  }

  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error(`${this.name} is not running`);
    return pid;
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  async start(): Promise<void> {
    const remote = this.#settings.remote ?? `punix:${this.socket}`;
    const child = spawn(
      '/usr/sbin/ovsdb-server',
      [
        `--remote=${remote}`,
        `--unixctl=${this.control}`,
        `--log-file=${join(this.directory, `${this.name}.log`)}`,
        '--no-chdir',
        '-vconsole:off',
        ...(this.#settings.options ?? []),
        this.database,
      ],
      { stdio: 'ignore', env: { ...process.env, OVS_RUNDIR: this.directory } },
    );
    this.#process = child;
    this.#exited = new Promise((resolve) => {
      child.once('exit', () => {
        if (this.#process === child) this.#process = undefined;
        resolve();
      });
    });
    await eventually(`${this.name} answers`, () => answers(this.endpoint));
  }

  get control(): string {
    return join(this.directory, `${this.name}.ctl`);
  }

  appctl(...args: string[]): Promise<string> {
    return output('ovs-appctl', '-t', this.control, ...args);
  }

  /** SIGSTOP: the sockets stay open and nothing answers. */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    child.kill('SIGCONT');
    child.kill(signal);
    await this.#exited;
  }
}

async function answers(endpoint: string): Promise<boolean> {
  const [target] = parseEndpoints(endpoint);
  return new Promise((resolve) => {
    if (target === undefined) return resolve(false);
    const socket = target.kind === 'unix' ? connect({ path: target.path }) : connect(target);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** A standalone database made from a schema (an object, or the path of a file), served. */
export async function standalone(schema: object | string, settings: ServerSettings = {}): Promise<RealServer> {
  const directory = temporaryDirectory();
  const database = join(directory, 'db.db');
  await output('ovsdb-tool', 'create', database, schemaFile(directory, schema));
  const server = new RealServer(directory, database, settings);
  await server.start();
  return server;
}

export function schemaFile(directory: string, schema: object | string, name = 'schema.json'): string {
  if (typeof schema === 'string') return schema;
  const path = join(directory, name);
  writeFileSync(path, JSON.stringify(schema));
  return path;
}

/** Stops the servers and removes their directories. */
export async function tearDown(...servers: RealServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.kill()));
  for (const server of servers) rmSync(server.directory, { recursive: true, force: true });
}

/** A RAFT cluster whose members talk over Unix sockets; resolves when it has a leader and all have joined. */
export class Cluster {
  readonly members: readonly RealServer[];
  readonly database: string;

  constructor(members: readonly RealServer[], database: string) {
    this.members = members;
    this.database = database;
  }

  get endpoints(): string {
    return this.members.map((member) => member.endpoint).join(',');
  }

  async leader(): Promise<RealServer> {
    let found: RealServer | undefined;
    await eventually('the cluster has a leader', async () => {
      for (const member of this.members) {
        if (member.running && (await this.#status(member)).includes('Role: leader')) found = member;
      }
      return found !== undefined;
    });
    return found as RealServer;
  }

  async followers(): Promise<readonly RealServer[]> {
    const leader = await this.leader();
    return this.members.filter((member) => member !== leader);
  }

  /** The leader steps down. */
  async moveLeader(): Promise<void> {
    const leader = await this.leader();
    await leader.appctl('cluster/failure-test', 'transfer-leadership');
  }

  async healthy(): Promise<void> {
    await eventually('all members are in', async () => {
      const texts = await Promise.all(this.members.map((member) => (member.running ? this.#status(member) : '')));
      return texts.every(
        (text) =>
          text.includes('Status: cluster member') &&
          /Role: (leader|follower)/.test(text) &&
          !text.includes('Leader: unknown'),
      );
    });
  }

  async #status(member: RealServer): Promise<string> {
    // A paused member does not answer.
    return run('ovs-appctl', ['-T', '1', '-t', member.control, 'cluster/status', this.database]).then(
      ({ stdout }) => stdout,
      () => '',
    );
  }
}

export async function cluster(
  schema: object | string,
  database: string,
  count = 3,
  options: readonly string[] = [],
): Promise<Cluster> {
  const members: RealServer[] = [];
  const address = (member: RealServer) => `unix:${join(member.directory, 'raft')}`;
  for (let i = 0; i < count; i++) {
    const directory = temporaryDirectory();
    const member = new RealServer(directory, join(directory, `s${i}.db`), { options });
    const first = members[0];
    if (first === undefined) {
      await output('ovsdb-tool', 'create-cluster', member.database, schemaFile(directory, schema), address(member));
    } else {
      await output('ovsdb-tool', 'join-cluster', member.database, database, address(member), address(first));
    }
    members.push(member);
    await member.start();
  }
  const made = new Cluster(members, database);
  await made.healthy();
  return made;
}

/** The whole database as `ovsdb-client dump` gives it: table to uuid to row JSON, keys sorted. */
export async function dump(
  server: RealServer,
  database: string,
): Promise<Record<string, Record<string, Record<string, unknown>>>> {
  const text = await output('ovsdb-client', '-f', 'json', '--timeout=20', 'dump', server.endpoint, database);
  const tables: Record<string, Record<string, Record<string, unknown>>> = {};
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const { caption, headings, data } = JSON.parse(line, exactIntegers) as {
      caption: string;
      headings: string[];
      data: unknown[][];
    };
    const rows: Record<string, Record<string, unknown>> = {};
    for (const cells of data) {
      const row = Object.fromEntries(headings.map((heading, i) => [heading, cells[i]]));
      rows[(row._uuid as string[])[1] as string] = row;
    }
    tables[caption.replace(/ table$/, '')] = rows;
  }
  return tables;
}

/** For JSON.parse: integers that a double cannot hold become bigint, read from the text itself. */
function exactIntegers(_key: string, value: unknown, context?: { source?: string }): unknown {
  const isUnsafe = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);
  return isUnsafe && /^-?\d+$/.test(context?.source ?? '') ? BigInt(context?.source ?? '') : value;
}
