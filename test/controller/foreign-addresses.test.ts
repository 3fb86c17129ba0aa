import { describe, expect, test } from '@jest/globals';
import { allocated, get, ips, Life, pool } from './controller-life.ts';
import { FakeServices } from './fake-services.ts';

describe('an address that another implementation gave to its Service', () => {
  const pools = [pool('a', '192.0.2.1-192.0.2.2')];
  const foreign = (api: FakeServices, name: string, ...ingress: string[]) => {
    if (!get(api, name)) api.create(name, { loadBalancerClass: 'example.com/other' });
    api.edit(name, (service) => {
      service.status = { loadBalancer: { ingress: ingress.map((ip) => ({ ip })) } };
    });
  };

  test.each([
    ['before this controller began', true],
    ['while it runs', false],
  ])('%s is not given to ours, until it is given up', async (_, early) => {
    const api = new FakeServices();
    if (early) foreign(api, 'theirs', '192.0.2.1');
    const life = new Life(api, pools);
    if (!early) foreign(api, 'theirs', '192.0.2.1');
    await life.settle(['theirs']);
    api.create('ours');
    api.create('asks', { loadBalancerIP: '192.0.2.1' });
    await life.settle(['theirs', 'ours', 'asks']);
    expect(ips(get(api, 'ours'))).toEqual(['192.0.2.2']);
    expect(allocated(get(api, 'asks'))).toMatchObject({
      reason: 'AddressInUse',
      message: expect.stringContaining('in use by Service "default/theirs"'),
    });
    expect(api.writes.filter((write) => write.endsWith('theirs'))).toEqual([]);
    api.delete('theirs');
    await life.settle(['theirs']);
    await life.settle(['ours', 'asks']);
    expect(ips(get(api, 'asks'))).toEqual(['192.0.2.1']);
  });

  test('stays taken as long as one of the Services that share it is there, and follows a move', async () => {
    const api = new FakeServices();
    foreign(api, 'one', '192.0.2.1');
    foreign(api, 'two', '192.0.2.1', '203.0.113.5');
    const life = new Life(api, [pool('a', '192.0.2.1')]);
    api.create('ours');
    await life.settle(['one', 'two', 'ours']);
    api.delete('one');
    await life.settle(['one']);
    await life.settle(['two', 'ours']);
    expect(ips(get(api, 'ours'))).toEqual([]);
    foreign(api, 'two', '203.0.113.5');
    await life.settle(['two']);
    await life.settle(['ours']);
    expect(ips(get(api, 'ours'))).toEqual(['192.0.2.1']);
  });

  test('that ours has already stays ours, and is not given on when ours lets it go', async () => {
    const api = new FakeServices();
    const life = new Life(api, [pool('a', '192.0.2.1')]);
    api.create('ours');
    await life.settle(['ours']);
    foreign(api, 'theirs', '192.0.2.1');
    await life.settle(['theirs', 'ours']);
    const next = new Life(api, [pool('a', '192.0.2.1')]);
    await next.settle(['theirs', 'ours']);
    expect(ips(get(api, 'ours'))).toEqual(['192.0.2.1']);
    api.create('waits');
    api.delete('ours');
    await next.settle(['ours']);
    await next.settle(['waits', 'theirs']);
    expect(ips(get(api, 'waits'))).toEqual([]);
  });

  test('is taken also when the pool that holds it comes later', async () => {
    const api = new FakeServices();
    foreign(api, 'theirs', '192.0.2.1');
    const life = new Life(api, []);
    api.create('ours');
    await life.settle(['theirs', 'ours']);
    life.allocator.setPools(pools);
    life.reconciler.poolsChanged();
    await life.settle(['ours']);
    expect(ips(get(api, 'ours'))).toEqual(['192.0.2.2']);
  });

  test('is free for the Service itself when it comes to us', async () => {
    const api = new FakeServices();
    foreign(api, 'web', '192.0.2.2');
    const life = new Life(api, pools);
    await life.settle(['web']);
    api.edit('web', (service) => {
      service.spec.loadBalancerClass = 'ovenbird.dev/loadbalancer';
      service.spec.loadBalancerIP = '192.0.2.2';
      service.status = {};
    });
    await life.settle(['web']);
    expect(ips(get(api, 'web'))).toEqual(['192.0.2.2']);
  });
});
