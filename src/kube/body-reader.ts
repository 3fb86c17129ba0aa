import type { Readable } from 'node:stream';

/** Bytes that may wait for a slow reader before the stream is paused. */
const highWaterBytes = 256 * 1024;

/**
 * The body of an answer as an async iterable, collected from the moment this is made.
 *
 * A stream that nobody listens to may be destroyed, with the bytes it holds, before a reader that was promised it gets
 * its turn: so the listeners are attached before the first byte can arrive. Made for one iteration.
 */
export class BodyReader implements AsyncIterable<Uint8Array> {
  readonly #stream: Readable;
  readonly #complete: () => boolean;
  readonly #wrap: (cause: unknown) => unknown;
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;
  #state: { kind: 'open' } | { kind: 'ended' } | { kind: 'failed'; cause: unknown } = { kind: 'open' };
  #ended = false;
  #error: unknown;
  #wake: () => void = () => {};

  /** `complete` tells at the end whether the peer had finished; `wrap` makes the error to throw when it had not. */
  constructor(stream: Readable, complete: () => boolean, wrap: (cause: unknown) => unknown) {
    this.#stream = stream;
    this.#complete = complete;
    this.#wrap = wrap;
    stream.on('data', (chunk: Uint8Array) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      if (this.#bytes > highWaterBytes) stream.pause();
      this.#wake();
    });
    stream.on('error', (cause) => {
      this.#error ??= cause;
    });
    stream.once('end', () => {
      this.#ended = true;
    });
    stream.once('close', () => {
      const whole = this.#ended && this.#error === undefined && this.#complete();
      this.#state = whole ? { kind: 'ended' } : { kind: 'failed', cause: this.#error };
      this.#wake();
    });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    try {
      for (;;) {
        const chunk = this.#take();
        if (chunk) yield chunk;
        else if (this.#state.kind === 'ended') return;
        else if (this.#state.kind === 'failed') throw this.#wrap(this.#state.cause);
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      if (this.#state.kind === 'open') this.#stream.destroy();
    }
  }

  #take(): Uint8Array | undefined {
    const chunk = this.#chunks.shift();
    this.#bytes -= chunk?.length ?? 0;
    if (this.#bytes <= highWaterBytes && this.#stream.isPaused()) this.#stream.resume();
    return chunk;
  }
}
