import { duplexPair } from 'node:stream';
import { afterEach, describe, expect, test } from '@jest/globals';
import { ManualClock, systemClock } from '../../src/base/index.ts';
import { OvsdbError } from '../../src/ovsdb-client/index.ts';
import { type ConnectionOptions, RpcConnection } from '../../src/ovsdb-client/rpc/connection.ts';
import { readMessage } from '../../src/ovsdb-client/rpc/message.ts';
import { settle } from './scripted-server.ts';

const open: RpcConnection[] = [];
afterEach(() => {
  for (const connection of open.splice(0)) connection.close(new OvsdbError('Closed', 'test over'));
});

function start(options: Partial<ConnectionOptions> = {}) {
  const [ours, theirs] = duplexPair();
  const clock = new ManualClock();
  const connection = new RpcConnection(ours, { clock, probeIntervalMs: 0, ...options });
  open.push(connection);
  let sent = '';
  theirs.setEncoding('utf8');
  theirs.on('data', (text: string) => {
    sent += text;
  });
  theirs.on('error', () => {});
  const take = async () => {
    await settle();
    const text = sent;
    sent = '';
    return text;
  };
  return { connection, theirs, clock, take };
}

describe('an RPC connection', () => {
  test('matches replies to requests in any order', async () => {
    const { connection, theirs, take } = start();
    const first = connection.call('a', [1]);
    const second = connection.call('b', []);
    expect(await take()).toBe('{"id":0,"method":"a","params":[1]}{"id":1,"method":"b","params":[]}');
    theirs.write('{"id":1,"result":"two","error":null}{"error":null,"result":["one"],"id":0}');
    expect(await second).toBe('two');
    expect(await first).toStrictEqual(['one']);
  });

  test.each<[string, string, object]>([
    ['a string and no result', '{"id":0,"error":"unknown method"}', { error: 'unknown method' }],
    [
      'an object',
      '{"id":0,"result":null,"error":{"error":"syntax error","details":"why","syntax":"{}"}}',
      { error: 'syntax error', details: 'why' },
    ],
    ['something unreadable', '{"id":0,"error":[1]}', { error: 'unreadable error', details: '[1]' }],
  ])('an error reply that is %s rejects', async (_name, reply, expected) => {
    const { connection, theirs } = start();
    const call = connection.call('m', []);
    theirs.write(reply);
    await expect(call).rejects.toMatchObject({ code: 'ServerError', ...expected });
  });

  test('answers an echo with its params and id, and other requests with an error', async () => {
    const { theirs, take } = start();
    theirs.write('{"id":"echo","method":"echo","params":["x",{"y":1}]}{"id":7,"method":"format_disk","params":[]}');
    expect(await take()).toBe(
      '{"id":"echo","result":["x",{"y":1}],"error":null}{"id":7,"result":null,"error":"unknown method"}',
    );
  });

  test('never answers a notification, and ignores replies to nothing', async () => {
    const { connection, theirs, take } = start();
    const seen: string[] = [];
    connection.onNotification = (method) => {
      seen.push(method);
      return undefined;
    };
    theirs.write(
      '{"id":null,"method":"update","params":[]}{"id":99,"result":1,"error":null}{"id":"x","error":"canceled"}',
    );
    expect(await take()).toBe('');
    expect(seen).toStrictEqual(['update']);
    expect(connection.error).toBeUndefined();
  });

  test.each([
    ['not JSON', 'SSH-2.0-OpenSSH'],
    ['not a message', '{"hello":1}'],
    ['params that are no array', '{"id":null,"method":"update","params":{}}'],
    ['a reply without result and error', '{"id":0}'],
    ['a method that is no string', '{"id":1,"method":2,"params":[]}'],
  ])('a peer that sends %s loses the connection, and calls learn it', async (_name, text) => {
    const { connection, theirs } = start();
    const call = connection.call('m', []);
    theirs.write(text);
    await expect(call).rejects.toMatchObject({ code: 'ProtocolError' });
    expect(await connection.closed).toMatchObject({ code: 'ProtocolError' });
    await expect(connection.call('m', [])).rejects.toMatchObject({ code: 'ProtocolError' });
  });

  test('a peer that goes away rejects what is pending', async () => {
    const { connection, theirs } = start();
    const call = connection.call('m', []);
    theirs.end();
    await expect(call).rejects.toMatchObject({ code: 'ConnectionLost', retryable: true });
  });

  test('an aborted call sends cancel if asked to, and its late reply is dropped', async () => {
    const { connection, theirs, take } = start();
    const abort = new AbortController();
    const call = connection.call('transact', [], { signal: abort.signal, cancelOnAbort: true });
    await take();
    abort.abort(new Error('deadline'));
    await expect(call).rejects.toThrow('deadline');
    expect(await take()).toBe('{"id":null,"method":"cancel","params":[0]}');
    theirs.write('{"id":0,"result":[],"error":null}');
    await settle();
    expect(connection.error).toBeUndefined();
    await expect(connection.call('m', [], { signal: abort.signal })).rejects.toThrow('deadline');
  });

  test('what a late reply would have caused is not done after an abort', async () => {
    const { connection, theirs } = start();
    const abort = new AbortController();
    let done = 0;
    const onResult = () => {
      done += 1;
      return undefined;
    };
    const call = connection.call('m', [], { signal: abort.signal, onResult });
    await settle();
    abort.abort(new Error('deadline'));
    await expect(call).rejects.toThrow('deadline');
    theirs.write('{"id":0,"result":[],"error":null}');
    await settle();
    expect(done).toBe(0);
  });

  test('what a result causes is done before later messages are looked at, in slices', async () => {
    // Every step counts as a slice of its own.
    let counter = 0;
    const { connection, theirs } = start({ clock: { ...systemClock, monotonicMs: () => counter++ }, sliceMs: 1 });
    const order: string[] = [];
    connection.onNotification = (_method, [what]) => {
      order.push(`notified ${String(what)}`);
      return undefined;
    };
    const call = connection
      .call('m', [], {
        onResult: () =>
          (function* () {
            for (let i = 0; i < 3; i++) {
              order.push(`step ${i}`);
              yield;
            }
          })(),
      })
      .then(() => order.push('resolved'));
    theirs.write('{"id":0,"result":1,"error":null}{"id":null,"method":"n","params":[1]}');
    const ticks: number[] = [];
    const tick = () => {
      ticks.push(order.length);
      if (order.length < 5) setImmediate(tick);
    };
    tick();
    await call;
    await settle();
    expect(order.filter((what) => what !== 'resolved')).toStrictEqual(['step 0', 'step 1', 'step 2', 'notified 1']);
    expect(order).toContain('resolved');
    // Other work had its turn between the steps.
    expect(new Set(ticks).size).toBeGreaterThan(2);
  });

  test('an exception in a handler ends the connection, not the process', async () => {
    const { connection, theirs } = start();
    connection.onNotification = () => {
      throw new TypeError('bug');
    };
    theirs.write('{"id":null,"method":"n","params":[]}');
    expect(await connection.closed).toMatchObject({ code: 'ProtocolError', cause: new TypeError('bug') });
  });

  test('closing inside a handler is safe', async () => {
    const { connection, theirs } = start();
    connection.onNotification = function* () {
      connection.close(new OvsdbError('Closed', 'enough'));
      yield;
    };
    const call = connection.call('m', []);
    theirs.write('{"id":null,"method":"n","params":[]}{"id":0,"result":1,"error":null}');
    await expect(call).rejects.toMatchObject({ code: 'Closed' });
  });

  test('reads no faster than it works: the peer feels the back-pressure', async () => {
    const { connection, theirs } = start({ clock: systemClock });
    let release = false;
    connection.onNotification = function* () {
      while (!release) yield;
    };
    const big = `{"id":null,"method":"n","params":["${'x'.repeat(60_000)}"]}`;
    let accepted = 0;
    const write = () => {
      while (accepted < 100 && theirs.write(big)) accepted += 1;
    };
    theirs.on('drain', write);
    write();
    await settle();
    await settle();
    expect(accepted).toBeLessThan(40);
    release = true;
    while (accepted < 100) await settle();
    expect(connection.error).toBeUndefined();
  });

  test('writers wait while the socket is full', async () => {
    const { connection, theirs } = start();
    theirs.pause();
    const big = 'x'.repeat(600_000);
    for (let i = 0; i < 4; i++) connection.start('m', [big]).catch(() => {});
    let written = false;
    const waiting = connection.call('late', []).finally(() => undefined);
    waiting.catch(() => {});
    const abort = new AbortController();
    const aborted = connection.call('never', [], { signal: abort.signal });
    void connection.writable(undefined).then(() => {
      written = true;
    });
    await settle();
    expect(written).toBe(false);
    abort.abort(new Error('tired'));
    await expect(aborted).rejects.toThrow('tired');
    theirs.resume();
    for (let i = 0; i < 20 && !written; i++) await settle();
    expect(written).toBe(true);
  });
});

describe('signs of life', () => {
  test('a silent peer is asked, and given up when it stays silent', async () => {
    const { connection, clock, take } = start({ probeIntervalMs: 5000 });
    await clock.advance(4999);
    expect(await take()).toBe('');
    await clock.advance(1);
    expect(await take()).toBe('{"id":0,"method":"echo","params":[]}');
    await clock.advance(4999);
    expect(connection.error).toBeUndefined();
    await clock.advance(1);
    expect(await connection.closed).toMatchObject({
      code: 'ConnectionLost',
      message: expect.stringMatching(/silent for 10 s/),
    });
    expect(clock.pendingTimers).toBe(0);
  });

  test('any byte is a sign of life', async () => {
    const { connection, clock, theirs, take } = start({ probeIntervalMs: 5000 });
    for (let i = 0; i < 5; i++) {
      await clock.advance(4000);
      theirs.write(' ');
      await settle();
    }
    expect(await take()).toBe('');
    await clock.advance(5000);
    expect(await take()).toContain('echo');
    theirs.write('{"id":0,"result":[],"error":null}');
    await settle();
    await clock.advance(5000);
    expect(connection.error).toBeUndefined();
  });

  test('a process that is behind with its work does not blame the peer', async () => {
    // Every message takes two seconds to handle; three of them wait here.
    const { connection, clock, theirs, take } = start({ probeIntervalMs: 5000, sliceMs: 0 });
    let release = () => {};
    connection.onNotification = function* () {
      for (let isDone = false; !isDone; ) {
        release = () => {
          isDone = true;
        };
        yield;
      }
    };
    theirs.write('{"id":null,"method":"m","params":[]}');
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    for (let i = 0; i < 3; i++) theirs.write(' ');
    await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(20_000);
    expect(connection.error).toBeUndefined();
    release();
    await settle();
    expect(await take()).toContain('echo');
    await clock.advance(10_000);
    expect(connection.error).toBeDefined();
  });

  test('0 means never', async () => {
    const { connection, clock, take } = start({ probeIntervalMs: 0 });
    await clock.advance(3_600_000);
    expect(await take()).toBe('');
    expect(connection.error).toBeUndefined();
  });
});

describe('messages', () => {
  test('a request, a notification, a result and an error are told apart', () => {
    expect(readMessage({ id: 1, method: 'm', params: [] })).toStrictEqual({
      kind: 'request',
      id: 1,
      method: 'm',
      params: [],
    });
    expect(readMessage({ method: 'm', params: [], id: null })).toStrictEqual({
      kind: 'notification',
      method: 'm',
      params: [],
    });
    expect(readMessage({ id: 1, result: false })).toStrictEqual({ kind: 'result', id: 1, result: false });
    expect(readMessage({ id: 1, result: null, error: 'e' })).toStrictEqual({
      kind: 'error',
      id: 1,
      error: 'e',
      details: undefined,
    });
    expect(() => readMessage([])).toThrow(/not a JSON-RPC message/);
  });
});
