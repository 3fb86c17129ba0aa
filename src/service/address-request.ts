import { readAnnotation, requestAnnotations } from '../api/index.ts';
import type { Service } from '../kube/objects.ts';
import { Address, type Family, ParseError } from '../net/index.ts';

/** What a Service asks for. Same shape as the allocator's request. */
export interface AddressRequest {
  /** In the order of spec.ipFamilies; one or two. */
  families: Family[];
  policy: 'SingleStack' | 'PreferDualStack' | 'RequireDualStack';
  /** At most one a family, and only of the families above. */
  addresses: Address[];
  pool: string | undefined;
}

/** What a Service asks for, or why that cannot be told. */
export type RequestReading =
  | { kind: 'request'; request: AddressRequest }
  | { kind: 'problem'; reason: 'HeadlessService' | 'InvalidRequest' | 'ConflictingRequests'; message: string };

/**
 * Reads the request of a Service of type LoadBalancer: IP families, addresses (annotation, else the deprecated
 * spec.loadBalancerIP) and pool (annotation). Two different requests for addresses are a problem, not a guess.
 */
export function readRequest(service: Service): RequestReading {
  const { spec, metadata } = service;
  if (spec.clusterIP === 'None') {
    return {
      kind: 'problem',
      reason: 'HeadlessService',
      message: 'spec.clusterIP is None, so there is nothing to balance; remove it or change spec.type',
    };
  }
  const families = familiesOf(service);
  const annotation = readAnnotation(metadata.annotations, requestAnnotations.loadBalancerIPs);
  const field = 'spec.loadBalancerIP';
  try {
    const asked = annotation ? parseList(annotation.value, `annotation ${annotation.key}`, families) : [];
    const deprecated = parseList(spec.loadBalancerIP ?? '', field, families);
    if (asked.length > 0 && deprecated.some((address) => !asked.some((other) => other.equals(address)))) {
      return {
        kind: 'problem',
        reason: 'ConflictingRequests',
        message: `annotation ${annotation?.key} asks for ${asked.join(' and ')}, ${field} for ${deprecated.join(' and ')}; remove one of them`,
      };
    }
    const pool = readAnnotation(metadata.annotations, requestAnnotations.addressPool)?.value.trim();
    const addresses = asked.length > 0 ? asked : deprecated;
    const policy = spec.ipFamilyPolicy ?? 'SingleStack';
    return { kind: 'request', request: { families, policy, addresses, pool: pool === '' ? undefined : pool } };
  } catch (thrown) {
    if (thrown instanceof ParseError) return { kind: 'problem', reason: 'InvalidRequest', message: thrown.message };
    throw thrown;
  }
}

/** The addresses in the status of a Service, in its order; entries that are no addresses are left out. */
export function ingressOf(service: Service): Address[] {
  return (service.status?.loadBalancer?.ingress ?? []).flatMap(({ ip = '' }) => Address.tryParse(ip) ?? []);
}

function familiesOf(service: Service): Family[] {
  const named = (service.spec.ipFamilies ?? []).map((family): Family => (family === 'IPv6' ? 6 : 4));
  if (named.length > 0) return [...new Set(named)];
  const { clusterIP, clusterIPs = clusterIP === undefined ? [] : [clusterIP] } = service.spec;
  const assigned = clusterIPs.flatMap((text) => Address.tryParse(text)?.family ?? []);
  return assigned.length > 0 ? [...new Set(assigned)] : [4];
}

/** @throws ParseError that names the source of the text */
function parseList(text: string, source: string, families: readonly Family[]): Address[] {
  if (text.trim() === '') return [];
  const addresses: Address[] = [];
  for (const part of text.split(',')) {
    let address: Address;
    try {
      address = Address.parse(part.trim());
    } catch (thrown) {
      if (thrown instanceof ParseError) throw new ParseError(`${source}: ${thrown.message}`);
      throw thrown;
    }
    const { family } = address;
    if (!families.includes(family)) {
      const has = families.map((known) => `IPv${known}`).join(', ');
      throw new ParseError(`${source} asks for ${address}, but spec.ipFamilies of the Service is [${has}]`);
    }
    const other = addresses.find((known) => known.family === family);
    if (other) {
      throw new ParseError(`${source} asks for ${other} and ${address}; a Service has one IPv${family} address`);
    }
    addresses.push(address);
  }
  return addresses;
}
