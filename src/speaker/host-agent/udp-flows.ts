import type { Address } from '../../net/index.ts';
import type { Treatment } from './treatment.ts';

/** One UDP entry of the connection table: where the first packet went, and where answers come from. */
export interface UdpFlow {
  family: 4 | 6;
  source: string;
  destination: string;
  destinationPort: number;
  replySource: string;
  replyDestination: string;
}

/** Reads what `conntrack -L -p udp` prints; lines that are something else are skipped. */
export function parseFlows(text: string): UdpFlow[] {
  const flows: UdpFlow[] = [];
  for (const line of text.split('\n')) {
    const match =
      /\budp\b.*?\bsrc=(\S+) dst=(\S+) sport=\d+ dport=(\d+) .*?\bsrc=(\S+) dst=(\S+) sport=\d+ dport=\d+/.exec(line);
    const [, source, destination, port, replySource, replyDestination] = match ?? [];
    if (!source || !destination || !replySource || !replyDestination) continue;
    const family = source.includes(':') ? 6 : 4;
    flows.push({ family, source, destination, destinationPort: Number(port), replySource, replyDestination });
  }
  return flows;
}

/** What a flow to one address (or node port) and port may look like. */
interface Expectation {
  /** For packets from outside: endpoints the host may have chosen; undefined when the overlay chooses. */
  outside: ReadonlySet<string> | undefined;
  /** For packets of this host and of pods. */
  inside: ReadonlySet<string> | undefined;
  /** Where the overlay's answers come from when it chooses: the address itself, or the ClusterIP of a node port. */
  through: string | undefined;
}

/** What is served over UDP, by "address port" or " port" for node ports. */
export type UdpExpectations = ReadonlyMap<string, Expectation>;

export function udpExpectations(treatments: readonly Treatment[]): UdpExpectations {
  const expectations = new Map<string, Expectation>();
  for (const treatment of treatments) {
    if (treatment.protocol !== 'UDP') continue;
    const { clusterIPs, externalAddresses, port, nodePort, fromHost, fromOutside, externalLocal, internalLocal } =
      treatment;
    const names = (list: readonly { address: Address }[] | undefined) =>
      list && new Set(list.map(({ address }) => address.toString()));
    for (const address of clusterIPs) {
      const through = address.toString();
      const inside = names(internalLocal ?? fromHost);
      expectations.set(`${address} ${port}`, { outside: names(fromOutside), inside, through });
    }
    const outside = names(externalLocal ?? fromOutside);
    for (const address of externalAddresses) {
      expectations.set(`${address} ${port}`, { outside, inside: names(fromHost), through: address.toString() });
    }
    const [clusterIP] = clusterIPs;
    if (nodePort === undefined || !clusterIP) continue;
    expectations.set(`IPv${treatment.family} ${nodePort}`, {
      outside,
      inside: names(fromHost),
      through: clusterIP.toString(),
    });
  }
  return expectations;
}

/** A text that changes when flows may have become stale. */
export function fingerprint(expectations: UdpExpectations): string {
  return JSON.stringify(
    [...expectations].map(([key, { outside, inside, through }]) => [
      key,
      outside && [...outside],
      inside && [...inside],
      through,
    ]),
  );
}

/**
 * Flows that go where they would not go if they began now. UDP has no end: a client that keeps sending keeps its entry,
 * and with it the endpoint that was chosen once, for as long as it sends.
 *
 * @param previous what was served before: flows to what is served no more are stale too
 * @param hostAddresses addresses of this host
 * @param isPod whether an address is a pod's
 */
export function staleFlows(
  flows: readonly UdpFlow[],
  current: UdpExpectations,
  previous: UdpExpectations,
  hostAddresses: ReadonlySet<string>,
  isPod: (address: string) => boolean,
): UdpFlow[] {
  return flows.filter((flow) => {
    const { family, source, destination, destinationPort, replySource, replyDestination } = flow;
    const keys = [`${destination} ${destinationPort}`];
    const translated = replySource !== destination;
    if (translated || hostAddresses.has(destination)) keys.push(`IPv${family} ${destinationPort}`);
    const key = keys.find((one) => current.has(one)) ?? keys.find((one) => previous.has(one));
    if (key === undefined) return false;
    const expectation = current.get(key);
    if (!expectation) return true;
    const own = hostAddresses.has(source);
    const pod = !own && isPod(source);
    const chosen = own || pod ? expectation.inside : expectation.outside;
    if (chosen) {
      // Answers of an endpoint on this very host come from it untranslated only when it was chosen directly.
      if (chosen.has(replySource)) return false;
      return !(pod && replySource === expectation.through);
    }
    if (replySource !== expectation.through) return true;
    // Towards the overlay without masquerading: the answer would take another way.
    return !own && replyDestination === source;
  });
}

/** Arguments of one `conntrack -D` for each group of flows that have the same fate. */
export function deletions(stale: readonly UdpFlow[]): string[][] {
  const commands = new Map<string, string[]>();
  for (const { family, source, destination, destinationPort, replySource, replyDestination } of stale) {
    const argv = [
      '-D',
      '-f',
      `ipv${family}`,
      '-p',
      'udp',
      '--orig-dst',
      destination,
      '--orig-port-dst',
      String(destinationPort),
      '--reply-src',
      replySource,
    ];
    if (replyDestination === source) argv.push('--orig-src', source);
    commands.set(argv.join(' '), argv);
  }
  return [...commands].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, argv]) => argv);
}
