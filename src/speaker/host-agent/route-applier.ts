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

/** Keeps the agent's own route table, and the rule that leads there. */
export class RouteApplier {
  readonly #commands: HostCommands;
  readonly #table: number;

  constructor(commands: HostCommands, table: number) {
    this.#commands = commands;
    this.#table = table;
  }

  /** Makes table and rule as wanted. Gives the number of changes. */
  async apply(routes: readonly HostRoute[], ruleFamilies: readonly Family[], signal?: AbortSignal): Promise<number> {
    const counts = await Promise.all(
      ([4, 6] as const).map(async (family) => {
        const [listed, rules] = await Promise.all([
          this.#list<ListedRoute>(family, ['route', 'show', 'table', String(this.#table)], signal),
          this.#list<ListedRule>(family, ['rule', 'show'], signal),
        ]);
        const lines = [
          ...routeChanges(this.#table, listed, routes, family),
          ...ruleChanges(this.#table, rules, ruleFamilies.includes(family)),
        ];
        if (lines.length === 0) return 0;
        const argv = ['ip', `-${family}`, '-force', '-batch', '-'];
        await this.#commands.run(argv, { stdin: `${lines.join('\n')}\n`, ...(signal ? { signal } : {}) });
        return lines.length;
      }),
    );
    return counts.reduce((sum, count) => sum + count, 0);
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

/** What a listing command prints; undefined when what it should list (a device, a route table) does not exist. */
export async function listing(
  commands: HostCommands,
  argv: readonly string[],
  signal?: AbortSignal,
): Promise<string | undefined> {
  try {
    const text = (await commands.run(argv, signal ? { signal } : {})).trim();
    return text === '' ? undefined : text;
  } catch (thrown) {
    if (thrown instanceof HostCommandError && /does not exist|Cannot find device/.test(thrown.message))
      return undefined;
    throw thrown;
  }
}
