import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Change, KubeObject } from '../../src/kube/index.ts';
import { ObjectStore } from '../../src/kube/object-store.ts';

interface Thing extends KubeObject {
  tags: string[];
}

const names = ['a', 'b', 'c', 'd'];
const tags = ['red', 'green', 'blue'];

const thing = fc.record({
  name: fc.constantFrom(...names),
  tags: fc.subarray(tags),
  uid: fc.constantFrom('1', '2'),
});

type Step =
  | { op: 'set'; of: { name: string; tags: string[]; uid: string } }
  | { op: 'remove'; name: string }
  | { op: 'replace'; all: { name: string; tags: string[]; uid: string }[] };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ op: fc.constant('set' as const), of: thing }),
  fc.record({ op: fc.constant('remove' as const), name: fc.constantFrom(...names) }),
  fc.record({ op: fc.constant('replace' as const), all: fc.array(thing, { maxLength: 5 }) }),
);

/** What a listener that only believes its changes would know. Throws when a change does not fit what came before. */
function follow(known: Map<string, Thing>, change: Change<Thing>): void {
  const before = known.get(change.key);
  if (change.type === 'added') expect(before).toBeUndefined();
  else expect(change.old).toBe(before);
  if (change.type === 'modified') expect(change.object.metadata.uid).toBe(change.old.metadata.uid);
  if (change.type === 'deleted') known.delete(change.key);
  else known.set(change.key, change.object);
}

test('agrees with a plain map, its indexes with a search, and its changes with its content', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const store = new ObjectStore<Thing, 'tag'>({ tag: (object) => object.tags });
      const model = new Map<string, Thing>();
      const known = new Map<string, Thing>();
      let version = 0;
      const make = ({ name, tags: of, uid }: { name: string; tags: string[]; uid: string }): Thing => {
        version += 1;
        return { metadata: { name, uid, resourceVersion: String(version) }, tags: of };
      };
      for (const now of steps) {
        let changes: Change<Thing>[];
        if (now.op === 'set') {
          const object = make(now.of);
          model.set(now.of.name, object);
          changes = store.set(now.of.name, object);
        } else if (now.op === 'remove') {
          model.delete(now.name);
          changes = store.remove(now.name);
        } else {
          const all = new Map(now.all.map((of) => [of.name, make(of)]));
          model.clear();
          for (const [name, object] of all) model.set(name, object);
          changes = store.replace(all);
        }
        for (const change of changes) {
          expect(change.fromList).toBe(now.op === 'replace');
          follow(known, change);
        }
        const sorted = [...model.keys()].sort();
        expect(store.keys()).toEqual(sorted);
        expect(store.list()).toEqual(sorted.map((name) => model.get(name)));
        expect(store.size).toBe(model.size);
        expect(new Map([...known].sort())).toEqual(new Map([...model].sort()));
        for (const tag of tags) {
          const found = sorted.filter((name) => model.get(name)?.tags.includes(tag));
          expect(store.keysBy('tag', tag)).toEqual(found);
          expect(store.listBy('tag', tag)).toEqual(found.map((name) => model.get(name)));
        }
      }
    }),
    { numRuns: 150 },
  );
});

test('tells nothing for an object whose version did not change', () => {
  const store = new ObjectStore<Thing>({});
  const object: Thing = { metadata: { name: 'a', uid: '1', resourceVersion: '7' }, tags: [] };
  store.set('a', object);
  expect(store.set('a', structuredClone(object))).toEqual([]);
  expect(store.replace(new Map([['a', structuredClone(object)]]))).toEqual([]);
  expect(store.get('a')).toBe(object);
});
