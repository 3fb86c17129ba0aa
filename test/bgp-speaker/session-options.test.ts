import { describe, expect, test } from '@jest/globals';
import { BgpOptionsError } from '../../src/bgp-speaker/errors.ts';
import { decodeOpen, encodeOpen } from '../../src/bgp-speaker/message/open.ts';
import { resolveSessionOptions, type SessionOptions } from '../../src/bgp-speaker/session/session-options.ts';

const least: SessionOptions = { localAs: 65001, peerAs: 'external', identifier: '10.0.0.1' };

describe('resolveSessionOptions', () => {
  test('defaults', () => {
    const { local, ...rest } = resolveSessionOptions(least);
    expect(rest).toEqual({
      expectedAs: 'external',
      passive: false,
      connectRetrySeconds: 10,
      openHoldSeconds: 240,
      idleHoldSeconds: 1,
      maximumIdleHoldSeconds: 120,
      stableSeconds: 60,
    });
    expect(decodeOpen(encodeOpen(local).subarray(19))).toEqual(local);
    expect(local).toMatchObject({ asNumber: 65001, holdTimeSeconds: 90 });
    expect(local.capabilities).toEqual({
      families: ['ipv4-unicast', 'ipv6-unicast'],
      routeRefresh: true,
      enhancedRouteRefresh: true,
      extendedMessages: false,
      ipv4NextHopOverIpv6: true,
      fourOctetAs: 65001,
    });
  });

  test('graceful restart covers the families of the session', () => {
    const gracefulRestart = {
      restartTimeSeconds: 30,
      restarted: true,
      forwarding: true,
      longLivedStaleTimeSeconds: 600,
    };
    const { local } = resolveSessionOptions({ ...least, families: ['ipv6-unicast'], gracefulRestart });
    expect(local.capabilities).toMatchObject({
      ipv4NextHopOverIpv6: false,
      gracefulRestart: {
        restarted: true,
        notification: true,
        restartTimeSeconds: 30,
        families: [{ family: 'ipv6-unicast', forwarding: true }],
      },
      longLivedGracefulRestart: [{ family: 'ipv6-unicast', forwarding: true, staleTimeSeconds: 600 }],
    });
  });

  test.each<[string, Partial<SessionOptions>]>([
    ['localAs', { localAs: 0 }],
    ['localAs', { localAs: 2 ** 32 }],
    ['peerAs', { peerAs: 1.5 }],
    ['peerAs', { peerAs: 'auto' as 'any' }],
    ['peerAs', { peerAs: [] }],
    ['peerAs', { peerAs: [65001, 0] }],
    ['peerAs', { peerAs: [65001, 2 ** 32] }],
    ['peerAs', { peerAs: ['external'] as never }],
    ['peerAs', { peerAs: { 0: 65001 } as never }],
    ['peerAs', { peerAs: undefined as never }],
    ['identifier', { identifier: '0.0.0.0' }],
    ['identifier', { identifier: '2001:db8::1' }],
    ['identifier', { identifier: 'router' }],
    ['families', { families: [] }],
    ['families', { families: ['l2vpn-evpn' as 'ipv4-unicast'] }],
    ['holdTimeSeconds', { holdTimeSeconds: 2 }],
    ['holdTimeSeconds', { holdTimeSeconds: 65_536 }],
    ['connectRetrySeconds', { connectRetrySeconds: 0 }],
    ['openHoldSeconds', { openHoldSeconds: 0 }],
    ['idleHoldSeconds', { idleHoldSeconds: 0 }],
    ['maximumIdleHoldSeconds', { idleHoldSeconds: 10, maximumIdleHoldSeconds: 9 }],
    ['stableSeconds', { stableSeconds: 0.5 }],
    ['sendHoldSeconds', { sendHoldSeconds: -1 }],
    ['sendHoldSeconds', { sendHoldSeconds: 131_071 }],
    ['sendHoldSeconds', { sendHoldSeconds: 90 }],
    ['sendHoldSeconds', { holdTimeSeconds: 3, sendHoldSeconds: 3 }],
    ['holdTimeSeconds', { holdTimeSeconds: Number.NaN, sendHoldSeconds: 60 }],
    [
      'gracefulRestart.restartTimeSeconds',
      { gracefulRestart: { restartTimeSeconds: 4096, restarted: false, forwarding: false } },
    ],
    [
      'gracefulRestart.longLivedStaleTimeSeconds',
      {
        gracefulRestart: {
          restartTimeSeconds: 1,
          restarted: false,
          forwarding: false,
          longLivedStaleTimeSeconds: 2 ** 24,
        },
      },
    ],
  ])('%s is named: %j', (field, change) => {
    let thrown: unknown;
    try {
      resolveSessionOptions({ ...least, ...change });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(BgpOptionsError);
    expect((thrown as BgpOptionsError).problems.map((problem) => problem.field)).toEqual([field]);
    expect((thrown as BgpOptionsError).message).toMatch(new RegExp(`^${field}: `));
  });

  test('a send hold time is greater than the hold time (RFC 9687); with none of these there is nothing to exceed', () => {
    const sendHold = (holdTimeSeconds: number | undefined, sendHoldSeconds: number) =>
      resolveSessionOptions({
        ...least,
        ...(holdTimeSeconds === undefined ? {} : { holdTimeSeconds }),
        sendHoldSeconds,
      }).sendHoldSeconds;
    expect(() => sendHold(90, 60)).toThrow(
      'sendHoldSeconds: 60 is not greater than holdTimeSeconds, 90: give more, 0 for none, or leave it out',
    );
    expect([sendHold(undefined, 91), sendHold(65_535, 131_070), sendHold(90, 0)]).toEqual([91, 131_070, 0]);
    expect([sendHold(0, 0), sendHold(0, 1)]).toEqual([0, 1]);
  });

  test('a list of AS numbers is copied', () => {
    const peerAs = [65001, 65002];
    const { expectedAs } = resolveSessionOptions({ ...least, peerAs });
    peerAs.push(65003);
    expect(expectedAs).toEqual([65001, 65002]);
  });

  test('all wrong fields are named at once', () => {
    expect(() => resolveSessionOptions({ ...least, localAs: 0, identifier: 'x' })).toThrow(
      /^localAs: .*; identifier: /,
    );
  });
});
