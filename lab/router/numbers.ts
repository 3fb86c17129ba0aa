/** Autonomous systems of the lab (RFC 6996, private use): the nodes' speakers and the router they peer with. */
export const bgp = { routerAs: 64513, nodesAs: 64512 } as const;
