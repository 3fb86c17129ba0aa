import { describe, expect, test } from '@jest/globals';
import { get, ips, Life, pool } from './controller-life.ts';
import { FakeServices } from './fake-services.ts';

describe('another program that writes the status of our Service', () => {
  async function setUp(spec = {}) {
    const api = new FakeServices();
    const life = new Life(api, [pool('a', '192.0.2.1-192.0.2.9')]);
    api.create('web', spec);
    await life.reconcile('web');
    const rival = (ip: string | undefined) =>
      api.edit('web', (service) => {
        service.status = { ...service.status, loadBalancer: ip === undefined ? {} : { ingress: [{ ip }] } };
      });
    return { api, life, rival };
  }

  test.each([
    ['of a Service with an address', {}, ['192.0.2.1']],
    ['of a Service that can have none', { loadBalancerIP: '203.0.113.1' }, []],
  ])('is corrected at once, but not for ever at full speed: %s', async (_, spec, ours) => {
    const { api, life, rival } = await setUp(spec);
    let writes = 0;
    for (let elapsedMs = 0; elapsedMs < 3_600_000; elapsedMs += 1_000) {
      // It answers each of our writes, and is never tired of it.
      if (ips(get(api, 'web'))[0] !== '10.0.0.5') rival('10.0.0.5');
      api.writes = [];
      const { requeueAfterMs = 0 } = await life.reconcile('web');
      writes += api.writes.length;
      if (elapsedMs < 5_000) expect(ips(get(api, 'web'))).toEqual(ours);
      else if (api.writes.length === 0) expect(requeueAfterMs).toBeGreaterThan(0);
      await life.clock.advance(1_000);
    }
    expect(writes).toBeGreaterThan(300);
    expect(writes).toBeLessThan(400);
  });

  test('is told, with what it wrote and what to do', async () => {
    const { life, rival } = await setUp();
    rival('10.0.0.5');
    await life.reconcile('web');
    expect(life.announced.at(-1)).toEqual({
      service: 'web',
      type: 'Warning',
      reason: 'StatusOverwritten',
      note: expect.stringMatching(/^somebody else wrote 10\.0\.0\.5 .* 192\.0\.2\.1 .*spec\.loadBalancerClass/),
    });
  });

  test('now and then is corrected at once, as long as it goes on', async () => {
    const { api, life, rival } = await setUp();
    for (let times = 0; times < 30; times++) {
      rival(times % 2 === 0 ? '10.0.0.5' : undefined);
      await life.reconcile('web');
      expect(ips(get(api, 'web'))).toEqual(['192.0.2.1']);
      await life.clock.advance(10_000);
    }
  });

  test('does not hold up another address that the Service asks for', async () => {
    const { api, life, rival } = await setUp();
    for (let times = 0; times < 9; times++) {
      rival('10.0.0.5');
      await life.reconcile('web');
    }
    expect(ips(get(api, 'web'))).toEqual(['10.0.0.5']);
    api.edit('web', ({ metadata }) => {
      Object.assign(metadata.annotations ?? {}, { 'ovenbird.dev/loadBalancerIPs': '192.0.2.7' });
    });
    await life.reconcile('web');
    expect(ips(get(api, 'web'))).toEqual(['192.0.2.7']);
  });

  test('is forgotten with the Service', async () => {
    const { api, life, rival } = await setUp();
    for (let times = 0; times < 9; times++) {
      rival('10.0.0.5');
      await life.reconcile('web');
    }
    api.edit('web', ({ spec }) => {
      spec.type = 'ClusterIP';
    });
    await life.settle(['web']);
    api.edit('web', ({ spec, metadata }) => {
      spec.type = 'LoadBalancer';
      metadata.annotations = { 'ovenbird.dev/loadBalancerIPs': '192.0.2.1' };
    });
    await life.settle(['web']);
    expect(ips(get(api, 'web'))).toEqual(['192.0.2.1']);
    expect(life.announced.at(-1)?.reason).toBe('Allocated');
  });
});
