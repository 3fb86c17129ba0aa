/** Other people's BFD, as peers: BIRD, and FRR's bfdd with its zebra. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../../eventually.ts';
import { namespacesUnavailable, run } from '../namespaces.ts';

const frr = '/usr/lib/frr';

/** Why these tests cannot run here, or undefined. */
export function whyNo(...programs: readonly ('bird' | 'frr' | 'tshark')[]): string | undefined {
  const reason = namespacesUnavailable();
  if (reason !== undefined) return reason;
  for (const program of programs) {
    if (program === 'bird' && spawnSync('bird', ['--version']).error) return 'bird is not installed';
    if (program === 'tshark' && spawnSync('tshark', ['--version']).error) return 'tshark is not installed';
    if (program === 'frr' && !['zebra', 'bfdd'].every((name) => existsSync(join(frr, name)))) {
      return 'frr is not installed';
    }
  }
  return undefined;
}

/** How a peer times a session, ms. */
export interface PeerTiming {
  txMs: number;
  rxMs: number;
  multiplier: number;
}

export interface PeerSession {
  address: string;
  localAddress?: string;
  interface?: string;
  multihop?: boolean;
  passive?: boolean;
  minimumTtl?: number;
  /** Of this session alone; needs `interface`. */
  timing?: PeerTiming;
}

/** What a peer says about its session with us. */
export interface PeerView {
  state: string;
  remoteTxMs: number;
  remoteRxMs: number;
  remoteMultiplier: number;
  remoteDiagnostic: string;
  text: string;
}

export interface RoutingDaemon {
  readonly name: string;
  /** Begins with these sessions, or changes to them while it runs. */
  configure(sessions: readonly PeerSession[], timing: PeerTiming): Promise<void>;
  setAdminDown(session: PeerSession, down: boolean): Promise<void>;
  view(address: string): PeerView | undefined;
  /** Ends it at once, without a word to its peers. */
  kill(): Promise<void>;
}

class Daemon {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  output = '';

  constructor(words: readonly string[]) {
    const [program = '', ...rest] = words;
    this.#child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    const keep = (chunk: unknown) => {
      this.output += String(chunk);
    };
    this.#child.stdout?.on('data', keep);
    this.#child.stderr?.on('data', keep);
    this.#exited = new Promise((resolve) => this.#child.once('exit', resolve));
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

/** With a real-time priority a daemon runs as on a machine of its own, whatever the test does on this one. */
function realtime(priority: number | undefined): string[] {
  return priority === undefined ? [] : ['chrt', '-f', String(priority)];
}

export class Bird implements RoutingDaemon {
  readonly name = 'BIRD';
  readonly #directory = mkdtempSync(join(tmpdir(), 'ovenbird-bfd-bird-'));
  readonly #prefix: readonly string[];
  #daemon: Daemon | undefined;

  constructor(prefix: readonly string[], realtimePriority?: number) {
    this.#prefix = [...prefix, ...realtime(realtimePriority)];
  }

  async configure(sessions: readonly PeerSession[], timing: PeerTiming): Promise<void> {
    const block = (passive: boolean, { txMs, rxMs, multiplier } = timing) =>
      `{ min rx interval ${rxMs} ms; min tx interval ${txMs} ms; idle tx interval 1000 ms; multiplier ${multiplier}; passive ${passive ? 'on' : 'off'}; }`;
    const passive = sessions.some((session) => session.passive);
    const neighbours = sessions.map((one) => {
      const device = one.interface === undefined || one.multihop ? '' : ` dev "${one.interface}"`;
      const local = one.localAddress === undefined ? '' : ` local ${one.localAddress}`;
      return `  neighbor ${one.address}${device}${local}${one.multihop ? ' multihop on' : ''};`;
    });
    writeFileSync(
      join(this.#directory, 'bird.conf'),
      [
        'router id 10.0.0.2;',
        'protocol device {}',
        'protocol bfd bfd1 {',
        // The first that fits counts.
        ...sessions.flatMap((one) =>
          one.timing ? [`  interface "${one.interface}" ${block(one.passive ?? false, one.timing)};`] : [],
        ),
        `  interface "*" ${block(passive)};`,
        `  multihop ${block(passive)};`,
        ...neighbours,
        '}',
      ].join('\n'),
    );
    if (this.#daemon) {
      this.#control('configure');
      return;
    }
    const words = ['bird', '-f', '-c', join(this.#directory, 'bird.conf'), '-s', join(this.#directory, 'ctl')];
    this.#daemon = new Daemon([...this.#prefix, ...words]);
    await eventually(`BIRD: ${this.#daemon.output}`, () => existsSync(join(this.#directory, 'ctl')));
  }

  /** Takes all of BFD down; BIRD 2.0.12 falls silent then, and says nothing. */
  async setAdminDown(_session: PeerSession, down: boolean): Promise<void> {
    this.#control(down ? 'disable bfd1' : 'enable bfd1');
  }

  view(address: string): PeerView | undefined {
    // IP address, interface, state, since, interval in s, timeout in s
    const text = this.#control('show bfd sessions bfd1');
    const words = text
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .find(([first]) => first === address);
    if (!words) return undefined;
    const [interval, timeout] = words.slice(-2).map((word) => Number(word) * 1000);
    return {
      state: (words[2] ?? '').toLowerCase(),
      remoteTxMs: interval ?? 0,
      remoteRxMs: timeout ?? 0,
      remoteMultiplier: 0,
      remoteDiagnostic: '',
      text,
    };
  }

  #control(command: string): string {
    const { stdout, stderr } = spawnSync('birdc', ['-s', join(this.#directory, 'ctl'), ...command.split(' ')], {
      encoding: 'utf8',
    });
    return stdout + stderr;
  }

  async kill(): Promise<void> {
    await this.#daemon?.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

interface FrrPeer {
  peer: string;
  status: string;
  'remote-transmit-interval': number;
  'remote-receive-interval': number;
  'remote-detect-multiplier': number;
  'remote-diagnostic': string;
}

export class Frr implements RoutingDaemon {
  readonly name = 'FRR';
  readonly #directory = mkdtempSync(join(tmpdir(), 'ovenbird-bfd-frr-'));
  readonly #prefix: readonly string[];
  #daemons: Daemon[] = [];

  constructor(prefix: readonly string[], realtimePriority?: number) {
    this.#prefix = [...prefix, ...realtime(realtimePriority)];
  }

  async configure(sessions: readonly PeerSession[], timing: PeerTiming): Promise<void> {
    if (this.#daemons.length === 0) await this.#start();
    const lines = ['configure terminal', 'bfd'];
    for (const session of sessions) {
      lines.push(this.#peerLine(session));
      const { rxMs, txMs, multiplier } = session.timing ?? timing;
      lines.push(`receive-interval ${rxMs}`, `transmit-interval ${txMs}`, `detect-multiplier ${multiplier}`);
      if (session.passive) lines.push('passive-mode');
      if (session.minimumTtl !== undefined) lines.push(`minimum-ttl ${session.minimumTtl}`);
      lines.push('exit');
    }
    this.#vtysh(...lines);
  }

  async setAdminDown(session: PeerSession, down: boolean): Promise<void> {
    this.#vtysh('configure terminal', 'bfd', this.#peerLine(session), down ? 'shutdown' : 'no shutdown');
  }

  view(address: string): PeerView | undefined {
    const text = this.#vtysh('show bfd peers json');
    const peers = JSON.parse(text) as FrrPeer[];
    const peer = peers.find((one) => one.peer === address);
    return peer
      ? {
          state: peer.status,
          remoteTxMs: peer['remote-transmit-interval'],
          remoteRxMs: peer['remote-receive-interval'],
          remoteMultiplier: peer['remote-detect-multiplier'],
          remoteDiagnostic: peer['remote-diagnostic'],
          text,
        }
      : undefined;
  }

  async kill(): Promise<void> {
    await Promise.all(this.#daemons.map((daemon) => daemon.kill()));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #peerLine({ address, localAddress, interface: name, multihop }: PeerSession): string {
    return [
      `peer ${address}`,
      ...(multihop ? ['multihop'] : []),
      ...(localAddress === undefined ? [] : [`local-address ${localAddress}`]),
      ...(name === undefined || multihop ? [] : [`interface ${name}`]),
    ].join(' ');
  }

  async #start(): Promise<void> {
    const path = (name: string) => join(this.#directory, name);
    for (const name of ['zebra', 'bfdd']) writeFileSync(path(`${name}.conf`), '');
    // The daemons give up root for a user of their own.
    run(['chown', '-R', 'frr:frr', this.#directory]);
    const common = (name: string) => [
      ...this.#prefix,
      join(frr, name),
      ...['-f', path(`${name}.conf`), '-i', path(`${name}.pid`)],
      ...['-z', path('zserv'), '--vty_socket', this.#directory, '--log', 'stdout'],
    ];
    this.#daemons.push(new Daemon(common('zebra')));
    await eventually('zebra', () => existsSync(path('zserv')) && existsSync(path('zebra.vty')));
    this.#daemons.push(new Daemon([...common('bfdd'), '--bfdctl', path('bfdd.sock')]));
    await eventually('bfdd', () => existsSync(path('bfdd.vty')));
  }

  #vtysh(...commands: readonly string[]): string {
    const words = ['--vty_socket', this.#directory, ...commands.flatMap((command) => ['-c', command])];
    const { stdout, stderr, status } = spawnSync('vtysh', words, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`vtysh ${commands.join('; ')}: ${stdout}${stderr}`);
    return stdout;
  }
}
