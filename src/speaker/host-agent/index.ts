export {
  HostCommandError,
  type HostCommandErrorCode,
  type HostCommands,
  type RunOptions,
  systemCommands,
} from './commands.ts';
export { HealthCheckServer } from './health-check-server.ts';
export { HostAgent, type HostAgentDependencies, type HostAgentStatus } from './host-agent.ts';
export type { HostEndpoint, HostInputs, HostService, HostServicePort, TransportProtocol } from './host-inputs.ts';
export {
  defaultHostAgentOptions,
  desiredHostState,
  type HealthPort,
  type HostAgentOptions,
  type HostRoute,
  type HostState,
  HostStateMemo,
} from './host-state.ts';
export { type NftChain, type NftSet, type NftTable, renderChange, renderRemoval, renderTable } from './nft-table.ts';
export { inOverlay, type ListedRoute, type Overlay, readOverlay } from './overlay.ts';
export { type ListedRule, routeChanges, ruleChanges } from './route-applier.ts';
export { type Admission, readSourceRanges } from './source-ranges.ts';
export type { HostProblem } from './treatment.ts';
export { deletions, parseFlows, staleFlows, type UdpFlow } from './udp-flows.ts';
