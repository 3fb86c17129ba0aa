import { addressing } from '../lab.ts';
import { bgp } from './numbers.ts';

/**
 * BIRD as a top-of-rack router: every host of the fabric may open a BGP session (both families on either transport),
 * what it announces goes to the kernel, several next hops side by side. BFD is answered where the neighbour speaks it.
 */
export function birdConfig(): string {
  const { fabric } = addressing;
  return `log stderr all;
router id ${fabric.router};
protocol device { scan time 5; }
protocol kernel kernel4 {
  merge paths yes limit 32;
  ipv4 { import none; export where source = RTS_BGP; };
}
protocol kernel kernel6 {
  merge paths yes limit 32;
  ipv6 { import none; export where source = RTS_BGP; };
}
protocol bfd {
  interface "fabric0" { min rx interval 50 ms; min tx interval 50 ms; idle tx interval 1 s; multiplier 3; };
}
${session('nodes4', fabric.router, fabric.cidr)}
${session('nodes6', fabric.router6, fabric.cidr6)}
`;
}

function session(name: string, local: string, range: string): string {
  return `protocol bgp ${name} {
  local ${local} as ${bgp.routerAs};
  neighbor range ${range} as ${bgp.nodesAs};
  dynamic name "${name}_";
  passive;
  bfd on;
  ipv4 { import all; export none; extended next hop on; };
  ipv6 { import all; export none; };
}`;
}
