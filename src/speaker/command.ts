import { describeOptions } from '../base/index.ts';
import { createLogger } from '../base/json-logger.ts';
import { parseSpeakerOptions, speakerOptionSpecs } from './options.ts';
import { runSpeaker } from './speaker.ts';

/** `ovenbird speaker`: returns the exit code after a clean stop; throws when it cannot go on. */
export async function speakerCommand(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  print: (text: string) => void,
  signal: AbortSignal,
): Promise<number> {
  if (args.includes('--help')) {
    print(`Announces load-balancer addresses from this node.\n\n${describeOptions(speakerOptionSpecs)}`);
    return 0;
  }
  const options = parseSpeakerOptions(args, env);
  const logger = createLogger({ level: options.logLevel, name: 'speaker' });
  await runSpeaker(options, logger, signal);
  return 0;
}
