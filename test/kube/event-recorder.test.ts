import { expect, test } from '@jest/globals';
import { ManualClock } from '../../src/base/index.ts';
import {
  type EventObject,
  EventRecorder,
  type EventRecorderOptions,
  type EventText,
  KubeError,
  type KubeErrorCode,
  type ObjectReference,
} from '../../src/kube/index.ts';

const web: ObjectReference = { apiVersion: 'v1', kind: 'Service', namespace: 'shop', name: 'web', uid: 'u1' };
const assigned: EventText = { type: 'Normal', reason: 'AddressAssigned', action: 'Allocate', note: 'got 192.0.2.1' };

interface Bench {
  clock: ManualClock;
  recorder: EventRecorder;
  /** "verb name count" of what reached the server. */
  written: string[];
  events: EventObject[];
  /** Codes with which the next requests fail; `lost` fails after the request was done. */
  failures: (KubeErrorCode | 'lost')[];
  advance(ms: number): Promise<void>;
  stop(): Promise<void>;
}

function bench(options: Partial<EventRecorderOptions> = {}): Bench {
  const clock = new ManualClock();
  const written: string[] = [];
  const events: EventObject[] = [];
  const failures: (KubeErrorCode | 'lost')[] = [];
  const names = new Set<string>();
  let suffix = 0;
  const meet = () => {
    const failure = failures.shift();
    if (failure && failure !== 'lost') throw new KubeError(failure, failure);
    return () => {
      if (failure === 'lost') throw new KubeError('Network', 'answer lost');
    };
  };
  const client = {
    async create(_: unknown, event: EventObject) {
      const after = meet();
      if (names.has(event.metadata.name)) throw new KubeError('AlreadyExists', 'again');
      names.add(event.metadata.name);
      events.push(event);
      written.push(`create ${event.metadata.namespace}/${event.metadata.name}`);
      after();
      return event;
    },
    async patch(_: unknown, { name }: { name: string }, { body }: { body: { series: { count: number } } }) {
      const after = meet();
      written.push(`patch ${name} ${body.series.count}`);
      after();
    },
  };
  const recorder = new EventRecorder({
    client: client as unknown as EventRecorderOptions['client'],
    component: 'ovenbird.dev/controller',
    instance: 'pod-1',
    clock,
    random: () => 0,
    suffix: () => `${++suffix}`,
    ...options,
  });
  const abort = new AbortController();
  const done = recorder.run(abort.signal);
  return {
    clock,
    recorder,
    written,
    events,
    failures,
    async advance(ms) {
      for (let left = ms; left > 0; left -= 1_000) await clock.advance(Math.min(1_000, left));
      // One writer takes a handful of microtasks for each event.
      for (let i = 0; i < 20; i++) await clock.advance(0);
    },
    async stop() {
      abort.abort();
      await clock.advance(0);
      await done;
      expect(clock.pendingTimers).toBe(0);
    },
  };
}

test('writes a complete event with the time at which it happened', async () => {
  const { recorder, events, advance, stop } = bench();
  recorder.record(web, assigned);
  await advance(0);
  expect(events).toEqual([
    {
      metadata: { namespace: 'shop', name: 'web.1' },
      eventTime: '2026-01-01T00:00:00.000000Z',
      reportingController: 'ovenbird.dev/controller',
      reportingInstance: 'pod-1',
      ...assigned,
      regarding: web,
    },
  ]);
  await stop();
});

test('the same thing again raises the count, at most once in 30 s', async () => {
  const { recorder, written, advance, stop } = bench();
  recorder.record(web, assigned);
  await advance(1_000);
  for (let i = 0; i < 100; i++) recorder.record(web, assigned);
  await advance(29_000);
  expect(written).toEqual(['create shop/web.1']);
  await advance(1_000);
  expect(written).toEqual(['create shop/web.1', 'patch web.1 101']);
  expect(recorder.counts).toEqual({ recorded: 101, aggregated: 100, written: 2, limited: 0, dropped: 0 });
  await stop();
});

test('after the window it is news again', async () => {
  const { recorder, written, advance, stop } = bench({ windowMs: 60_000 });
  recorder.record(web, assigned);
  await advance(61_000);
  recorder.record(web, assigned);
  await advance(0);
  expect(written).toEqual(['create shop/web.1', 'create shop/web.2']);
  await stop();
});

test('what differs in object, reason or note is another event', async () => {
  const { recorder, written, advance, stop } = bench();
  recorder.record(web, assigned);
  recorder.record({ ...web, name: 'api', uid: 'u2' }, assigned);
  recorder.record(web, { ...assigned, note: 'got 192.0.2.2' });
  recorder.record({ apiVersion: 'v1', kind: 'Node', name: 'node-1' }, assigned);
  await advance(0);
  expect(written).toEqual(['create shop/web.1', 'create shop/api.2', 'create shop/web.3', 'create default/node-1.4']);
  await stop();
});

test('an object that causes too many different events is limited, the others are not', async () => {
  const { recorder, written, advance, stop } = bench();
  for (let i = 0; i < 40; i++) recorder.record(web, { ...assigned, note: `note ${i}` });
  recorder.record({ ...web, name: 'api', uid: 'u2' }, assigned);
  await advance(1_000);
  expect(written).toHaveLength(26);
  expect(recorder.counts.limited).toBe(15);
  await advance(300_000);
  recorder.record(web, { ...assigned, note: 'later' });
  recorder.record(web, { ...assigned, note: 'too many again' });
  await advance(0);
  expect(recorder.counts).toMatchObject({ limited: 16, written: 27 });
  await stop();
});

test('tries again a few times while the API server is away, then drops and counts', async () => {
  const { recorder, written, failures, advance, stop } = bench();
  failures.push('Network', 'Timeout', 'Unavailable');
  recorder.record(web, assigned);
  await advance(10_000);
  expect(written).toEqual(['create shop/web.1']);
  failures.push('Network', 'Network', 'Network', 'Network');
  recorder.record(web, { ...assigned, note: 'unlucky' });
  await advance(60_000);
  expect(written).toHaveLength(1);
  expect(recorder.counts).toMatchObject({ recorded: 2, written: 1, dropped: 1 });
  await stop();
});

test('what the server refuses is dropped at once', async () => {
  const { recorder, failures, advance, stop } = bench();
  failures.push('Forbidden');
  recorder.record(web, assigned);
  await advance(60_000);
  expect(recorder.counts).toMatchObject({ written: 0, dropped: 1 });
  expect(failures).toEqual([]);
  await stop();
});

test('a creation whose answer was lost is not made twice', async () => {
  const { recorder, written, failures, advance, stop } = bench();
  failures.push('lost');
  recorder.record(web, assigned);
  await advance(5_000);
  expect(written).toEqual(['create shop/web.1']);
  expect(recorder.counts.dropped).toBe(0);
  await stop();
});

test('an event that expired on the server is made anew when it happens again', async () => {
  const { recorder, written, failures, advance, stop } = bench();
  recorder.record(web, assigned);
  await advance(1_000);
  recorder.record(web, assigned);
  failures.push('NotFound');
  await advance(31_000);
  expect(written).toEqual(['create shop/web.1', 'create shop/web.2']);
  await stop();
});

test('holds no more than its capacity, and what does not fit is dropped and counted', async () => {
  const { recorder, failures, advance, stop } = bench({ capacity: 10 });
  failures.push(...Array.from({ length: 50 }, () => 'Network' as const));
  for (let i = 0; i < 15; i++) recorder.record({ ...web, name: `s-${i}`, uid: `${i}` }, assigned);
  await advance(0);
  expect(recorder.counts.dropped).toBe(5);
  await stop();
});

test('cuts what the API would refuse', async () => {
  const { recorder, events, advance, stop } = bench();
  const name = 'X'.repeat(300);
  recorder.record({ ...web, name }, { ...assigned, note: 'n'.repeat(5_000) });
  await advance(0);
  expect(events[0]?.note).toHaveLength(1024);
  expect(events[0]?.metadata.name).toMatch(/^x{200}\.1$/);
  await stop();
});

test('counts the note in bytes, as the API does, and leaves a name that the API takes', async () => {
  const { recorder, events, advance, stop } = bench();
  recorder.record({ ...web, name: `${'x'.repeat(199)}-y` }, { ...assigned, note: '地址😀'.repeat(200) });
  await advance(0);
  const { note = '' } = events[0] ?? {};
  expect(note).toMatch(/^(地址😀)+(地址?)?\.\.\.$/u);
  expect(Buffer.byteLength(note)).toBeLessThanOrEqual(1024);
  expect(Buffer.byteLength(note)).toBeGreaterThan(1016);
  // RFC 1123: each label begins and ends with a letter or a digit.
  expect(events[0]?.metadata.name).toBe(`${'x'.repeat(199)}.1`);
  await stop();
});
