import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect as openSocket, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../eventually.ts';
import { run } from './namespaces.ts';

const schemas = '/usr/share/ovn';

/** Why the databases of OVN cannot be run here, or undefined when they can. */
export function ovnUnavailable(): string | undefined {
  for (const program of ['ovsdb-server', 'ovsdb-tool', 'ovn-nbctl', 'ovn-sbctl', 'ovn-northd', 'ovn-trace']) {
    if (spawnSync(program, ['--version']).error) return `${program} is not installed`;
  }
  return existsSync(join(schemas, 'ovn-nb.ovsschema')) ? undefined : `${schemas}/ovn-nb.ovsschema is missing`;
}

/** A northbound database, with a southbound one and northd on demand, in a directory of its own. */
export class OvnCentral {
  readonly directory = mkdtempSync(join(tmpdir(), 'ovenbird-ovn-'));
  readonly #processes = new Map<string, ChildProcess>();
  readonly #taps: Server[] = [];
  readonly #schema: string;

  /** @param schema text of another northbound schema than the installed one */
  constructor(schema?: string) {
    this.#schema = schema === undefined ? join(schemas, 'ovn-nb.ovsschema') : this.#path('nb.ovsschema');
    if (schema !== undefined) writeFileSync(this.#schema, schema);
    this.#create();
  }

  get remote(): string {
    return `unix:${this.#path('nb.sock')}`;
  }

  #path(name: string): string {
    return join(this.directory, name);
  }

  #create(): void {
    rmSync(this.#path('nb.db'), { force: true });
    run(['ovsdb-tool', 'create', this.#path('nb.db'), this.#schema]);
  }

  async startNorthbound(): Promise<void> {
    await this.#server('nb');
  }

  async #server(name: 'nb' | 'sb'): Promise<void> {
    const socket = this.#path(`${name}.sock`);
    this.#spawn(name, 'ovsdb-server', [
      '--no-chdir',
      `--unixctl=${this.#path(`${name}.ctl`)}`,
      `--remote=punix:${socket}`,
      '-vconsole:off',
      this.#path(`${name}.db`),
    ]);
    const answers = () => spawnSync('ovsdb-client', ['--timeout=1', 'list-dbs', `unix:${socket}`]).status === 0;
    await eventually(`ovsdb-server ${name} answers`, answers, { timeoutMs: 5000 });
  }

  /** Starts the southbound database and northd, so that rows become logical flows. */
  async startNorthd(): Promise<void> {
    run(['ovsdb-tool', 'create', this.#path('sb.db'), join(schemas, 'ovn-sb.ovsschema')]);
    await this.#server('sb');
    this.#spawn('northd', 'ovn-northd', [
      '--no-chdir',
      `--unixctl=${this.#path('northd.ctl')}`,
      `--ovnnb-db=${this.remote}`,
      `--ovnsb-db=unix:${this.#path('sb.sock')}`,
      '-vconsole:off',
    ]);
  }

  #spawn(name: string, program: string, argv: string[]): void {
    const environment = { ...process.env, OVS_RUNDIR: this.directory, OVN_RUNDIR: this.directory };
    this.#processes.set(name, spawn(program, argv, { stdio: 'ignore', env: environment }));
  }

  /** Stops (SIGSTOP), continues or ends the northbound server. */
  signalNorthbound(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#processes.get('nb')?.kill(signal);
  }

  async killNorthbound(): Promise<void> {
    await this.#end('nb', 'SIGKILL');
    rmSync(this.#path('nb.sock'), { force: true });
  }

  /** As a database that is restored from nothing: no row is left. */
  async restartEmpty(): Promise<void> {
    await this.killNorthbound();
    this.#create();
    await this.startNorthbound();
  }

  async #end(name: string, signal: NodeJS.Signals): Promise<void> {
    const child = this.#processes.get(name);
    this.#processes.delete(name);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const closed = new Promise((resolve) => child.once('close', resolve));
    child.kill(signal);
    await closed;
  }

  nbctl(...argv: string[]): string {
    return run(['ovn-nbctl', '--timeout=10', `--db=${this.remote}`, ...argv]).trim();
  }

  sbctl(...argv: string[]): string {
    return run(['ovn-sbctl', '--timeout=10', `--db=unix:${this.#path('sb.sock')}`, ...argv]).trim();
  }

  trace(...argv: string[]): string {
    return run(['ovn-trace', `--db=unix:${this.#path('sb.sock')}`, ...argv]);
  }

  /** Names of rows of a table, sorted. */
  names(table: string): string[] {
    const text = this.nbctl('--bare', '--columns=name', 'list', table);
    return text
      .split('\n')
      .filter((name) => name !== '')
      .sort();
  }

  /** The router and switches that Kube-OVN makes, with two pods and one node. */
  makeKubeOvn(): void {
    const vendor = 'external_ids:vendor=kube-ovn';
    const connect = (name: string, mac: string, network: string) => [
      '--',
      'ls-add',
      name,
      '--',
      'set',
      'logical_switch',
      name,
      vendor,
      '--',
      'lrp-add',
      'ovn-cluster',
      `ovn-cluster-${name}`,
      mac,
      network,
      '--',
      'lsp-add',
      name,
      `${name}-ovn-cluster`,
      '--',
      'lsp-set-type',
      `${name}-ovn-cluster`,
      'router',
      '--',
      'lsp-set-addresses',
      `${name}-ovn-cluster`,
      'router',
      '--',
      'lsp-set-options',
      `${name}-ovn-cluster`,
      `router-port=ovn-cluster-${name}`,
    ];
    const port = (name: string, lsp: string, addresses: string) => [
      '--',
      'lsp-add',
      name,
      lsp,
      '--',
      'lsp-set-addresses',
      lsp,
      addresses,
    ];
    this.nbctl(
      'lr-add',
      'ovn-cluster',
      '--',
      'set',
      'logical_router',
      'ovn-cluster',
      vendor,
      ...connect('join', '00:00:00:64:00:01', '100.64.0.1/16'),
      ...connect('ovn-default', '00:00:00:16:00:01', '10.16.0.1/16'),
      ...port('join', 'node-1', '00:00:00:64:00:02 100.64.0.2'),
      ...port('ovn-default', 'pod-a', '00:00:00:16:00:02 10.16.0.2'),
      ...port('ovn-default', 'pod-b', '00:00:00:16:00:03 10.16.0.3'),
    );
  }

  /** A socket in front of the database that counts the transactions that pass. */
  async tap(): Promise<{ remote: string; transactions(): number }> {
    const path = this.#path(`tap-${this.#taps.length}.sock`);
    let transactions = 0;
    const server = createServer((client) => {
      const upstream = openSocket(this.#path('nb.sock'));
      client.on('data', (data) => {
        transactions += data.toString('latin1').split('"transact"').length - 1;
        upstream.write(data);
      });
      upstream.on('data', (data) => client.write(data));
      const end = () => {
        client.destroy();
        upstream.destroy();
      };
      for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
    });
    this.#taps.push(server);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return { remote: `unix:${path}`, transactions: () => transactions };
  }

  async close(): Promise<void> {
    for (const server of this.#taps) server.close();
    this.signalNorthbound('SIGCONT');
    for (const name of [...this.#processes.keys()].toReversed()) await this.#end(name, 'SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  }
}
