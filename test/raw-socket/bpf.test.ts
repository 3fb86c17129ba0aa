import { describe, expect, test } from '@jest/globals';
import {
  and,
  arpFilter,
  assemble,
  ipv4UdpFilter,
  ipv6UdpFilter,
  jump,
  type Line,
  label,
  load,
  networkHeader,
  next,
  receivedTtlFilter,
  ret,
} from '../../src/raw-socket/index.ts';

/** The program as the list of {code, jt, jf, k} that `tcpdump -dd` prints. */
function disassemble(program: Uint8Array): number[][] {
  const view = new DataView(program.buffer, program.byteOffset, program.length);
  return Array.from({ length: program.length / 8 }, (_, i) => [
    view.getUint16(i * 8, true),
    view.getUint8(i * 8 + 2),
    view.getUint8(i * 8 + 3),
    view.getUint32(i * 8 + 4, true),
  ]);
}

describe('assemble', () => {
  test('gives what tcpdump -dd prints for "arp[6:2] = 1"', () => {
    const program = assemble([
      load.half(12),
      jump.equal(0x0806, next, 'drop'),
      load.half(20),
      jump.equal(1, next, 'drop'),
      ret(262144),
      label('drop'),
      ret(0),
    ]);
    expect(disassemble(program)).toEqual([
      [0x28, 0, 0, 0x0000000c],
      [0x15, 0, 3, 0x00000806],
      [0x28, 0, 0, 0x00000014],
      [0x15, 0, 1, 0x00000001],
      [0x06, 0, 0, 0x00040000],
      [0x06, 0, 0, 0x00000000],
    ]);
  });

  test('gives what tcpdump -dd prints for "ip[8] >= 255 and udp dst port 3784", fragments dropped', () => {
    const program = assemble([
      load.half(12),
      jump.equal(0x800, next, 'drop'),
      load.byte(22),
      jump.greaterOrEqual(0xff, next, 'drop'),
      load.byte(23),
      jump.equal(0x11, next, 'drop'),
      load.half(20),
      jump.bits(0x1fff, 'drop', next),
      load.headerLength(14),
      load.indexedHalf(16),
      jump.equal(0xec8, next, 'drop'),
      ret(0x40000),
      label('drop'),
      ret(0),
    ]);
    expect(disassemble(program)).toEqual([
      [0x28, 0, 0, 0x0000000c],
      [0x15, 0, 10, 0x00000800],
      [0x30, 0, 0, 0x00000016],
      [0x35, 0, 8, 0x000000ff],
      [0x30, 0, 0, 0x00000017],
      [0x15, 0, 6, 0x00000011],
      [0x28, 0, 0, 0x00000014],
      [0x45, 4, 0, 0x00001fff],
      [0xb1, 0, 0, 0x0000000e],
      [0x48, 0, 0, 0x00000010],
      [0x15, 0, 1, 0x00000ec8],
      [0x06, 0, 0, 0x00040000],
      [0x06, 0, 0, 0x00000000],
    ]);
  });

  test('counts negative offsets from the ancillary areas', () => {
    const program = assemble([
      load.packetType(),
      load.vlanTagPresent(),
      load.byte(networkHeader + 8),
      and(0xf0),
      ret(0),
    ]);
    expect(disassemble(program).map(([, , , k]) => k)).toEqual([0xfffff004, 0xfffff030, 0xfff00008, 0xf0, 0]);
  });

  test.each<[string, Line[]]>([
    ['an unknown label', [jump.equal(1, 'nowhere', next), ret(0)]],
    ['a backward jump', [label('back'), load.byte(0), jump.equal(1, 'back', next), ret(0)]],
    [
      'a jump beyond 255',
      [jump.equal(1, 'far', next), ...Array.from({ length: 256 }, () => load.byte(0)), label('far'), ret(0)],
    ],
  ])('refuses %s', (_, lines) => {
    expect(() => assemble(lines)).toThrow(expect.objectContaining({ code: 'BadArgument' }));
  });
});

describe('ready programs', () => {
  test('end with keep and drop, and every jump stays inside', () => {
    const programs = [
      arpFilter(),
      ipv4UdpFilter(Uint8Array.of(224, 0, 0, 18), 7946),
      ipv6UdpFilter(new Uint8Array(16), 7946),
      receivedTtlFilter(4, 255),
      receivedTtlFilter(6, 254),
    ];
    for (const program of programs.map(disassemble)) {
      expect(program.slice(-2)).toEqual([
        [6, 0, 0, 0x40000],
        [6, 0, 0, 0],
      ]);
      for (const [i, [, whenTrue = 0, whenFalse = 0]] of program.entries()) {
        expect(i + 1 + Math.max(whenTrue, whenFalse)).toBeLessThan(program.length + 1);
      }
    }
  });

  test.each([
    ['a TTL of 0', () => receivedTtlFilter(4, 0)],
    ['a TTL of 256', () => receivedTtlFilter(6, 256)],
    ['port 0', () => ipv4UdpFilter(Uint8Array.of(1, 2, 3, 4), 0)],
    ['an IPv6 address for IPv4', () => ipv4UdpFilter(new Uint8Array(16), 1)],
    ['an IPv4 address for IPv6', () => ipv6UdpFilter(new Uint8Array(4), 1)],
  ])('refuse %s', (_, make) => {
    expect(make).toThrow(expect.objectContaining({ code: 'BadArgument' }));
  });
});
