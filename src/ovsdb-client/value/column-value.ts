import { OvsdbError } from '../errors.ts';
import { abbreviate, isArray, type Json } from '../json/json-value.ts';
import type { BaseType, ColumnSchema } from '../schema/schema.ts';
import {
  type Atom,
  type Complain,
  compareAtoms,
  decodeAtom,
  defaultAtom,
  encodeAtom,
  type ResolveRow,
} from './atom.ts';

/**
 * What a column holds, by {@link ColumnSchema.kind}:
 *
 * - `scalar`: an atom
 * - `optional`: an atom, or undefined
 * - `set`: an array without duplicates, in ascending order
 * - `map`: a Map
 *
 * Values are never changed in place: an update makes a new one, so a row that was read stays what it was.
 */
export type ColumnValue = Atom | undefined | readonly Atom[] | ReadonlyMap<Atom, Atom>;

// Most sets and maps of a database are empty; one of each is enough.
const emptySet: readonly Atom[] = Object.freeze([]);
const emptyMap: ReadonlyMap<Atom, Atom> = new Map();

/** The value of a column in a row that was inserted without it. */
export function defaultValue(column: ColumnSchema): ColumnValue {
  switch (column.kind) {
    case 'scalar':
      return defaultAtom(column.key);
    case 'optional':
      return undefined;
    case 'set':
      return column.min === 0 ? emptySet : [defaultAtom(column.key)];
    case 'map':
      return column.min === 0 || column.value === undefined
        ? emptyMap
        : new Map([[defaultAtom(column.key), defaultAtom(column.value)]]);
  }
}

/**
 * Reads a `<value>` of RFC 7047 section 5.1:
 *
 *     <value> = <atom> | ["set", [<atom>*]] | ["map", [[<atom>, <atom>]*]]
 *
 * where a set of one may stand bare. Throws OvsdbError `ProtocolError` naming the column.
 */
export function decodeValue(column: ColumnSchema, json: Json): ColumnValue {
  switch (column.kind) {
    case 'scalar':
      return atom(column, column.key, json);
    case 'optional': {
      const elements = setElements(json);
      if (elements === undefined) return atom(column, column.key, json);
      if (elements.length > 1) throw malformed(column, json);
      return elements.length === 0 ? undefined : atom(column, column.key, elements[0]);
    }
    case 'set': {
      const elements = setElements(json);
      if (elements === undefined) return [atom(column, column.key, json)];
      return elements.length === 0 ? emptySet : decodeSet(column, elements);
    }
    case 'map':
      return decodeMap(column, json);
  }
}

/** The elements of `["set", [...]]`, or undefined for anything else. */
function setElements(json: Json): readonly Json[] | undefined {
  if (!isArray(json) || json.length !== 2 || json[0] !== 'set') return undefined;
  const elements = json[1];
  return isArray(elements) ? elements : undefined;
}

function decodeSet(column: ColumnSchema, elements: readonly Json[]): readonly Atom[] {
  const atoms: Atom[] = new Array(elements.length);
  let sorted = true;
  for (let i = 0; i < elements.length; i++) {
    const value = atom(column, column.key, elements[i]);
    if (i > 0 && compareAtoms(atoms[i - 1] as Atom, value) >= 0) sorted = false;
    atoms[i] = value;
  }
  return sorted ? atoms : sortedSet(atoms);
}

function sortedSet(atoms: Atom[]): Atom[] {
  atoms.sort(compareAtoms);
  return atoms.filter((value, i) => i === 0 || (atoms[i - 1] as Atom) !== value);
}

function decodeMap(column: ColumnSchema, json: Json): ReadonlyMap<Atom, Atom> {
  const valueType = column.value;
  if (valueType === undefined || !isArray(json) || json.length !== 2 || json[0] !== 'map' || !isArray(json[1])) {
    throw malformed(column, json);
  }
  const pairs = json[1];
  if (pairs.length === 0) return emptyMap;
  const map = new Map<Atom, Atom>();
  for (const pair of pairs) {
    if (!isArray(pair) || pair.length !== 2) throw malformed(column, pair);
    map.set(atom(column, column.key, pair[0]), atom(column, valueType, pair[1]));
  }
  return map;
}

function atom(column: ColumnSchema, base: BaseType, json: Json | undefined): Atom {
  const value = decodeAtom(base, json);
  if (value === undefined) throw malformed(column, json);
  return value;
}

function malformed(column: ColumnSchema, json: Json | undefined): OvsdbError {
  const type = column.value === undefined ? column.key.type : `${column.key.type} to ${column.value.type}`;
  return new OvsdbError(
    'ProtocolError',
    `column ${column.name} (${column.kind} of ${type}) cannot hold ${abbreviate(json ?? null)}`,
  );
}

/**
 * Applies the difference that `update2` and `update3` send for a modified column (ovsdb-server(7) section 4.1.14):
 *
 * - scalar: the new value; optional: the new value, or the empty set
 * - set: each listed element is added if absent, removed if present
 * - map: each listed pair is added if the key is absent, removed if present with the same value, replaced otherwise
 */
export function applyDifference(column: ColumnSchema, old: ColumnValue, json: Json): ColumnValue {
  if (column.kind === 'set')
    return symmetricDifference(old as readonly Atom[], decodeValue(column, json) as readonly Atom[]);
  if (column.kind !== 'map') return decodeValue(column, json);
  const difference = decodeMap(column, json);
  const result = new Map(old as ReadonlyMap<Atom, Atom>);
  for (const [key, value] of difference) {
    const present = result.get(key);
    if (present !== undefined && present === value) result.delete(key);
    else result.set(key, value);
  }
  return result.size === 0 ? emptyMap : result;
}

/** Elements of exactly one of two ascending arrays, ascending. */
function symmetricDifference(a: readonly Atom[], b: readonly Atom[]): readonly Atom[] {
  const result: Atom[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    const left = a[i] as Atom;
    const right = b[j] as Atom;
    const order = compareAtoms(left, right);
    if (order <= 0) i += 1;
    if (order >= 0) j += 1;
    if (order < 0) result.push(left);
    else if (order > 0) result.push(right);
  }
  while (i < a.length) result.push(a[i++] as Atom);
  while (j < b.length) result.push(b[j++] as Atom);
  return result.length === 0 ? emptySet : result;
}

/** Whether two values of the same column are the same set, map or atom. */
export function sameValue(a: ColumnValue, b: ColumnValue): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((value: Atom, i) => value === (b[i] as Atom));
  }
  if (a instanceof Map) {
    if (!(b instanceof Map) || a.size !== b.size) return false;
    for (const [key, value] of a) {
      const other: Atom | undefined = b.get(key);
      if (other === undefined || value !== other) return false;
    }
    return true;
  }
  return typeof a !== 'object' && typeof b !== 'object' && a === b;
}

/**
 * Writes a column's value, checking type, arity and constraints first. Sets may come as any iterable but a string, maps
 * as a Map or a plain object; an optional column takes an atom or undefined. Throws what `complain` makes of a problem.
 */
export function encodeValue(column: ColumnSchema, value: unknown, resolve: ResolveRow, complain: Complain): Json {
  switch (column.kind) {
    case 'scalar':
      if (value === undefined) throw complain('it must have exactly one value, not none');
      return encodeAtom(column.key, value, resolve, complain);
    case 'optional':
      return value === undefined ? ['set', []] : encodeAtom(column.key, value, resolve, complain);
    case 'set':
      return encodeSet(column, value, resolve, complain);
    case 'map':
      return encodeMap(column, column.value as BaseType, value, resolve, complain);
  }
}

function encodeSet(column: ColumnSchema, value: unknown, resolve: ResolveRow, complain: Complain): Json {
  if (!isIterable(value)) throw complain('it is a set: give an array or a Set');
  const seen = new Set<unknown>();
  const atoms: Json[] = [];
  for (const element of value) {
    const encoded = encodeAtom(column.key, element, resolve, complain);
    const identity = identityOf(encoded);
    if (seen.has(identity)) throw complain(`${abbreviate(element)} is in the set twice`);
    seen.add(identity);
    atoms.push(encoded);
  }
  checkArity(column, atoms.length, complain);
  return ['set', atoms];
}

function encodeMap(
  column: ColumnSchema,
  valueType: BaseType,
  value: unknown,
  resolve: ResolveRow,
  complain: Complain,
): Json {
  const seen = new Set<unknown>();
  const pairs: [Json, Json][] = [];
  for (const [key, item] of mapEntries(value, complain)) {
    const complainOfKey: Complain = (what) => complain(`key ${abbreviate(key)}: ${what}`);
    const encodedKey = encodeAtom(column.key, key, resolve, complainOfKey);
    const identity = identityOf(encodedKey);
    if (seen.has(identity)) throw complainOfKey('it is in the map twice');
    seen.add(identity);
    pairs.push([encodedKey, encodeAtom(valueType, item, resolve, complainOfKey)]);
  }
  checkArity(column, pairs.length, complain);
  return ['map', pairs];
}

/** What tells atoms of one type apart on the wire, however they were written here (5 and 5n, upper and lower case). */
function identityOf(encoded: Json): unknown {
  if (typeof encoded === 'bigint') return Number.isSafeInteger(Number(encoded)) ? Number(encoded) : encoded;
  return isArray(encoded) ? encoded.join(' ') : encoded;
}

function mapEntries(value: unknown, complain: Complain): Iterable<[unknown, unknown]> {
  if (value instanceof Map) return value;
  if (typeof value === 'object' && value !== null) {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return Object.entries(value);
  }
  throw complain('it is a map: give a Map or a plain object');
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value && !(value instanceof Map);
}

function checkArity(column: ColumnSchema, count: number, complain: Complain): void {
  if (count < column.min) throw complain(`it needs at least ${column.min} element, not ${count}`);
  if (count > column.max) throw complain(`it holds at most ${column.max} elements, not ${count}`);
}

/** An ascending array of the given atoms without duplicates: the form in which rows hold sets. */
export function setOf<A extends Atom>(atoms: Iterable<A>): readonly A[] {
  return sortedSet([...atoms]) as A[];
}
