import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { LabError } from '../errors.ts';
import { netnsOf } from '../lab.ts';
import type { ProbeResult } from './outage.ts';

/** CLOCK_MONOTONIC in ms: the clock of the probe's results. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** A running HTTP probe inside the client host; `results` grows as requests end. */
export class ClientProbe {
  readonly results: ProbeResult[] = [];
  readonly #child: ChildProcess;

  /** @param everyMs one request each; each gives up after `timeoutMs` */
  constructor(target: { address: string; port: number; everyMs: number; timeoutMs: number }) {
    const program = join(import.meta.dirname, 'http-probe.ts');
    const { address, port, everyMs, timeoutMs } = target;
    const args = [address, port, everyMs, timeoutMs].map(String);
    const command = [`--net=/run/netns/${netnsOf('client')}`, process.execPath, program, ...args];
    this.#child = spawn('nsenter', command, { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      this.results.push(JSON.parse(line) as ProbeResult);
    });
  }

  /** Waits until `enough` says so. @throws LabError `NotReady` after `withinMs` */
  async until(what: string, withinMs: number, enough: (results: readonly ProbeResult[]) => boolean): Promise<void> {
    const deadline = monotonicMs() + withinMs;
    while (!enough(this.results)) {
      if (this.#child.exitCode !== null) throw new LabError('NotReady', `the client's probe ended while: ${what}`);
      if (monotonicMs() > deadline) throw new LabError('NotReady', `${what}: not within ${withinMs / 1000} s`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  stop(): void {
    this.#child.stdin?.end();
  }
}
