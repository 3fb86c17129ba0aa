import { UpdatePacker } from '../../../src/bgp-speaker/index.ts';
import { Address } from '../../../src/net/index.ts';
import { nextHop } from './bird.ts';
import { prefixOf } from './routes.ts';

export const context = { fourOctetAs: true, ipv4NextHopOverIpv6: false, maximumLength: 4096 };

/** UPDATEs of a few routes each, each with a path of its own; a thousand whole ones at a time, for KEEPALIVEs come between. */
export function dumpOf(routes: number, perUpdate: number): Buffer[] {
  const messages: Uint8Array[] = [];
  const packer = new UpdatePacker(context, (message) => messages.push(message));
  const hop = Address.parse(nextHop);
  for (let i = 0; i < routes; i++) {
    if (i % perUpdate === 0) {
      const asPath = [65_002, 3356 + (i % 997), 174, 100_000 + i];
      packer.announce('ipv4-unicast', { asPath, nextHop: hop, communities: [0xfdea_0001, 0xfdea_0002] });
    }
    packer.addCidr(prefixOf(i));
  }
  packer.finish();
  const batch = 1000;
  return Array.from({ length: Math.ceil(messages.length / batch) }, (_, i) =>
    Buffer.concat(messages.slice(i * batch, (i + 1) * batch)),
  );
}
