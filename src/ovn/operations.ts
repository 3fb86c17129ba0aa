/** The tables the writer writes to. */
export type WrittenTable = 'Load_Balancer' | 'Load_Balancer_Group' | 'Logical_Switch' | 'Logical_Router' | 'NB_Global';

/**
 * One step of a transaction, in neutral form. Rows are always addressed by uuid, so repeating a step changes nothing:
 * a second insert is refused, a second update, delete or mutation has no effect.
 */
export type Operation =
  | { op: 'insert'; table: WrittenTable; uuid: string; row: RowValues }
  | { op: 'update'; table: WrittenTable; uuid: string; row: RowValues }
  | { op: 'delete'; table: WrittenTable; uuid: string }
  /** Adds or removes references in a set column, leaving those of others alone. */
  | { op: 'mutate'; table: WrittenTable; uuid: string; column: string; mutator: 'insert' | 'delete'; uuids: string[] };

/** Column values: a text, a set of texts or uuids, or a map of texts. */
export type RowValues = Readonly<Record<string, string | readonly string[] | ReadonlyMap<string, string>>>;
