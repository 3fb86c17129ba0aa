export { l2AdvertisementsOf } from './build-advertisements.ts';
export { buildConfig } from './build-config.ts';
export { poolOf } from './build-pools.ts';
export type { Config, ConfigResources, L2Announcement, Pool, Problem } from './config.ts';
export { matchesLabels } from './label-selector.ts';
