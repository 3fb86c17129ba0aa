import { BgpArgumentError, BgpMessageError } from '../errors.ts';
import {
  errorCode,
  extendedMessageLength,
  headerError,
  headerLength,
  messageType,
  standardMessageLength,
} from './assigned-numbers.ts';

/** A whole message. Both arrays are views that are good until the framer is called again. */
export interface FramedMessage {
  /** One of `messageType`. */
  type: number;
  /** Header included. */
  bytes: Uint8Array;
  /** What follows the header. */
  body: Uint8Array;
}

/**
 * Cuts a byte stream into messages, at whatever places the stream was split.
 *
 *     header: marker (16 bytes, all ones)  length (2, header included)  type (1)      RFC 4271 section 4.1
 *
 * The header is judged as soon as it is there, so a bad length is not waited for. Memory is bounded by the longest
 * message that was split between chunks; a message within one chunk is not copied.
 *
 * Pull until `next()` gives undefined, then append the next chunk. A reader may stop in between, to yield.
 */
export class MessageFramer {
  /** Longest UPDATE, NOTIFICATION and ROUTE-REFRESH accepted; 65535 once extended messages are announced (RFC 8654). */
  maximumLength: number = standardMessageLength;
  #partial: Uint8Array = new Uint8Array(0);
  #partialLength = 0;
  #chunk: Uint8Array = new Uint8Array(0);
  #offset = 0;

  /** Bytes held: what was read of a message that is not whole yet, and what was not pulled of the last chunk. */
  get bufferedBytes(): number {
    return this.#partialLength + (this.#chunk.length - this.#offset);
  }

  /**
   * Hands in what was received. The chunk must not change before `next()` gave undefined.
   * @throws BgpArgumentError when the chunk before has not been pulled to its end
   */
  append(chunk: Uint8Array): void {
    if (this.#offset < this.#chunk.length) {
      throw new BgpArgumentError('pull every message of a chunk before appending the next one');
    }
    this.#chunk = chunk;
    this.#offset = 0;
  }

  /**
   * The next whole message, or undefined when more bytes are needed.
   * @throws BgpMessageError for a header that ends the session; the framer is of no use afterwards
   */
  next(): FramedMessage | undefined {
    if (this.#partialLength > 0) return this.#completePartial();
    const available = this.#chunk.length - this.#offset;
    if (available < headerLength) return this.#keep();
    const length = checkHeader(this.#chunk, this.#offset, this.maximumLength);
    if (available < length) return this.#keep();
    const bytes = this.#chunk.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return framed(bytes);
  }

  #completePartial(): FramedMessage | undefined {
    if (!this.#fillTo(headerLength)) return undefined;
    const length = checkHeader(this.#partial, 0, this.maximumLength);
    if (!this.#fillTo(length)) return undefined;
    this.#partialLength = 0;
    return framed(this.#partial.subarray(0, length));
  }

  /** Moves the rest of the chunk, less than a message, to the partial buffer. */
  #keep(): undefined {
    const rest = this.#chunk.length - this.#offset;
    if (rest > 0) this.#fillTo(rest);
    this.#chunk = this.#chunk.subarray(this.#chunk.length);
    this.#offset = 0;
    return undefined;
  }

  /** Takes from the chunk until `length` bytes are there; false when the chunk ended before. */
  #fillTo(length: number): boolean {
    const wanted = length - this.#partialLength;
    if (wanted <= 0) return true;
    if (this.#partial.length < length) {
      const grown = new Uint8Array(length);
      grown.set(this.#partial.subarray(0, this.#partialLength));
      this.#partial = grown;
    }
    const taken = Math.min(wanted, this.#chunk.length - this.#offset);
    this.#partial.set(this.#chunk.subarray(this.#offset, this.#offset + taken), this.#partialLength);
    this.#partialLength += taken;
    this.#offset += taken;
    return taken === wanted;
  }
}

function framed(bytes: Uint8Array): FramedMessage {
  return { type: bytes[18] ?? 0, bytes, body: bytes.subarray(headerLength) };
}

/** RFC 4271 section 6.1. @returns the length of the message */
function checkHeader(bytes: Uint8Array, at: number, maximumLength: number): number {
  for (let i = 0; i < 16; i++) {
    if (bytes[at + i] !== 0xff) {
      throw new BgpMessageError(
        'the marker of a message is not all ones: the stream is out of step',
        errorCode.header,
        headerError.notSynchronized,
      );
    }
  }
  const length = ((bytes[at + 16] ?? 0) << 8) | (bytes[at + 17] ?? 0);
  const type = bytes[at + 18] ?? 0;
  if (length < headerLength || length > maximumLength) throw badLength(type, bytes, at, length);
  const [least, most] = lengthsOf(type, maximumLength) ?? [];
  if (least === undefined || most === undefined) {
    throw new BgpMessageError(
      `unknown message type ${type}`,
      errorCode.header,
      headerError.badType,
      Uint8Array.of(type),
    );
  }
  if (length < least || length > most) throw badLength(type, bytes, at, length);
  return length;
}

function badLength(type: number, bytes: Uint8Array, at: number, length: number): BgpMessageError {
  return new BgpMessageError(
    `a message of type ${type} cannot have ${length} bytes`,
    errorCode.header,
    headerError.badLength,
    bytes.subarray(at + 16, at + 18),
  );
}

/** Shortest and longest message of a type. OPEN and KEEPALIVE never grow beyond 4096 (RFC 8654 section 4). */
function lengthsOf(type: number, maximumLength: number): readonly [number, number] | undefined {
  switch (type) {
    case messageType.open:
      return [29, standardMessageLength];
    case messageType.update:
      return [23, maximumLength];
    case messageType.notification:
      return [21, maximumLength];
    case messageType.keepalive:
      return [headerLength, headerLength];
    case messageType.routeRefresh:
      // The body is judged by its decoder: RFC 7313 has an error code of its own for it.
      return [headerLength, maximumLength];
    default:
      return undefined;
  }
}

/**
 * A message of this type around a body.
 * @throws BgpArgumentError when it would be longer than `maximumLength`
 */
export function frameMessage(type: number, body: Uint8Array, maximumLength = standardMessageLength): Uint8Array {
  const length = headerLength + body.length;
  if (length > Math.min(maximumLength, extendedMessageLength)) {
    throw new BgpArgumentError(`a message of ${length} bytes is longer than the ${maximumLength} the peer takes`);
  }
  const bytes = new Uint8Array(length);
  writeHeader(bytes, type, length);
  bytes.set(body, headerLength);
  return bytes;
}

/** Writes marker, length and type at the start of `bytes`. */
export function writeHeader(bytes: Uint8Array, type: number, length: number): void {
  bytes.fill(0xff, 0, 16);
  bytes[16] = length >> 8;
  bytes[17] = length & 0xff;
  bytes[18] = type;
}

/** A KEEPALIVE: the header alone (RFC 4271 section 4.4). */
export function encodeKeepalive(): Uint8Array {
  return frameMessage(messageType.keepalive, new Uint8Array(0));
}
