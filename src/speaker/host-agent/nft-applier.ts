import { createHash } from 'node:crypto';
import { HostCommandError, type HostCommands } from './commands.ts';
import { type NftTable, renderChange, renderRemoval, renderTable } from './nft-table.ts';

/** Puts one nftables table into the kernel and sees to it that it stays as it was put. */
export class NftApplier {
  readonly #commands: HostCommands;
  readonly #name: string;
  /** What the kernel has, as far as we know. */
  #applied: NftTable | undefined;
  /** Hash of the table as nft lists it, taken after it was applied. */
  #listing: string | undefined;

  constructor(commands: HostCommands, name: string) {
    this.#commands = commands;
    this.#name = name;
  }

  /** Makes the kernel's table `next`, by the difference if what it has is known. True when something was sent. */
  async apply(next: NftTable, signal?: AbortSignal): Promise<boolean> {
    const change = this.#applied && renderChange(this.#applied, next);
    if (change === '') return false;
    const previous = this.#applied;
    this.#applied = undefined;
    this.#listing = undefined;
    if (previous && change !== undefined) {
      try {
        await this.#run(change, signal);
        this.#applied = next;
        return true;
      } catch (thrown) {
        // Somebody else changed the table: put all of it.
        if (!(thrown instanceof HostCommandError) || thrown.code !== 'CommandFailed') throw thrown;
      }
    }
    await this.#run(renderTable(next), signal);
    this.#applied = next;
    return true;
  }

  /**
   * Compares the kernel's table with how it looked after it was applied. False when it was changed or removed by
   * somebody else: then the next `apply` puts all of it.
   */
  async verify(signal?: AbortSignal): Promise<boolean> {
    if (!this.#applied) return false;
    const listing = await this.#list(signal);
    if (listing !== undefined && (this.#listing === undefined || this.#listing === listing)) {
      this.#listing = listing;
      return true;
    }
    this.#applied = undefined;
    this.#listing = undefined;
    return false;
  }

  /** True once there is something to compare the kernel's table with. */
  get verifiable(): boolean {
    return this.#listing !== undefined;
  }

  /** What the kernel has may be something else than it was: the next `apply` puts all of it. */
  forget(): void {
    this.#applied = undefined;
    this.#listing = undefined;
  }

  async remove(signal?: AbortSignal): Promise<void> {
    this.forget();
    await this.#run(renderRemoval(this.#name), signal);
  }

  async #list(signal: AbortSignal | undefined): Promise<string | undefined> {
    try {
      const text = await this.#commands.run(['nft', '-s', '-n', 'list', 'table', 'inet', this.#name], options(signal));
      return createHash('sha1').update(text).digest('hex');
    } catch (thrown) {
      if (thrown instanceof HostCommandError && thrown.code === 'CommandFailed') return undefined;
      throw thrown;
    }
  }

  async #run(program: string, signal: AbortSignal | undefined): Promise<void> {
    await this.#commands.run(['nft', '-f', '-'], { stdin: program, ...options(signal) });
  }
}

function options(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal ? { signal } : {};
}
