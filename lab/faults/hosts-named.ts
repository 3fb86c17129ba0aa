import { LabError } from '../errors.ts';
import { type Host, hostsOf, type Lab, type NodeSpec } from '../lab.ts';

/** @throws LabError `BadUsage` listing the nodes. */
export function nodeNamed(lab: Pick<Lab, 'nodes'>, name: string | undefined): NodeSpec {
  const node = lab.nodes.find((candidate) => candidate.name === name);
  if (node) return node;
  const names = lab.nodes.map((candidate) => candidate.name).join(', ');
  throw new LabError('BadUsage', `${name ?? 'no host'}: must be a node: ${names}`);
}

/** A host with NICs. @throws LabError `BadUsage` listing them. */
export function hostNamed(lab: Lab, name: string | undefined): Host {
  const hosts = hostsOf(lab).filter((candidate) => candidate.nics.length > 0);
  const host = hosts.find((candidate) => candidate.name === name);
  if (host) return host;
  const names = hosts.map((candidate) => candidate.name).join(', ');
  throw new LabError('BadUsage', `${name ?? 'no host'}: must be one of ${names}`);
}
