#!/usr/bin/env node
/** The program `ovsdb-client`: looks into databases and writes types from schemas. See `--help`. */
import { describeError } from '../base/errors.ts';
import { readCommandLine, usage } from './cli/arguments.ts';
import { commands } from './cli/commands.ts';
import { OvsdbError } from './errors.ts';

async function main(args: readonly string[]): Promise<number> {
  const stop = new AbortController();
  const interrupted = new OvsdbError('Closed', 'interrupted');
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(interrupted));
  // A reader that went away (`| head`) is a normal end.
  process.stdout.on('error', () => stop.abort(interrupted));
  try {
    const line = readCommandLine(args);
    if (line === undefined) {
      process.stdout.write(usage);
      return 0;
    }
    const command = commands.get(line.command);
    if (command === undefined)
      throw new OvsdbError('InvalidOptions', `there is no command ${line.command}; see --help`);
    const timeout = line.timeoutMs === undefined ? undefined : AbortSignal.timeout(line.timeoutMs);
    const signal = timeout === undefined ? stop.signal : AbortSignal.any([stop.signal, timeout]);
    await command({ line, write: (text) => void process.stdout.write(text), signal });
    return 0;
  } catch (thrown) {
    if (stop.signal.aborted) return 0;
    process.stderr.write(`ovsdb-client: ${describeError(thrown)}\n`);
    return thrown instanceof OvsdbError && thrown.code === 'InvalidOptions' ? 2 : 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
