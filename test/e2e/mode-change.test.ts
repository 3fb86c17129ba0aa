import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { release } from '../../lab/chart.ts';
import { tryRun, waitFor } from '../../lab/processes.ts';
import { conditionTypes } from '../../src/api/index.ts';
import { describeLab, kubectl, lab, labCommand, repairLab } from './lab-setup.ts';
import { ownRows } from './northbound-rows.ts';
import { addressIn, conditionOf, Stage } from './stage.ts';
import { ask } from './workload.ts';

const name = 'e2e-mode';
const chart = 'charts/ovenbird';
jest.setTimeout(240_000);

/** From OVN mode full to off, as before an uninstall, and back. */
describeLab('a change of the OVN mode', () => {
  let stage: Stage;
  let address = '';

  beforeAll(async () => {
    stage = await Stage.open(lab, name, ['10.77.0.30-10.77.0.34']);
    await stage.pods('web', 2);
    await stage.createService('web', 'web');
    address = await stage.addressOf('web');
    await answers();
  }, 240_000);

  afterAll(async () => {
    // Also where the first test failed half-way.
    repairLab();
    await stage?.close();
  }, 240_000);

  const answers = () =>
    waitFor(
      `http://${address}: an answer`,
      60_000,
      async () => (await ask(lab, 'client', `http://${address}/`)) !== undefined,
    );
  /** What mode full has on a node: its nftables table, its route table, its rule. */
  const onHost = async (host: string) => {
    const say = async (command: string, ...args: string[]) =>
      (await tryRun(lab, { host, command, args })).stdout.trim();
    return {
      table: (await say('nft', 'list', 'tables')).includes('inet ovenbird'),
      rule: (await say('ip', 'rule')).includes('lookup 7472'),
      routes: await say('ip', 'route', 'show', 'table', '7472'),
    };
  };

  test('off: no row, no nftables table, no route is left; the Service keeps its address', async () => {
    for (const { name: host } of lab.nodes) {
      expect([host, await onHost(host)]).toEqual([
        host,
        { table: true, rule: true, routes: expect.stringMatching(/./) },
      ]);
    }
    const words = ['upgrade', release.name, chart, '--namespace', release.namespace, '--reuse-values'];
    const { code, stderr } = labCommand('helm', '--', ...words, '--set', 'ovn.mode=off');
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    for (const workload of ['deployment/ovenbird-controller', 'daemonset/ovenbird-speaker']) {
      await kubectl(['-n', release.namespace, 'rollout', 'status', workload, '--timeout=120s']);
    }
    await waitFor('no row of ours', 30_000, async () => Object.keys(await ownRows(lab)).length === 0);
    for (const { name: host } of lab.nodes) {
      expect([host, await onHost(host)]).toEqual([host, { table: false, rule: false, routes: '' }]);
    }
    const service = await stage.until('web', 'without the condition of OVN', ({ status }) => {
      return conditionOf(status, conditionTypes.programmed) === undefined;
    });
    expect(addressIn(service)).toBe(address);
  });

  test('full again: the address carries traffic again', async () => {
    repairLab();
    await answers();
    expect(await stage.addressOf('web')).toBe(address);
    for (const { name: host } of lab.nodes) {
      expect([host, await onHost(host)]).toEqual([
        host,
        { table: true, rule: true, routes: expect.stringMatching(/./) },
      ]);
    }
  });
});
