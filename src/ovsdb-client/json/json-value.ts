/**
 * A JSON value as this library holds it. Integers that a double cannot hold exactly are `bigint`, so that the 64-bit
 * integers of OVSDB survive; all other numbers are `number`.
 */
export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;

/** A JSON object. Keys come from the peer: look them up with `Object.hasOwn` or through {@link member}. */
export interface JsonObject {
  readonly [key: string]: Json;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isArray(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** An own member of an object, or undefined. */
export function member(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

/** JSON text for the wire. `bigint` becomes an integer literal. The caller has already refused NUL and lone surrogates. */
export function stringify(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (thrown) {
    // The engine refuses bigint. They are rare, and a function called for every value would make all others slow.
    if (!(thrown instanceof TypeError)) throw thrown;
    return JSON.stringify(value, (_key, item: unknown) => (typeof item === 'bigint' ? rawJson(String(item)) : item));
  }
}

/** A short form of a value for messages: at most 80 characters. */
export function abbreviate(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : stringify(value ?? null);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
