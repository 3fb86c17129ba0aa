import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { ClientProbe } from '../../lab/demo/client-probe.ts';
import { waitFor } from '../../lab/processes.ts';
import { requestAnnotations } from '../../src/api/index.ts';
import { describeLab, lab } from './lab-setup.ts';
import { shown } from './measured.ts';
import { rowsOf } from './northbound-rows.ts';
import { addressIn, pools, Stage } from './stage.ts';
import { ask } from './workload.ts';

const name = 'e2e-bad-input';
const [addressKey] = requestAnnotations.loadBalancerIPs;
const malformed = [
  '10.77.0.256',
  '10.77.0.0/33',
  '10.77.0.75/24',
  '10.77.0.75-',
  '10.77.0.75-fd77::75',
  'seventy-five',
];
jest.setTimeout(90_000);

/** Whatever is asked for wrongly is said on the object that asks, and harms no other. */
describeLab('bad input', () => {
  let stage: Stage;
  let probe: ClientProbe;
  let address = '';
  let resourceVersion: string | undefined;

  beforeAll(async () => {
    stage = await Stage.open(lab, name, ['10.77.0.70-10.77.0.74']);
    await stage.pods('web', 2);
    await stage.createService('bystander', 'web');
    address = await stage.addressOf('bystander');
    await waitFor(
      `http://${address}: an answer`,
      30_000,
      async () => (await ask(lab, 'client', `http://${address}/`)) !== undefined,
    );
    ({ resourceVersion } = (await stage.service('bystander')).metadata);
    probe = new ClientProbe({ address, port: 80, everyMs: 50, timeoutMs: 5_000 });
    await probe.until('the bystander answers', 30_000, (results) => results.length >= 5);
  }, 240_000);

  afterEach(async () => {
    const soFar = probe.results.length;
    await probe.until('the bystander goes on answering', 30_000, (results) => results.length >= soFar + 10);
    expect(probe.results.filter(({ ok }) => !ok)).toEqual([]);
    const bystander = await stage.service('bystander');
    expect(addressIn(bystander)).toBe(address);
    expect(bystander.metadata.resourceVersion).toBe(resourceVersion);
  }, 60_000);

  afterAll(async () => {
    shown('requests to the bystander, all answered', [probe?.results.length ?? 0], '');
    probe?.stop();
    await stage?.close();
  }, 180_000);

  const asking = (pool: string | null, wanted?: string) => ({
    spec: {},
    pool,
    ...(wanted === undefined ? {} : { annotations: { [addressKey]: wanted } }),
  });

  describe('a pool', () => {
    test('with a malformed range is not accepted, and the answer says what would be', async () => {
      for (const range of malformed) {
        const creation = stage.createPool('e2e-bad-range', [range]);
        await expect(creation).rejects.toThrow(
          /spec\.addresses\[0\].*must be a prefix without host bits .* a range .* or an address/,
        );
      }
    });

    test('with a reversed range: said, and its other range is in use', async () => {
      await stage.createPool('e2e-bad-reversed', ['10.77.0.79-10.77.0.76', '10.77.0.75']);
      expect(await stage.poolSays('e2e-bad-reversed', 'InvalidRange')).toMatch(
        /^spec\.addresses\[0\]: .*10\.77\.0\.79/,
      );
      await stage.createService('of-reversed', 'web', asking('e2e-bad-reversed'));
      expect(await stage.addressOf('of-reversed')).toBe('10.77.0.75');
      await stage.deleteService('of-reversed');
      await stage.client.delete(pools, { name: 'e2e-bad-reversed' });
    });

    test('without any usable range: its Services wait, and have their addresses once it is corrected', async () => {
      await stage.createPool('e2e-bad-multicast', ['224.0.0.10-224.0.0.20']);
      expect(await stage.poolSays('e2e-bad-multicast', 'InvalidRange')).toContain('multicast');
      await stage.createService('waiting', 'web', asking('e2e-bad-multicast'));
      expect(await stage.refused('waiting', 'PoolNotReady')).toContain('"e2e-bad-multicast"');
      const body = { spec: { addresses: ['10.77.0.76'] } };
      await stage.client.patch(pools, { name: 'e2e-bad-multicast' }, { type: 'merge', body });
      expect(await stage.addressOf('waiting')).toBe('10.77.0.76');
      await stage.poolSays('e2e-bad-multicast', 'Valid');
      await stage.deleteService('waiting');
      await stage.client.delete(pools, { name: 'e2e-bad-multicast' });
    });

    test('that overlaps an older one is refused that range, and has it once the older one goes', async () => {
      // The names are so that their order says the contrary of their age; creation times are whole seconds.
      await stage.createPool('e2e-bad-z-older', ['10.77.0.75-10.77.0.76']);
      const { creationTimestamp = '' } = (await stage.client.get(pools, { name: 'e2e-bad-z-older' })).metadata;
      await waitFor('the next second', 10_000, () =>
        Promise.resolve(Date.now() > Date.parse(creationTimestamp) + 1_000),
      );
      await stage.createPool('e2e-bad-a-newer', ['10.77.0.76-10.77.0.77']);
      expect(await stage.poolSays('e2e-bad-a-newer', 'OverlapsPool')).toContain('of the older pool "e2e-bad-z-older"');
      await stage.poolSays('e2e-bad-z-older', 'Valid');
      await stage.createService('of-newer', 'web', asking('e2e-bad-a-newer'));
      await stage.refused('of-newer', 'PoolNotReady');

      await stage.client.delete(pools, { name: 'e2e-bad-z-older' });
      expect(await stage.addressOf('of-newer')).toMatch(/^10\.77\.0\.7[67]$/);
      await stage.poolSays('e2e-bad-a-newer', 'Valid');
      await stage.deleteService('of-newer');
      await stage.client.delete(pools, { name: 'e2e-bad-a-newer' });
    });

    test('that overlaps the pool in use takes nothing away from it', async () => {
      await stage.createPool('e2e-bad-over-all', ['10.77.0.64/26']);
      expect(await stage.poolSays('e2e-bad-over-all', 'OverlapsPool')).toContain(`"${name}"`);
      await stage.client.delete(pools, { name: 'e2e-bad-over-all' });
    });
  });

  describe('a Service', () => {
    test('that asks for an address outside every pool', async () => {
      for (const pool of [name, null]) {
        await stage.createService('outside', 'web', asking(pool, '10.99.0.1'));
        expect(await stage.refused('outside', 'AddressNotInPools')).toContain('10.99.0.1');
        await stage.deleteService('outside');
      }
    });

    test('that asks for an address another one has is told which, and has it after that one', async () => {
      await stage.createService('robber', 'web', asking(name, address));
      expect(await stage.refused('robber', 'AddressInUse')).toContain(`"${name}/bystander"`);
      expect(await rowsOf(lab, `${name}/robber`)).toEqual([
        expect.objectContaining({ scope: 'cluster-ip' }),
        expect.objectContaining({ scope: 'node-port' }),
      ]);
      await stage.deleteService('robber');

      await stage.createService('holder', 'web', asking(name, '10.77.0.73'));
      await stage.addressOf('holder');
      await stage.createService('heir', 'web', asking(name, '10.77.0.73'));
      expect(await stage.refused('heir', 'AddressInUse')).toContain(`"${name}/holder"`);
      await stage.deleteService('holder');
      expect(await stage.addressOf('heir')).toBe('10.77.0.73');
      await stage.deleteService('heir');
    });

    test('that has an address and asks for one it cannot have keeps its own', async () => {
      await stage.createService('keeper', 'web', asking(name, '10.77.0.72'));
      await stage.addressOf('keeper');
      await stage.changeService('keeper', { metadata: { annotations: { [addressKey]: address } } });
      expect(await stage.refused('keeper', 'AddressInUse')).toContain('keeps 10.77.0.72');
      expect(addressIn(await stage.service('keeper'))).toBe('10.77.0.72');
      await waitFor('it answers', 30_000, async () => (await ask(lab, 'client', 'http://10.77.0.72/')) !== undefined);
      await stage.deleteService('keeper');
    });

    test('that names an unknown pool, until there is one', async () => {
      await stage.createService('lost', 'web', asking('e2e-bad-later'));
      expect(await stage.refused('lost', 'UnknownPool')).toContain('"e2e-bad-later"');
      await stage.createPool('e2e-bad-later', ['10.77.0.78']);
      expect(await stage.addressOf('lost')).toBe('10.77.0.78');
      await stage.deleteService('lost');
      await stage.client.delete(pools, { name: 'e2e-bad-later' });
    });

    test('of a pool that is exhausted, until another one gives its address back', async () => {
      await stage.createPool('e2e-bad-single', ['10.77.0.79']);
      await stage.createService('one', 'web', asking('e2e-bad-single'));
      await stage.addressOf('one');
      await stage.createService('two', 'web', asking('e2e-bad-single'));
      expect(await stage.refused('two', 'PoolExhausted')).toContain('"e2e-bad-single"');
      await stage.deleteService('one');
      expect(await stage.addressOf('two')).toBe('10.77.0.79');
      await stage.deleteService('two');
      await stage.client.delete(pools, { name: 'e2e-bad-single' });
    });

    test('whose annotation and spec.loadBalancerIP contradict each other, until they agree', async () => {
      const wish = { spec: { loadBalancerIP: '10.77.0.73' }, annotations: { [addressKey]: '10.77.0.74' } };
      await stage.createService('torn', 'web', wish);
      const message = await stage.refused('torn', 'ConflictingRequests');
      expect(message).toContain('10.77.0.74');
      expect(message).toContain('10.77.0.73');
      expect(addressIn(await stage.service('torn'))).toBe('');
      await stage.changeService('torn', { spec: { loadBalancerIP: null } });
      expect(await stage.addressOf('torn')).toBe('10.77.0.74');
      await stage.deleteService('torn');
    });

    test('whose request is no address, or one of a family that it has not', async () => {
      for (const wanted of ['seventy-three', 'fd77::73', '10.77.0.73,10.77.0.74']) {
        await stage.createService('unreadable', 'web', asking(name, wanted));
        expect(await stage.refused('unreadable', 'InvalidRequest')).toContain(addressKey);
        await stage.deleteService('unreadable');
      }
    });

    test('that is headless: the API server refuses it', async () => {
      const creation = stage.createService('headless', 'web', { spec: { clusterIP: 'None' } });
      await expect(creation).rejects.toThrow(/None/);
    });

    test('of another class is not touched at all', async () => {
      const before = await stage.createService('foreign', 'web', {
        spec: { loadBalancerClass: 'example.com/other' },
        annotations: { [addressKey]: '10.77.0.73' },
      });
      // What was created after it is served: the controller has seen it by then, and the conditions' review has passed.
      await stage.createService('after', 'web', asking(name, '10.77.0.73'));
      expect(await stage.addressOf('after')).toBe('10.77.0.73');
      await waitFor('its ClusterIP in OVN', 30_000, async () => (await rowsOf(lab, `${name}/foreign`)).length > 0);
      await stage.deleteService('after');

      const { metadata, status } = await stage.service('foreign');
      expect(metadata.resourceVersion).toBe(before.metadata.resourceVersion);
      expect(status).toEqual({ loadBalancer: {} });
      expect(metadata.finalizers ?? []).toEqual([]);
      expect(metadata.annotations).toEqual(before.metadata.annotations);
      expect(await stage.eventsAbout('Service', 'foreign')).toEqual([]);
      const scopes = (await rowsOf(lab, `${name}/foreign`)).map(({ scope }) => scope);
      expect(scopes).toEqual(['cluster-ip', 'node-port']);
    });
  });
});
