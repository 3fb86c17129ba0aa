import { addressing } from '../lab.ts';
import { bgp } from './numbers.ts';

/** FRR with the same behaviour as the BIRD configuration; one text for all of its daemons. */
export function frrConfig(): string {
  const { fabric } = addressing;
  return `hostname router
frr defaults datacenter
log stdout informational
!
router bgp ${bgp.routerAs}
 bgp router-id ${fabric.router}
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 neighbor nodes peer-group
 neighbor nodes remote-as ${bgp.nodesAs}
 neighbor nodes bfd
 neighbor nodes bfd profile fast
 neighbor nodes timers 3 9
 bgp listen limit 100
 bgp listen range ${fabric.cidr} peer-group nodes
 bgp listen range ${fabric.cidr6} peer-group nodes
 !
 address-family ipv4 unicast
  neighbor nodes activate
  neighbor nodes route-map nothing out
  maximum-paths 32
 exit-address-family
 !
 address-family ipv6 unicast
  neighbor nodes activate
  neighbor nodes route-map nothing out
  maximum-paths 32
 exit-address-family
!
route-map nothing deny 10
!
bfd
 profile fast
  transmit-interval 50
  receive-interval 50
!
`;
}
