/**
 * A row that a transaction inserts, to be referred to by other operations of the same transaction. On the wire it is a
 * `<named-uuid>`; since only `Transaction.insert` makes one, an undefined name cannot be written.
 */
export class InsertedRow {
  readonly table: string;
  /** The `uuid-name`, valid inside its transaction only. */
  readonly name: string;
  /** The transaction that made it. */
  readonly owner: object;
  /** The insert's position among the operations. */
  readonly position: number;

  constructor(owner: object, table: string, name: string, position: number) {
    this.owner = owner;
    this.position = position;
    this.table = table;
    this.name = name;
  }
}
