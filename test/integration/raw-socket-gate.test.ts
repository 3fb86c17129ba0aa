import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { buildAddon } from '../../scripts/build-addon.ts';
import { boottimeMs } from '../../src/raw-socket/index.ts';
import { Namespace, whyNoNamespaces } from './raw-socket/namespace.ts';

// A scenario is a process of its own; on a machine full of other tests it takes seconds to start.
jest.setTimeout(60_000);
const reason = whyNoNamespaces();
const suite = reason === undefined ? describe : describe.skip;

const deadlineMs = 150;
/** From the sendto of an answer to the asker's note of it, on a busy machine. */
const transitMs = 20;

interface Counters {
  received: number;
  sent: number;
  gated: number;
  lapses: number;
}

/** A scenario that runs beside the test; its lines can be awaited. */
class Party {
  readonly child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #ended: Promise<void>;

  constructor(child: ChildProcess) {
    this.child = child;
    let rest = '';
    child.stdout?.on('data', (chunk) => {
      const parts = (rest + String(chunk)).split('\n');
      rest = parts.pop() ?? '';
      this.#lines.push(...parts);
      for (const wake of this.#waiting) wake();
    });
    this.#ended = new Promise((resolve) => child.on('close', () => resolve()));
  }

  async line(start: string): Promise<string> {
    for (;;) {
      const found = this.#lines.find((line) => line.startsWith(start));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
  }

  async finish(): Promise<string> {
    this.child.kill('SIGUSR2');
    await this.#ended;
    return this.#lines.at(-1) ?? '';
  }
}

suite(`a stalled process behind a gate${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  let namespace: Namespace;
  beforeAll(() => {
    buildAddon();
    namespace = new Namespace();
  });
  afterAll(() => namespace.remove());

  /** Both parties running; `stall` holds the responder up and says from when to when (CLOCK_BOOTTIME ms). */
  async function play(stall: (responder: Party, asker: Party) => Promise<[number, number]>, environment = {}) {
    const responder = new Party(namespace.start('responder', { DEADLINE_MS: String(deadlineMs), ...environment }));
    await responder.line('ready');
    const asker = new Party(namespace.start('asker'));
    await asker.line('answered');
    const [from, to] = await stall(responder, asker);
    await sleep(150);
    const { answers } = JSON.parse(await asker.finish()) as { answers: number[] };
    const counters = JSON.parse(await responder.finish()) as Counters;
    const late = answers.filter((at) => at > from + deadlineMs + transitMs && at > to);
    return { before: answers.filter((at) => at < from).length, late: late.length, counters };
  }

  const stopped = async (responder: Party): Promise<[number, number]> => {
    responder.child.kill('SIGUSR1');
    await responder.line('armed');
    responder.child.kill('SIGSTOP');
    const from = boottimeMs();
    await sleep(4 * deadlineMs);
    const to = boottimeMs();
    responder.child.kill('SIGCONT');
    return [from, to];
  };

  const blocked = async (responder: Party, asker: Party): Promise<[number, number]> => {
    asker.child.kill('SIGUSR1');
    const [, from, to] = (await responder.line('stalled')).split(' ').map(Number);
    return [from ?? Number.NaN, to ?? Number.NaN];
  };

  test.each([
    ['SIGSTOP and SIGCONT', stopped],
    ['a blocked event loop', blocked],
  ])(
    '%s: not one answer after the deadline, though the requests wait in the socket',
    async (_, stall) => {
      const { before, late, counters } = await play(stall);
      expect(before).toBeGreaterThan(10);
      expect(late).toBe(0);
      expect(counters.gated).toBeGreaterThan(20);
      expect(counters.lapses).toBeGreaterThan(0);
      expect(counters.sent + counters.gated).toBe(counters.received);
    },
    30_000,
  );

  test('and without a gate the same process answers late: the test can fail', async () => {
    const { before, late } = await play(stopped, { UNGATED: '1' });
    expect(before).toBeGreaterThan(10);
    expect(late).toBeGreaterThan(20);
  });
});
