/** A named set or map of an nftables table: elements by key, with a value in a map. */
export interface NftSet {
  name: string;
  /** What follows `type`, e.g. "ipv4_addr . inet_proto . inet_service", and for maps ": verdict". */
  type: string;
  kind: 'set' | 'map';
  /** True when elements may be prefixes. */
  interval?: boolean;
  elements: Map<string, string | undefined>;
}

export interface NftChain {
  name: string;
  /** "type nat hook prerouting priority dstnat"; absent for a chain that is only jumped to. */
  hook?: string;
  rules: string[];
}

/** A whole table of the inet family. */
export interface NftTable {
  name: string;
  sets: NftSet[];
  chains: NftChain[];
}

/** A program for `nft -f -` that puts the table in place of whatever has its name, in one transaction. */
export function renderTable({ name, sets, chains }: NftTable): string {
  const lines = [`table inet ${name}`, `delete table inet ${name}`, `table inet ${name} {`];
  for (const set of sets) {
    lines.push(`  ${set.kind} ${set.name} {`, `    type ${set.type}`);
    if (set.interval) lines.push('    flags interval');
    if (set.elements.size > 0) lines.push(`    elements = { ${[...set.elements].map(element).join(', ')} }`);
    lines.push('  }');
  }
  for (const chain of chains) {
    lines.push(`  chain ${chain.name} {`);
    if (chain.hook !== undefined) lines.push(`    ${chain.hook}; policy accept;`);
    for (const rule of chain.rules) lines.push(`    ${rule}`);
    lines.push('  }');
  }
  lines.push('}', '');
  return lines.join('\n');
}

/** A program that takes the table away, if it is there. */
export function renderRemoval(name: string): string {
  return `table inet ${name}\ndelete table inet ${name}\n`;
}

/**
 * A program that turns `previous`, which must be what the kernel has, into `next`, in one transaction: only what differs
 * is sent. Undefined when that takes a whole table (sets or hooks changed their shape); "" when nothing differs.
 */
export function renderChange(previous: NftTable, next: NftTable): string | undefined {
  if (shape(previous) !== shape(next)) return undefined;
  const table = `inet ${next.name}`;
  const oldChains = new Map(previous.chains.map((chain) => [chain.name, chain]));
  const newChains = new Map(next.chains.map((chain) => [chain.name, chain]));
  const lines: string[] = [];
  for (const { name } of next.chains) if (!oldChains.has(name)) lines.push(`add chain ${table} ${name}`);
  for (const { name, rules } of next.chains) {
    const old = oldChains.get(name);
    if (old && sameRules(old.rules, rules)) continue;
    if (old) lines.push(`flush chain ${table} ${name}`);
    for (const rule of rules) lines.push(`add rule ${table} ${name} ${rule}`);
  }
  const oldSets = new Map(previous.sets.map((set) => [set.name, set.elements]));
  for (const { name, elements } of next.sets) {
    const old = oldSets.get(name) ?? new Map<string, string | undefined>();
    const gone = [...old].filter(([key, value]) => !elements.has(key) || elements.get(key) !== value);
    const come = [...elements].filter(([key, value]) => !old.has(key) || old.get(key) !== value);
    if (gone.length > 0) lines.push(`delete element ${table} ${name} { ${gone.map(element).join(', ')} }`);
    if (come.length > 0) lines.push(`add element ${table} ${name} { ${come.map(element).join(', ')} }`);
  }
  const gone = previous.chains.filter(({ name }) => !newChains.has(name));
  for (const { name } of gone) lines.push(`flush chain ${table} ${name}`);
  for (const { name } of gone) lines.push(`delete chain ${table} ${name}`);
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function element([key, value]: [string, string | undefined]): string {
  return value === undefined ? key : `${key} : ${value}`;
}

function shape({ name, sets, chains }: NftTable): string {
  const hooks = chains.filter(({ hook }) => hook !== undefined).map(({ name: chain, hook }) => [chain, hook]);
  return JSON.stringify([name, sets.map(({ name: set, type, kind, interval }) => [set, type, kind, interval]), hooks]);
}

function sameRules(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((rule, i) => rule === b[i]));
}
