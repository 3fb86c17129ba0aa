import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AddressFamily } from '../../../src/bgp-speaker/index.ts';
import { eventually } from '../../eventually.ts';
import { Daemon } from './daemon.ts';
import type { BgpPeer, PeerDescription, PeerKind, PeerPlace, PeerRoute, SessionView } from './peers.ts';

/** A router as programs that run: begun one after the other, stopped in the other direction, with one log. */
export abstract class DaemonPeer implements BgpPeer {
  abstract readonly kind: PeerKind;
  protected readonly description: PeerDescription;
  protected readonly place: PeerPlace;
  #daemons: Daemon[] = [];

  constructor(description: PeerDescription, place: PeerPlace) {
    this.description = description;
    this.place = place;
  }

  abstract start(): Promise<void>;
  abstract session(neighbor: string): Promise<SessionView>;
  abstract routes(family: AddressFamily): Promise<PeerRoute[]>;
  abstract count(family: AddressFamily): Promise<number>;
  abstract refresh(neighbor: string): Promise<void>;
  abstract reset(neighbor: string): Promise<void>;

  /** Runs a program until its answer is as wanted. */
  protected async begin<Answer>(
    argv: readonly string[],
    ask: (daemon: Daemon) => Promise<Answer> | Answer,
    wanted: (answer: Answer) => boolean,
    environment: Record<string, string> = {},
  ): Promise<void> {
    const daemon = new Daemon(this.place.namespace, argv, this.#logPath, environment);
    this.#daemons.push(daemon);
    await eventually(`${this.kind} starts (${argv.join(' ')})`, () => ask(daemon), wanted);
    daemon.assertRunning();
  }

  /** The one that speaks BGP is stopped first, so that it can say good-bye. */
  async stop(signal?: NodeJS.Signals): Promise<void> {
    for (const daemon of this.#daemons.splice(0).reverse()) await daemon.stop(signal);
  }

  /** To the one that speaks BGP. */
  signal(name: NodeJS.Signals): void {
    this.#daemons.at(-1)?.signal(name);
  }

  /** Of the one that speaks BGP; 0 when it does not run. */
  protected get pid(): number {
    return this.#daemons.at(-1)?.pid ?? 0;
  }

  log(): string {
    return readFileSync(this.#logPath, 'utf8');
  }

  async lastWords(_neighbor: string): Promise<string> {
    return this.log();
  }

  get #logPath(): string {
    return join(this.place.directory, `${this.kind}.log`);
  }
}
