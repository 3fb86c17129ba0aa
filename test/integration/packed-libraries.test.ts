/**
 * The package as others get it: packed, installed into a new project outside the checkout without a network, and there
 * the README of each library pasted as it stands (addresses replaced), as JavaScript, as TypeScript, and type-checked.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { type BgpSpeaker, createSpeaker, type Session } from '../../src/bgp-speaker/index.ts';
import { eventually } from '../eventually.ts';
import { output, programsMissing, type RealServer, standalone, tearDown } from '../ovsdb-client/real-server.ts';
import { Namespace, whyNoNamespaces } from './raw-socket/namespace.ts';

jest.setTimeout(60_000);

const root = join(import.meta.dirname, '../..');
const vswitchSchema = '/usr/share/openvswitch/vswitch.ovsschema';
let project: string;

beforeAll(() => {
  const base = mkdtempSync(join(tmpdir(), `packed-${process.pid}-`));
  project = join(base, 'project');
  const npm = (directory: string, ...words: string[]) =>
    execFileSync('npm', words, { cwd: directory, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  npm(root, 'pack', '--silent', '--pack-destination', base);
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{"name":"project","version":"1.0.0","type":"module"}\n');
  // What the package needs at run time it must bring itself.
  const [tarball = 'no tarball'] = readdirSync(base).filter((name) => name.endsWith('.tgz'));
  npm(project, 'install', '--silent', '--offline', '--omit=optional', join(base, tarball));
  // The one thing that a TypeScript project adds.
  mkdirSync(join(project, 'node_modules/@types'));
  for (const name of ['@types/node', 'undici-types']) {
    const target = join(root, 'node_modules', name);
    if (existsSync(target)) symlinkSync(target, join(project, 'node_modules', name));
  }
});
afterAll(() => rmSync(join(project, '..'), { recursive: true, force: true }));

/** The code blocks of a README of the installed package. */
function examples(room: string, language: string): string[] {
  const text = readFileSync(join(project, 'node_modules/ovenbird/dist/lib', room, 'README.md'), 'utf8');
  return Array.from(
    text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm')),
    ([, code = '']) => code,
  );
}

const paste = (name: string, code: string) => writeFileSync(join(project, name), code);

/** Runs a file of the project; fails with what it printed when it does not end with 0. */
function run(file: string, { prefix = [] as string[], words = [] as string[] } = {}): string {
  const [program = '', ...args] = [...prefix, process.execPath, '--no-warnings', file, ...words];
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd: project,
    encoding: 'utf8',
    timeout: 20_000,
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  if (status !== 0) throw new Error(`${file} ended with ${status}: ${stdout}${stderr}`);
  return stdout;
}

/** Type-checks a file as a strict project does; what the compiler says, or nothing. */
function complaints(file: string): string {
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--skipLibCheck', 'false'];
  const words = [...strict, '--noEmit', '--module', 'nodenext', '--target', 'es2024', '--types', 'node'];
  const { stdout } = spawnSync(
    join(root, 'node_modules/.bin/tsc'),
    [...words, '--allowImportingTsExtensions', '--ignoreConfig', file],
    { cwd: project, encoding: 'utf8' },
  );
  return stdout;
}

test('the package needs no other package and carries no sources', () => {
  const manifest = JSON.parse(readFileSync(join(project, 'node_modules/ovenbird/package.json'), 'utf8')) as object;
  expect(manifest).not.toHaveProperty('dependencies');
  expect(existsSync(join(project, 'node_modules/ovenbird/src'))).toBe(false);
  expect(existsSync(join(project, 'node_modules/ovenbird/dist/node'))).toBe(false);
});

test.each(['bgp-speaker', 'ovsdb-client', 'raw-socket'])('%s is imported and type-checked', (room) => {
  paste(
    `import-${room}.ts`,
    `import * as library from 'ovenbird/${room}';\nconsole.log(Object.keys(library).length);\n`,
  );
  expect(complaints(`import-${room}.ts`)).toBe('');
  expect(Number(run(`import-${room}.ts`))).toBeGreaterThan(3);
});

test('a worker thread finds its file in the package', () => {
  paste(
    'worker.js',
    `import { startBfdWorker } from './node_modules/ovenbird/dist/lib/bgp-speaker/bfd/worker-owner.js';
const bfd = await startBfdWorker({});
await bfd.close();
console.log('started and closed');
`,
  );
  expect(run('worker.js')).toBe('started and closed\n');
});

const scenarios = programsMissing === undefined ? describe : describe.skip;
scenarios('ovsdb-client', () => {
  let server: RealServer;

  beforeAll(async () => {
    server = await standalone(vswitchSchema);
    await output('ovs-vsctl', `--db=${server.endpoint}`, '--no-wait', '--', 'init', '--', 'add-br', 'br0');
  });
  afterAll(() => tearDown(server));

  /** The n-th example of the README, with this server's address, pasted into a file. */
  function pasteExample(n: number, file: string): void {
    const code = examples('ovsdb-client', 'ts')[n] ?? '';
    expect(code).toContain("'unix:/run/openvswitch/db.sock'");
    paste(file, code.replace('unix:/run/openvswitch/db.sock', server.endpoint));
  }

  test.each(['first.js', 'first.ts'])('the first example runs as %s', async (file) => {
    await output('ovs-vsctl', `--db=${server.endpoint}`, '--no-wait', '--', 'del-br', 'br0', '--', 'add-br', 'br0');
    pasteExample(0, file);
    if (file.endsWith('.ts')) expect(complaints(file)).toBe('');
    const [printed, ...changes] = run(file).trim().split('\n');
    expect(printed).toMatch(/^[0-9a-f-]{36} \[/);
    expect(changes.filter((line) => line.startsWith('insert '))).toHaveLength(2);
    expect(await output('ovs-vsctl', `--db=${server.endpoint}`, 'list-ports', 'br0')).toBe('p1\n');
  });

  test('the loop for unknown outcomes gets there, and a second run changes nothing', async () => {
    pasteExample(1, 'loop.ts');
    expect(complaints('loop.ts')).toBe('');
    for (let i = 0; i < 2; i++) {
      expect(run('loop.ts')).toBe('2 queues are as wanted\n');
      const rows = await output('ovs-vsctl', `--db=${server.endpoint}`, '-f', 'csv', '--columns=dscp', 'list', 'queue');
      expect(rows.trim().split('\n').sort()).toStrictEqual(['10', '46', 'dscp']);
    }
  });

  test('types are generated by the installed program, used, and wrong uses are found', () => {
    const generated = execFileSync('node_modules/.bin/ovsdb-client', ['generate', vswitchSchema], {
      cwd: project,
      encoding: 'utf8',
    });
    paste('open-vswitch.ts', generated);
    pasteExample(2, 'typed.ts');
    expect(complaints('typed.ts')).toBe('');
    expect(run('typed.ts')).toMatch(/^br0 undefined$/m);
    const wrong = readFileSync(join(project, 'typed.ts'), 'utf8').replace("'tag'", "'tags'");
    paste('wrong.ts', wrong);
    expect(complaints('wrong.ts')).toContain('\'"tags"\'');
  });

  test('each line of the program in the README does what it says', () => {
    const lines = examples('ovsdb-client', 'sh').flatMap((block) => block.split('\n'));
    const commands = lines.filter((line) => line.startsWith('npx ovsdb-client '));
    const ran = new Set<string>();
    for (const line of commands) {
      const [, , command = ''] = line.split(' ');
      ran.add(command);
      const here = line
        .replace(/(unix|tcp):[^ ]+/, server.endpoint)
        .replace('npx ovsdb-client', 'exec node_modules/.bin/ovsdb-client');
      const { status, stdout, stderr } = spawnSync('sh', ['-c', here], {
        cwd: project,
        encoding: 'utf8',
        // monitor goes on until it is interrupted.
        ...(command === 'monitor' && { timeout: 2500, killSignal: 'SIGINT' }),
      });
      expect({ line, status, stderr }).toStrictEqual({ line, status: 0, stderr: '' });
      if (command === 'dump') expect(stdout).toMatch(/^Bridge table: 1 row\n.* name +ports\n.* br0 /);
      if (command === 'monitor') expect(stdout).toMatch(/^\{"table":"Interface","change":"insert",/);
      if (command === 'transact') expect(JSON.parse(stdout)).toMatchObject([{ rows: [{ name: 'br0' }] }]);
    }
    const all = ['dump', 'generate', 'get-schema', 'list-dbs', 'monitor', 'transact', 'wait'];
    expect([...ran].sort()).toStrictEqual(all);
  });
});

const whyNot = whyNoNamespaces();
const namespaces = whyNot === undefined ? describe : describe.skip;
namespaces(`raw-socket${whyNot === undefined ? '' : ` (skipped: ${whyNot})`}`, () => {
  let namespace: Namespace;
  beforeAll(() => {
    namespace = new Namespace();
    namespace.ip('addr add 10.0.0.2/24 dev vb');
  });
  afterAll(() => namespace.remove());

  test.each(['arping.js', 'arping.ts'])(
    'the ARP ping of the README runs as %s: who answers is found, or nobody',
    (file) => {
      paste(file, examples('raw-socket', 'ts')[0] ?? '');
      if (file.endsWith('.ts')) expect(complaints(file)).toBe('');
      const prefix = ['nsenter', `--net=/run/netns/${namespace.name}`];
      expect(run(file, { prefix, words: ['va', '10.0.0.2'] })).toMatch(
        /^10\.0\.0\.2 is at 02:00:00:00:00:0b \([0-9.]+ ms\)\n$/,
      );
      expect(run(file, { prefix, words: ['va', '10.0.0.3'] })).toBe('10.0.0.3 does not answer\n');
    },
  );
});

const hasReadme = existsSync(join(root, 'src/bgp-speaker/README.md'));
(hasReadme ? describe : describe.skip)('bgp-speaker', () => {
  test.each(['bgp.js', 'bgp.ts'])('the first example of the README runs as %s', (file) => {
    const code = examples('bgp-speaker', 'ts')[0] ?? '';
    expect(code).toContain("'ovenbird/bgp-speaker'");
    paste(file, code);
    if (file.endsWith('.ts')) expect(complaints(file)).toBe('');
    expect(run(file).trimEnd().split('\n')).toStrictEqual([
      'established with AS 65000',
      'the router has counted 2 prefixes',
      'the router saw: the peer says: cease (6/2): administrative shutdown "example over"',
    ]);
  });

  test.each(['policy.js', 'policy.ts'])('the second example runs as %s', (file) => {
    const code = examples('bgp-speaker', 'ts')[1] ?? '';
    expect(code).toContain("address: '192.0.2.253'");
    // Nobody listens there; it ends after a second all the same.
    paste(file, code.replace('192.0.2.253', '127.0.0.1'));
    if (file.endsWith('.ts')) {
      expect(complaints(file)).toBe('');
      paste('wrong.ts', code.replace('prefixLength', 'length'));
      expect(complaints('wrong.ts')).toContain("'length' does not exist on type 'Cidr'");
    }
    expect(run(file)).toBe('');
  });

  describe('the program', () => {
    let router: BgpSpeaker;
    let session: Session;
    beforeEach(async () => {
      router = await createSpeaker({
        localAs: 65_000,
        identifier: '192.0.2.254',
        listen: [{ address: '127.0.0.1', port: 0 }],
      });
      session = router.addPeer({ address: '127.0.0.1', peerAs: 'external', passive: true });
    });
    afterEach(() => router.close());

    const lines = () =>
      examples('bgp-speaker', 'sh')
        .flatMap((block) => block.split('\n'))
        .filter((line) => line.startsWith('npx bgp-speaker '));

    test('the README has two lines of it', () => expect(lines()).toHaveLength(2));

    test.each([0, 1])('line %i of the README announces, and drains upon SIGTERM', async (index) => {
      const line = lines()[index] ?? '';
      writeFileSync(join(project, 'routes.txt'), '198.51.100.1/32 community no-export\n2001:db8::1/128 # ours\n');
      const here = line
        .replace(
          'npx bgp-speaker',
          'exec node_modules/.bin/bgp-speaker --drain 0 --next-hop 192.0.2.1 --next-hop 2001:db8::1',
        )
        .replace(/--peer [^ ]+/, `--peer 127.0.0.1,port=${router.listening[0]?.port},as=65000`);
      expect(here).toContain('--peer 127.0.0.1');
      const child = spawn('sh', ['-c', here], { cwd: project, stdio: ['ignore', 'pipe', 'pipe'] });
      let printed = '';
      let complained = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (complained += text));
      const ended = once(child, 'close');
      try {
        await eventually('both prefixes', () => session.counters.prefixesIn === 2);
        expect(session.counters.treatedAsWithdraw).toBe(0);
      } finally {
        child.kill('SIGTERM');
      }
      expect([(await ended)[0], complained]).toStrictEqual([0, '']);
      expect(session.counters.withdrawnIn).toBe(2);
      const first = printed.split('\n').find((text) => text.includes('stablished')) ?? '';
      if (line.includes('--json')) expect(JSON.parse(printed.split('\n')[0] ?? '')).toHaveProperty('type');
      else expect(first).toMatch(/ 127\.0\.0\.1: established with AS 65000, /);
    });

    test('wrong usage ends with 2 and says what is wrong', () => {
      const { status, stderr } = spawnSync('node_modules/.bin/bgp-speaker', ['--as', '65001'], {
        cwd: project,
        encoding: 'utf8',
      });
      expect([status, stderr]).toStrictEqual([2, 'bgp-speaker: --id: give our BGP identifier, an IPv4 address\n']);
    });
  });
});
