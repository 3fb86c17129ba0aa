import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { endProcesses, identify, isAlive, signalProcess } from '../../lab/process-table.ts';
import { isRunning, type ProcessSpec, run, startProcess, stopProcess, tryRun, waitFor } from '../../lab/processes.ts';
import { processRecords, readState, updateState, writeState } from '../../lab/state.ts';

describe('processes of the lab', () => {
  const lab = { root: '' };

  beforeEach(() => {
    lab.root = mkdtempSync(join(tmpdir(), 'ovenbird-lab-'));
    writeState(lab.root, {
      options: { nodes: 1, ovn: 'full', router: 'bird' },
      processes: {},
      sysctls: {},
      madeNetnsDirectory: false,
    });
  });

  afterEach(async () => {
    await endProcesses(Object.values(processRecords(lab)), { signal: 'SIGKILL' });
    rmSync(lab.root, { recursive: true });
  });

  const sleeper = (more: Partial<ProcessSpec> = {}): ProcessSpec => ({
    name: 'sleeper',
    command: 'sleep',
    args: ['60'],
    ...more,
  });

  test('a started process is recorded with pid and start time, and runs the program itself', async () => {
    const record = await startProcess(lab, sleeper());
    expect(processRecords(lab)).toEqual({ sleeper: record });
    expect(identify(record.pid)?.startTime).toBe(record.startTime);
    await waitFor('exec', 5000, async () => readFileSync(`/proc/${record.pid}/comm`, 'utf8') === 'sleep\n');
  });

  test('it is recorded before its program starts', async () => {
    const state = join(lab.root, 'state.json');
    const seen = join(lab.root, 'seen');
    await startProcess(lab, { name: 'copy', command: 'cp', args: [state, seen] });
    await waitFor('copied', 5000, async () => readFileSync(seen, 'utf8').trimEnd().endsWith('}'));
    expect(Object.keys(JSON.parse(readFileSync(seen, 'utf8')).processes)).toEqual(['copy']);
  });

  test('the same spec keeps the process, another one replaces it', async () => {
    const first = await startProcess(lab, sleeper());
    expect(await startProcess(lab, sleeper())).toEqual(first);
    const second = await startProcess(lab, sleeper({ dependsOn: 'another configuration' }));
    expect(second.pid).not.toBe(first.pid);
    expect(isAlive(first)).toBe(false);
  });

  test('a process that ended is started again', async () => {
    const first = await startProcess(lab, sleeper());
    await endProcesses([first]);
    expect(isRunning(lab, 'sleeper')).toBe(false);
    expect((await startProcess(lab, sleeper())).pid).not.toBe(first.pid);
  });

  test('a pid that now belongs to another process is neither alive nor ended', async () => {
    const record = await startProcess(lab, sleeper());
    const stale = { ...record, startTime: String(BigInt(record.startTime) - 1n) };
    updateState(lab.root, (state) => ({ ...state, processes: { sleeper: stale } }));
    expect(isRunning(lab, 'sleeper')).toBe(false);
    expect(signalProcess(stale, 'SIGKILL')).toBe(false);
    await stopProcess(lab, 'sleeper');
    expect(processRecords(lab)).toEqual({});
    expect(isAlive(record)).toBe(true);
    await endProcesses([record]);
  });

  test('one that ignores SIGTERM is ended by SIGKILL after its grace', async () => {
    const ready = join(lab.root, 'ready');
    const script = `trap '' TERM; touch ${ready}; while :; do sleep 0.05; done`;
    const stubborn = { name: 'stubborn', command: 'sh', args: ['-c', script], ready: async () => existsSync(ready) };
    const record = await startProcess(lab, stubborn);
    await stopProcess(lab, 'stubborn', { graceMs: 50 });
    expect(isAlive(record)).toBe(false);
  });

  test('one that dies before it is ready is reported with the end of its log', async () => {
    const dying = { name: 'dying', command: 'sh', args: ['-c', 'echo no such luck; exit 3'], ready: async () => false };
    await expect(startProcess(lab, dying)).rejects.toMatchObject({
      code: 'ProcessDied',
      message: expect.stringMatching(/^dying ended by itself; log .*logs\/dying\.log:\n {4}no such luck$/),
    });
  });

  test('one that is never ready is reported, and left running to be looked at', async () => {
    const deaf = sleeper({ ready: async () => false, readyTimeoutMs: 50 });
    await expect(startProcess(lab, deaf)).rejects.toMatchObject({ code: 'NotReady' });
    expect(isRunning(lab, 'sleeper')).toBe(true);
  });

  test('a failing command says where, how it ended and what it said, without stack frames', async () => {
    const args = ['-c', 'echo "the reason" >&2; echo "    at frame (file:1)" >&2; exit 7'];
    await expect(run(lab, { command: 'sh', args })).rejects.toMatchObject({
      code: 'CommandFailed',
      message: expect.stringMatching(/exit code 7\n {4}the reason$/),
    });
  });

  test('a command gets its input, a program that is missing is an ending, one that hangs is killed', async () => {
    expect((await run(lab, { command: 'cat', args: [], input: 'in\n' })).stdout).toBe('in\n');
    expect(await tryRun(lab, { command: '/nowhere/program', args: [] })).toMatchObject({ code: -1 });
    const slow = await tryRun(lab, { command: 'sleep', args: ['60'], timeoutMs: 50 });
    expect(slow).toMatchObject({ code: -1, ending: 'ended by SIGKILL' });
  });

  test('changes of the state made by tasks that run together are all kept', async () => {
    await Promise.all(['a', 'b', 'c', 'd'].map((name) => startProcess(lab, sleeper({ name }))));
    expect(Object.keys(readState(lab.root)?.processes ?? {}).sort()).toEqual(['a', 'b', 'c', 'd']);
  });
});
