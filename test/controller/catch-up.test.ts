import { expect, test } from '@jest/globals';
import { ManualClock } from '../../src/base/index.ts';
import { caughtUp } from '../../src/controller/catch-up.ts';
import type { Change, ChangeListener, KubeObject } from '../../src/kube/index.ts';
import { ObjectStore } from '../../src/kube/object-store.ts';

const object = (name: string, uid: string, resourceVersion: string): KubeObject => ({
  metadata: { namespace: 'default', name, uid, resourceVersion },
});

function setUp(cached: KubeObject[], listed: KubeObject[]) {
  const store = new ObjectStore<KubeObject, never>({});
  const listeners = new Set<ChangeListener<KubeObject>>();
  const tell = (changes: Change<KubeObject>[]) => {
    for (const change of changes) for (const listener of listeners) listener(change);
  };
  const see = (seen: KubeObject) => tell(store.set(`default/${seen.metadata.name}`, seen));
  const lose = (name: string) => tell(store.remove(`default/${name}`));
  for (const one of cached) see(one);
  const clock = new ManualClock();
  const stop = new AbortController();
  const subscribe = (listener: ChangeListener<KubeObject>) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
  let left: number | undefined;
  const waiting = caughtUp({ cache: { store, subscribe }, listed, patienceMs: 5_000, clock }, stop.signal);
  void waiting.then((behind) => {
    left = behind;
  });
  const result = async () => {
    await clock.advance(0);
    return left;
  };
  return { clock, stop, see, lose, result, listeners };
}

test('a cache that knows as much or more is not waited for', async () => {
  const { result, clock } = setUp(
    [object('a', 'u1', '9'), object('b', 'u2', '11'), object('extra', 'u3', '5')],
    [object('a', 'u1', '9'), object('b', 'u2', '10')],
  );
  expect(await result()).toBe(0);
  expect(clock.pendingTimers).toBe(0);
});

test('every object that it has not heard of yet is waited for', async () => {
  const { see, lose, result, clock, listeners } = setUp(
    [object('changed', 'u1', '9'), object('again', 'u2', '5')],
    [object('changed', 'u1', '100'), object('again', 'u3', '101'), object('new', 'u4', '102')],
  );
  see(object('changed', 'u1', '10'));
  lose('again');
  see(object('again', 'u3', '101'));
  expect(await result()).toBeUndefined();
  see(object('changed', 'u1', '100'));
  expect(await result()).toBeUndefined();
  see(object('new', 'u4', '103'));
  expect(await result()).toBe(0);
  expect([clock.pendingTimers, listeners.size]).toEqual([0, 0]);
});

test('the end of the last incarnation is not news of this one, the end of this one is', async () => {
  const { see, lose, result } = setUp([object('a', 'u1', '5')], [object('a', 'u2', '9')]);
  lose('a');
  expect(await result()).toBeUndefined();
  see(object('a', 'u2', '8'));
  lose('a');
  expect(await result()).toBe(0);
});

test('a cache that hears nothing, and a stop, are not waited for any longer', async () => {
  const silent = setUp([], [object('a', 'u1', '9')]);
  await silent.clock.advance(4_999);
  expect(await silent.result()).toBeUndefined();
  await silent.clock.advance(1);
  expect(await silent.result()).toBe(1);
  const stopped = setUp([], [object('a', 'u1', '9')]);
  stopped.stop.abort();
  expect(await stopped.result()).toBe(1);
});
