/** A network namespace of the test's own, with a veth pair `va`-`vb`, in which scenarios run as child processes. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const integrationRunner = fileURLToPath(new URL('./run.ts', import.meta.url));
let created = 0;

/** Why namespaces with veth pairs cannot be made here, or undefined. */
export function whyNoNamespaces(): string | undefined {
  if (process.platform !== 'linux') return 'not Linux';
  if (process.getuid?.() !== 0) return 'not root';
  return canMake('link add va type veth peer name vb') ? undefined : 'no network namespaces or no veth devices';
}

/** Why VLAN interfaces cannot be made here, or undefined. */
export function whyNoVlans(): string | undefined {
  return whyNoNamespaces() ?? (canMake('link add link lo name lo.5 type vlan id 5') ? undefined : 'no VLAN devices');
}

/** Whether `ip` can do this in a namespace. */
function canMake(words: string): boolean {
  created += 1;
  const name = `rs-${process.pid}-${created}`;
  if (spawnSync('ip', ['netns', 'add', name]).status !== 0) return false;
  const { status } = spawnSync('ip', ['-n', name, ...words.split(' ')]);
  spawnSync('ip', ['netns', 'del', name]);
  return status === 0;
}

export class Namespace {
  readonly name: string;
  readonly #children = new Set<ChildProcess>();
  readonly #runner: string;

  /** `runner` is the program that is started with a scenario's name. */
  constructor(runner = integrationRunner) {
    this.#runner = runner;
    created += 1;
    this.name = `rs-${process.pid}-${created}`;
    execFileSync('ip', ['netns', 'add', this.name]);
    // No IPv6 of the kernel's own: only the test's frames are on the wire.
    execFileSync('ip', ['netns', 'exec', this.name, 'sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1']);
    this.ip('link add va address 02:00:00:00:00:0a type veth peer name vb address 02:00:00:00:00:0b');
    this.ip('link set lo up');
    this.ip('link set va up');
    this.ip('link set vb up');
  }

  /** `ip` inside the namespace. */
  ip(words: string): string {
    return execFileSync('ip', ['-n', this.name, ...words.split(' ')], { encoding: 'utf8' });
  }

  /** Runs a scenario to its end and gives what it returned. */
  async run(scenario: string, environment: Record<string, string> = {}): Promise<unknown> {
    const child = this.start(scenario, environment);
    let text = '';
    let complaints = '';
    child.stdout?.on('data', (chunk) => {
      text += String(chunk);
    });
    child.stderr?.on('data', (chunk) => {
      complaints += String(chunk);
    });
    const status = await new Promise<string>((resolve) => {
      child.on('close', (code, signal) => resolve(String(signal ?? code)));
    });
    if (status !== '0') throw new Error(`scenario ${scenario} ended with ${status}:\n${text}${complaints}`);
    return JSON.parse(text.trimEnd().split('\n').at(-1) ?? '');
  }

  /** Starts a scenario and leaves it running; `remove` ends it. */
  start(scenario: string, environment: Record<string, string> = {}): ChildProcess {
    const words = [`--net=/run/netns/${this.name}`, process.execPath, '--no-warnings', this.#runner, scenario];
    const child = spawn('nsenter', words, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '', ...environment },
    });
    this.#children.add(child);
    child.on('close', () => this.#children.delete(child));
    return child;
  }

  remove(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    spawnSync('ip', ['netns', 'del', this.name]);
  }
}
