export { installCni } from '../cni/install.ts';
export { restartNorthbound, startOvnCentral } from './central.ts';
export { startOvnNode } from './node.ts';
