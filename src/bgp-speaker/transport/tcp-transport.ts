import { dial } from './dial.ts';
import { listen } from './listen.ts';
import type { Transport } from './transport.ts';

/**
 * TCP of this host's network namespace (Linux). Keys need NET_ADMIN, ports below 1024 NET_BIND_SERVICE, and rebinding
 * to a device NET_RAW. A connection or a listener stays open until it is closed.
 */
export function tcpTransport(): Transport {
  return { dial, listen };
}
