import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { binary } from './binaries.ts';
import { LabError } from './errors.ts';
import type { Lab } from './lab.ts';
import { type CommandResult, run } from './processes.ts';

/** The kubeconfig that works from the machine's own namespace. */
export function kubeconfigPath(lab: Pick<Lab, 'root'>): string {
  return join(lab.root, 'kubeconfig');
}

/** Runs kubectl as the cluster's administrator. @throws LabError `CommandFailed`. */
export async function kubectl(
  lab: Pick<Lab, 'root'>,
  args: readonly string[],
  options: { input?: string; timeoutMs?: number } = {},
): Promise<CommandResult> {
  return run(lab, { command: binary(lab, 'kubectl'), args, env: { KUBECONFIG: kubeconfigPath(lab) }, ...options });
}

/**
 * One GET of the API server, as its administrator, from the machine's own namespace: cheaper than a kubectl.
 * @returns status and body; connection errors reject.
 */
export async function apiGet(lab: Pick<Lab, 'root'>, path: string): Promise<{ status: number; body: string }> {
  const access = readAccess(lab);
  return new Promise((resolve, reject) => {
    const outgoing = request(new URL(path, access.server), {
      ca: access.ca,
      cert: access.cert,
      key: access.key,
      agent: false,
      timeout: 5000,
    });
    outgoing.on('timeout', () =>
      outgoing.destroy(new LabError('NotReady', `${access.server}${path}: no answer in 5 s`)),
    );
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    outgoing.end();
  });
}

/** One object or list of the API server. @throws LabError `NotReady` when the answer is not 200. */
export async function apiRead<Body>(lab: Pick<Lab, 'root'>, path: string): Promise<Body> {
  const { status, body } = await apiGet(lab, path);
  if (status !== 200) throw new LabError('NotReady', `API server: GET ${path} answers ${status}`);
  return JSON.parse(body) as Body;
}

function readAccess(lab: Pick<Lab, 'root'>): { server: string; ca: Buffer; cert: Buffer; key: Buffer } {
  const config = JSON.parse(readFileSync(kubeconfigPath(lab), 'utf8')) as {
    clusters: { cluster: Record<string, string> }[];
    users: { user: Record<string, string> }[];
  };
  const decode = (text: string | undefined) => Buffer.from(text ?? '', 'base64');
  const cluster = config.clusters[0]?.cluster ?? {};
  const user = config.users[0]?.user ?? {};
  return {
    server: cluster.server ?? '',
    ca: decode(cluster['certificate-authority-data']),
    cert: decode(user['client-certificate-data']),
    key: decode(user['client-key-data']),
  };
}
