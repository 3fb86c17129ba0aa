import { afterEach, describe, expect, test } from '@jest/globals';
import { ManualClock } from '../../src/base/index.ts';
import { type Client, connect, type UntypedTables } from '../../src/ovsdb-client/index.ts';
import { ScriptedServer, settle } from './scripted-server.ts';

const open: Client<UntypedTables>[] = [];
afterEach(async () => {
  for (const client of open.splice(0)) await client.close();
});

async function start() {
  const server = new ScriptedServer();
  const clock = new ManualClock();
  let locked = false;
  server.on('lock', () => ({ locked }));
  server.on('steal', () => ({ locked: true }));
  server.on('unlock', () => ({}));
  const client = await connect<UntypedTables>({
    endpoints: 'tcp:a:1',
    database: 'Shop',
    dial: server.dial,
    clock,
    random: () => 0,
  });
  open.push(client);
  const methods = () => server.last.received.map(({ method }) => method).filter((method) => /lock|steal/.test(method));
  const grant = (value: boolean) => {
    locked = value;
  };
  return { server, clock, client, methods, grant };
}

describe('a lock', () => {
  test('is held at once when it is free', async () => {
    const { client, grant } = await start();
    grant(true);
    const lock = client.lock('l');
    await lock.acquired();
    expect(lock.held).toBe(true);
  });

  test('is waited for, got, lost to a thief', async () => {
    const { client, server } = await start();
    const lock = client.lock('l');
    const states: string[] = [];
    const reading = (async () => {
      for await (const state of lock.states()) states.push(state);
    })();
    await settle();
    expect(lock.state).toBe('waiting');
    server.last.notify('locked', 'l');
    await lock.acquired();
    server.last.notify('stolen', 'l');
    await settle();
    expect(lock.state).toBe('waiting');
    await lock.release();
    await reading;
    expect(states).toStrictEqual(['held', 'waiting', 'released']);
  });

  test('is lost with the connection, and asked for again', async () => {
    const { client, server, clock, grant } = await start();
    grant(true);
    const lock = client.lock('l');
    await lock.acquired();
    grant(false);
    server.last.stream.destroy();
    await settle();
    expect(lock.state).toBe('waiting');
    await clock.advance(1000);
    await settle();
    expect(server.connections).toHaveLength(2);
    expect(server.last.received.map(({ method }) => method)).toContain('lock');
    expect(lock.held).toBe(false);
    server.last.notify('locked', 'l');
    await lock.acquired();
  });

  test('is stolen by leaving the queue first', async () => {
    const { client, methods } = await start();
    const lock = client.lock('l');
    await settle();
    await lock.steal();
    expect(lock.held).toBe(true);
    expect(methods()).toStrictEqual(['lock', 'unlock', 'steal']);
  });

  test('can be stolen from the start, but only the first time', async () => {
    const { client, methods, server, clock } = await start();
    const lock = client.lock('l', { steal: true });
    await lock.acquired();
    expect(methods()).toStrictEqual(['steal']);
    server.last.stream.destroy();
    await settle();
    await clock.advance(1000);
    await settle();
    expect(methods()).toStrictEqual(['lock']);
  });

  test('is given back, once; waiting for it then fails', async () => {
    const { client, methods } = await start();
    const lock = client.lock('l');
    const waiting = lock.acquired();
    waiting.catch(() => {});
    await settle();
    await lock.release();
    await lock.release();
    await expect(waiting).rejects.toMatchObject({ code: 'Closed' });
    await expect(lock.acquired()).rejects.toMatchObject({ code: 'Closed' });
    expect(methods()).toStrictEqual(['lock', 'unlock']);
    client.lock('l');
    expect(() => client.lock('l')).toThrow(/already asked for/);
    expect(() => client.lock('no spaces')).toThrow(/not a lock name/);
  });

  test('waiting can be aborted', async () => {
    const { client } = await start();
    const abort = new AbortController();
    const waiting = client.lock('l').acquired({ signal: abort.signal });
    await settle();
    abort.abort(new Error('tired'));
    await expect(waiting).rejects.toThrow('tired');
  });
});
