export { controllerCommand } from './command.ts';
export type { NorthboundPort } from './northbound-port.ts';
export { type ControllerOptions, controllerOptionSpecs, parseControllerOptions } from './options.ts';
export { type ControllerSurroundings, runController } from './run-controller.ts';
