import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ipAddressPools, l2Advertisements } from '../../src/controller/controller-caches.ts';
import type { KubeObject, Resource } from '../../src/kube/index.ts';
import { controlPlaneMissing } from './control-plane.ts';
import { ControllerCluster } from './controller-cluster.ts';

const missing = controlPlaneMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);
const suite = missing === undefined ? describe : describe.skip;

suite('the custom resource definitions in a real API server', () => {
  let cluster: ControllerCluster;
  beforeAll(async () => {
    cluster = await ControllerCluster.start();
  }, 120_000);
  afterAll(async () => cluster?.stop());

  /** The stored object, or the message of the refusal. */
  const apply = async (object: KubeObject): Promise<unknown> => {
    const resource: Resource = object.kind === 'IPAddressPool' ? ipAddressPools : l2Advertisements;
    return cluster.client.create(resource, object).catch((thrown: Error) => thrown.message);
  };
  const pool = (spec: object, name = 'p') => ({
    apiVersion: 'ovenbird.dev/v1alpha1',
    kind: 'IPAddressPool',
    metadata: { name },
    spec,
  });
  const advertisement = (spec: object, name = 'a') => ({ ...pool(spec, name), kind: 'L2Advertisement' });

  test('are structural, established and serve their short names', () => {
    const { items } = JSON.parse(cluster.plane.kubectl(['get', 'crd', '-o', 'json'])) as {
      items: {
        metadata: { name: string };
        status: { conditions: { type: string; status: string; message: string }[] };
      }[];
    };
    const names = items.map(({ metadata }) => metadata.name);
    expect(names).toEqual(['ipaddresspools.ovenbird.dev', 'l2advertisements.ovenbird.dev']);
    for (const { status } of items) {
      expect(status.conditions.filter(({ type }) => type === 'NonStructuralSchema')).toEqual([]);
      expect(status.conditions).toContainEqual(expect.objectContaining({ type: 'Established', status: 'True' }));
      expect(status.conditions).toContainEqual(expect.objectContaining({ type: 'NamesAccepted', status: 'True' }));
    }
    expect(cluster.plane.kubectl(['get', 'ipap,l2ad'])).toBe('');
  });

  test('a pool gets its defaults and unknown fields are dropped', async () => {
    const stored = await apply(pool({ addresses: ['192.0.2.0/24'], typo: 1 }, 'defaults'));
    expect(stored).toMatchObject({ spec: { addresses: ['192.0.2.0/24'], autoAssign: true, avoidBuggyIPs: false } });
    expect(stored).not.toHaveProperty('spec.typo');
  });

  test.each([
    '192.0.2.0/24',
    '192.0.2.7',
    '192.0.2.10-192.0.2.20',
    '192.0.2.10 - 192.0.2.20',
    '2001:db8::/64',
    '2001:db8::1-2001:db8::ff',
    // Only the controller can tell that this one is reversed; it says so in the condition.
    '192.0.2.20-192.0.2.10',
  ])('the range %j is admitted', async (text) => {
    const name = `ok-${text.replaceAll(/[^a-z0-9]/g, '-')}`;
    expect(await apply(pool({ addresses: [text] }, name))).toMatchObject({ spec: { addresses: [text] } });
  });

  const syntax = /spec\.addresses\[0\]: Invalid value: "[^"]*": must be a prefix without host bits/;
  test.each([
    ['192.0.2.0/33', syntax],
    ['192.0.2.5/24', syntax],
    ['192.0.2', syntax],
    ['not-an-address', syntax],
    ['192.0.2.1-', syntax],
    ['192.0.2.1-192.0.2.2-192.0.2.3', syntax],
    ['192.0.2.1-2001:db8::1', syntax],
    ['010.0.0.1', syntax],
    ['fe80::1%eth0', syntax],
    ['::ffff:192.0.2.1', syntax],
    ['', /spec\.addresses\[0\]/],
  ])('the range %j is refused at the door', async (text, message) => {
    expect(await apply(pool({ addresses: [text] }))).toMatch(message);
  });

  test.each([
    ['a pool without addresses', pool({ addresses: [] }), /spec\.addresses: Invalid value: 0: .*at least 1 items/],
    ['a pool without a list', pool({}), /spec\.addresses: Required value/],
    ['a pool without a spec', { ...pool({}), spec: undefined }, /spec: Required value/],
    ['a text for a boolean', pool({ addresses: ['192.0.2.1'], autoAssign: 'yes' }), /autoAssign.*boolean/],
    [
      'an interface with a slash',
      advertisement({ interfaces: ['eth/0'] }),
      /spec\.interfaces\[0\]: Invalid value: "eth\/0": must be the name of a network interface/,
    ],
    ['an interface twice', advertisement({ interfaces: ['eth0', 'eth0'] }), /spec\.interfaces\[1\]: Duplicate value/],
    [
      'an interface with a long name',
      advertisement({ interfaces: ['a-name-too-long1'] }),
      /spec\.interfaces\[0\]: Too long/,
    ],
    [
      'a selector with In and no values',
      advertisement({ nodeSelectors: [{ matchExpressions: [{ key: 'a', operator: 'In' }] }] }),
      /In and NotIn need values/,
    ],
    [
      'a selector with Exists and values',
      advertisement({ nodeSelectors: [{ matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] }] }),
      /Exists and DoesNotExist take none/,
    ],
    [
      'an unknown operator',
      advertisement({ nodeSelectors: [{ matchExpressions: [{ key: 'a', operator: 'Gt', values: ['1'] }] }] }),
      /Unsupported value: "Gt"/,
    ],
  ])('%s is refused at the door', async (_, object, message) => {
    expect(await apply(object)).toMatch(message);
  });

  test('an advertisement without any field is one for everything', async () => {
    expect(await apply(advertisement({}, 'all'))).toMatchObject({ spec: {} });
  });
});
