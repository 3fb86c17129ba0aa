import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { SpeakerStatus } from '../../../src/api/speaker-status.ts';
import { findBinary } from '../control-plane.ts';
import { Namespaces } from '../namespaces.ts';

const script = (path: string) => new URL(path, import.meta.url).pathname;
const httpPort = 7474;

/**
 * One node in a network namespace of its own: the API server of its cluster, the process `ovenbird speaker` in OVN mode
 * full, eth0 in 192.0.2.0/24, and an overlay interface that comes and goes.
 */
export class LoneNode {
  readonly name = 'node-1';
  readonly #net = new Namespaces('speaker');
  #plane: ChildProcess | undefined;
  #kubeconfig = '';
  #speaker: ChildProcess | undefined;

  async start(): Promise<void> {
    for (const host of ['node', 'switch']) this.#net.add(host);
    this.#net.cable('node', 'eth0', 'switch', 'port');
    this.#net.ip('node', 'addr add 192.0.2.1/24 dev eth0');
    this.#plane = this.#spawn([process.execPath, '--no-warnings', script('./control-plane-process.ts')]);
    const { kubeconfig } = JSON.parse(await firstLine(this.#plane)) as { kubeconfig: string };
    this.#kubeconfig = kubeconfig;
    for (const kind of ['ipaddresspools', 'l2advertisements']) {
      this.kubectl('apply', '-f', script(`../../../deploy/crds/ovenbird.dev_${kind}.yaml`));
    }
  }

  startSpeaker(): void {
    this.#speaker = this.#spawn([
      process.execPath,
      '--no-warnings',
      script('../../../src/main.ts'),
      'speaker',
      `--kubeconfig=${this.#kubeconfig}`,
      `--node-name=${this.name}`,
      '--namespace=default',
      '--ovn-mode=full',
      `--http-port=${httpPort}`,
      '--log-level=error',
    ]);
  }

  /** SIGTERM; gives the exit code. */
  async stopSpeaker(): Promise<number | null> {
    const speaker = this.#speaker;
    if (!speaker) return null;
    const exited = once(speaker, 'exit') as Promise<[number | null]>;
    speaker.kill('SIGTERM');
    const [code] = await exited;
    this.#speaker = undefined;
    return code;
  }

  kubectl(...words: string[]): string {
    return this.#net.run('node', [findBinary('kubectl') ?? 'kubectl', `--kubeconfig=${this.#kubeconfig}`, ...words]);
  }

  apply(object: object): void {
    const kubectl = [findBinary('kubectl') ?? 'kubectl', `--kubeconfig=${this.#kubeconfig}`, 'apply', '-f', '-'];
    this.#net.run('node', kubectl, JSON.stringify(object));
  }

  status(): SpeakerStatus {
    const ask = `fetch('http://127.0.0.1:${httpPort}/status').then(async (r) => process.stdout.write(await r.text()))`;
    return JSON.parse(this.#net.run('node', [process.execPath, '-e', ask])) as SpeakerStatus;
  }

  run(...argv: string[]): string {
    return this.#net.run('node', argv);
  }

  makeOverlay(): void {
    this.#net.ip(
      'node',
      'link add ovn0 type veth peer name vethovn',
      'link set vethovn up',
      'addr add 100.64.0.2/16 dev ovn0',
      'link set ovn0 up',
      'route add 10.16.0.0/16 via 100.64.0.1 dev ovn0',
    );
  }

  removeOverlay(): void {
    this.#net.ip('node', 'link del ovn0');
  }

  async close(): Promise<void> {
    this.#speaker?.kill('SIGKILL');
    const plane = this.#plane;
    if (plane && plane.exitCode === null && plane.signalCode === null) {
      const exited = once(plane, 'exit');
      plane.stdin?.end();
      await exited;
    }
    await this.#net.close();
  }

  #spawn(argv: readonly string[]): ChildProcess {
    const [program = '', ...words] = [...this.#net.prefix('node'), ...argv];
    return spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  }
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new RangeError('its output is not piped');
  for await (const line of createInterface({ input: child.stdout })) return line;
  throw new RangeError('it ended without a word');
}
