export { installCni } from '../cni/install.ts';
export { annotateNode } from './annotate-node.ts';
export { restartNorthbound, startOvnCentral } from './central.ts';
export { restartSwitch, startOvnNode } from './node.ts';
export { describeOvn, ovnStatus } from './status.ts';
