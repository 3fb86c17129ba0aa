import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { AddressAssignment, AddressReport, WireReport } from '../../../src/speaker/wire.ts';
import { Namespaces } from '../namespaces.ts';

/** A process in a network namespace that talks JSON lines. */
class LineProcess {
  readonly child: ChildProcess;
  readonly #lines: unknown[] = [];
  readonly exited: Promise<number | null>;
  onLine: ((line: unknown) => void) | undefined;

  constructor(prefix: readonly string[], script: string, args: readonly string[]) {
    const [program = '', ...words] = prefix;
    const path = new URL(`./${script}`, import.meta.url).pathname;
    this.child = spawn(program, [...words, process.execPath, '--no-warnings', path, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.exited = new Promise((resolve) => this.child.once('exit', (code) => resolve(code)));
    if (this.child.stdout) {
      createInterface({ input: this.child.stdout }).on('line', (text) => {
        const line: unknown = JSON.parse(text);
        this.#lines.push(line);
        this.onLine?.(line);
      });
    }
  }

  say(command: object): void {
    this.child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  async kill(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.exited;
  }
}

/** One speaker: its wire worker runs in a process of its own (wire-node.ts), so it can be stopped and killed. */
export class SpeakerProcess {
  readonly name: string;
  readonly reports = new Map<string, readonly AddressReport[]>();
  get pid(): number | undefined {
    return this.#process?.child.pid;
  }

  #process: LineProcess | undefined;
  readonly #prefix: readonly string[];
  readonly #settings: object;
  #status = Promise.withResolvers<WireReport>();
  #ready = Promise.withResolvers<void>();
  #assignments: readonly AddressAssignment[] = [];

  constructor(name: string, prefix: readonly string[], settings: object) {
    this.name = name;
    this.#prefix = prefix;
    this.#settings = { node: name, ...settings };
  }

  async start(): Promise<void> {
    this.#ready = Promise.withResolvers();
    const started = new LineProcess(this.#prefix, 'wire-node.ts', [JSON.stringify(this.#settings)]);
    started.onLine = (line) => this.#onLine(line);
    this.#process = started;
    await this.#ready.promise;
    if (this.#assignments.length > 0) this.assign(this.#assignments);
  }

  #onLine(line: unknown): void {
    const event = line as {
      ready?: true;
      change?: Record<string, readonly AddressReport[]>;
      status?: WireReport;
    };
    if (event.ready) this.#ready.resolve();
    if (event.status) this.#status.resolve(event.status);
    for (const [address, reports] of Object.entries(event.change ?? {})) this.reports.set(address, reports);
  }

  assign(assignments: readonly AddressAssignment[]): void {
    this.#assignments = assignments;
    this.#process?.say({ assign: assignments });
  }

  setKeys(current: string, previous?: string): void {
    this.#process?.say({ keys: { current, previous } });
  }

  async status(): Promise<WireReport> {
    this.#status = Promise.withResolvers();
    this.#process?.say({ status: true });
    return this.#status.promise;
  }

  signal(name: NodeJS.Signals): void {
    this.#process?.child.kill(name);
  }

  /** Hands over and ends, as on SIGTERM. */
  async resign(withinMs = 2_000): Promise<void> {
    this.#process?.say({ resign: withinMs });
    await this.#process?.exited;
    this.reports.clear();
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
    this.reports.clear();
  }
}

/** What one client saw between two calls of `take`. */
export interface Sighting {
  /** Longest time without an answer while the client kept asking, ms. */
  outageMs: number;
  /** MAC addresses that answered, in order of their first answer. */
  answerers: string[];
  /** Longest time in which two hosts answered in turns, ms. */
  overlapMs: number;
  /** How often the answering MAC changed. */
  changes: number;
}

type Taken = { from: number; to: number; asked: number[]; answers: [number, string, string][] };

/** A client that asks by ARP all the time. */
export class Prober {
  readonly #process: LineProcess;
  #taken = Promise.withResolvers<Taken>();

  constructor(prefix: readonly string[], interfaceName: string, address: string, targets: readonly string[]) {
    this.#process = new LineProcess(prefix, 'arp-prober.ts', [interfaceName, address, ...targets]);
    this.#process.onLine = (line) => this.#taken.resolve(line as Taken);
  }

  async take(address: string): Promise<Sighting> {
    this.#taken = Promise.withResolvers();
    this.#process.say({ take: true });
    const taken = await this.#taken.promise;
    return judge({ ...taken, answers: taken.answers.filter(([, answered]) => answered === address) });
  }

  close(): Promise<void> {
    return this.#process.kill();
  }
}

function judge({ from, to, asked, answers }: Taken): Sighting {
  let outageMs = 0;
  let previous = from;
  for (const at of [...answers.map(([ms]) => ms), to]) {
    // A client that did not ask cannot say that nobody answered.
    const first = asked.find((ms) => ms >= previous) ?? at;
    outageMs = Math.max(outageMs, at - Math.max(previous, first));
    previous = at;
  }
  const seen = new Map<string, { first: number; last: number }>();
  let changes = 0;
  let latest: string | undefined;
  for (const [at, , mac] of answers) {
    const known = seen.get(mac);
    if (known) known.last = at;
    else seen.set(mac, { first: at, last: at });
    if (latest !== undefined && latest !== mac) changes += 1;
    latest = mac;
  }
  // In turns: from the new one's first answer to the old one's last.
  let overlapMs = 0;
  const spans = [...seen.values()];
  for (const a of spans) {
    for (const b of spans) {
      if (a !== b && a.first <= b.first) overlapMs = Math.max(overlapMs, Math.min(a.last, b.last) - b.first);
    }
  }
  return { outageMs, answerers: [...seen.keys()], overlapMs, changes };
}

/** N speakers and two clients on a bridge that can be split in two. */
export class SpeakerLan {
  readonly speakers: SpeakerProcess[];
  readonly #namespaces = new Namespaces('l2');
  readonly #nodes: readonly string[];
  readonly macs = new Map<string, string>();

  /** @param settingsOf what a node's worker is started with beyond its name */
  constructor(nodes: readonly string[], settingsOf: (node: string) => object) {
    this.#nodes = nodes;
    const net = this.#namespaces;
    net.add('switch');
    for (const bridge of ['br0', 'br1']) {
      net.ip(
        'switch',
        `link add ${bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
        `link set ${bridge} up`,
      );
    }
    [...nodes, 'client', 'other'].forEach((host, i) => {
      net.add(host);
      net.cable('switch', `p-${host}`, host, 'eth0');
      net.ip('switch', `link set p-${host} master br0`);
      net.ip(host, `addr add 192.0.2.${i + 1}/24 dev eth0`);
      const [link] = JSON.parse(net.run(host, ['ip', '-j', 'link', 'show', 'eth0'])) as { address: string }[];
      this.macs.set(host, link?.address ?? '');
    });
    this.speakers = nodes.map((node) => new SpeakerProcess(node, net.prefix(node), settingsOf(node)));
  }

  speaker(name: string): SpeakerProcess {
    const found = this.speakers.find((speaker) => speaker.name === name);
    if (!found) throw new RangeError(`no speaker ${name}`);
    return found;
  }

  /** Name of the host with a MAC address. */
  hostOf(mac: string | undefined): string {
    return [...this.macs].find(([, known]) => known === mac)?.[0] ?? `${mac}`;
  }

  prober(client: 'client' | 'other', targets: readonly string[]): Prober {
    const address = `192.0.2.${[...this.#nodes, 'client', 'other'].indexOf(client) + 1}`;
    return new Prober(this.#namespaces.prefix(client), 'eth0', address, targets);
  }

  /** Pulls or plugs the cable: the node sees its carrier go. */
  setCable(host: string, plugged: boolean): void {
    this.#namespaces.ip('switch', `link set p-${host} ${plugged ? 'up' : 'down'}`);
  }

  /** These hosts move to a bridge of their own; everybody keeps the carrier. */
  split(hosts: readonly string[]): void {
    this.#namespaces.ip('switch', ...hosts.map((host) => `link set p-${host} master br1`));
  }

  join(hosts: readonly string[]): void {
    this.#namespaces.ip('switch', ...hosts.map((host) => `link set p-${host} master br0`));
  }

  /** Raises a node's own interface or takes it down. */
  setInterface(host: string, up: boolean): void {
    this.#namespaces.ip(host, `link set eth0 ${up ? 'up' : 'down'}`);
  }

  async close(): Promise<void> {
    await Promise.all(this.speakers.map((speaker) => speaker.kill()));
    await this.#namespaces.close();
  }
}
