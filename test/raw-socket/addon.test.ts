import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { buildAddon } from '../../scripts/build-addon.ts';
import { addonCandidates, loadAddon } from '../../src/raw-socket/addon.ts';
import {
  boottimeMs,
  closeFd,
  createGate,
  createSocket,
  interfaceIndex,
  openPacketSocket,
  watchLinks,
} from '../../src/raw-socket/index.ts';

let folder: string;
beforeAll(() => {
  buildAddon();
  folder = mkdtempSync(join(tmpdir(), 'raw-socket-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Stops this thread, event loop and all. */
const stall = (milliseconds: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);

describe('finding the addon', () => {
  test('beside the bundle, in the checkout, or where the environment says', () => {
    const bundle = pathToFileURL('/opt/ovenbird/chunk-l2.mjs').href;
    expect(addonCandidates(bundle, undefined)[0]).toBe('/opt/ovenbird/raw-socket.node');
    const source = pathToFileURL('/home/me/ovenbird/src/raw-socket/addon.ts').href;
    expect(addonCandidates(source, '')).toContain('/home/me/ovenbird/dist/raw-socket.node');
    expect(addonCandidates(source, '/x.node')).toEqual(['/x.node']);
  });

  test('absent: says where it looked and what to run', () => {
    const missing = join(folder, 'none.node');
    const expected = {
      code: 'AddonMissing',
      message: expect.stringMatching(/none\.node.*make build.*OVENBIRD_RAW_SOCKET/),
    };
    expect(() => loadAddon([missing])).toThrow(expect.objectContaining(expected));
  });

  test('for another machine: says so', () => {
    const wrong = join(folder, 'wrong.node');
    writeFileSync(wrong, '\x7fELF for something else');
    expect(() => loadAddon([wrong])).toThrow(expect.objectContaining({ code: 'AddonMismatch' }));
  });
});

describe('gate', () => {
  test('starts closed, and only open() opens it', () => {
    const gate = createGate();
    expect([gate.isOpen, gate.remainingMs, gate.extend(1000), gate.isOpen]).toEqual([false, 0, false, false]);
    gate.open(1000);
    expect(gate.isOpen).toBe(true);
    expect(gate.remainingMs).toBeGreaterThan(900);
    expect(gate.extend(5000)).toBe(true);
    expect(gate.remainingMs).toBeGreaterThan(4900);
    gate.close();
    expect([gate.isOpen, gate.remainingMs, gate.extend(1000)]).toEqual([false, 0, false]);
  });

  test('runs out while the thread is stalled and cannot be extended then', () => {
    const gate = createGate();
    gate.open(5);
    stall(8);
    expect([gate.isOpen, gate.extend(1000), gate.isOpen]).toEqual([false, false, false]);
    gate.open(1000);
    expect(gate.isOpen).toBe(true);
  });

  test('extending may shorten', () => {
    const gate = createGate();
    gate.open(10_000);
    gate.extend(5);
    stall(8);
    expect(gate.isOpen).toBe(false);
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e9 + 1])('%d ms is refused', (milliseconds) => {
    const gate = createGate();
    expect(() => gate.open(milliseconds)).toThrow(expect.objectContaining({ code: 'BadArgument' }));
    expect(() => gate.extend(milliseconds)).toThrow(expect.objectContaining({ code: 'BadArgument' }));
  });
});

test('boottimeMs runs with the stalled thread', () => {
  const before = boottimeMs();
  stall(5);
  expect(boottimeMs() - before).toBeGreaterThanOrEqual(5);
});

test('errors are typed and name the object', () => {
  expect(() => interfaceIndex('no-such-if')).toThrow(
    expect.objectContaining({
      code: 'NoSuchInterface',
      errno: 'ENODEV',
      retryable: true,
      message: expect.stringContaining('no-such-if'),
    }),
  );
  expect(() => interfaceIndex('a name that is far too long for Linux')).toThrow(
    expect.objectContaining({ code: 'NoSuchInterface' }),
  );
  const nothing = { etherType: 3, onFrame() {}, onError() {} };
  expect(() => openPacketSocket({ ...nothing, interface: 'no-such-if' })).toThrow(
    expect.objectContaining({ code: 'NoSuchInterface' }),
  );
  const fd = createSocket({ family: 4, type: 'udp' });
  closeFd(fd);
  expect(() => closeFd(fd)).toThrow(expect.objectContaining({ code: 'Closed', errno: 'EBADF', syscall: 'close' }));
});

test('watchLinks finds the loopback interface and its address, and lets the process end when closed', async () => {
  const synced = Promise.withResolvers<void>();
  const watcher = watchLinks({
    onEvent: () => {},
    onSynced: () => synced.resolve(),
    onError: (error) => synced.reject(error),
  });
  await synced.promise;
  const loopback = watcher.links.find(({ flags }) => flags.loopback);
  expect(loopback?.name).toBe('lo');
  expect(
    watcher.addresses.some(({ index, address }) => index === loopback?.index && address.join('.') === '127.0.0.1'),
  ).toBe(true);
  watcher.close();
});
