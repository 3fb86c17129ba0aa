/** The addon without its TypeScript face: arguments that the face would never give, and objects left to the collector. */
import { readdirSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { addon } from '../../../src/raw-socket/addon.ts';

async function collect(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  for (let i = 0; i < 5; i++) {
    gc();
    await turn();
  }
}

/** Every function with every pair of strange arguments in its first places. Survival is the result. */
export async function strangeArguments() {
  const native = addon();
  const lo = native.interfaceIndex('lo');
  const closed = native.packetOpen(lo, 3, undefined, 65536, 1);
  native.packetClose(closed);
  const packet = native.packetOpen(lo, 3, undefined, 65536, 1);
  const started = native.packetOpen(lo, 3, undefined, 65536, 1);
  native.packetStart(started, new ArrayBuffer(native.packetBatch * (12 + 64)), 64, () => {});
  const netlink = native.netlinkOpen(0, 0, 65536);
  const gate = native.gateCreate();
  const strange: unknown[] = [
    ...[undefined, null, true, -1, 2 ** 32 - 1, 1e300, 'text', 'x'.repeat(10_000), Symbol('s'), 1n, {}, [], () => {}],
    ...[closed, packet, started, netlink, gate],
    ...[
      new Uint8Array(0),
      new Uint8Array(13),
      new Uint8Array(100_000),
      new Uint8Array(new ArrayBuffer(8, { maxByteLength: 16 }), 4),
    ],
    ...[
      new Float64Array(4),
      new DataView(new ArrayBuffer(4)),
      new ArrayBuffer(0),
      new ArrayBuffer(1 << 16),
      new SharedArrayBuffer(8),
    ],
    structuredCloneOfNothing(),
  ];
  // Nothing that waits, closes what is not ours, or changes the machine: -1 is no descriptor and no interface.
  // releaseFilePages takes no argument and reads the whole map of the process each time.
  const { releaseFilePages: _, ...rest } = native;
  const functions = Object.values(rest).filter(
    (value): value is (...given: unknown[]) => unknown => typeof value === 'function',
  );
  let calls = 0;
  let thrown = 0;
  for (const call of functions) {
    for (const first of strange) {
      for (const second of [...strange, undefined]) {
        for (const others of [[], [-1, -1, -1], [new Uint8Array(8), 1, 1], [gate, () => {}, () => {}]]) {
          calls += 1;
          try {
            call(first, second, ...others);
          } catch {
            thrown += 1;
          }
        }
      }
    }
  }
  for (const handle of [packet, started]) native.packetClose(handle);
  native.netlinkClose(netlink);
  await collect();
  return { functions: functions.length, calls, thrown: thrown > calls / 2 };
}

/** A Uint8Array whose memory has gone to somebody else. */
function structuredCloneOfNothing(): Uint8Array {
  const bytes = new Uint8Array(64);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

/** Sockets opened, never started and dropped are closed by the collector; gates are freed. */
export async function forgotten() {
  const native = addon();
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const lo = native.interfaceIndex('lo');
  await collect();
  const before = descriptors();
  let most = 0;
  const open = () => {
    for (let i = 0; i < 50; i++) {
      native.packetOpen(lo, 3, undefined, 65536, 1);
      native.netlinkOpen(0, 0, 65536);
      native.gateCreate();
    }
    most = descriptors() - before;
  };
  open();
  await collect();
  return { most, left: descriptors() - before };
}
