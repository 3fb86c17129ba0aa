import type { JsonObject } from '../json/json-value.ts';
import { isUuid } from '../value/uuid.ts';
import type { CachedRow, RowCodec } from './row-codec.ts';

/**
 * A row that was turned into its final form while the message around it was still being parsed. In the JSON tree it
 * stands where the row's object stood.
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

  /** Called with each object that ends, and the three keys that lead to it, innermost first. */
  readonly revive = (key: string, uuid: string, table: string, object: JsonObject): RevivedRow | undefined => {
    if (key !== 'initial' && key !== 'insert' && key !== 'new') return undefined;
    const codec = this.#sole.get(table);
    if (codec === undefined || !isUuid(uuid)) return undefined;
    return new RevivedRow(codec, codec.decode(uuid, object));
  };

  /** Which of several monitors an update is for is not known yet when its rows are read. */
  #choose(table: string, codecs: ReadonlySet<RowCodec>): void {
    const [codec] = codecs;
    if (codec !== undefined && codecs.size === 1) this.#sole.set(table, codec);
    else this.#sole.delete(table);
  }
}
