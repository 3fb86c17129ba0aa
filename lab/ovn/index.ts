export { installCni } from '../cni/install.ts';
export { annotateNode } from './annotate-node.ts';
export { restartNorthbound, startOvnCentral } from './central.ts';
export { startOvnNode } from './node.ts';
