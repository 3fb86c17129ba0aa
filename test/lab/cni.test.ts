import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { chooseAddress } from '../../lab/cni/pod-address.ts';
import { hostInterfaceOf, parseAttachment, parseConfiguration, portNameOf } from '../../lab/cni/request.ts';
import { groupsForFrr } from '../../lab/hosts.ts';

const configuration = {
  cniVersion: '1.0.0',
  name: 'lab',
  type: 'ovenbird-lab',
  northbound: 'tcp:172.31.40.1:6641',
  switchDatabase: 'unix:/run/openvswitch/db.sock',
  logicalSwitch: 'ovn-default',
  portGroup: 'ovn.default.node.1',
  cidr: '10.16.0.0/16',
  gateway: '10.16.0.1',
  mtu: 1400,
};

const environment = {
  CNI_CONTAINERID: 'c0ffee0123456789',
  CNI_NETNS: '/run/netns/cni-1',
  CNI_IFNAME: 'eth0',
  CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1.a;K8S_POD_UID=u=v',
};

describe('CNI requests', () => {
  test('the pod is known by the runtime’s arguments', () => {
    const attachment = parseAttachment(environment);
    expect(attachment).toEqual({
      containerId: 'c0ffee0123456789',
      netns: '/run/netns/cni-1',
      interfaceName: 'eth0',
      pod: 'web-1.a',
      namespace: 'shop',
    });
    expect(portNameOf(attachment)).toBe('web-1.a.shop');
    expect(hostInterfaceOf(attachment.containerId)).toBe('c0ffee012345_h');
  });

  test('DEL may come without a network namespace', () => {
    expect(parseAttachment({ ...environment, CNI_NETNS: '' }).netns).toBeUndefined();
  });

  test.each(['CNI_CONTAINERID', 'CNI_IFNAME'])('%s must be set', (name) => {
    expect(() => parseAttachment({ ...environment, [name]: '' })).toThrow(`${name} is not set`);
  });

  test('a container id that would be an option or a path is refused', () => {
    for (const id of ['-x', '../x', 'a b']) {
      expect(() => parseAttachment({ ...environment, CNI_CONTAINERID: id })).toThrow('not a container id');
    }
  });

  test('a configuration is taken as it is, or the field is named', () => {
    expect(parseConfiguration(JSON.stringify(configuration))).toEqual(configuration);
    for (const field of ['northbound', 'switchDatabase', 'portGroup', 'mtu']) {
      expect(() => parseConfiguration(JSON.stringify({ ...configuration, [field]: undefined }))).toThrow(field);
    }
    expect(() => parseConfiguration('{')).toThrow('not JSON');
    expect(() => parseConfiguration(JSON.stringify({ ...configuration, cniVersion: '0.2.0' }))).toThrow('0.2.0');
  });
});

describe('pod addresses', () => {
  test('are in the network, free, and neither its first nor its last', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 14 }), { maxLength: 13 }), fc.string(), (taken, seed) => {
        const address = chooseAddress('10.16.3.0/28', new Set(taken.map((last) => `10.16.3.${last}`)), seed);
        const last = Number(address.replace('10.16.3.', ''));
        expect(last).toBeGreaterThanOrEqual(1);
        expect(last).toBeLessThanOrEqual(14);
        expect(taken).not.toContain(last);
      }),
    );
  });

  test('another container gets another address, the same one the same', () => {
    const of = (seed: string) => chooseAddress('10.16.0.0/16', new Set(), seed);
    expect(of('a')).toBe(of('a'));
    expect(new Set(['a', 'b', 'c', 'd'].map(of)).size).toBe(4);
  });

  test('a full network says so', () => {
    const all = new Set(['10.16.3.1', '10.16.3.2']);
    expect(() => chooseAddress('10.16.3.0/30', all, 'x')).toThrow('all 2 pod addresses are in use');
  });
});

test.each([
  ['frrvty:x:120:frr', 'frrvty:x:120:frr,root'],
  ['frrvty:x:120:', 'frrvty:x:120:root'],
  ['frrvty:x:120:root', 'frrvty:x:120:root'],
])('FRR’s group %s becomes %s', (line, expected) => {
  expect(groupsForFrr(`root:x:0:\n${line}\nnogroup:x:1:\n`)).toBe(`root:x:0:\n${expected}\nnogroup:x:1:\n`);
});
