/** The side of the benchmark: a process with our speaker, and what it can be asked to do. */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { PeerOptions } from '../../../src/bgp-speaker/index.ts';

type Peer = Pick<PeerOptions, 'peerAs' | 'port' | 'disabled' | 'passive' | 'holdTimeSeconds'> & {
  address: string;
  localAddress?: string;
};

export type Request =
  | { do: 'listen' }
  | { do: 'peers'; peers: readonly Peer[] }
  /** `announce-now` gives the time of the call, of `process.hrtime`, in ms. */
  | { do: 'announce-now'; index: number }
  | { do: 'announce'; from: number; count: number }
  /** `clear` starts the figures of stalls and CPU time anew; `live-bytes` collects garbage and gives what is left. */
  | { do: 'start' | 'when-established' | 'when-in-step' | 'reset' | 'clear' | 'figures' | 'live-bytes' };

export interface ChildFigures {
  rssMb: number;
  peakMb: number;
  /** Longest turn of the event loop. */
  stallMs: number;
  cpuMs: number;
  tableBytes: number;
  established: number;
  prefixesIn: number;
}

export class BenchSpeaker {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #nextId = 1;

  /** @param asNumber its AS; the BGP identifier follows from it, so that two of different AS are two speakers */
  constructor(asNumber = 65_001) {
    this.#child = fork(join(import.meta.dirname, 'speaker-child.ts'), [String(asNumber)], {
      execArgv: ['--no-warnings', '--expose-gc', '--max-semi-space-size=2', '--v8-pool-size=1'],
    });
    this.#child.on('message', (word: { id: number; ok?: unknown; error?: string }) => {
      const waiting = this.#waiting.get(word.id);
      this.#waiting.delete(word.id);
      if (word.error === undefined) waiting?.resolve(word.ok);
      else waiting?.reject(new Error(word.error));
    });
    this.#child.once('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the speaker ended with ${code ?? signal}`));
    });
  }

  /** Rejects after two minutes: then something is wrong, and a benchmark must not wait forever. */
  ask<Answer = void>(request: Request): Promise<Answer> {
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
    this.#child.send({ id, request });
    const timer = setTimeout(() => reject(new Error(`the speaker has not done "${request.do}" in 120 s`)), 120_000);
    return promise.finally(() => clearTimeout(timer));
  }

  figures(): Promise<ChildFigures> {
    return this.ask({ do: 'figures' });
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

export const rounded = (value: number) => Math.round(value * 1000) / 1000;
