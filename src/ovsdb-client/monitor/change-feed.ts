import type { Uuid } from '../value/uuid.ts';
import { type Change, mergeChanges } from './change.ts';
import type { CachedRow } from './row-codec.ts';

/** Changes since the last time, by table. */
export interface PendingChanges {
  readonly tables: Map<string, Map<Uuid, Change<CachedRow>>>;
  resynced: boolean;
}

/**
 * Holds what one reader has not seen yet. A slow reader finds the changes of a row merged into one, so what is held is
 * never more than two rows for each row of the database.
 */
export class ChangeFeed {
  #pending: PendingChanges = { tables: new Map(), resynced: false };
  #wake: (() => void) | undefined;
  #ended = false;

  add(changes: ReadonlyMap<string, readonly Change<CachedRow>[]>, resynced: boolean): void {
    for (const [name, list] of changes) {
      let table = this.#pending.tables.get(name);
      if (table === undefined) {
        table = new Map();
        this.#pending.tables.set(name, table);
      }
      for (const change of list) {
        const merged = mergeChanges(table.get(change.uuid), change);
        if (merged === undefined) table.delete(change.uuid);
        else table.set(change.uuid, merged);
      }
      if (table.size === 0) this.#pending.tables.delete(name);
    }
    this.#pending.resynced ||= resynced;
    this.#wake?.();
  }

  /** No more changes will come; what is pending can still be taken. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** Waits for changes and takes them all; undefined at the end. Rejects with the signal's reason. */
  async take(signal: AbortSignal | undefined): Promise<PendingChanges | undefined> {
    for (;;) {
      signal?.throwIfAborted();
      if (this.#pending.tables.size > 0 || this.#pending.resynced) {
        const taken = this.#pending;
        this.#pending = { tables: new Map(), resynced: false };
        return taken;
      }
      if (this.#ended) return undefined;
      await this.#woken(signal);
    }
  }

  async #woken(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const onAbort = () => resolve();
    this.#wake = resolve;
    signal?.addEventListener('abort', onAbort, { once: true });
    await promise;
    signal?.removeEventListener('abort', onAbort);
    this.#wake = undefined;
  }
}
