import { parseArgs } from 'node:util';
import { OvenbirdError } from './errors.ts';

/** One command-line option. Its environment variable, if any, is the default that the option overrides. */
export interface OptionSpec {
  /** What follows the option in the help text, e.g. `PORT`; absent for a boolean. */
  value?: string;
  help: string;
  default?: string;
  env?: string;
}

/** Wrong command line: the message says which option and what it takes. Exit code 2. */
export class UsageError extends OvenbirdError<'Usage'> {
  constructor(message: string) {
    super('Usage', message);
  }
}

/** Reads typed options; each reader names the option in its error. */
export class Options {
  readonly #values: Map<string, string>;

  private constructor(values: Map<string, string>) {
    this.#values = values;
  }

  /** @throws UsageError for an unknown option or a missing value */
  static parse(specs: Record<string, OptionSpec>, args: readonly string[], env: NodeJS.ProcessEnv): Options {
    const config = Object.fromEntries(Object.keys(specs).map((name) => [name, { type: 'string' as const }]));
    let given: Record<string, string | boolean | undefined>;
    try {
      ({ values: given } = parseArgs({ args: [...args], options: config, strict: true, allowPositionals: false }));
    } catch (thrown) {
      const message = thrown instanceof Error ? (thrown.message.split('. ')[0] ?? thrown.message) : String(thrown);
      throw new UsageError(
        `${message}; known options: ${Object.keys(specs)
          .map((name) => `--${name}`)
          .join(' ')}`,
      );
    }
    const values = new Map<string, string>();
    for (const [name, spec] of Object.entries(specs)) {
      const value = given[name] ?? (spec.env === undefined ? undefined : env[spec.env]) ?? spec.default;
      if (value !== undefined && value !== '') values.set(name, String(value));
    }
    return new Options(values);
  }

  optional(name: string): string | undefined {
    return this.#values.get(name);
  }

  required(name: string): string {
    const value = this.#values.get(name);
    if (value === undefined) throw new UsageError(`--${name} is required`);
    return value;
  }

  integer(name: string, minimum: number, maximum: number): number {
    const text = this.required(name);
    const value = Number(text);
    if (!/^-?[0-9]+$/.test(text) || value < minimum || value > maximum) {
      throw new UsageError(`--${name}=${text}: give a whole number from ${minimum} to ${maximum}`);
    }
    return value;
  }

  boolean(name: string): boolean {
    return this.oneOf(name, ['true', 'false']) === 'true';
  }

  oneOf<const T extends string>(name: string, choices: readonly T[]): T {
    const text = this.required(name);
    const choice = choices.find((candidate) => candidate === text);
    if (choice === undefined) throw new UsageError(`--${name}=${text}: give one of ${choices.join(', ')}`);
    return choice;
  }
}

/** The options as help text: one line each, sorted by name. */
export function describeOptions(specs: Record<string, OptionSpec>): string {
  return Object.entries(specs)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { value, help, default: byDefault, env }]) => {
      const notes = [byDefault === undefined ? '' : `default ${byDefault}`, env === undefined ? '' : `env ${env}`]
        .filter(Boolean)
        .join(', ');
      return `  --${`${name}${value === undefined ? '' : `=${value}`}`.padEnd(36)} ${help}${notes === '' ? '' : ` (${notes})`}`;
    })
    .join('\n');
}
