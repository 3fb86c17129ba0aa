#!/usr/bin/env node
/** The program `ovsdb-client`: looks into databases and writes types from schemas. See `--help`. */
import { text } from 'node:stream/consumers';
import { describeError } from '../base/errors.ts';
import { readCommandLine, usage } from './cli/arguments.ts';
import { commands } from './cli/commands.ts';
import { OvsdbError } from './errors.ts';

/** What a shell shows for a program that a signal ended. */
const exitStatus = { SIGINT: 130, SIGTERM: 143 } as const;

async function main(args: readonly string[]): Promise<number> {
  const stop = new AbortController();
  const stopped: { by?: keyof typeof exitStatus } = {};
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      stopped.by = name;
      stop.abort(new OvsdbError('Closed', 'interrupted'));
    });
  }
  // A reader that went away (`| head`) is a normal end.
  process.stdout.on('error', () => stop.abort(new OvsdbError('Closed', 'nobody reads the output')));
  let endless = false;
  try {
    const line = readCommandLine(args);
    if (line === undefined) {
      process.stdout.write(usage);
      return 0;
    }
    const command = commands.get(line.command);
    if (command === undefined) {
      const names = [...commands.keys()].join(', ');
      throw new OvsdbError('InvalidOptions', `there is no command ${line.command}: use ${names}, or --help`);
    }
    endless = line.command === 'monitor';
    const { timeoutMs } = line;
    if (timeoutMs !== undefined) {
      const late = () => stop.abort(new OvsdbError('Closed', `gave up after ${timeoutMs / 1000} s`));
      setTimeout(late, timeoutMs).unref();
    }
    await command({
      line,
      write: (text) => void process.stdout.write(text),
      notice: (text) => void process.stderr.write(`ovsdb-client: ${text}\n`),
      width: process.stdout.isTTY ? process.stdout.columns : undefined,
      input: () => text(process.stdin),
      signal: stop.signal,
    });
    return 0;
  } catch (thrown) {
    if (process.stdout.errored) return 0;
    if (stopped.by !== undefined) return endless ? 0 : exitStatus[stopped.by];
    process.stderr.write(`ovsdb-client: ${describeError(thrown)}\n`);
    return thrown instanceof OvsdbError && thrown.code === 'InvalidOptions' ? 2 : 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
