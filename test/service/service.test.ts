import { describe, expect, test } from '@jest/globals';
import type { Service } from '../../src/kube/objects.ts';
import { ingressOf, isOurs, readRequest, tracesOn } from '../../src/service/index.ts';

const service = (spec: Service['spec'], annotations: Record<string, string> = {}): Service => ({
  metadata: { name: 'web', namespace: 'default', annotations },
  spec: { type: 'LoadBalancer', clusterIP: '10.96.0.9', ipFamilies: ['IPv4'], ...spec },
});

describe('which Services are ours', () => {
  const ours = { loadBalancerClass: 'ovenbird.dev/loadbalancer', servesUnclassed: true };
  test.each([
    [{}, true, true],
    [{ loadBalancerClass: '' }, true, true],
    [{ loadBalancerClass: 'ovenbird.dev/loadbalancer' }, true, false],
    [{ loadBalancerClass: 'metallb.io/metallb' }, false, false],
    [{ type: 'ClusterIP' as const }, false, false],
    [{ type: 'NodePort' as const, loadBalancerClass: 'ovenbird.dev/loadbalancer' }, false, false],
  ])('%j', (spec, expected, onlyBecauseUnclassedAre) => {
    expect(isOurs(service(spec), ours)).toBe(expected);
    expect(isOurs(service(spec), { ...ours, servesUnclassed: false })).toBe(expected && !onlyBecauseUnclassedAre);
  });
});

describe('what a Service asks for', () => {
  const dual = { ipFamilies: ['IPv6' as const, 'IPv4' as const], ipFamilyPolicy: 'PreferDualStack' as const };
  test.each([
    ['nothing', {}, {}, { families: [4], policy: 'SingleStack', addresses: [], pool: undefined }],
    ['two families, in its order', dual, {}, { families: [6, 4], policy: 'PreferDualStack' }],
    ['a family known from the cluster IP only', { ipFamilies: [], clusterIPs: ['2001:db8::9'] }, {}, { families: [6] }],
    ['loadBalancerIP', { loadBalancerIP: '192.0.2.1' }, {}, { addresses: ['192.0.2.1'] }],
    ['the annotation', {}, { 'ovenbird.dev/loadBalancerIPs': ' 192.0.2.1 ' }, { addresses: ['192.0.2.1'] }],
    ['an alias', {}, { 'metallb.universe.tf/loadBalancerIPs': '192.0.2.1' }, { addresses: ['192.0.2.1'] }],
    [
      'ours before an alias',
      {},
      { 'metallb.io/loadBalancerIPs': '192.0.2.2', 'ovenbird.dev/loadBalancerIPs': '192.0.2.1' },
      { addresses: ['192.0.2.1'] },
    ],
    [
      'one address a family',
      dual,
      { 'metallb.io/loadBalancerIPs': '192.0.2.1,2001:db8::1' },
      { addresses: ['192.0.2.1', '2001:db8::1'] },
    ],
    [
      'both, and they agree',
      { loadBalancerIP: '192.0.2.1' },
      { 'ovenbird.dev/loadBalancerIPs': '192.0.2.1' },
      { addresses: ['192.0.2.1'] },
    ],
    [
      'both, one being part of the other',
      { ...dual, loadBalancerIP: '192.0.2.1' },
      { 'ovenbird.dev/loadBalancerIPs': '2001:db8::1,192.0.2.1' },
      { addresses: ['2001:db8::1', '192.0.2.1'] },
    ],
    [
      'an empty annotation',
      { loadBalancerIP: '192.0.2.1' },
      { 'ovenbird.dev/loadBalancerIPs': '' },
      { addresses: ['192.0.2.1'] },
    ],
    ['a pool', {}, { 'metallb.io/address-pool': 'public' }, { pool: 'public' }],
    ['an empty pool', {}, { 'ovenbird.dev/address-pool': ' ' }, { pool: undefined }],
  ])('%s', (_, spec, annotations, expected) => {
    const reading = readRequest(service(spec, annotations));
    expect(JSON.parse(JSON.stringify(reading))).toMatchObject({
      kind: 'request',
      request: JSON.parse(JSON.stringify(expected)),
    });
  });

  test.each([
    [{ clusterIP: 'None' }, {}, 'HeadlessService', /spec\.clusterIP is None/],
    [
      {},
      { 'ovenbird.dev/loadBalancerIPs': '192.0.2.1.5' },
      'InvalidRequest',
      /annotation ovenbird\.dev\/loadBalancerIPs: "192\.0\.2\.1\.5" is not/,
    ],
    [
      {},
      { 'metallb.io/loadBalancerIPs': '192.0.2.1,' },
      'InvalidRequest',
      /annotation metallb\.io\/loadBalancerIPs: "" is not/,
    ],
    [{ loadBalancerIP: 'web.example.org' }, {}, 'InvalidRequest', /spec\.loadBalancerIP: "web\.example\.org"/],
    [
      { loadBalancerIP: '2001:db8::1' },
      {},
      'InvalidRequest',
      /spec\.loadBalancerIP asks for 2001:db8::1, but spec\.ipFamilies of the Service is \[IPv4\]/,
    ],
    [
      {},
      { 'ovenbird.dev/loadBalancerIPs': '192.0.2.1,192.0.2.2' },
      'InvalidRequest',
      /192\.0\.2\.1 and 192\.0\.2\.2; a Service has one IPv4/,
    ],
    [
      { loadBalancerIP: '192.0.2.1' },
      { 'ovenbird.dev/loadBalancerIPs': '192.0.2.2' },
      'ConflictingRequests',
      /annotation ovenbird\.dev\/loadBalancerIPs asks for 192\.0\.2\.2, spec\.loadBalancerIP for 192\.0\.2\.1; remove one/,
    ],
  ])('%j %j: %s', (spec, annotations, reason, message) => {
    expect(readRequest(service(spec as Service['spec'], annotations as unknown as Record<string, string>))).toEqual({
      kind: 'problem',
      reason,
      message: expect.stringMatching(message),
    });
  });
});

test('addresses in the status, without host names and nonsense', () => {
  const ingress = [{ ip: '192.0.2.1' }, { hostname: 'x.example' }, { ip: '010.0.0.1' }, { ip: '2001:DB8::1' }];
  expect(ingressOf({ ...service({}), status: { loadBalancer: { ingress } } }).map(String)).toEqual([
    '192.0.2.1',
    '2001:db8::1',
  ]);
  expect(ingressOf(service({}))).toEqual([]);
});

test('traces of an earlier life', () => {
  expect(tracesOn(service({}))).toEqual({
    finalizer: false,
    claimedFor: undefined,
    allocatedFrom: [],
    conditions: false,
  });
  const condition = { status: 'True' as const, lastTransitionTime: '', reason: 'x', message: '' };
  const marked: Service = {
    ...service({}, { 'ovenbird.dev/ip-allocated-from-pool': 'a,b', 'ovenbird.dev/claimed-for-class': 'x/y' }),
    status: { conditions: [{ ...condition, type: 'ovenbird.dev/IPAllocated' }] },
  };
  marked.metadata.finalizers = ['other', 'service.kubernetes.io/load-balancer-cleanup'];
  expect(tracesOn(marked)).toEqual({ finalizer: true, claimedFor: 'x/y', allocatedFrom: ['a', 'b'], conditions: true });
  expect(tracesOn(service({}, { 'metallb.io/ip-allocated-from-pool': 'm' })).allocatedFrom).toEqual(['m']);
  const foreign: Service = { ...service({}), status: { conditions: [{ ...condition, type: 'other.io/Ready' }] } };
  expect(tracesOn(foreign).conditions).toBe(false);
});
