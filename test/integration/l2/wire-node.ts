/**
 * One speaker's wire worker without Kubernetes, for tests: run in a network namespace with its settings as JSON in the
 * first argument. Takes commands as JSON lines on stdin, prints events as JSON lines on stdout.
 *
 *   {"assign": [{"address", "eligibleNodes", "interfaces"?}]}   {"status": true}   {"resign": withinMs}
 *   {"keys": {"current", "previous"?}}
 *   {"change": {address: reports}}   {"status": {...}}   {"resigned": true}   {"ready": true}
 */
import { createInterface } from 'node:readline';
import { silentLogger } from '../../../src/base/index.ts';
import { createLogger } from '../../../src/base/json-logger.ts';
import { type AddressAssignment, WireWorker } from '../../../src/speaker/wire.ts';

interface Command {
  assign?: AddressAssignment[];
  status?: true;
  resign?: number;
  keys?: { current: string; previous?: string };
}

const settings = JSON.parse(process.argv[2] ?? '{}') as {
  node: string;
  key: string;
  heartbeatMs?: number;
  port?: number;
  log?: boolean;
};
const print = (event: object): void => {
  process.stdout.write(`${JSON.stringify(event)}\n`);
};

const wire = await WireWorker.start({
  node: settings.node,
  clusterId: 'integration-test',
  keys: { current: Buffer.from(settings.key) },
  ...(settings.heartbeatMs === undefined ? {} : { heartbeatMs: settings.heartbeatMs }),
  ...(settings.port === undefined ? {} : { port: settings.port }),
  logger: settings.log ? createLogger({ level: 'debug', name: settings.node }) : silentLogger,
  onChange: (changes) => print({ change: Object.fromEntries(changes) }),
  onFailure: (error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  },
});

async function run(command: Command): Promise<void> {
  if (command.assign) wire.setAssignments(command.assign);
  if (command.keys) {
    const { current, previous } = command.keys;
    wire.setKeys({
      current: Buffer.from(current),
      ...(previous === undefined ? {} : { previous: Buffer.from(previous) }),
    });
  }
  if (command.status) print({ status: await wire.status() });
  if (command.resign !== undefined) {
    await wire.resign(command.resign);
    await wire.close();
    print({ resigned: true });
    process.exit(0);
  }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  run(JSON.parse(line) as Command).catch((thrown: unknown) => {
    process.stderr.write(`${thrown instanceof Error ? thrown.stack : String(thrown)}\n`);
    process.exit(1);
  });
});
print({ ready: true });
