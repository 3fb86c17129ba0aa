import type { Address } from '../../net/index.ts';
import type { HostCommands } from './commands.ts';
import { type Overlay, readOverlay } from './overlay.ts';
import { listing, type RouteApplier } from './route-applier.ts';

/** Asks the host how the overlay is reached. */
export class OverlayReader {
  readonly #commands: HostCommands;
  readonly #routes: RouteApplier;
  readonly #device: string;
  deviceUp = false;
  notes: string[] = [];

  constructor(commands: HostCommands, routes: RouteApplier, device: string) {
    this.#commands = commands;
    this.#routes = routes;
    this.#device = device;
  }

  /** @param told gateways that are known without looking */
  async read(told: readonly Address[], signal: AbortSignal): Promise<Overlay> {
    const [link, routes] = await Promise.all([
      listing(this.#commands, ['ip', '-json', 'link', 'show', 'dev', this.#device], signal),
      this.#routes.deviceRoutes(this.#device, signal),
    ]);
    const flags = readFlags(link);
    this.deviceUp = flags?.includes('UP') ?? false;
    const overlay = readOverlay(this.#device, told, routes);
    this.notes = [];
    if (!flags) {
      this.notes.push(`interface ${this.#device} does not exist; the network plugin makes it, or set its name`);
    } else if (!this.deviceUp) {
      this.notes.push(`interface ${this.#device} is down; Services are not reached through OVN until it is up`);
    } else if (!overlay.gateways[4] && !overlay.gateways[6]) {
      this.notes.push(
        `no gateway is known on ${this.#device}: neither the node's annotation ovn.kubernetes.io/gateway nor a route names one`,
      );
    }
    return overlay;
  }
}

function readFlags(json: string | undefined): string[] | undefined {
  if (json === undefined) return undefined;
  const parsed: unknown = JSON.parse(json);
  const [link] = Array.isArray(parsed) ? parsed : [];
  return Array.isArray(link?.flags) ? link.flags : undefined;
}
