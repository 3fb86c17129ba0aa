import type { Address, Cidr, Family } from '../../net/index.ts';
import { HostCommandError, type HostCommands } from './commands.ts';
import type { HostRoute } from './host-state.ts';
import { type ListedRoute, parseDestination } from './overlay.ts';

/** A policy rule as `ip -json rule show` gives it. */
export interface ListedRule {
  priority?: number;
  src?: string;
  table?: string;
}

/** Lines for `ip -batch -` that turn a route table's content into the routes; empty when nothing differs. Pure. */
export function routeChanges(
  table: number,
  listed: readonly ListedRoute[],
  routes: readonly HostRoute[],
  family: Family,
): string[] {
  const wanted = new Map(
    routes.filter((route) => route.family === family).map((route) => [destinationText(route.destination), route]),
  );
  const lines: string[] = [];
  for (const { dst, gateway, dev } of listed) {
    const destination = parseDestination(dst ?? '', family);
    const key = destination ? destinationText(destination) : (dst ?? 'default');
    const route = wanted.get(key);
    if (route && route.gateway.toString() === gateway && route.device === dev) {
      wanted.delete(key);
    } else if (!route) {
      lines.push(`route del ${key} table ${table}`);
    }
  }
  for (const [key, { gateway, device }] of wanted) {
    lines.push(`route replace ${key} via ${gateway} dev ${device} table ${table}`);
  }
  return lines;
}

/** Lines that leave exactly one rule for the table: `from all lookup TABLE`, of priority TABLE; or none. Pure. */
export function ruleChanges(table: number, listed: readonly ListedRule[], wanted: boolean): string[] {
  const lines: string[] = [];
  let kept = false;
  for (const rule of listed) {
    if (rule.table !== String(table)) continue;
    if (wanted && !kept && rule.priority === table && rule.src === 'all' && Object.keys(rule).length === 3) {
      kept = true;
    } else {
      lines.push(`rule del priority ${rule.priority ?? 0} table ${table}`);
    }
  }
  if (wanted && !kept) lines.push(`rule add from all priority ${table} table ${table}`);
  return lines;
}

function destinationText(destination: Cidr | Address): string {
  return destination.toString().replace(/(?<=\..*)\/32$|(?<=:.*)\/128$/, '');
}

/** What one family has of the table and its rule. */
interface Content {
  routes: readonly ListedRoute[];
  rules: readonly ListedRule[];
}

/** Keeps the agent's own route table, and the rule that leads there. */
export class RouteApplier {
  readonly #commands: HostCommands;
  readonly #table: number;
  /** What the kernel has, as far as we know. */
  #known: Partial<Record<Family, Content>> = {};

  constructor(commands: HostCommands, table: number) {
    this.#commands = commands;
    this.#table = table;
  }

  /** What the kernel has may be something else than it was: the next `apply` asks it. */
  forget(): void {
    this.#known = {};
  }

  /** Makes table and rule as wanted. Gives the number of changes. */
  async apply(routes: readonly HostRoute[], ruleFamilies: readonly Family[], signal?: AbortSignal): Promise<number> {
    const counts = await Promise.all(
      ([4, 6] as const).map((family) => this.#applyFamily(family, routes, ruleFamilies.includes(family), signal)),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async #applyFamily(family: Family, routes: readonly HostRoute[], wantsRule: boolean, signal?: AbortSignal) {
    const before = this.#known[family] ?? (await this.#read(family, signal));
    const lines = [
      ...routeChanges(this.#table, before.routes, routes, family),
      ...ruleChanges(this.#table, before.rules, wantsRule),
    ];
    const after: Content = {
      routes: routes
        .filter((route) => route.family === family)
        .map(({ destination, gateway, device }) => ({
          dst: destinationText(destination),
          gateway: gateway.toString(),
          dev: device,
        })),
      rules: wantsRule ? [{ priority: this.#table, src: 'all', table: String(this.#table) }] : [],
    };
    // Before the program runs, because the kernel tells of the changes before it ends.
    this.#known[family] = after;
    if (lines.length === 0) return 0;
    try {
      const argv = ['ip', `-${family}`, '-force', '-batch', '-'];
      await this.#commands.run(argv, { stdin: `${lines.join('\n')}\n`, ...(signal ? { signal } : {}) });
    } catch (thrown) {
      delete this.#known[family];
      throw thrown;
    }
    return lines.length;
  }

  async #read(family: Family, signal: AbortSignal | undefined): Promise<Content> {
    const [routes, rules] = await Promise.all([
      this.#list<ListedRoute>(family, ['route', 'show', 'table', String(this.#table)], signal),
      this.#list<ListedRule>(family, ['rule', 'show'], signal),
    ]);
    return { routes, rules };
  }

  /** Whether a line of `ip monitor` is about our table or its rule. */
  concerns(line: string): boolean {
    return new RegExp(` (table|lookup) ${this.#table}( |$)`).test(line);
  }

  /** Whether such a line only says what we know: the echo of our own change. */
  isEcho(line: string): boolean {
    const deleted = line.startsWith('Deleted ');
    const words = (deleted ? line.slice('Deleted '.length) : line).split(/\s+/);
    const after = (word: string) => words[words.indexOf(word) + 1];
    const contents = Object.values(this.#known);
    const isKnown = /^\d+:$/.test(words[0] ?? '')
      ? contents.some(({ rules }) => rules.some(({ priority }) => `${priority}:` === words[0]))
      : contents.some(({ routes }) =>
          routes.some(({ dst, gateway, dev }) => dst === words[0] && gateway === after('via') && dev === after('dev')),
        );
    return isKnown !== deleted;
  }

  async remove(signal?: AbortSignal): Promise<void> {
    await this.apply([], [], signal);
  }

  /** Routes on a device in every table but ours, for finding out how the overlay is reached. */
  async deviceRoutes(device: string, signal?: AbortSignal): Promise<{ 4: ListedRoute[]; 6: ListedRoute[] }> {
    const [v4, v6] = await Promise.all(
      ([4, 6] as const).map((family) => this.#list<ListedRoute>(family, ['route', 'show', 'dev', device], signal)),
    );
    return { 4: v4 ?? [], 6: v6 ?? [] };
  }

  async #list<Row>(family: Family, words: string[], signal: AbortSignal | undefined): Promise<Row[]> {
    const text = await listing(this.#commands, ['ip', '-json', `-${family}`, ...words], signal);
    const parsed: unknown = text === undefined ? [] : JSON.parse(text);
    return Array.isArray(parsed)
      ? parsed.filter((row) => row !== null && typeof row === 'object' && Object.keys(row).length > 0)
      : [];
  }
}

/**
 * What a listing command prints; undefined when what it should list (a device, a route table, or on a kernel started
 * with ipv6.disable=1 a whole family) does not exist.
 */
export async function listing(
  commands: HostCommands,
  argv: readonly string[],
  signal?: AbortSignal,
): Promise<string | undefined> {
  try {
    const text = (await commands.run(argv, signal ? { signal } : {})).trim();
    return text === '' ? undefined : text;
  } catch (thrown) {
    if (thrown instanceof HostCommandError && absent.test(thrown.message)) return undefined;
    throw thrown;
  }
}

const absent = /does not exist|Cannot find device|Address family not supported/;
