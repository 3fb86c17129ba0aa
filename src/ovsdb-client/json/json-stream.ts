import { OvsdbError } from '../errors.ts';
import type { Json } from './json-value.ts';
import {
  isNumberByte,
  isWordByte,
  MAXIMUM_NUMBER_BYTES,
  MAXIMUM_WORD_BYTES,
  parseNumber,
  parseWord,
} from './scalar-token.ts';
import { StringReader } from './string-reader.ts';

export interface JsonStreamLimits {
  /**
   * Largest message, in bytes of budget: each byte counts one, each array or object 32 more. Bounds the memory that a
   * hostile peer can make us hold. Default 512 MiB.
   */
  maximumMessageBytes?: number;
  /** Deepest nesting. Default 128; OVSDB itself needs about a dozen. */
  maximumDepth?: number;
}

/** The members of an object that has just ended: `key, value, key, value...` from `start` to the end of `elements`. */
export interface Members {
  readonly elements: readonly Json[];
  readonly start: number;
}

/**
 * Looks at each object below the top as it ends, with the three keys that lead to it (innermost first, '' inside an
 * array); what it returns stands in the message instead of the object, which then is never made.
 */
export type Revive = (key: string, parent: string, grandparent: string, members: Members) => object | undefined;

// What the grammar allows next.
const VALUE = 0;
const VALUE_OR_END = 1;
const KEY = 2;
const KEY_OR_END = 3;
const COLON = 4;
const COMMA_OR_END = 5;
const MESSAGE = 6;

// Which token the end of a chunk has cut.
const NO_TOKEN = 0;
const IN_STRING = 1;
const IN_NUMBER = 2;
const IN_WORD = 3;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const CONTAINER_COST = 32;

/**
 * Cuts a byte stream of concatenated JSON objects into values, as RFC 7047 section 4 frames its messages: no length, no
 * delimiter, any split. State between chunks is constant-size apart from the value being built, work is linear in the
 * chunk, and the first byte that cannot be part of a message is an error (`ProtocolError`): after it the stream is dead.
 */
export class JsonStream {
  readonly #onMessage: (value: Json, bytes: number) => void;
  readonly #revive: Revive | undefined;
  readonly #maximumBytes: number;
  readonly #maximumDepth: number;
  readonly #strings = new StringReader();

  /**
   * Elements of all open arrays, keys and values of all open objects. A container is made when it ends, of the right
   * size: grown one by one, the many arrays of two that OVSDB sends would take five times the memory.
   */
  readonly #elements: Json[] = [];
  /** For each open container: where its elements begin, and whether it is an object. */
  readonly #starts: number[] = [];
  readonly #areObjects: boolean[] = [];
  #inObject = false;
  #expect = MESSAGE;
  #cost = 0;
  #messageBytes = 0;

  #token = NO_TOKEN;
  #tokenParts: Buffer[] = [];
  /** Inside a string: bits seen so far, and whether the next byte is escaped. */
  #plain = true;
  #escaped = false;

  constructor(onMessage: (value: Json, bytes: number) => void, limits: JsonStreamLimits = {}, revive?: Revive) {
    this.#onMessage = onMessage;
    this.#revive = revive;
    this.#maximumBytes = limits.maximumMessageBytes ?? 512 * 1024 * 1024;
    this.#maximumDepth = limits.maximumDepth ?? 128;
  }

  /** True between messages: the end of the stream here loses nothing. */
  get idle(): boolean {
    return this.#expect === MESSAGE;
  }

  /** Reads one chunk, calling back for each message that ends in it. Throws OvsdbError `ProtocolError`. */
  push(chunk: Buffer): void {
    let at = 0;
    let charged = 0;
    if (this.#token !== NO_TOKEN) at = this.#continueToken(chunk);
    while (at < chunk.length) {
      const byte = chunk[at] as number;
      if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
        at += 1;
        continue;
      }
      switch (this.#expect) {
        case COLON:
          if (byte !== 0x3a) this.#unexpected(byte);
          this.#expect = VALUE;
          at += 1;
          break;
        case COMMA_OR_END:
          if (byte === 0x2c) {
            this.#expect = this.#inObject ? KEY : VALUE;
          } else {
            this.#close(byte);
            if (this.idle) {
              this.#charge(at + 1 - charged);
              charged = at + 1;
              this.#finish();
            }
          }
          at += 1;
          break;
        case KEY:
        case KEY_OR_END:
          if (byte === QUOTE) at = this.#string(chunk, at + 1);
          else if (byte === CLOSE_BRACE && this.#expect === KEY_OR_END) {
            this.#close(byte);
            at += 1;
            if (this.idle) {
              this.#charge(at - charged);
              charged = at;
              this.#finish();
            }
          } else this.#unexpected(byte);
          break;
        case MESSAGE:
          if (byte !== OPEN_BRACE) this.#unexpected(byte);
          charged = at;
          this.#openObject();
          at += 1;
          break;
        default:
          if (byte === QUOTE) at = this.#string(chunk, at + 1);
          else if (byte === OPEN_BRACKET) {
            this.#openArray();
            at += 1;
          } else if (byte === OPEN_BRACE) {
            this.#openObject();
            at += 1;
          } else if (byte === CLOSE_BRACKET && this.#expect === VALUE_OR_END) {
            this.#close(byte);
            at += 1;
          } else if (byte === 0x2d || (byte >= 0x30 && byte <= 0x39)) at = this.#number(chunk, at);
          else if (byte >= 0x61 && byte <= 0x7a) at = this.#word(chunk, at);
          else this.#unexpected(byte);
      }
    }
    if (this.#expect !== MESSAGE) this.#charge(chunk.length - charged);
  }

  #charge(bytes: number): void {
    this.#messageBytes += bytes;
    if (this.#cost + this.#messageBytes > this.#maximumBytes) this.#tooLarge();
  }

  #tooLarge(): never {
    throw new OvsdbError('ProtocolError', `a message is larger than the limit of ${this.#maximumBytes} bytes`);
  }

  #finish(): void {
    const message = this.#elements.pop() as Json;
    const bytes = this.#messageBytes;
    this.#cost = 0;
    this.#messageBytes = 0;
    this.#onMessage(message, bytes);
  }

  #openObject(): void {
    this.#open(true);
    this.#expect = KEY_OR_END;
  }

  #openArray(): void {
    this.#open(false);
    this.#expect = VALUE_OR_END;
  }

  #open(isObject: boolean): void {
    if (this.#starts.length >= this.#maximumDepth) {
      throw new OvsdbError('ProtocolError', `a message nests deeper than ${this.#maximumDepth}`);
    }
    this.#cost += CONTAINER_COST;
    if (this.#cost > this.#maximumBytes) this.#tooLarge();
    this.#starts.push(this.#elements.length);
    this.#areObjects.push(isObject);
    this.#inObject = isObject;
  }

  #close(byte: number): void {
    if (byte !== (this.#inObject ? CLOSE_BRACE : CLOSE_BRACKET)) this.#unexpected(byte);
    const value = this.#inObject ? this.#takeObject() : takeArray(this.#elements, this.#starts.at(-1) as number);
    this.#starts.pop();
    this.#areObjects.pop();
    const depth = this.#starts.length;
    this.#inObject = depth > 0 && (this.#areObjects[depth - 1] as boolean);
    this.#elements.push(value);
    this.#expect = depth === 0 ? MESSAGE : COMMA_OR_END;
  }

  /** Makes the object that ends, or what `revive` makes of it, and removes its members. */
  #takeObject(): Json {
    const depth = this.#starts.length;
    const start = this.#starts[depth - 1] as number;
    const elements = this.#elements;
    let revived: object | undefined;
    if (depth > 2 && this.#revive !== undefined) {
      revived = this.#revive(this.#keyOf(depth), this.#keyOf(depth - 1), this.#keyOf(depth - 2), { elements, start });
    }
    const object = revived ?? makeObject(elements, start);
    elements.length = start;
    // What was revived stands for an object and is only read by those who made it.
    return object as Json;
  }

  /** The key of the container at this depth in the object around it. */
  #keyOf(depth: number): string {
    return depth > 1 && this.#areObjects[depth - 2]
      ? (this.#elements[(this.#starts[depth - 1] as number) - 1] as string)
      : '';
  }

  #add(value: Json): void {
    this.#elements.push(value);
    this.#expect = COMMA_OR_END;
  }

  #addString(text: string): void {
    if (this.#expect === KEY || this.#expect === KEY_OR_END) {
      this.#elements.push(text);
      this.#expect = COLON;
    } else this.#add(text);
  }

  /** Reads a string whose opening quote is before `start`; returns where to go on. */
  #string(chunk: Buffer, start: number): number {
    let plain = true;
    let at = start;
    const length = chunk.length;
    while (at < length) {
      const byte = chunk[at] as number;
      if (byte === QUOTE) {
        this.#addString(this.#strings.read(chunk, start, at, plain));
        return at + 1;
      }
      if (byte === BACKSLASH) {
        plain = false;
        at += 2;
        continue;
      }
      if (byte < 0x20) this.#unexpected(byte);
      if (byte >= 0x80) plain = false;
      at += 1;
    }
    this.#token = IN_STRING;
    this.#plain = plain;
    this.#escaped = at > length;
    this.#keep(chunk, start, length);
    return length;
  }

  #number(chunk: Buffer, start: number): number {
    let at = start;
    let value = 0;
    let digitsOnly = true;
    for (; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (byte >= 0x30 && byte <= 0x39) value = value * 10 + (byte - 0x30);
      else if (isNumberByte(byte)) digitsOnly = false;
      else {
        // Up to 15 digits without a leading zero are exact and need no second look.
        const length = at - start;
        if (digitsOnly && length <= 15 && (length === 1 || chunk[start] !== 0x30)) this.#add(value);
        else this.#add(parseNumber(chunk.toString('latin1', start, at)));
        return at;
      }
    }
    this.#token = IN_NUMBER;
    this.#keep(chunk, start, at);
    return at;
  }

  #word(chunk: Buffer, start: number): number {
    let at = start;
    while (at < chunk.length && (chunk[at] as number) >= 0x61 && (chunk[at] as number) <= 0x7a) at += 1;
    if (at - start > MAXIMUM_WORD_BYTES) this.#unexpected(chunk[start] as number);
    if (at === chunk.length) {
      this.#token = IN_WORD;
      this.#keep(chunk, start, at);
    } else this.#add(parseWord(chunk.toString('latin1', start, at)));
    return at;
  }

  #keep(chunk: Buffer, start: number, end: number): void {
    // A copy: the chunk belongs to the socket.
    if (end > start) this.#tokenParts.push(Buffer.from(chunk.subarray(start, end)));
  }

  #takeToken(): Buffer {
    const parts = this.#tokenParts;
    this.#tokenParts = [];
    this.#token = NO_TOKEN;
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }

  /** Goes on with the token that the last chunk cut; returns where the rest of the chunk begins. */
  #continueToken(chunk: Buffer): number {
    let at = 0;
    const length = chunk.length;
    if (this.#token === IN_STRING) {
      for (; at < length; at++) {
        const byte = chunk[at] as number;
        if (this.#escaped) {
          this.#escaped = false;
          if (byte < 0x20) this.#unexpected(byte);
        } else if (byte === QUOTE) {
          this.#keep(chunk, 0, at);
          const plain = this.#plain;
          const token = this.#takeToken();
          this.#addString(this.#strings.read(token, 0, token.length, plain));
          return at + 1;
        } else if (byte === BACKSLASH) {
          this.#plain = false;
          this.#escaped = true;
        } else if (byte < 0x20) this.#unexpected(byte);
        else if (byte >= 0x80) this.#plain = false;
      }
      this.#keep(chunk, 0, length);
      this.#joinParts();
      return length;
    }
    const isPart = this.#token === IN_NUMBER ? isNumberByte : isWordByte;
    while (at < length && isPart(chunk[at] as number)) at += 1;
    this.#keep(chunk, 0, at);
    if (at === length) {
      this.#joinParts();
      const size = this.#tokenParts[0]?.length ?? 0;
      if (size > (this.#token === IN_NUMBER ? MAXIMUM_NUMBER_BYTES : MAXIMUM_WORD_BYTES))
        this.#unexpected(chunk[at - 1] as number);
      return at;
    }
    const isNumber = this.#token === IN_NUMBER;
    const text = this.#takeToken().toString('latin1');
    this.#add(isNumber ? parseNumber(text) : parseWord(text));
    return at;
  }

  /** Keeps the number of pieces small when a peer sends a byte at a time, without copying more than twice in all. */
  #joinParts(): void {
    const parts = this.#tokenParts;
    while (parts.length >= 2) {
      const last = parts[parts.length - 1] as Buffer;
      const previous = parts[parts.length - 2] as Buffer;
      if (previous.length > last.length * 2 && previous.length > 64) break;
      parts.splice(-2, 2, Buffer.concat([previous, last]));
    }
  }

  #unexpected(byte: number): never {
    const shown = byte >= 0x20 && byte < 0x7f ? `"${String.fromCharCode(byte)}"` : `byte 0x${byte.toString(16)}`;
    const what = this.#expect === MESSAGE ? 'a message (a JSON object)' : 'the rest of a message';
    throw new OvsdbError('ProtocolError', `the peer sent ${shown} where ${what} belongs; is this an OVSDB server?`);
  }
}

/** Removes the elements from `start` on and returns them. */
function takeArray(elements: Json[], start: number): Json[] {
  const count = elements.length - start;
  if (count === 2) {
    const second = elements.pop() as Json;
    return [elements.pop() as Json, second];
  }
  const taken = elements.slice(start);
  elements.length = start;
  return taken;
}

function makeObject(elements: readonly Json[], start: number): { [key: string]: Json } {
  const object: { [key: string]: Json } = {};
  for (let at = start; at < elements.length; at += 2) {
    const key = elements[at] as string;
    const value = elements[at + 1] as Json;
    if (key === '__proto__') {
      Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
    } else object[key] = value;
  }
  return object;
}
