import { beforeEach, describe, expect, test } from '@jest/globals';
import { ManualClock } from '../../src/base/index.ts';
import type { LinkEvent, RawSocketError } from '../../src/raw-socket/index.ts';
import { LinkWatcher, type OpenNetlink } from '../../src/raw-socket/watch-links.ts';
import {
  done,
  ipv4,
  message,
  NLMSG_ERROR,
  named,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_NEWADDR,
  RTM_NEWLINK,
  u32,
} from './netlink-bytes.ts';

/** A kernel of which the test says every word. */
class Kernel {
  readonly requests: { type: number; sequence: number }[] = [];
  opened = 0;
  open = 0;
  refuse: Error | undefined;
  #receiver: Parameters<OpenNetlink>[0] | undefined;

  readonly connect: OpenNetlink = (receiver) => {
    if (this.refuse !== undefined) throw this.refuse;
    this.#receiver = receiver;
    this.opened += 1;
    this.open += 1;
    return {
      send: (request) => {
        const view = new DataView(request.buffer);
        this.requests.push({ type: view.getUint16(4, true), sequence: view.getUint32(8, true) });
      },
      close: () => {
        this.open -= 1;
      },
    };
  };

  say(...messages: number[][]): void {
    this.#receiver?.onDatagram(Uint8Array.from(messages.flat()));
  }

  fail(errno: number): void {
    this.#receiver?.onFailure(errno);
  }

  get sequence(): number {
    return this.requests.at(-1)?.sequence ?? 0;
  }

  /** Answers both dumps. */
  dump(links: number[][], addresses: number[][]): void {
    const sequence = this.sequence;
    this.say(...links.map((body) => message(RTM_NEWLINK, body, { sequence })), done(sequence));
    this.say(...addresses.map((body) => message(RTM_NEWADDR, body, { sequence: sequence + 1 })), done(sequence + 1));
  }
}

const ENOBUFS = 105;
let kernel: Kernel;
let clock: ManualClock;
let seen: string[];
let errors: RawSocketError[];
let watcher: LinkWatcher;

const shown = (event: LinkEvent) =>
  'link' in event ? `${event.type} ${event.link.name}` : `${event.type} ${event.address.address.join('.')}`;

beforeEach(() => {
  kernel = new Kernel();
  clock = new ManualClock();
  seen = [];
  errors = [];
  watcher = new LinkWatcher(
    {
      onEvent: (event) => seen.push(shown(event)),
      onSynced: () => seen.push('synced'),
      onError: (error) => errors.push(error),
      clock,
    },
    kernel.connect,
  );
});

const synced = () => {
  kernel.dump([named(1, 'lo'), named(2, 'eth0')], [ipv4(1, 127, 0, 0, 1), ipv4(2, 10, 0, 0, 1)]);
  seen.length = 0;
};

test('reports links, then addresses, then that this is all', () => {
  expect(kernel.requests).toEqual([{ type: 18, sequence: 1 }]);
  kernel.dump([named(1, 'lo'), named(2, 'eth0')], [ipv4(2, 10, 0, 0, 1)]);
  expect(seen).toEqual(['link lo', 'link eth0', 'address 10.0.0.1', 'synced']);
  expect(watcher.links.map(({ name }) => name)).toEqual(['lo', 'eth0']);
  expect(watcher.addresses).toHaveLength(1);
});

test('reports changes once, and nothing that is known already', () => {
  synced();
  kernel.say(message(RTM_NEWLINK, named(2, 'eth0')), message(RTM_NEWADDR, ipv4(2, 10, 0, 0, 1)));
  expect(seen).toEqual([]);
  kernel.say(message(RTM_NEWLINK, named(2, 'wan0')), message(RTM_NEWADDR, ipv4(2, 10, 0, 0, 9)));
  kernel.say(message(RTM_DELADDR, ipv4(2, 10, 0, 0, 1)), message(RTM_DELADDR, ipv4(2, 10, 0, 0, 1)));
  expect(seen).toEqual(['link wan0', 'address 10.0.0.9', 'address-gone 10.0.0.1']);
});

test('the addresses of a link go before it', () => {
  synced();
  kernel.say(message(RTM_DELLINK, named(2, 'eth0')));
  expect(seen).toEqual(['address-gone 10.0.0.1', 'link-gone eth0']);
  expect(watcher.links.map(({ name }) => name)).toEqual(['lo']);
});

describe('after an overrun', () => {
  test('a new socket is read anew and the difference told', async () => {
    synced();
    kernel.fail(ENOBUFS);
    expect(errors.map(({ code, errno }) => [code, errno])).toEqual([['Overrun', 'ENOBUFS']]);
    expect(kernel.open).toBe(0);
    await clock.advance(100);
    expect(kernel.open).toBe(1);
    kernel.dump([named(1, 'lo'), named(3, 'eth1')], [ipv4(1, 127, 0, 0, 1)]);
    expect(seen).toEqual(['link eth1', 'address-gone 10.0.0.1', 'link-gone eth0', 'synced']);
  });

  test('what appears or goes while the dump runs is not lost', async () => {
    synced();
    kernel.fail(ENOBUFS);
    await clock.advance(100);
    kernel.say(message(RTM_NEWADDR, ipv4(2, 10, 0, 0, 7)), message(RTM_DELLINK, named(1, 'lo')));
    kernel.dump([named(2, 'eth0')], [ipv4(2, 10, 0, 0, 1)]);
    expect(seen).toEqual(['address 10.0.0.7', 'address-gone 127.0.0.1', 'link-gone lo', 'synced']);
    expect(watcher.addresses.map(({ address }) => address.join('.'))).toEqual(['10.0.0.1', '10.0.0.7']);
  });

  test('it waits longer each time, 5 s at most plus jitter, until a dump succeeds', async () => {
    synced();
    for (let i = 0; i < 12; i++) {
      kernel.fail(ENOBUFS);
      await clock.advance(7500);
    }
    const before = kernel.opened;
    kernel.fail(ENOBUFS);
    await clock.advance(4999);
    expect(kernel.opened).toBe(before);
    await clock.advance(2501);
    kernel.dump([], []);
    kernel.fail(ENOBUFS);
    await clock.advance(75);
    expect(kernel.opened).toBe(before + 2);
  });

  test('a socket that cannot be opened is tried again', async () => {
    synced();
    kernel.refuse = Object.assign(new Error('socket'), { syscall: 'socket', errno: 24 });
    kernel.fail(ENOBUFS);
    await clock.advance(1000);
    expect(errors.map(({ errno }) => errno).slice(0, 2)).toEqual(['ENOBUFS', 'EMFILE']);
    kernel.refuse = undefined;
    await clock.advance(8000);
    kernel.dump([named(1, 'lo'), named(2, 'eth0')], [ipv4(1, 127, 0, 0, 1), ipv4(2, 10, 0, 0, 1)]);
    expect(seen).toEqual(['synced']);
  });
});

describe('a dump starts over', () => {
  test.each<[string, (sequence: number) => number[], string]>([
    ['when it was interrupted', (sequence) => done(sequence, 0x10), 'Overrun'],
    [
      'when a part of it was interrupted',
      (sequence) => message(RTM_NEWLINK, named(1, 'lo'), { sequence, flags: 0x12 }),
      'Overrun',
    ],
    ['when the kernel refuses', (sequence) => message(NLMSG_ERROR, u32(-16 >>> 0), { sequence }), 'SystemCall'],
    ['when the kernel talks nonsense', () => message(RTM_NEWLINK, [1]), 'Malformed'],
  ])('%s', async (_, word, code) => {
    kernel.say(word(kernel.sequence));
    expect(errors.map((error) => error.code)).toEqual([code]);
    await clock.advance(100);
    expect(kernel.opened).toBe(2);
    kernel.dump([named(1, 'lo')], []);
    expect(seen.at(-1)).toBe('synced');
  });

  test('but not for the end of somebody else’s', () => {
    kernel.say(done(99), message(NLMSG_ERROR, u32(-1 >>> 0), { sequence: 99 }));
    expect(seen).toEqual([]);
    expect(errors).toEqual([]);
    kernel.dump([], []);
    expect(seen).toEqual(['synced']);
  });
});

describe('close', () => {
  test('while dumping, following and waiting: no word comes after it, nothing stays open', async () => {
    for (const prepare of [() => {}, synced, () => kernel.fail(ENOBUFS)]) {
      kernel = new Kernel();
      clock = new ManualClock();
      const words: string[] = [];
      const onEvent = (event: LinkEvent) => words.push(shown(event));
      const subject = new LinkWatcher({ onEvent, onError: () => {}, clock }, kernel.connect);
      prepare();
      words.length = 0;
      subject.close();
      subject.close();
      kernel.say(message(RTM_NEWLINK, named(9, 'late')));
      kernel.fail(ENOBUFS);
      await clock.advance(10_000);
      expect(words).toEqual([]);
      expect(kernel.open).toBe(0);
      expect(clock.pendingTimers).toBe(0);
    }
  });

  test('from inside onEvent and onSynced', () => {
    for (const at of ['link a', 'synced']) {
      kernel = new Kernel();
      const words: string[] = [];
      const hear = (word: string) => {
        words.push(word);
        if (word === at) subject.close();
      };
      const subject: LinkWatcher = new LinkWatcher(
        { onEvent: (event) => hear(shown(event)), onSynced: () => hear('synced'), onError: () => {}, clock },
        kernel.connect,
      );
      kernel.dump([named(1, 'a'), named(2, 'b')], []);
      expect(words.at(-1)).toBe(at);
      expect(kernel.open).toBe(0);
    }
  });
});
