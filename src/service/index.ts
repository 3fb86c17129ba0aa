export { type AddressRequest, ingressOf, type RequestReading, readRequest } from './address-request.ts';
export { type Endpoint, type PortEndpoints, selectEndpoints } from './endpoints.ts';
export { isOurs, type ServiceClass, type Traces, tracesOn } from './ownership.ts';
export { type OvnMode, type ProcessOptions, processOptionSpecs, readProcessOptions } from './process-options.ts';
