import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** An ARP frame seen by the client. */
export interface ArpSighting {
  /** CLOCK_MONOTONIC, ms. */
  atMs: number;
  address: string;
  mac: string;
  kind: 'reply' | 'announcement';
}

/** CLOCK_MONOTONIC in ms: the time base of the sightings. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Asks for addresses by ARP from inside a network namespace and keeps every answer. */
export class ArpWatch {
  readonly sightings: ArpSighting[] = [];
  readonly #child: ChildProcess;
  readonly #waiters = new Set<{
    match: (sighting: ArpSighting) => boolean;
    resolve: (sighting: ArpSighting) => void;
  }>();

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** @param options.netns name of the network namespace, as `ip netns` lists it */
  static async start(options: { netns: string; interface: string; source: string }): Promise<ArpWatch> {
    const program = join(import.meta.dirname, 'arp-prober.ts');
    const args = [`--net=/run/netns/${options.netns}`, process.execPath, program, options.interface, options.source];
    const child = spawn('nsenter', args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const watch = new ArpWatch(child);
    const ready = Promise.withResolvers<void>();
    child.once('error', ready.reject);
    child.once('exit', (code) => ready.reject(new Error(`the ARP prober ended with code ${code}`)));
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const message = JSON.parse(line) as ArpSighting & { ready?: boolean };
      if (message.ready) ready.resolve();
      else watch.#take(message);
    });
    await ready.promise;
    return watch;
  }

  #take(sighting: ArpSighting): void {
    this.sightings.push(sighting);
    for (const waiter of this.#waiters) {
      if (!waiter.match(sighting)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(sighting);
    }
  }

  probe(address: string, everyMs: number): void {
    this.#child.stdin?.write(`${JSON.stringify({ probe: address, everyMs })}\n`);
  }

  stop(address: string): void {
    this.#child.stdin?.write(`${JSON.stringify({ stop: address })}\n`);
  }

  /** The first sighting from now on that matches. @throws Error naming `what` after `withinMs` */
  async next(what: string, withinMs: number, match: (sighting: ArpSighting) => boolean): Promise<ArpSighting> {
    const { promise, resolve, reject } = Promise.withResolvers<ArpSighting>();
    const waiter = { match, resolve };
    this.#waiters.add(waiter);
    const timer = setTimeout(() => {
      this.#waiters.delete(waiter);
      reject(new Error(`${what}: not seen within ${withinMs} ms`));
    }, withinMs);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#child.stdin?.end();
  }
}
