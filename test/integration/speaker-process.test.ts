import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { SpeakerStatus } from '../../src/api/speaker-status.ts';
import { eventually } from '../eventually.ts';
import { controlPlaneMissing } from './control-plane.ts';
import { namespacesUnavailable } from './namespaces.ts';
import { LoneNode } from './speaker/lone-node.ts';

const vip = '192.0.2.100';
const timeoutMs = 180_000;

const unavailable = namespacesUnavailable() ?? controlPlaneMissing();
const suite = unavailable === undefined ? describe : describe.skip;
if (unavailable !== undefined) console.warn(`the process "ovenbird speaker" is not tested: ${unavailable}`);

suite('the process "ovenbird speaker" in OVN mode full', () => {
  let node: LoneNode;

  beforeAll(async () => {
    node = new LoneNode();
    await node.start();
    const key = Buffer.from('a key of at least 16 bytes').toString('base64');
    node.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'ovenbird-speaker-key' }, data: { key } });
    node.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: node.name } });
    const ours = { apiVersion: 'ovenbird.dev/v1alpha1', metadata: { name: 'all' } };
    // The API server serves the kinds a moment after it has taken their definitions.
    const pool = { ...ours, kind: 'IPAddressPool', spec: { addresses: ['192.0.2.100-192.0.2.120'] } };
    await eventually('the pool is taken', () => node.apply(pool) ?? true);
    await eventually(
      'the advertisement is taken',
      () => node.apply({ ...ours, kind: 'L2Advertisement', spec: {} }) ?? true,
    );
    node.apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web' },
      spec: { type: 'LoadBalancer', ports: [{ port: 80 }] },
    });
    const status = { status: { loadBalancer: { ingress: [{ ip: vip }] } } };
    node.kubectl('patch', 'service', 'web', '--subresource=status', '--type=merge', '-p', JSON.stringify(status));
    node.apply({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      ports: [{ name: '', port: 8080, protocol: 'TCP' }],
      endpoints: [{ addresses: ['10.16.0.2'], nodeName: node.name, conditions: { ready: true } }],
    });
    node.startSpeaker();
  }, timeoutMs);

  afterAll(async () => {
    await node?.close();
  }, timeoutMs);

  const reasonOf = ({ addresses }: SpeakerStatus) =>
    addresses.map(({ address, role, reason }) => `${address} ${role} ${reason.code}`);
  const shows = (what: string, words: string[]) =>
    eventually(
      what,
      () => node.status(),
      (status) => reasonOf(status).join() === words.join(),
      { timeoutMs },
    );
  const routes = () => node.run('ip', 'route', 'show', 'table', '7472');

  test(
    'without a way into the overlay the node stands for no address, and says why',
    async () => {
      await eventually(
        'the host agent has looked',
        () => node.status().hostAgent,
        (agent) => agent?.ready === false && agent.reason.message.includes('ovn0 does not exist'),
        { timeoutMs },
      );
      await shows('the host is not ready', [`${vip} none HostAgentNotReady`]);
      await eventually('the table is there', () => node.run('nft', 'list', 'tables').includes('table inet ovenbird'));
    },
    timeoutMs,
  );

  test(
    'when the overlay is there the node owns the address and carries its traffic',
    async () => {
      node.makeOverlay();
      const { hostAgent } = await shows('the address is owned', [`${vip} owner FirstPlacement`]);
      expect(hostAgent).toMatchObject({ ready: true });
      expect(routes()).toContain(`${vip} via 100.64.0.1 dev ovn0`);
    },
    timeoutMs,
  );

  test(
    'when the overlay goes the address is let go of, and taken again when it is back',
    async () => {
      node.removeOverlay();
      await shows('the address is let go of', [`${vip} none HostAgentNotReady`]);
      node.makeOverlay();
      await shows('the address is owned again', [`${vip} owner OwnerReleased`]);
      expect(routes()).toContain(`${vip} via 100.64.0.1 dev ovn0`);
    },
    timeoutMs,
  );

  test(
    'a stopped speaker leaves the host as it is; its successor goes on',
    async () => {
      const before = node.run('nft', '-s', 'list', 'table', 'inet', 'ovenbird');
      expect(await node.stopSpeaker()).toBe(0);
      expect(node.run('nft', '-s', 'list', 'table', 'inet', 'ovenbird')).toBe(before);
      expect(routes()).toContain(vip);
      node.startSpeaker();
      await shows('the address is owned by the successor', [`${vip} owner FirstPlacement`]);
    },
    timeoutMs,
  );

  test(
    'with its Service everything about the address goes',
    async () => {
      node.kubectl('delete', 'service', 'web', '--wait=false');
      await shows('the address is forgotten', []);
      await eventually('the route is gone', () => !routes().includes(vip));
      await eventually('the rules are gone', () => !node.run('nft', 'list', 'table', 'inet', 'ovenbird').includes(vip));
      expect(await node.stopSpeaker()).toBe(0);
    },
    timeoutMs,
  );
});
