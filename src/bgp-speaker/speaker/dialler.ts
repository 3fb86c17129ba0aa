import type { Socket } from 'node:net';

export interface DiallerOptions {
  /** Runs it now, or when it is its turn: a thousand peers are not dialled in one go. */
  soon(run: () => void): void;
  /** @throws when the signal aborts, among other reasons */
  dial(signal: AbortSignal): Promise<Socket>;
  onConnected(socket: Socket): void;
  onFailed(error: Error): void;
}

/** One attempt to connect at a time. An attempt that was given up and succeeds all the same is closed. */
export class Dialler {
  readonly #options: DiallerOptions;
  #attempt: AbortController | undefined;

  constructor(options: DiallerOptions) {
    this.#options = options;
  }

  /** Gives up the attempt under way, if any, for another. */
  start(): void {
    this.cancel();
    const attempt = new AbortController();
    this.#attempt = attempt;
    this.#options.soon(() => {
      if (this.#attempt === attempt) this.#dial(attempt);
    });
  }

  #dial(attempt: AbortController): void {
    this.#options.dial(attempt.signal).then(
      (socket) => {
        if (this.#attempt !== attempt) {
          socket.destroy();
          return;
        }
        this.#attempt = undefined;
        this.#options.onConnected(socket);
      },
      (thrown: unknown) => {
        if (this.#attempt !== attempt) return;
        this.#attempt = undefined;
        this.#options.onFailed(thrown instanceof Error ? thrown : new Error(String(thrown)));
      },
    );
  }

  cancel(): void {
    this.#attempt?.abort();
    this.#attempt = undefined;
  }
}
