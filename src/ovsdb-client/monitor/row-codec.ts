import { OvsdbError } from '../errors.ts';
import { isObject, type Json, type JsonObject } from '../json/json-value.ts';
import { type ColumnSchema, columnOf, type TableSchema } from '../schema/schema.ts';
import { applyDifference, type ColumnValue, decodeValue, defaultValue, sameValue } from '../value/column-value.ts';
import { type Uuid, zeroUuid } from '../value/uuid.ts';
import { MapPool } from './map-pool.ts';

/** A cached row: `_uuid` and the monitored columns. Never changed once made. */
export interface CachedRow {
  readonly _uuid: Uuid;
  readonly [column: string]: ColumnValue;
}

/**
 * Turns the row JSON of monitor updates into rows, for the monitored columns of one table. All rows of a table are made
 * with the same properties in the same order, so the engine stores them compactly.
 */
export class RowCodec {
  readonly table: string;
  readonly columns: readonly string[];
  readonly #columns = new Map<string, ColumnSchema>();
  readonly #maps = new MapPool();
  readonly #template: { _uuid: Uuid; [column: string]: ColumnValue };

  /** `extra` are columns that the server lacks but readers expect, with the value they shall read. */
  constructor(table: TableSchema, columns: readonly string[], extra: Readonly<Record<string, ColumnValue>> = {}) {
    this.table = table.name;
    this.columns = columns;
    this.#template = { _uuid: zeroUuid };
    for (const name of columns) {
      const column = columnOf(table, name);
      this.#columns.set(name, column);
      this.#template[name] = defaultValue(column);
    }
    Object.assign(this.#template, extra);
  }

  /** A whole row (`new`, `initial`, `insert`); columns that are left out have their default. */
  decode(uuid: Uuid, json: Json): CachedRow {
    const row = { ...this.#template };
    row._uuid = uuid;
    const object = this.#object(json);
    for (const name in object) {
      const column = this.#columns.get(name);
      if (column !== undefined) row[name] = this.#shared(decodeValue(column, object[name] as Json));
    }
    return row;
  }

  /** The same from `name, value, name, value...` beginning at `start`. */
  decodeMembers(uuid: Uuid, members: readonly Json[], start: number): CachedRow {
    const row = { ...this.#template };
    row._uuid = uuid;
    for (let at = start; at < members.length; at += 2) {
      const name = members[at] as string;
      const column = this.#columns.get(name);
      if (column !== undefined) row[name] = this.#shared(decodeValue(column, members[at + 1] as Json));
    }
    return row;
  }

  /** A row after the differences of `update2` and `update3`. */
  apply(old: CachedRow, json: Json): CachedRow {
    const row: { _uuid: Uuid; [column: string]: ColumnValue } = { ...old };
    const object = this.#object(json);
    for (const name in object) {
      const column = this.#columns.get(name);
      if (column !== undefined) row[name] = this.#shared(applyDifference(column, old[name], object[name] as Json));
    }
    return row;
  }

  /** Whether two rows of these columns hold the same. */
  same(a: CachedRow, b: CachedRow): boolean {
    return this.columns.every((name) => sameValue(a[name], b[name]));
  }

  #shared(value: ColumnValue): ColumnValue {
    return value instanceof Map ? this.#maps.share(value) : value;
  }

  #object(json: Json): JsonObject {
    if (!isObject(json)) throw new OvsdbError('ProtocolError', `a row of ${this.table} is not an object`);
    return json;
  }
}
