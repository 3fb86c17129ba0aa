import { describeError, OvenbirdError, UsageError, version } from './base/index.ts';
import { exitCode } from './cli/exit-code.ts';

interface Command {
  summary: string;
  run(args: readonly string[], signal: AbortSignal): Promise<number>;
}

const print = (text: string) => void process.stdout.write(`${text}\n`);

// Each command loads its own code, so that a speaker never carries the controller in memory.
const commands: Record<string, Command> = {
  controller: {
    summary: 'assign addresses and program OVN (one Deployment)',
    async run(args, signal) {
      const { controllerCommand } = await import('./controller/command.ts');
      return controllerCommand(args, process.env, print, signal);
    },
  },
  speaker: {
    summary: 'announce addresses from this node (one DaemonSet)',
    async run(args, signal) {
      const { speakerCommand } = await import('./speaker/command.ts');
      return speakerCommand(args, process.env, print, signal);
    },
  },
  status: {
    summary: "what this node's speaker announces, what not, and why",
    async run(args) {
      const { statusCommand } = await import('./cli/status.ts');
      return statusCommand(args, process.env, print);
    },
  },
  version: {
    summary: 'the version',
    async run() {
      print(version);
      return exitCode.ok;
    },
  },
};

function usage(): string {
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`);
  return `Ovenbird: Service type=LoadBalancer for bare-metal Kubernetes.\n\nUsage: ovenbird COMMAND [--OPTION=VALUE ...]\n\n${lines.join('\n')}\n\novenbird COMMAND --help lists its options.`;
}

async function main(): Promise<number> {
  const [name, ...args] = process.argv.slice(2);
  if (name === undefined || name === 'help' || name === '--help') {
    print(usage());
    return name === undefined ? exitCode.usage : exitCode.ok;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) throw new UsageError(`there is no command "${name}"; there are: ${Object.keys(commands).join(', ')}`);

  const stop = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    if (stop.signal.aborted) process.exit(exitCode.failed);
    stop.abort(new OvenbirdError('Signal', `received ${signal}`));
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return command.run(args, stop.signal);
}

main().then(
  (code) => process.exit(code),
  (thrown: unknown) => {
    process.stderr.write(`ovenbird: ${describeError(thrown)}\n`);
    // Only our own errors are meant for operators; anything else is a defect and shows where it came from.
    if (!(thrown instanceof OvenbirdError) && thrown instanceof Error) process.stderr.write(`${thrown.stack}\n`);
    process.exit(thrown instanceof UsageError ? exitCode.usage : exitCode.failed);
  },
);
