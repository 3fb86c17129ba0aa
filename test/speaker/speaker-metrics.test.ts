import { describe, expect, test } from '@jest/globals';
import { ManualClock, silentLogger } from '../../src/base/index.ts';
import { HostAgent, type HostAgentStatus } from '../../src/speaker/host-agent/index.ts';
import { speakerMetrics } from '../../src/speaker/speaker-metrics.ts';

const idle = new HostAgent({ clock: new ManualClock(), logger: silentLogger }).status();

function hostLines(status: HostAgentStatus | undefined): string[] {
  const registry = speakerMetrics({
    caches: {},
    reports: () => new Map(),
    segments: () => [],
    hostAgent: () => status,
  });
  return registry
    .text()
    .split('\n')
    .filter((line) => line.startsWith('ovenbird_host_agent_'));
}

describe('metrics of the host agent', () => {
  test('say what it did and whether traffic has a way from here', () => {
    expect(hostLines({ ...idle, state: 'applied', carries: false, repairs: 3 })).toEqual([
      'ovenbird_host_agent_applied 1',
      'ovenbird_host_agent_carries 0',
      'ovenbird_host_agent_repairs_total 3',
    ]);
    expect(hostLines({ ...idle, state: 'failing', carries: true })).toEqual([
      'ovenbird_host_agent_applied 0',
      'ovenbird_host_agent_carries 1',
      'ovenbird_host_agent_repairs_total 0',
    ]);
  });

  test('are absent where it does not run', () => {
    expect(hostLines(undefined)).toEqual([]);
  });
});
