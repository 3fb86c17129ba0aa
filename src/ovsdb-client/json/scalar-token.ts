import { OvsdbError } from '../errors.ts';

/** No number that a double or a 64-bit integer can hold needs more; longer ones are an attack. */
export const MAXIMUM_NUMBER_BYTES = 400;
/** `false` is the longest word of JSON. */
export const MAXIMUM_WORD_BYTES = 5;

/** Reads a number by the grammar of RFC 8259 section 6. Throws OvsdbError `ProtocolError`. */
export function parseNumber(text: string): number | bigint {
  if (text.length > MAXIMUM_NUMBER_BYTES || !/^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(text)) {
    throw new OvsdbError('ProtocolError', `the peer sent ${JSON.stringify(text.slice(0, 40))} where a number belongs`);
  }
  const value = Number(text);
  if (Number.isSafeInteger(value)) return value;
  if (/^-?\d+$/.test(text)) return BigInt(text);
  // ovsdb-server rounds to 15 digits, which can carry the largest double beyond itself.
  return Number.isFinite(value) ? value : Math.sign(value) * Number.MAX_VALUE;
}

/** Reads `true`, `false` or `null`. Throws OvsdbError `ProtocolError`. */
export function parseWord(text: string): boolean | null {
  if (text === 'true') return true;
  if (text === 'false') return false;
  if (text === 'null') return null;
  throw new OvsdbError('ProtocolError', `the peer sent the word ${JSON.stringify(text)}, which is not JSON`);
}

export function isNumberByte(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x2b || byte === 0x2e || byte === 0x65 || byte === 0x45
  );
}

export function isWordByte(byte: number): boolean {
  return byte >= 0x61 && byte <= 0x7a;
}
