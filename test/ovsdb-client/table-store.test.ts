import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Atom, Uuid } from '../../src/ovsdb-client/index.ts';
import type { Change } from '../../src/ovsdb-client/monitor/change.ts';
import type { CachedRow } from '../../src/ovsdb-client/monitor/row-codec.ts';
import { TableStore } from '../../src/ovsdb-client/monitor/table-store.ts';
import { id } from './scripted-server.ts';

const keyOf = (row: CachedRow) => row.keys as readonly Atom[];
const keys = ['a', 'b', 'c'];

/** What one update does to rows 0 to 5: a list of keys makes or changes the row, none deletes it. */
const update = fc.dictionary(
  fc.nat(5).map(String),
  fc.option(fc.uniqueArray(fc.constantFrom(...keys), { maxLength: 3 })),
  { maxKeys: 4 },
);

function changesOf(rows: ReadonlyMap<Uuid, CachedRow>, wanted: Record<string, string[] | null>): Change<CachedRow>[] {
  const changes: Change<CachedRow>[] = [];
  for (const [n, list] of Object.entries(wanted)) {
    const uuid = id(Number(n)) as Uuid;
    const old = rows.get(uuid);
    const row: CachedRow | undefined = list === null ? undefined : Object.freeze({ _uuid: uuid, keys: list });
    if (old !== undefined && row !== undefined) changes.push({ kind: 'modify', uuid, old, row });
    else if (row !== undefined) changes.push({ kind: 'insert', uuid, row });
    else if (old !== undefined) changes.push({ kind: 'delete', uuid, old });
  }
  return changes;
}

describe('a table', () => {
  test.each(['in place', 'beside the old one', 'beside the old one, with an index added meanwhile'])(
    'property: rows, snapshots and indexes are right after any updates made %s',
    (how) => {
      fc.assert(
        fc.property(fc.array(update, { maxLength: 12 }), fc.nat(12), (updates, when) => {
          const store = new TableStore();
          const model = new Map<Uuid, CachedRow>();
          const indexes = [store.index(keyOf)];
          const snapshots: [ReadonlyMap<Uuid, CachedRow>, Map<Uuid, CachedRow>][] = [];
          for (const [n, wanted] of updates.entries()) {
            const changes = changesOf(model, wanted);
            for (const change of changes) {
              if (change.kind === 'delete') model.delete(change.uuid);
              else model.set(change.uuid, change.row);
            }
            if (how === 'in place') store.apply(changes);
            else {
              const work = store.stage(changes);
              let step = work.next();
              while (!step.done) step = work.next();
              if (how.endsWith('meanwhile') && n === when) indexes.push(store.index(keyOf));
              step.value();
            }
            expect(new Map(store.rows)).toStrictEqual(model);
            for (const index of indexes) {
              for (const key of keys) {
                const expected = [...model.values()].filter((row) => keyOf(row).includes(key));
                expect([...index.get(key)].sort(byUuid)).toStrictEqual(expected.sort(byUuid));
                expect(index.only(key)).toBe(expected.length === 1 ? expected[0] : undefined);
              }
              const used = keys.filter((key) => [...model.values()].some((row) => keyOf(row).includes(key)));
              expect([...index.keys()].sort()).toStrictEqual(used);
            }
            if (n % 3 === 0) snapshots.push([store.snapshot(), new Map(model)]);
          }
          for (const [snapshot, then] of snapshots) expect(new Map(snapshot)).toStrictEqual(then);
        }),
      );
    },
  );
});

function byUuid(a: CachedRow, b: CachedRow): number {
  return a._uuid < b._uuid ? -1 : 1;
}
