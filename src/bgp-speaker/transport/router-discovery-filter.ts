import { assemble, jump, label, load, next, ret } from '../../raw-socket/index.ts';

const otherHost = 3;

/**
 * Packet sockets: Router Solicitations and Advertisements to this host or its groups, directly behind the IPv6 header,
 * untagged, hop limit 255. The rest is for `decodeRouterMessage` to judge.
 */
export function routerDiscoveryFilter(): Uint8Array {
  return assemble([
    load.packetType(),
    jump.equal(otherHost, 'drop', next),
    load.vlanTagPresent(),
    jump.equal(0, next, 'drop'),
    load.half(12),
    jump.equal(0x86dd, next, 'drop'),
    load.half(20),
    jump.equal((58 << 8) | 255, next, 'drop'),
    load.byte(54),
    jump.equal(133, 'keep', next),
    jump.equal(134, 'keep', 'drop'),
    label('keep'),
    ret(0x40000),
    label('drop'),
    ret(0),
  ]);
}
