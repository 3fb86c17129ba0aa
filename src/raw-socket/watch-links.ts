import { Backoff } from '../base/backoff.ts';
import { type Clock, systemClock, type Timer } from '../base/clock.ts';
import { addon } from './addon.ts';
import { attempt, RawSocketError, systemError } from './errors.ts';
import { decodeRouteMessages, encodeDumpRequest, type InterfaceAddress, type Link } from './link-messages.ts';
import { type LinkEvent, LinkTable } from './link-table.ts';

export interface LinkWatcherOptions {
  /** Called for every change, first for what exists at the start. */
  onEvent(event: LinkEvent): void;
  /** Everything that exists has been reported: at the start, and again after each time events were lost. */
  onSynced?(): void;
  /**
   * Events were lost (`Overrun`) or the socket failed. Nothing need be done: the tables are read anew by themselves,
   * with a back-off of 50 ms to 5 s, and the differences reported.
   */
  onError(error: RawSocketError): void;
  /** Kernel receive buffer, bytes. Default 1 MiB, some thousand events. */
  receiveBufferBytes?: number;
  clock?: Clock;
}

/** A netlink socket that passes on whole datagrams, and errors by number. */
export interface NetlinkTransport {
  send(request: Uint8Array): void;
  close(): void;
}
export type OpenNetlink = (receiver: {
  onDatagram(datagram: Uint8Array): void;
  onFailure(errno: number): void;
}) => NetlinkTransport;

// RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR and RTNLGRP_IPV6_IFADDR as bits
const groups = 0x1 | 0x10 | 0x100;
const netlinkRoute = 0;
/** The kernel makes dump datagrams of at most 32 KiB. */
const datagramBytes = 1 << 16;

const routeSocket =
  (receiveBufferBytes: number): OpenNetlink =>
  ({ onDatagram, onFailure }) => {
    const native = addon();
    const handle = native.netlinkOpen(netlinkRoute, groups, receiveBufferBytes);
    const memory = new ArrayBuffer(datagramBytes);
    try {
      native.netlinkStart(handle, memory, (length, errno) => {
        if (errno !== 0) onFailure(errno);
        else onDatagram(new Uint8Array(memory, 0, length));
      });
    } catch (thrown) {
      native.netlinkClose(handle);
      throw thrown;
    }
    return {
      send: (request) => native.netlinkSend(handle, request),
      close: () => native.netlinkClose(handle),
    };
  };

type Phase =
  /** The socket is open and a dump runs: links first, then addresses. */
  | { name: 'dumping'; transport: NetlinkTransport; sequence: number; what: 'links' | 'addresses' }
  | { name: 'following'; transport: NetlinkTransport }
  | { name: 'waiting'; timer: Timer }
  | { name: 'closed' };

/**
 * Follows the links and addresses of this network namespace. Whatever goes wrong, overrun, interrupted dump or nonsense,
 * has one remedy: a new socket and a new dump, compared with what is known.
 */
export class LinkWatcher {
  readonly #options: LinkWatcherOptions;
  readonly #clock: Clock;
  readonly #open: OpenNetlink;
  readonly #table = new LinkTable();
  readonly #backoff = new Backoff({ initialMs: 50, maximumMs: 5000 });
  #sequence = 0;
  #phase: Phase = { name: 'closed' };

  /** @internal use watchLinks */
  constructor(options: LinkWatcherOptions, open = routeSocket(options.receiveBufferBytes ?? 1 << 20)) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#open = open;
    this.#start();
  }

  /** The links known now, by index. Complete after onSynced. */
  get links(): Link[] {
    return this.#table.links;
  }

  /** The addresses known now, by interface index. Complete after onSynced. */
  get addresses(): InterfaceAddress[] {
    return this.#table.addresses;
  }

  /** Idempotent; no callback comes after it. */
  close(): void {
    const phase = this.#phase;
    this.#phase = { name: 'closed' };
    if (phase.name === 'waiting') phase.timer.cancel();
    else if (phase.name !== 'closed') phase.transport.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #start(): void {
    const transport = this.#open({
      onDatagram: (datagram) => this.#onDatagram(datagram),
      onFailure: (errno) => this.#restart(systemError('follow links', 'recvmsg', errno)),
    });
    try {
      this.#table.beginDump();
      this.#dump(transport, 'links');
    } catch (thrown) {
      transport.close();
      throw thrown;
    }
  }

  #dump(transport: NetlinkTransport, what: 'links' | 'addresses'): void {
    this.#sequence += 1;
    this.#phase = { name: 'dumping', transport, sequence: this.#sequence, what };
    transport.send(encodeDumpRequest(what === 'links' ? 18 : 22, this.#sequence));
  }

  #onDatagram(datagram: Uint8Array): void {
    try {
      for (const message of decodeRouteMessages(datagram)) {
        const phase = this.#phase;
        if (phase.name !== 'dumping' && phase.name !== 'following') return;
        const ofDump = phase.name === 'dumping' && message.sequence === phase.sequence;
        if (ofDump && message.interrupted) {
          this.#restart(new RawSocketError('Overrun', 'follow links: the tables changed while being read'));
          return;
        }
        if (message.type === 'error') {
          if (ofDump && message.errno !== 0) throw systemError('read the links', 'netlink', message.errno);
        } else if (message.type !== 'done') {
          this.#report(this.#table.apply(message));
        } else if (ofDump) {
          this.#advance(phase);
        }
      }
    } catch (thrown) {
      if (!(thrown instanceof RawSocketError)) throw thrown;
      this.#restart(thrown);
    }
  }

  #advance(phase: Phase & { name: 'dumping' }): void {
    if (phase.what === 'links') {
      attempt('read the addresses', () => this.#dump(phase.transport, 'addresses'));
      return;
    }
    this.#phase = { name: 'following', transport: phase.transport };
    this.#backoff.reset();
    this.#report(this.#table.endDump());
    if (this.#phase.name === 'following') this.#options.onSynced?.();
  }

  #report(events: readonly LinkEvent[]): void {
    for (const event of events) {
      if (this.#phase.name === 'closed') return;
      this.#options.onEvent(event);
    }
  }

  #restart(error: RawSocketError): void {
    const phase = this.#phase;
    if (phase.name !== 'dumping' && phase.name !== 'following') return;
    phase.transport.close();
    this.#wait();
    this.#options.onError(error);
  }

  #wait(): void {
    const timer = this.#clock.setTimer(this.#backoff.next(), () => {
      try {
        attempt('follow links', () => this.#start());
      } catch (thrown) {
        if (!(thrown instanceof RawSocketError)) throw thrown;
        this.#wait();
        this.#options.onError(thrown);
      }
    });
    this.#phase = { name: 'waiting', timer };
  }
}

/**
 * Reports the network interfaces and addresses of this host and then every change. Needs no capability.
 * Open until `close`.
 * @throws RawSocketError `AddonMissing`, `SystemCall`
 */
export function watchLinks(options: LinkWatcherOptions): LinkWatcher {
  return attempt('follow links', () => new LinkWatcher(options));
}
