/** Everything that the library encodes, read by tshark and tcpdump. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { isInstalled } from './daemon.ts';
import { ownMessages } from './own-messages.ts';
import type { OwnMessage } from './own-updates.ts';
import { firstSourcePort, pcapOf } from './pcap.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'decoded-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const messages = ownMessages();

/** What tshark reads in each message: field -> values with commas between. */
function decode(asBytes: 2 | 4, own: readonly OwnMessage[]): Map<string, Map<string, string>> {
  const file = join(directory, `${asBytes}.pcap`);
  writeFileSync(file, pcapOf(own.map(({ bytes }) => bytes)));
  const wanted = [...new Set(own.flatMap(({ fields }) => Object.keys(fields)))];
  const fields = ['tcp.srcport', '_ws.malformed', '_ws.expert.message', 'bgp.type', 'bgp.length'];
  fields.push(...wanted.map((name) => `bgp.${name}`));
  const options = ['-o', `bgp.asn_len:${asBytes} octet`, '-Y', 'bgp', '-T', 'fields', '-E', 'separator=/t'];
  const text = execFileSync('tshark', ['-n', '-r', file, ...options, ...fields.flatMap((field) => ['-e', field])], {
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const rows = text.trimEnd().split('\n');
  return new Map(
    rows.map((row) => {
      const values = row.split('\t');
      const name = own[Number(values[0]) - firstSourcePort]?.name ?? row;
      return [name, new Map(fields.map((field, index) => [field, values[index] ?? '']))];
    }),
  );
}

(isInstalled('tshark') ? describe : describe.skip)('tshark', () => {
  test.each([4, 2] as const)('reads what we meant, with AS numbers of %i bytes', (asBytes) => {
    const own = messages.filter((message) => message.asBytes === asBytes);
    const read = decode(asBytes, own);
    expect([...read.keys()].sort()).toEqual(own.map(({ name }) => name).sort());
    for (const { name, bytes, fields, unknownAs } of own) {
      const found = read.get(name) ?? new Map<string, string>();
      const complaint = `${found.get('_ws.malformed')} ${found.get('_ws.expert.message')}`.trim();
      if (unknownAs?.test(complaint)) continue;
      expect([name, complaint]).toEqual([name, '']);
      expect([name, found.get('bgp.type'), found.get('bgp.length')]).toEqual([name, `${bytes[18]}`, `${bytes.length}`]);
      const shown = Object.fromEntries(Object.keys(fields).map((field) => [field, found.get(`bgp.${field}`)]));
      expect([name, shown]).toEqual([name, fields]);
    }
  });

  test('sees every type of message', () => {
    expect(new Set(messages.map(({ bytes }) => bytes[18]))).toEqual(new Set([1, 2, 3, 4, 5]));
  });
});

(isInstalled('tcpdump') ? test : test.skip)('tcpdump reads it all, extended messages too, without a complaint', () => {
  const file = join(directory, 'all.pcap');
  writeFileSync(file, pcapOf(messages.map(({ bytes }) => bytes)));
  const text = execFileSync('tcpdump', ['-n', '-v', '-r', file], {
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  // The names of errors of which we tell a peer are no complaints.
  const lines = text.split('\n').filter((line) => !line.includes('Notification Message'));
  expect(lines.filter((line) => /\[\|bgp\]|malformed|\binvalid\b|bad length/i.test(line))).toEqual([]);
  for (const [type, name] of ['Open', 'Update', 'Notification', 'Keepalive', 'Route Refresh'].entries()) {
    const count = messages.filter(({ bytes }) => bytes[18] === type + 1).length;
    expect([name, text.split(`${name} Message (${type + 1})`).length - 1]).toEqual([name, count]);
  }
  // The last of 11,000 prefixes in one message.
  expect(text).toContain('10.0.42.247/32');
});
