/**
 * An API server inside the network namespace that this process is run in: prints `{"kubeconfig": PATH}` when it serves, and
 * ends it when stdin ends.
 */
import { once } from 'node:events';
import { startControlPlane } from '../control-plane.ts';

const plane = await startControlPlane();
try {
  process.stdout.write(`${JSON.stringify({ kubeconfig: plane.kubeconfig })}\n`);
  process.stdin.resume();
  await once(process.stdin, 'end');
} finally {
  await plane.stop();
}
