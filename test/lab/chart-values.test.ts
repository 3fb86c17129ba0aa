import { describe, expect, test } from '@jest/globals';
import { chartValues } from '../../lab/chart.ts';
import { describeLab } from '../../lab/lab.ts';

const image = { name: 'registry.local/ovenbird:dev-0123', archive: '/cache/ovenbird-0123.tar' };

describe('the values of the chart', () => {
  const valuesFor = (ovn: 'full' | 'external' | 'off') =>
    chartValues(describeLab({ checkout: '/checkout', nodes: 1, ovn, router: 'bird' }), image);

  test('API server and northbound database are named by address, the image by its build', () => {
    expect(valuesFor('full')).toEqual({
      image: { repository: 'registry.local/ovenbird', tag: 'dev-0123' },
      apiServer: { host: '172.31.40.1', port: 6443 },
      ovn: { mode: 'full', northbound: 'tcp:172.31.40.1:6641' },
    });
  });

  test('without OVN no database is named', () => {
    expect(valuesFor('off')).toMatchObject({ ovn: { mode: 'off', northbound: '' } });
  });
});
