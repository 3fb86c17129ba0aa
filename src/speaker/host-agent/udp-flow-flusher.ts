import { describeError, type Logger } from '../../base/index.ts';
import { Address } from '../../net/index.ts';
import { HostCommandError, type HostCommands } from './commands.ts';
import { inOverlay, type Overlay } from './overlay.ts';
import type { Treatment } from './treatment.ts';
import { deletions, fingerprint, parseFlows, staleFlows, type UdpExpectations, udpExpectations } from './udp-flows.ts';

/** Ends UDP flows that would begin differently now. Runs only when what is served over UDP has changed. */
export class UdpFlowFlusher {
  readonly #commands: HostCommands;
  readonly #logger: Logger;
  #done: { fingerprint: string; expectations: UdpExpectations } = { fingerprint: '', expectations: new Map() };
  notes: string[] = [];

  constructor(commands: HostCommands, logger: Logger) {
    this.#commands = commands;
    this.#logger = logger;
  }

  async flush(treatments: readonly Treatment[], overlay: Overlay, signal: AbortSignal): Promise<void> {
    const expectations = udpExpectations(treatments);
    const now = fingerprint(expectations);
    if (now === this.#done.fingerprint || (expectations.size === 0 && this.#done.expectations.size === 0)) return;
    try {
      const [v4, v6, addresses] = await Promise.all([
        this.#commands.run(['conntrack', '-L', '-p', 'udp', '-f', 'ipv4'], { signal }),
        this.#commands.run(['conntrack', '-L', '-p', 'udp', '-f', 'ipv6'], { signal }),
        this.#commands.run(['ip', '-json', 'addr', 'show'], { signal }),
      ]);
      const isPod = (text: string) => {
        const address = Address.tryParse(text);
        return address !== undefined && overlay.podCidrs.length > 0 && inOverlay(overlay, address);
      };
      const flows = [...parseFlows(v4), ...parseFlows(v6)];
      const stale = staleFlows(flows, expectations, this.#done.expectations, localAddresses(addresses), isPod);
      for (const argv of deletions(stale)) {
        // 1: the entry ended by itself meanwhile.
        await this.#commands.run(['conntrack', ...argv], { acceptCodes: [0, 1], signal });
      }
      if (stale.length > 0) this.#logger.info({ flows: stale.length }, 'ended stale UDP flows');
      this.notes = [];
    } catch (thrown) {
      if (!(thrown instanceof HostCommandError)) throw thrown;
      const hint = thrown.code === 'CommandMissing' ? 'install conntrack' : describeError(thrown);
      this.notes = [`UDP clients that never pause keep an endpoint that was removed (${hint})`];
    }
    this.#done = { fingerprint: now, expectations };
  }
}

function localAddresses(json: string): Set<string> {
  const parsed: unknown = JSON.parse(json.trim() === '' ? '[]' : json);
  const addresses = new Set<string>();
  for (const link of Array.isArray(parsed) ? parsed : []) {
    for (const { local } of Array.isArray(link?.addr_info) ? link.addr_info : []) {
      if (typeof local === 'string') addresses.add(local);
    }
  }
  return addresses;
}
