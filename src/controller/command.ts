import { describeOptions } from '../base/index.ts';
import { createLogger } from '../base/json-logger.ts';
import { controllerOptionSpecs, parseControllerOptions } from './options.ts';
import { runController } from './run-controller.ts';

/** `ovenbird controller`: returns the exit code after a clean stop; throws when it cannot go on. */
export async function controllerCommand(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  print: (text: string) => void,
  signal: AbortSignal,
): Promise<number> {
  if (args.includes('--help')) {
    print(`Assigns load-balancer addresses and programs OVN.\n\n${describeOptions(controllerOptionSpecs)}`);
    return 0;
  }
  const options = parseControllerOptions(args, env);
  const logger = createLogger({ level: options.logLevel, name: 'controller' });
  await runController(options, { logger }, signal);
  return 0;
}
