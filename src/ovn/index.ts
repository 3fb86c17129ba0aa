export { type Capabilities, capabilitiesOf, type SchemaShape } from './capabilities.ts';
export type { MeasuredLag } from './chassis-lag.ts';
export { connectNorthbound, type NorthboundRemote } from './connect-northbound.ts';
export { DeletionGuard } from './deletion-guard.ts';
export { foreignVips } from './foreign-vips.ts';
export {
  type DesiredRows,
  type DesiredRowsInput,
  desiredRows,
  type ForeignVips,
  type LoadBalancerRow,
  ownerOf,
  type Reach,
  RowMemo,
  type Scope,
} from './load-balancer-rows.ts';
export { Northbound, type NorthboundOptions } from './northbound.ts';
export { shapeOf } from './northbound-reader.ts';
export type { NorthboundStatus, ServiceProgramming } from './northbound-status.ts';
export {
  emptyView,
  type GroupRow,
  type NorthboundView,
  type RealisedRow,
  type RouterPortRow,
  type RouterRow,
  type SwitchPortRow,
  type SwitchRow,
} from './northbound-view.ts';
export type { Operation } from './operations.ts';
export { groupName, type Plan, type PlanInput, plan, planRemoval, RowComparison } from './plan.ts';
export type { OvnProblem, OvnProblemCode } from './problems.ts';
export type {
  OvnEndpoint,
  OvnInputs,
  OvnMode,
  OvnNode,
  OvnProtocol,
  OvnService,
  OvnServicePort,
} from './service-input.ts';
export {
  type Attachment,
  type AttachTo,
  decideMode,
  defaultTopologyOptions,
  discoverTopology,
  type KubeOvnNames,
  type ModeDecision,
  type RequestedMode,
  type Topology,
  type TopologyOptions,
} from './topology.ts';
export { uuidV5 } from './uuid-v5.ts';
