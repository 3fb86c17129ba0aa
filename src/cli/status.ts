import { request } from 'node:http';
import type { AddressStatus, SpeakerStatus } from '../api/speaker-status.ts';
import { describeOptions, type OptionSpec, Options, OvenbirdError, UsageError } from '../base/index.ts';
import { exitCode } from './exit-code.ts';
import { renderDuration, renderTable } from './table.ts';

export const statusOptions: Record<string, OptionSpec> = {
  'http-port': { value: 'PORT', help: "HTTP port of this node's speaker.", default: '7474' },
  output: { value: 'FORMAT', help: 'table or json.', default: 'table' },
  service: { value: 'NAMESPACE/NAME', help: 'Only the addresses of this Service.' },
};

/** `ovenbird status`: what the speaker of this node announces, what it does not, and why. */
export async function statusCommand(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  print: (text: string) => void,
): Promise<number> {
  if (args.includes('--help')) {
    print(`Shows what this node's speaker announces, what it does not, and why.\n\n${describeOptions(statusOptions)}`);
    return exitCode.ok;
  }
  const options = Options.parse(statusOptions, args, env);
  const format = options.oneOf('output', ['table', 'json']);
  const service = options.optional('service');
  if (service !== undefined && !/^[^/]+\/[^/]+$/.test(service)) {
    throw new UsageError(`--service=${service}: give NAMESPACE/NAME`);
  }
  const all = await fetchStatus(options.integer('http-port', 1, 65535));
  const addresses = all.addresses.filter((entry) => service === undefined || entry.services.includes(service));
  const status = { ...all, addresses };
  print(format === 'json' ? JSON.stringify(status, undefined, 2) : renderStatus(status));
  return exitCode.ok;
}

/** The table form of a speaker's status. */
export function renderStatus(status: SpeakerStatus): string {
  const parts = [
    `Node ${status.node}, Ovenbird ${status.version}${status.synced ? '' : ', still reading the cluster'}`,
  ];
  if (status.peers.length > 0) {
    const rows = status.peers.map((peer) => [
      peer.node,
      peer.interface,
      peer.alive ? 'yes' : 'no',
      renderDuration(peer.lastHeardMs),
    ]);
    parts.push(renderTable(['PEER', 'INTERFACE', 'ALIVE', 'HEARD'], rows));
  }
  if (status.addresses.length === 0) {
    parts.push('No Service has a load-balancer address that this node could announce.');
  } else {
    parts.push(
      renderTable(['ADDRESS', 'INTERFACE', 'ROLE', 'OWNER', 'SINCE', 'SERVICE', 'WHY'], status.addresses.map(row)),
    );
  }
  if (status.hostAgent) {
    parts.push(`Host agent: ${status.hostAgent.ready ? 'ready' : 'not ready'}: ${status.hostAgent.reason.message}`);
  }
  return parts.join('\n\n');
}

function row(entry: AddressStatus): string[] {
  return [
    entry.address,
    entry.interface ?? '-',
    entry.role,
    entry.owner ?? '-',
    entry.sinceMs === undefined ? '-' : renderDuration(entry.sinceMs),
    entry.services.join(','),
    entry.reason.message,
  ];
}

function fetchStatus(port: number): Promise<SpeakerStatus> {
  return new Promise((resolve, reject) => {
    const refuse = (cause: unknown) =>
      reject(
        new OvenbirdError(
          'SpeakerUnreachable',
          `no speaker answers on 127.0.0.1:${port}; run this on a node, for example: kubectl -n NAMESPACE exec ds/ovenbird-speaker -- ovenbird status`,
          { cause },
        ),
      );
    const outgoing = request({ host: '127.0.0.1', port, path: '/status', agent: false, timeout: 5_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('error', refuse);
      response.on('end', () => {
        try {
          if (response.statusCode !== 200) throw new Error(`HTTP ${response.statusCode}: ${body.trim()}`);
          resolve(JSON.parse(body) as SpeakerStatus);
        } catch (thrown) {
          refuse(thrown);
        }
      });
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 5 s')));
    outgoing.on('error', refuse);
    outgoing.end();
  });
}
