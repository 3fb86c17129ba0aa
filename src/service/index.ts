export { type Endpoint, type PortEndpoints, selectEndpoints } from './endpoints.ts';
