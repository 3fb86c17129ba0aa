import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { BodyReader } from '../../src/kube/body-reader.ts';

const lost = (cause: unknown) => new Error(`lost: ${(cause as Error | undefined)?.message ?? 'cut'}`);

async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

async function read(body: AsyncIterable<Uint8Array>): Promise<string> {
  let all = '';
  for await (const chunk of body) all += Buffer.from(chunk).toString();
  return all;
}

test('keeps what came and ended before anybody read', async () => {
  const stream = new PassThrough();
  const reader = new BodyReader(stream, () => true, lost);
  stream.write('a');
  stream.end('b');
  await settle();
  expect(stream.destroyed).toBe(true);
  expect(await read(reader)).toBe('ab');
});

test('what came before a failure is read, then the failure is thrown', async () => {
  const stream = new PassThrough();
  const reader = new BodyReader(stream, () => true, lost);
  stream.write('a');
  await settle();
  stream.destroy(new Error('reset'));
  await settle();
  const iterator = reader[Symbol.asyncIterator]();
  expect((await iterator.next()).value?.toString()).toBe('a');
  await expect(iterator.next()).rejects.toThrow('lost: reset');
});

test.each([
  ['was destroyed without an end', (stream: PassThrough) => stream.destroy(), true],
  ['ended, but not as the peer meant it', (stream: PassThrough) => stream.end(), false],
])('a body that %s is a lost connection', async (_, end, complete) => {
  const stream = new PassThrough();
  const reader = new BodyReader(stream, () => complete, lost);
  end(stream);
  await expect(read(reader)).rejects.toThrow('lost: cut');
});

test('a reader that leaves ends the stream', async () => {
  const stream = new PassThrough();
  const reader = new BodyReader(stream, () => true, lost);
  stream.write('a');
  for await (const _ of reader) break;
  expect(stream.destroyed).toBe(true);
});

test('a slow reader holds the sender back', async () => {
  const stream = new PassThrough();
  const reader = new BodyReader(stream, () => true, lost);
  const chunk = Buffer.alloc(64 * 1024);
  let sent = 0;
  while (sent < 100) {
    sent += 1;
    if (!stream.write(chunk)) {
      await settle();
      if (stream.writableNeedDrain) break;
    }
  }
  expect(sent).toBeLessThan(12);
  let taken = 0;
  const reading = (async () => {
    for await (const piece of reader) taken += piece.length;
  })();
  await settle();
  stream.end();
  await reading;
  expect(taken).toBe(sent * chunk.length);
});
