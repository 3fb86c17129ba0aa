import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { AnnounceDecision } from '../../src/speaker/announce-decision.ts';
import { AnnouncementTable } from '../../src/speaker/announcement-table.ts';

function decision(
  service: string,
  address: string,
  eligibleNodes: string[],
  interfaces: string[] = [],
): AnnounceDecision {
  const code = eligibleNodes.length > 0 ? 'Eligible' : 'NoEndpoints';
  return { service, address, eligibleNodes, interfaces, reason: { code, message: `${service} ${code}` } };
}

describe('AnnouncementTable', () => {
  test('joins Services that share an address, and the reason is that of one that announces', () => {
    const table = new AnnouncementTable();
    table.set('a/silent', [decision('a/silent', '10.0.0.1', [])]);
    table.set('b/loud', [decision('b/loud', '10.0.0.1', ['n2'], ['eth1'])]);
    table.set('c/loud', [decision('c/loud', '10.0.0.1', ['n1'], ['eth0'])]);
    expect(table.get('10.0.0.1')).toEqual({
      address: '10.0.0.1',
      services: ['a/silent', 'b/loud', 'c/loud'],
      interfaces: ['eth0', 'eth1'],
      eligibleNodes: ['n1', 'n2'],
      reason: { code: 'Eligible', message: 'b/loud Eligible' },
    });
    table.set('c/loud', [decision('c/loud', '10.0.0.1', ['n1'])]);
    expect(table.get('10.0.0.1')?.interfaces).toEqual([]);
  });

  test('says which addresses to look at again', () => {
    const table = new AnnouncementTable();
    expect([...table.set('a/x', [decision('a/x', '10.0.0.1', ['n1'])])]).toEqual(['10.0.0.1']);
    expect([...table.set('a/x', [decision('a/x', '10.0.0.2', ['n1'])])]).toEqual(['10.0.0.1', '10.0.0.2']);
    expect([...table.set('a/x', [])]).toEqual(['10.0.0.2']);
    expect(table.get('10.0.0.2')).toBeUndefined();
    expect([...table.services(), ...table.addresses()]).toEqual([]);
  });

  test('after any history it holds what the last decisions say', () => {
    const service = fc.constantFrom('a/1', 'a/2', 'a/3');
    const address = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3');
    fc.assert(
      fc.property(fc.array(fc.tuple(service, fc.uniqueArray(address, { maxLength: 2 }))), (history) => {
        const table = new AnnouncementTable();
        const model = new Map<string, string[]>();
        for (const [name, addresses] of history) {
          table.set(
            name,
            addresses.map((text) => decision(name, text, ['n1'])),
          );
          model.set(name, addresses);
        }
        const held = new Set([...model.values()].flat());
        expect(table.addresses()).toEqual([...held].sort());
        for (const text of held) {
          const sharers = [...model].filter(([, addresses]) => addresses.includes(text)).map(([name]) => name);
          expect(table.get(text)?.services).toEqual(sharers.sort());
        }
      }),
    );
  });
});
