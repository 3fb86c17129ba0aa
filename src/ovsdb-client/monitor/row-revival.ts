import type { Members } from '../json/json-stream.ts';
import { isObject, type Json } from '../json/json-value.ts';
import { isUuid, type Uuid } from '../value/uuid.ts';
import type { CachedRow, RowCodec } from './row-codec.ts';

/**
 * A row that was turned into its final form while the message around it was still being parsed. It stands where the row's
 * object stood, and where `{"insert": <row>}` stood if that was all.
 *
 * A large table then never exists as JSON: only one row at a time does, which is most of the difference in time and
 * memory when a database is read for the first time.
 */
export class RevivedRow {
  readonly codec: RowCodec;
  readonly row: CachedRow;

  constructor(codec: RowCodec, row: CachedRow) {
    this.codec = codec;
    this.row = row;
  }
}

/**
 * What an update says of one table, as two lists. An object with a row's uuid for each key would make the engine keep
 * every uuid in its table of names.
 */
export class RowEntries {
  readonly uuids: readonly Uuid[];
  readonly entries: readonly Json[];

  constructor(uuids: readonly Uuid[], entries: readonly Json[]) {
    this.uuids = uuids;
    this.entries = entries;
  }

  /** Reads an object of the wire the same way; undefined if it is none, or a key is not a uuid. */
  static of(json: Json): RowEntries | undefined {
    if (json instanceof RowEntries) return json;
    if (!isObject(json)) return undefined;
    const uuids = Object.keys(json);
    return uuids.every(isUuid) ? new RowEntries(uuids, Object.values(json)) : undefined;
  }
}

/** Knows the tables that the monitors of one connection read, for the parser of that connection. */
export class RowRevival {
  readonly #codecs = new Map<string, Set<RowCodec>>();
  readonly #sole = new Map<string, RowCodec>();

  add(codec: RowCodec): void {
    const codecs = this.#codecs.get(codec.table) ?? new Set();
    this.#codecs.set(codec.table, codecs.add(codec));
    this.#choose(codec.table, codecs);
  }

  delete(codec: RowCodec): void {
    const codecs = this.#codecs.get(codec.table);
    if (codecs?.delete(codec)) this.#choose(codec.table, codecs);
  }

  /** See `Revive`. An update is `{table: {uuid: {"insert": row}}}`: three objects end, the row's first. */
  readonly revive = (key: string, parent: string, grandparent: string, members: Members): object | undefined => {
    const { elements, start } = members;
    if (key === 'initial' || key === 'insert' || key === 'new') {
      const codec = this.#sole.get(grandparent);
      return codec !== undefined && isUuid(parent)
        ? new RevivedRow(codec, codec.decodeMembers(parent, elements, start))
        : undefined;
    }
    const only = elements.length - start === 2 ? elements[start + 1] : undefined;
    // `{uuid: {"insert": row}}`, one level up from the row.
    if (only instanceof RevivedRow && only.row._uuid === key) return only;
    return this.#codecs.has(key) ? readEntries(elements, start) : undefined;
  };

  /** Which of several monitors an update is for is not known yet when its rows are read. */
  #choose(table: string, codecs: ReadonlySet<RowCodec>): void {
    const [codec] = codecs;
    if (codec === undefined) this.#codecs.delete(table);
    if (codec !== undefined && codecs.size === 1) this.#sole.set(table, codec);
    else this.#sole.delete(table);
  }
}

function readEntries(elements: readonly Json[], start: number): RowEntries | undefined {
  const count = (elements.length - start) / 2;
  if (count === 0) return undefined;
  const uuids: Uuid[] = new Array(count);
  const entries: Json[] = new Array(count);
  for (let i = 0; i < count; i++) {
    const uuid = elements[start + 2 * i];
    const entry = elements[start + 2 * i + 1] as Json;
    // The key of a row that was revived has been looked at.
    if (!(entry instanceof RevivedRow) && !isUuid(uuid)) return undefined;
    uuids[i] = uuid as Uuid;
    entries[i] = entry;
  }
  return new RowEntries(uuids, entries);
}
