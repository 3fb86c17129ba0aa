#!/usr/bin/env node
/** The program `bgp-speaker`: announces prefixes to BGP peers. See `--help`. */
import { describeError } from '../base/errors.ts';
import { announce } from './cli/announce.ts';
import { readCommandLine } from './cli/arguments.ts';
import { usage } from './cli/usage.ts';
import { BgpOptionsError } from './errors.ts';

async function main(args: readonly string[]): Promise<number> {
  const wish = new EventTarget();
  try {
    const line = readCommandLine(args);
    if (line === undefined) {
      process.stdout.write(usage);
      return 0;
    }
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(name, () => wish.dispatchEvent(new Event(name)));
    const { stdout } = process;
    // A reader that went away (`| head`) is a normal end.
    stdout.on('error', () => wish.dispatchEvent(new Event('SIGINT')));
    const size = { columns: () => stdout.columns || 80, rows: () => stdout.rows || 24 };
    const terminal = stdout.isTTY ? size : undefined;
    await announce({
      line,
      write: (text) => void stdout.write(text),
      terminal,
      wish,
    });
    return 0;
  } catch (thrown) {
    process.stderr.write(`bgp-speaker: ${describeError(thrown)}\n`);
    return thrown instanceof BgpOptionsError ? 2 : 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
