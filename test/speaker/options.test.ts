import { describe, expect, test } from '@jest/globals';
import { UsageError } from '../../src/base/index.ts';
import { parseSpeakerOptions } from '../../src/speaker/options.ts';

describe('options', () => {
  test('defaults', () => {
    expect(parseSpeakerOptions([], { NODE_NAME: 'node-1', POD_NAMESPACE: 'ns' })).toEqual({
      node: 'node-1',
      namespace: 'ns',
      httpPort: 7474,
      logLevel: 'info',
      loadBalancerClass: 'ovenbird.dev/loadbalancer',
      servesUnclassed: true,
      keySecret: 'ovenbird-speaker-key',
      heartbeatPort: 7472,
      heartbeatIntervalMs: 100,
      hostAgent: false,
      ovnInterface: 'ovn0',
    });
  });

  test('the host agent runs in OVN mode full only', () => {
    for (const mode of ['auto', 'full', 'external', 'off']) {
      expect(parseSpeakerOptions([`--ovn-mode=${mode}`], {}).hostAgent).toBe(mode === 'full');
    }
  });

  test.each([
    [['--load-balancer-class=not a class'], /--load-balancer-class=not a class: give a class like/],
    [['--default-load-balancer-class=yes'], /--default-load-balancer-class=yes: give one of true, false/],
    [['--heartbeat-interval-ms=10'], /--heartbeat-interval-ms=10: give a whole number from 20 to 5000/],
    [['--heartbeat-port=0'], /--heartbeat-port=0: give a whole number from 1 to 65535/],
    [['--ovn-mode=maybe'], /--ovn-mode=maybe: give one of auto, full, external, off/],
    [['--log-level=loud'], /--log-level=loud: give one of/],
    [['--ovn-northbound=tcp:192.0.2.1:6641'], /--ovn-northbound/],
  ])('%j is refused', (args, message) => {
    expect(() => parseSpeakerOptions(args, {})).toThrow(message);
    expect(() => parseSpeakerOptions(args, {})).toThrow(UsageError);
  });
});
