import { OvsdbError } from '../errors.ts';

const INTERN_LENGTH = 24;
const INTERN_SLOTS = 4096;

/**
 * Turns the bytes between two quotes into a string.
 *
 * Short ASCII strings go through a direct-mapped table, so column names, map keys and repeated values become one shared
 * string instead of one per row: most of a database's text is repetition. The table holds at most 4096 short strings.
 */
export class StringReader {
  readonly #table: (string | undefined)[] = new Array<string | undefined>(INTERN_SLOTS).fill(undefined);
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  /**
   * `plain` says that the bytes hold neither an escape nor anything outside ASCII. Throws OvsdbError `ProtocolError` for
   * invalid UTF-8, bad escapes, NUL and lone surrogates: OVSDB strings (RFC 7047 section 3.1) have none of them.
   */
  read(bytes: Buffer, start: number, end: number, plain: boolean): string {
    if (plain)
      return end - start <= INTERN_LENGTH ? this.#intern(bytes, start, end) : bytes.toString('latin1', start, end);
    let text: string;
    try {
      text = this.#utf8.decode(bytes.subarray(start, end));
    } catch {
      throw new OvsdbError('ProtocolError', 'the peer sent a string that is not valid UTF-8');
    }
    return text.includes('\\') ? resolveEscapes(text) : text;
  }

  #intern(bytes: Buffer, start: number, end: number): string {
    const length = end - start;
    let hash = length;
    for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + (bytes[at] as number)) | 0;
    const slot = (hash ^ (hash >>> 15)) & (INTERN_SLOTS - 1);
    const known = this.#table[slot];
    if (known !== undefined && known.length === length) {
      let at = 0;
      while (at < length && known.charCodeAt(at) === bytes[start + at]) at += 1;
      if (at === length) return known;
    }
    const text = bytes.toString('latin1', start, end);
    this.#table[slot] = text;
    return text;
  }
}

const simpleEscapes: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

function resolveEscapes(text: string): string {
  const result = text.replace(/\\(?:u([0-9a-fA-F]{4})|([\s\S]?))/g, (whole, code?: string, letter?: string) => {
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16));
    const plain = letter === undefined ? undefined : simpleEscapes[letter];
    if (plain === undefined)
      throw new OvsdbError('ProtocolError', `the peer sent the bad escape ${JSON.stringify(whole)}`);
    return plain;
  });
  if (result.includes('\0') || !result.isWellFormed()) {
    throw new OvsdbError('ProtocolError', 'the peer sent a string with a NUL or half a surrogate pair');
  }
  return result;
}
