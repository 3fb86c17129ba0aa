import { describe, expect, test } from '@jest/globals';
import { macNumber, macText } from '../../../src/speaker/l2/arp-frame.ts';
import { ArpResponder } from '../../../src/speaker/l2/arp-responder.ts';

const own = '02:00:00:00:00:01';
const client = '02:00:00:00:00:09';
const vip = '192.0.2.100';

/** An independent builder, field by field from RFC 826. */
function arp(fields: {
  to?: string;
  from?: string;
  operation?: number;
  senderMac?: string;
  sender: string;
  targetMac?: string;
  target: string;
}): Buffer {
  const mac = (text = '00:00:00:00:00:00') => Buffer.from(text.replaceAll(':', ''), 'hex');
  const ip = (text: string) => Buffer.from(text.split('.').map(Number));
  return Buffer.concat([
    mac(fields.to ?? 'ff:ff:ff:ff:ff:ff'),
    mac(fields.from ?? client),
    Buffer.from('08060001080006040000', 'hex').fill(fields.operation ?? 1, 9),
    mac(fields.senderMac ?? client),
    ip(fields.sender),
    mac(fields.targetMac),
    ip(fields.target),
  ]);
}

function responder(gateOpen = true) {
  const gated: string[] = [];
  const plain: string[] = [];
  const seen: [string, string][] = [];
  const gate = { open: gateOpen };
  const arpResponder = new ArpResponder({
    mac: macNumber(own),
    sendGated(frame) {
      if (gate.open) gated.push(Buffer.from(frame).toString('hex'));
      return gate.open;
    },
    send(frame) {
      plain.push(Buffer.from(frame).toString('hex'));
      return true;
    },
    onSeen: (address, mac) => seen.push([address, macText(mac)]),
  });
  arpResponder.watch(vip);
  return { arp: arpResponder, gated, plain, seen, gate };
}

const hex = (frame: Buffer) => frame.toString('hex');

describe('answers', () => {
  test.each([
    ['by broadcast', 'ff:ff:ff:ff:ff:ff'],
    ['by unicast, as a reachability check does', own],
  ])('a question %s gets a unicast reply with our MAC', (_how, to) => {
    const { arp: responder1, gated } = responder();
    responder1.own(vip);
    responder1.receive(arp({ to, sender: '192.0.2.9', target: vip }));
    expect(gated).toEqual([
      hex(
        arp({
          to: client,
          from: own,
          operation: 2,
          senderMac: own,
          sender: vip,
          targetMac: client,
          target: '192.0.2.9',
        }),
      ),
    ]);
    expect(responder1.counters).toMatchObject({ requests: 1, replies: 1, refused: 0 });
  });

  test('a probe (no sender address) is answered too: it asks whether somebody is alive', () => {
    const { arp: it, gated } = responder();
    it.own(vip);
    it.receive(arp({ sender: '0.0.0.0', target: vip }));
    expect(gated).toHaveLength(1);
  });

  test('nothing for addresses that are watched only, disowned, unknown or asked of somebody else', () => {
    const { arp: it, gated } = responder();
    it.receive(arp({ sender: '192.0.2.9', target: vip }));
    it.own(vip);
    it.disown(vip);
    it.receive(arp({ sender: '192.0.2.9', target: vip }));
    it.own(vip);
    it.receive(arp({ sender: '192.0.2.9', target: '192.0.2.1' }));
    it.receive(arp({ operation: 2, sender: '192.0.2.9', target: vip, to: own }));
    it.unwatch(vip);
    it.receive(arp({ sender: '192.0.2.9', target: vip }));
    expect(gated).toEqual([]);
    expect(it.counters.ignored).toBe(5);
  });

  test('nothing when the right to answer has ended, and that is counted', () => {
    const { arp: it, gated } = responder(false);
    it.own(vip);
    it.receive(arp({ sender: '192.0.2.9', target: vip }));
    expect(gated).toEqual([]);
    expect(it.counters).toMatchObject({ requests: 1, replies: 0, refused: 1 });
  });

  test.each([
    ['a group address', '01:00:5e:00:00:01'],
    ['none', '00:00:00:00:00:00'],
  ])('nothing to an asker whose MAC is %s', (_what, senderMac) => {
    const { arp: it, gated } = responder();
    it.own(vip);
    it.receive(arp({ senderMac, sender: '192.0.2.9', target: vip }));
    expect(gated).toEqual([]);
  });

  test('after a change of the MAC address, with the new one', () => {
    const { arp: it, gated } = responder();
    it.own(vip);
    it.setMac(macNumber('02:00:00:00:00:02'));
    it.receive(arp({ sender: '192.0.2.9', target: vip }));
    expect(gated[0]?.slice(44, 56)).toBe('020000000002');
  });

  test('malformed frames of any kind are ignored', () => {
    const { arp: it, gated, seen } = responder();
    it.own(vip);
    const good = arp({ sender: vip, target: vip });
    for (let length = 0; length < good.length; length++) it.receive(good.subarray(0, length));
    for (const at of [12, 13, 14, 15, 16, 17, 18, 19, 20]) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] ?? 0) + 1;
      it.receive(bad);
    }
    for (const operation of [0, 3, 4, 8, 9]) it.receive(arp({ operation, sender: '192.0.2.9', target: vip }));
    expect(gated).toEqual([]);
    expect(seen).toEqual([]);
    expect(it.takeHeard()).toBe(false);
  });
});

describe('others that use a watched address', () => {
  test('are told of, by request or reply, owned or not', () => {
    const { arp: it, seen, gated } = responder();
    it.receive(arp({ sender: vip, target: vip }));
    it.own(vip);
    it.receive(arp({ operation: 2, sender: vip, target: '192.0.2.1', senderMac: '02:00:00:00:00:07' }));
    it.receive(arp({ sender: vip, target: vip }));
    expect(seen).toEqual([
      [vip, client],
      [vip, '02:00:00:00:00:07'],
      [vip, client],
    ]);
    expect(gated).toEqual([]);
  });

  test('our own frames that come back are none', () => {
    const { arp: it, seen } = responder();
    it.own(vip);
    it.receive(arp({ from: own, senderMac: own, sender: vip, target: vip }));
    expect(seen).toEqual([]);
    expect(it.takeHeard()).toBe(false);
  });
});

describe('what it sends unasked', () => {
  test('an announcement is a broadcast request without and a broadcast reply with target MAC', () => {
    const { arp: it, gated } = responder();
    it.announce(vip);
    expect(gated).toEqual([
      hex(arp({ from: own, senderMac: own, sender: vip, target: vip })),
      hex(arp({ from: own, operation: 2, senderMac: own, sender: vip, targetMac: own, target: vip })),
    ]);
    expect(it.counters.announcements).toBe(1);
  });

  test('announcements end with the right to answer; probes do not need it', () => {
    const { arp: it, gated, plain } = responder(false);
    it.announce(vip);
    it.probe(vip, undefined);
    it.probe(vip, macNumber(client));
    expect(gated).toEqual([]);
    expect(it.counters.refused).toBe(1);
    expect(plain).toEqual([
      hex(arp({ from: own, senderMac: own, sender: '0.0.0.0', target: vip })),
      hex(arp({ to: client, from: own, senderMac: own, sender: '0.0.0.0', target: vip })),
    ]);
  });

  test('witnesses are hosts seen lately that are no speakers, one noted between two looks', () => {
    const { arp: it, plain } = responder();
    it.receive(arp({ sender: '192.0.2.9', target: '192.0.2.1' }));
    it.receive(arp({ sender: '192.0.2.8', senderMac: '02:00:00:00:00:08', target: '192.0.2.1' }));
    expect(it.witnesses(new Set())).toBe(1);
    expect(it.takeHeard()).toBe(true);
    expect(it.takeHeard()).toBe(false);
    it.receive(arp({ sender: '192.0.2.8', senderMac: '02:00:00:00:00:08', target: '192.0.2.1' }));
    expect(it.witnesses(new Set())).toBe(2);
    const speakers = new Set([macNumber(client)]);
    expect(it.witnesses(speakers)).toBe(1);
    it.probeWitnesses(speakers);
    expect(plain).toEqual([
      hex(arp({ to: '02:00:00:00:00:08', from: own, senderMac: own, sender: '0.0.0.0', target: '192.0.2.8' })),
    ]);
    for (let i = 10; i < 60; i++) {
      it.receive(arp({ sender: `192.0.2.${i}`, target: '192.0.2.1' }));
      it.takeHeard();
    }
    expect(it.witnesses(new Set())).toBe(8);
  });
});

test('MAC addresses as numbers and texts', () => {
  expect(macText(macNumber('02:00:5e:00:53:01'))).toBe('02:00:5e:00:53:01');
  expect(macText(1)).toBe('00:00:00:00:00:01');
});
