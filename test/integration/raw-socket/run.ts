/** Runs one scenario and prints what it returns as the last line: `node run.ts NAME`. */
import * as addon from './addon-scenarios.ts';
import * as datagrams from './datagram-scenarios.ts';
import * as gate from './gate-scenarios.ts';
import * as links from './link-scenarios.ts';
import * as packets from './packet-scenarios.ts';
import * as sockets from './socket-scenarios.ts';

type Scenario = () => unknown;
const scenarios: Readonly<Record<string, Scenario>> = {
  ...addon,
  ...datagrams,
  ...packets,
  ...gate,
  ...links,
  ...sockets,
};

// A sanitizer loaded into this process is not for the programs that it runs.
delete process.env.LD_PRELOAD;
const name = process.argv[2] ?? '';
const scenario = scenarios[name];
if (scenario === undefined) throw new Error(`no scenario "${name}"`);
const result = await scenario();
await new Promise<void>((resolve) => {
  process.stdout.write(`${JSON.stringify(result ?? null)}\n`, () => resolve());
});
