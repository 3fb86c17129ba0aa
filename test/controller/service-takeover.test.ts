import { describe, expect, test } from '@jest/globals';
import { get, ips, Life, pool } from './controller-life.ts';
import { FakeServices } from './fake-services.ts';

describe('a new leader', () => {
  test.each([
    [
      'shows it before it asked for a load balancer',
      (api: FakeServices) => {
        api.create('web', { type: 'ClusterIP' });
        const before = get(api, 'web');
        api.edit('web', ({ spec }) => {
          spec.type = 'LoadBalancer';
        });
        return before;
      },
    ],
    [
      'shows the one that had its name before',
      (api: FakeServices) => {
        api.create('web');
        const before = get(api, 'web');
        api.delete('web');
        api.create('web');
        return before;
      },
    ],
  ])('whose cache still %s gives the address of a Service to nobody else', async (_, history) => {
    const api = new FakeServices();
    const before = history(api);
    await new Life(api, [pool('a', '192.0.2.1')]).reconcile('web');
    api.create('other');
    let lags = true;
    const cache = { get: (key: string) => (lags && key === 'default/web' ? before : api.store.get(key)) };
    const life = new Life(api, [pool('a', '192.0.2.1')], cache);
    await life.settle(['web', 'other']);
    expect([ips(get(api, 'web')), ips(get(api, 'other'))]).toEqual([['192.0.2.1'], []]);
    lags = false;
    await life.settle(['web', 'other']);
    expect([ips(get(api, 'web')), ips(get(api, 'other'))]).toEqual([['192.0.2.1'], []]);
  });

  test('that serves classless Services no more takes their addresses out of their status before others get them', async () => {
    const api = new FakeServices();
    const pools = [pool('a', '192.0.2.1-192.0.2.2')];
    for (const name of ['plain', 'taken-over']) api.create(name);
    await new Life(api, pools).settle(['plain', 'taken-over']);
    api.edit('taken-over', ({ status }) => {
      if (status)
        status.loadBalancer = { ingress: [{ ip: '192.0.2.2' }, { ip: '203.0.113.9' }, { hostname: 'lb.example' }] };
    });
    for (const name of ['b', 'c']) api.create(name, { loadBalancerClass: 'ovenbird.dev/loadbalancer' });
    api.onChange = (services) => {
      const all = [...services.values()].flatMap((service) => ips(service));
      expect(new Set(all).size).toBe(all.length);
    };
    const life = new Life(api, pools, api.store, false);
    await life.settle(['plain', 'taken-over', 'b', 'c']);
    expect([ips(get(api, 'plain')), ips(get(api, 'taken-over'))]).toEqual([[], ['203.0.113.9', undefined]]);
    expect([...ips(get(api, 'b')), ...ips(get(api, 'c'))].sort()).toEqual(['192.0.2.1', '192.0.2.2']);
    expect(get(api, 'plain')?.metadata.finalizers).toBeUndefined();
  });
});
