import { Address, Cidr, familyBits } from '../../net/index.ts';

/** Who may reach a Service from outside. */
export type Admission = { kind: 'everyone' } | { kind: 'only'; cidrs: Cidr[]; invalid: string[] };

/**
 * Reads spec.loadBalancerSourceRanges. A list that is not empty limits both families: a family it does not mention is
 * shut, and so is a list in which nothing can be read, because opening up by accident is the worse mistake. Prefixes
 * inside others of the list are dropped, so that the result is disjoint.
 */
export function readSourceRanges(texts: readonly string[]): Admission {
  const given = texts.map((text) => text.trim()).filter((text) => text !== '');
  if (given.length === 0) return { kind: 'everyone' };
  const cidrs = new Map<string, Cidr>();
  const invalid: string[] = [];
  for (const text of given) {
    const cidr = parseForgiving(text);
    if (cidr) cidrs.set(cidr.toString(), cidr);
    else invalid.push(text);
  }
  const byLength = [...cidrs.values()].sort((a, b) => a.prefixLength - b.prefixLength);
  const disjoint: Cidr[] = [];
  for (const cidr of byLength) {
    if (!disjoint.some((wider) => wider.contains(cidr.address))) disjoint.push(cidr);
  }
  const open = ([4, 6] as const).every((family) =>
    disjoint.some((one) => one.family === family && one.prefixLength === 0),
  );
  if (open) return { kind: 'everyone' };
  return { kind: 'only', cidrs: disjoint.sort((a, b) => (a.toString() < b.toString() ? -1 : 1)), invalid };
}

function parseForgiving(text: string): Cidr | undefined {
  const [addressText = '', lengthText = ''] = text.split('/');
  const address = Address.tryParse(addressText);
  if (!address || !/^\d{1,3}$/.test(lengthText)) return undefined;
  const length = Number(lengthText);
  return length > familyBits(address.family) ? undefined : Cidr.containing(address, length);
}
