import type { OvsdbError } from '../errors.ts';
import { abbreviate, isArray, type Json } from '../json/json-value.ts';
import type { BaseType } from '../schema/schema.ts';
import { InsertedRow } from './inserted-row.ts';
import { isUuid, type Uuid } from './uuid.ts';

/**
 * One OVSDB atom. Integers and reals are `number`; an integer that a double cannot hold exactly is `bigint`.
 *
 *     <atom> = string | number | true | false | ["uuid", "..."] | ["named-uuid", "..."]     (RFC 7047 section 5.1)
 */
export type Atom = string | number | bigint | boolean | Uuid;

/** Says what is wrong with a value; the caller adds table and column. */
export type Complain = (what: string) => OvsdbError;

/** How a row of the same transaction is named on the wire; throws when it does not belong there. */
export type ResolveRow = (row: InsertedRow, refTable: string | undefined, complain: Complain) => string;

const SMALLEST_NORMAL = 2 ** -1022;
const MINIMUM_INTEGER = -(2n ** 63n);
const MAXIMUM_INTEGER = 2n ** 63n - 1n;

/** Reads an atom of the wire; `undefined` when it is not of the type. Constraints are the server's business here. */
export function decodeAtom(base: BaseType, json: Json | undefined): Atom | undefined {
  switch (base.type) {
    case 'string':
      return typeof json === 'string' ? json : undefined;
    case 'uuid': {
      if (!isArray(json) || json.length !== 2 || json[0] !== 'uuid') return undefined;
      return isUuid(json[1]) ? json[1] : undefined;
    }
    case 'integer':
      if (typeof json === 'bigint') return json >= MINIMUM_INTEGER && json <= MAXIMUM_INTEGER ? json : undefined;
      if (typeof json !== 'number' || !Number.isInteger(json)) return undefined;
      return Number.isSafeInteger(json) ? json : decodeAtom(base, BigInt(json));
    case 'real':
      return typeof json === 'number' ? json : typeof json === 'bigint' ? Number(json) : undefined;
    case 'boolean':
      return typeof json === 'boolean' ? json : undefined;
  }
}

/** Writes an atom, checking type and constraints. Throws what `complain` makes of the problem. */
export function encodeAtom(base: BaseType, atom: unknown, resolve: ResolveRow, complain: Complain): Json {
  if (base.enum !== undefined && !isAllowed(base.enum, atom)) {
    throw complain(`${abbreviate(atom)} is not one of ${base.enum.map(abbreviate).join(', ')}`);
  }
  switch (base.type) {
    case 'string':
      return checkString(base, atom, complain);
    case 'uuid':
      if (atom instanceof InsertedRow) return ['named-uuid', resolve(atom, base.refTable, complain)];
      if (!isUuid(atom)) throw complain(`${describe(atom)} is not a uuid`);
      return ['uuid', atom];
    case 'integer':
      return checkRange(base, checkInteger(atom, complain), complain);
    case 'real':
      if (typeof atom !== 'number' || !Number.isFinite(atom))
        throw complain(`${describe(atom)} is not a finite number`);
      // ovsdb-server closes the connection over these.
      if (atom !== 0 && Math.abs(atom) < SMALLEST_NORMAL) throw complain(`${atom} is too small a number for OVSDB`);
      return checkRange(base, atom, complain);
    case 'boolean':
      if (typeof atom !== 'boolean') throw complain(`${describe(atom)} is not a boolean`);
      return atom;
  }
}

/** What a column of this type holds in a row that was inserted without it (RFC 7047 section 5.2.1). */
export function defaultAtom(base: BaseType): Atom {
  switch (base.type) {
    case 'string':
      return '';
    case 'uuid':
      return '00000000-0000-0000-0000-000000000000';
    case 'boolean':
      return false;
    default:
      return 0;
  }
}

/** A total order over atoms of one type: by value for numbers, by UTF-16 code unit for strings and uuids. */
export function compareAtoms(a: Atom, b: Atom): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isAllowed(allowed: readonly Atom[], atom: unknown): boolean {
  return allowed.some((value) => value === atom || (typeof atom === 'bigint' && BigInt(value) === atom));
}

function checkString(base: BaseType, atom: unknown, complain: Complain): string {
  if (typeof atom !== 'string') throw complain(`${describe(atom)} is not a string`);
  if (atom.includes('\0')) throw complain(`${abbreviate(atom)} has a NUL, which OVSDB strings cannot hold`);
  if (!atom.isWellFormed()) throw complain(`${abbreviate(atom)} has half a surrogate pair`);
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY } = base;
  if (minLength > 0 || maxLength < atom.length) {
    let characters = 0;
    for (const _ of atom) characters += 1;
    if (characters < minLength) throw complain(`${abbreviate(atom)} is shorter than ${minLength} characters`);
    if (characters > maxLength) throw complain(`${abbreviate(atom)} is longer than ${maxLength} characters`);
  }
  return atom;
}

function checkInteger(atom: unknown, complain: Complain): number | bigint {
  if (typeof atom === 'bigint') {
    if (atom < MINIMUM_INTEGER || atom > MAXIMUM_INTEGER) throw complain(`${atom} does not fit in 64 bits`);
    return atom;
  }
  if (typeof atom !== 'number' || !Number.isInteger(atom)) throw complain(`${describe(atom)} is not an integer`);
  if (!Number.isSafeInteger(atom)) throw complain(`${atom} is not exact as a number; give a bigint`);
  return Object.is(atom, -0) ? 0 : atom;
}

function checkRange<N extends number | bigint>(base: BaseType, value: N, complain: Complain): N {
  if (base.minimum !== undefined && value < base.minimum) throw complain(`${value} is less than ${base.minimum}`);
  if (base.maximum !== undefined && value > base.maximum) throw complain(`${value} is more than ${base.maximum}`);
  return value;
}

function describe(value: unknown): string {
  if (value === undefined) return 'undefined';
  if (typeof value === 'object' && value !== null) return `an object (${value.constructor?.name ?? 'no class'})`;
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`;
  if (typeof value === 'number') return String(value);
  return abbreviate(value);
}
