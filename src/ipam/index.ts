export { Allocator, type PoolUsage } from './allocator.ts';
export type { AllocationRequest, AssignedAddress, Decision, FamilyPolicy } from './decision.ts';
export type { AllocatablePool } from './pool-set.ts';
