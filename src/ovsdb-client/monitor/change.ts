import type { Uuid } from '../value/uuid.ts';

/** What happened to one row. */
export type Change<Row> =
  | { readonly kind: 'insert'; readonly uuid: Uuid; readonly row: Row }
  | { readonly kind: 'modify'; readonly uuid: Uuid; readonly old: Row; readonly row: Row }
  | { readonly kind: 'delete'; readonly uuid: Uuid; readonly old: Row };

/** Changes by table, each row at most once. */
export type TableChanges = ReadonlyMap<string, readonly Change<object>[]>;

/** What two changes of the same row, one after the other, come to; undefined when they cancel each other. */
export function mergeChanges<Row>(first: Change<Row> | undefined, next: Change<Row>): Change<Row> | undefined {
  if (first === undefined) return next;
  const { uuid } = next;
  switch (first.kind) {
    case 'insert':
      return next.kind === 'delete' ? undefined : { kind: 'insert', uuid, row: next.row };
    case 'modify':
      return next.kind === 'delete'
        ? { kind: 'delete', uuid, old: first.old }
        : { kind: 'modify', uuid, old: first.old, row: next.row };
    case 'delete':
      return next.kind === 'delete' ? first : { kind: 'modify', uuid, old: first.old, row: next.row };
  }
}
