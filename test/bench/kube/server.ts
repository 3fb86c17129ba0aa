/**
 * A scripted API server with N Services, as a process of its own: `node server.ts N`. Prints one line of JSON with its
 * port and CA, and ends when its input does.
 */
import { resources } from '../../../src/kube/index.ts';
import { FakeApiServer } from '../../kube/fake-api-server.ts';
import { exampleService } from './example-service.ts';

const count = Number(process.argv[2]);
const server = await FakeApiServer.start();
const services = server.collection(resources.services);
for (let i = 0; i < count; i++) services.put(exampleService(i));
process.stdout.write(`${JSON.stringify({ port: server.port, ca: server.ca })}\n`);
process.stdin.resume();
process.stdin.once('end', () => process.exit(0));
