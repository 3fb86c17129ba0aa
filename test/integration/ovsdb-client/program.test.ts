/** The program `ovsdb-client` as people use it: right and wrong words, what it prints, how it ends. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { eventually } from '../../eventually.ts';
import { kindsSchema } from '../../ovsdb-client/kinds-schema.ts';
import { output, programsMissing, type RealServer, standalone, tearDown } from '../../ovsdb-client/real-server.ts';
import { Relay } from '../../ovsdb-client/relay.ts';

jest.setTimeout(30_000);

const program = join(import.meta.dirname, '../../../bin/ovsdb-client.js');

/** Runs the program to its end; endpoints written as `SERVER` are replaced. */
function run(server: RealServer | undefined, words: readonly string[], input = '') {
  const args = words.map((word) => word.replaceAll('SERVER', server?.endpoint ?? ''));
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    input,
    timeout: 20_000,
  });
  return { status, stdout, stderr: server === undefined ? stderr : stderr.replaceAll(server.endpoint, 'SERVER') };
}

describe('the program without a server', () => {
  test.each<[string[], number, RegExp]>([
    [[], 2, /^ovsdb-client: no command given\n\nUsage: ovsdb-client COMMAND/],
    [['frob'], 2, /^ovsdb-client: there is no command frob: use dump, monitor, .*, or --help\n$/],
    [['--frob'], 2, /^ovsdb-client: unknown option '--frob'; see --help\n$/],
    [['dump', 'tcp:h:1'], 2, /^ovsdb-client: usage: ovsdb-client dump ENDPOINTS DATABASE \[TABLE \[COLUMN\]...\]\n$/],
    [['list-dbs', 'tcp:h:1', 'more'], 2, /^ovsdb-client: usage: ovsdb-client list-dbs ENDPOINTS\n$/],
    [['dump', '/run/db.sock', 'X'], 2, /^ovsdb-client: endpoint "\/run\/db.sock" is not tcp:HOST:PORT, .*\n$/],
    [['dump', 'ssl:h:1', 'X'], 2, /^ovsdb-client: ssl:h:1 needs --ca-cert, --certificate and --private-key .*\n$/],
    [['dump', 'tcp:h:1', 'X', '-t', 'abc'], 2, /^ovsdb-client: --timeout must be a number of seconds.* not abc\n$/],
    [['wait', 'tcp:h:1', 'X', 'up'], 2, /^ovsdb-client: wait for added, connected or removed, not up\n$/],
    [['transact', 'tcp:h:1', '{bad'], 2, /^ovsdb-client: the transaction is not JSON: .*\n$/],
    [['transact', 'tcp:h:1', '{}'], 2, /^ovsdb-client: the transaction must be \["DATABASE", OPERATION...\]\n$/],
    [['generate', '/nonexistent'], 2, /^ovsdb-client: \/nonexistent cannot be read: ENOENT.*\n$/],
    [['generate', '-'], 2, /^ovsdb-client: the standard input is not JSON: .*\n$/],
    [
      ['list-dbs', 'unix:/nonexistent'],
      1,
      /^ovsdb-client: unix:\/nonexistent cannot be reached: connect ENOENT \/nonexistent\n$/,
    ],
    [
      ['dump', 'unix:/nonexistent,unix:/nowhere', 'X', '-t', '0.3'],
      1,
      /^ovsdb-client: gave up after 0.3 s: no endpoint can be used:\n {2}unix:\/nonexistent .*\n {2}unix:\/nowhere .*\n$/,
    ],
    [
      ['wait', 'unix:/nonexistent', 'X', 'added', '-t', '0.3'],
      1,
      /^ovsdb-client: .*ENOENT.*; trying again\novsdb-client: gave up after 0.3 s: unix:\/nonexistent .*\n$/,
    ],
  ])('%j ends with %i', (words, status, message) => {
    const ended = run(undefined, words);
    expect(ended).toMatchObject({ status, stdout: '' });
    expect(ended.stderr).toMatch(message);
  });

  test.each([[['--help']], [['dump', '-h']]])('%j prints the usage', (words) => {
    const { status, stdout, stderr } = run(undefined, words);
    expect({ status, stderr }).toStrictEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^Usage: ovsdb-client COMMAND/);
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(120);
  });
});

const scenarios = programsMissing === undefined ? describe : describe.skip;
scenarios('the program with a server', () => {
  let server: RealServer;
  beforeAll(async () => {
    server = await standalone(kindsSchema);
  });
  afterAll(() => tearDown(server));
  beforeEach(() => commit({ op: 'delete', table: 'Log', where: [] }));

  const commit = async (...operations: object[]) =>
    void (await output('ovsdb-client', 'transact', server.endpoint, JSON.stringify(['Kinds', ...operations])));
  const log = (key: string, value: number) => ({ op: 'insert', table: 'Log', row: { key, value } });

  test('dump prints a table, a list, or an object a line', async () => {
    await commit(log('a b', 1));
    expect(run(server, ['dump', 'SERVER', 'Kinds', 'Log', 'value', 'key']).stdout).toMatch(
      /^Log table: 1 row\n_uuid {33}value {2}key\n[0-9a-f-]{36} {2}1 {6}"a b"\n$/,
    );
    expect(run(server, ['dump', 'SERVER', 'Kinds', '-o', 'list']).stdout).toMatch(
      /^Log table: 1 row\n_uuid : [0-9a-f-]{36}\nkey {3}: "a b"\nvalue : 1\n$/,
    );
    expect(run(server, ['dump', 'SERVER', 'Kinds', 'Log', 'key', '-o', 'json']).stdout).toMatch(
      /^\{"table":"Log","row":\{"_uuid":"[0-9a-f-]{36}","key":"a b"\}\}\n$/,
    );
    expect(run(server, ['dump', 'SERVER', 'Kinds', 'Thing'])).toMatchObject({
      status: 0,
      stdout: 'Thing table: 0 rows\n',
    });
  });

  test('dump keeps 64-bit integers', () => {
    const insert = '["Kinds",{"op":"insert","table":"Log","row":{"key":"n","value":9007199254740993}}]';
    expect(run(server, ['transact', 'SERVER', '-'], insert)).toMatchObject({ status: 0, stderr: '' });
    expect(run(server, ['dump', 'SERVER', 'Kinds', 'Log', 'value', '-o', 'json']).stdout).toContain(
      '"value":9007199254740993}',
    );
  });

  test.each<[string[], RegExp]>([
    [['dump', 'SERVER', 'Kinds', 'Lo'], /^ovsdb-client: Kinds \S+ has no table Lo; it has Log, .*Thing.*\n$/],
    [['dump', 'SERVER', 'Kinds', 'Log', 'k'], /^ovsdb-client: table Log has no column k; it has key, value\n$/],
    [['monitor', 'SERVER', 'Kinds', 'Log', 'k'], /^ovsdb-client: table Log has no column k; it has key, value\n$/],
    [['dump', 'SERVER', 'Other'], /^ovsdb-client: SERVER: the server has no database Other\n$/],
    [['get-schema', 'SERVER', 'Other'], /^ovsdb-client: SERVER: the server has no database Other\n$/],
    [['wait', 'SERVER', 'Other', 'added', '-t', '0.2'], /^ovsdb-client: Other is not added: gave up after 0.2 s\n$/],
    [
      ['wait', 'SERVER', 'Kinds', 'removed', '-t', '0.2'],
      /^ovsdb-client: Kinds is not removed: gave up after 0.2 s\n$/,
    ],
  ])('%j says what is wrong', (words, message) => {
    const ended = run(server, words);
    expect(ended).toMatchObject({ status: 1, stdout: '' });
    expect(ended.stderr).toMatch(message);
  });

  test('transact prints the results, and names the operation that failed', async () => {
    await commit(log('a', 1), log('b', 2));
    expect(run(server, ['transact', 'SERVER', '["Kinds",{"op":"delete","table":"Log","where":[]}]'])).toStrictEqual({
      status: 0,
      stdout: '[{"count":2}]\n',
      stderr: '',
    });
    const failed = run(server, ['transact', 'SERVER', '["Kinds",{"op":"comment","comment":"c"},{"op":"abort"}]']);
    expect(failed).toMatchObject({ status: 1 });
    expect(JSON.parse(failed.stdout)).toMatchObject([{}, { error: 'aborted' }]);
    expect(failed.stderr).toBe(
      'ovsdb-client: the transaction failed: operation 2 of 2: aborted (aborted by request)\n',
    );
  });

  test('wait, list-dbs and get-schema', () => {
    expect(run(server, ['wait', 'SERVER', 'Kinds', 'connected'])).toMatchObject({ status: 0, stderr: '' });
    expect(run(server, ['wait', 'SERVER', 'Other', 'removed'])).toMatchObject({ status: 0, stderr: '' });
    expect(run(server, ['list-dbs', 'SERVER']).stdout).toBe('Kinds\n_Server\n');
    const schema = run(server, ['get-schema', 'SERVER', 'Kinds']).stdout;
    expect(JSON.parse(schema)).toMatchObject({ name: 'Kinds' });
    expect(run(undefined, ['generate', '-', '--import', 'lib'], schema).stdout).toContain(
      "import type { DatabaseDefinition, Uuid } from 'lib';",
    );
  });

  test('monitor prints rows and changes, says when the server is away, and ends with 0 when interrupted', async () => {
    const own = await standalone(kindsSchema);
    const child = spawn(process.execPath, [program, 'monitor', own.endpoint, 'Kinds', 'Log', 'key', '-o', 'json']);
    const seen = { stdout: '', stderr: '' };
    child.stdout.on('data', (data) => (seen.stdout += String(data)));
    child.stderr.on('data', (data) => (seen.stderr += String(data)));
    const exit = once(child, 'exit');
    const change = (...operations: object[]) =>
      output('ovsdb-client', 'transact', own.endpoint, JSON.stringify(['Kinds', ...operations]));
    try {
      await change(log('first', 1));
      await eventually('the row is shown', () => seen.stdout.includes('"key":"first"'));
      await change({ op: 'update', table: 'Log', where: [['key', '==', 'first']], row: { key: 'next' } });
      await eventually('the change is shown', () => seen.stdout.includes('"old":'));
      await own.kill();
      await own.start();
      await change({ op: 'delete', table: 'Log', where: [] });
      await eventually('the deletion is shown', () => seen.stdout.includes('"change":"delete"'));
      child.kill('SIGINT');
      expect(await exit).toStrictEqual([0, null]);
      const lines = seen.stdout.trim().split('\n');
      expect(lines.map((line) => (JSON.parse(line) as { change: string; row: { key: string } }).row.key)).toStrictEqual(
        ['first', 'next', 'next'],
      );
      expect(seen.stderr).toMatch(/^ovsdb-client: .*; trying again\novsdb-client: connected to unix:.*\n$/);
    } finally {
      child.kill('SIGKILL');
      await tearDown(own);
    }
  });

  test('an interrupted wait is not a success; a reader that goes away is no failure', async () => {
    const relay = await Relay.to(server.socket);
    try {
      const child = spawn(process.execPath, [program, 'wait', relay.endpoint, 'Other', 'added']);
      await eventually('the server answers it', () => relay.passedBytes > 0);
      child.kill('SIGTERM');
      expect(await once(child, 'exit')).toStrictEqual([143, null]);
    } finally {
      relay.close();
    }
    const { stdout } = spawn('/bin/sh', ['-c', `"$0" "$@" | true; echo $?`, process.execPath, program, '--help']);
    expect(await text(stdout)).toBe('0\n');
  });
});
