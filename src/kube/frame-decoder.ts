import { KubeError } from './kube-error.ts';

const newline = 0x0a;

/**
 * Splits a byte stream into newline-ended JSON values.
 *
 * Grammar of a watch stream: `*( json-text LF )`, UTF-8. LF never occurs inside a JSON text, nor inside a multi-byte
 * UTF-8 sequence, so the cut is made on bytes and only whole frames are decoded. Blank lines are skipped.
 * Errors: KubeError `BadResponse` for a frame that is not JSON or longer than `maximumFrameBytes`; unusable afterwards.
 */
export class FrameDecoder {
  readonly #maximumFrameBytes: number;
  #partial: Uint8Array[] = [];
  #partialBytes = 0;

  constructor(maximumFrameBytes = 8 * 1024 * 1024) {
    this.#maximumFrameBytes = maximumFrameBytes;
  }

  /** Bytes of a frame that has begun and not ended. */
  get pendingBytes(): number {
    return this.#partialBytes;
  }

  /** The values completed by `chunk`, in order. The chunk is not kept beyond the frame it belongs to. */
  *decode(chunk: Uint8Array): Generator<unknown> {
    let start = 0;
    while (start < chunk.length) {
      const end = chunk.indexOf(newline, start);
      const piece = chunk.subarray(start, end < 0 ? chunk.length : end);
      if (this.#partialBytes + piece.length > this.#maximumFrameBytes) {
        throw new KubeError('BadResponse', `a watch event is longer than ${this.#maximumFrameBytes} bytes`);
      }
      if (end < 0) {
        this.#partial.push(piece);
        this.#partialBytes += piece.length;
        return;
      }
      start = end + 1;
      const frame = this.#take(piece);
      if (frame.length > 0) yield parse(frame);
    }
  }

  #take(last: Uint8Array): Buffer {
    if (this.#partial.length === 0) return Buffer.from(last.buffer, last.byteOffset, last.length);
    this.#partial.push(last);
    const frame = Buffer.concat(this.#partial, this.#partialBytes + last.length);
    this.#partial = [];
    this.#partialBytes = 0;
    return frame;
  }
}

function parse(frame: Buffer): unknown {
  try {
    return JSON.parse(frame.toString('utf8'));
  } catch (cause) {
    const shown = JSON.stringify(frame.toString('utf8', 0, 80));
    throw new KubeError('BadResponse', `a watch event is not JSON (${frame.length} bytes, begins ${shown})`, { cause });
  }
}
