import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Notification } from '../../src/bgp-speaker/errors.ts';
import { type Capabilities, noCapabilities } from '../../src/bgp-speaker/message/capabilities.ts';
import type { OpenMessage } from '../../src/bgp-speaker/message/open.ts';
import { stepPeer } from '../../src/bgp-speaker/session/peer-machine.ts';
import {
  initialPeerState,
  type PeerEffect,
  type PeerEvent,
  type PeerMachineConfig,
  type PeerState,
  rfcState,
} from '../../src/bgp-speaker/session/peer-state.ts';
import { Address } from '../../src/net/index.ts';

function open(
  asNumber: number,
  identifier: string,
  change: Partial<Capabilities> = {},
  holdTimeSeconds = 90,
): OpenMessage {
  const capabilities = { ...noCapabilities, fourOctetAs: asNumber, ...change };
  return { asNumber, holdTimeSeconds, identifier: Address.parse(identifier), capabilities };
}

const restart = { restarted: false, notification: true, restartTimeSeconds: 30, families: [] };
const config: PeerMachineConfig = {
  local: open(65001, '10.0.0.5', { gracefulRestart: restart }),
  expectedAs: 65002,
  passive: false,
  connectRetrySeconds: 120,
  openHoldSeconds: 240,
  idleHoldSeconds: 1,
  maximumIdleHoldSeconds: 64,
  stableSeconds: 60,
};
/** Loses collisions against us, and wins them. */
const lower = open(65002, '10.0.0.4');
const higher = open(65002, '200.0.0.1');
const restartFamilies = [{ family: 'ipv4-unicast', forwarding: true }] as const;
const restarting = open(65002, '10.0.0.4', { gracefulRestart: { ...restart, families: restartFamilies } });
const bye: Notification = { code: 6, subcode: 2, data: new Uint8Array(0) };

/** Effects in short, in the order they come. */
function short(effect: PeerEffect): string {
  switch (effect.type) {
    case 'set-timer':
      return `${effect.timer}=${effect.seconds}`;
    case 'cancel-timer':
      return `no ${effect.timer}`;
    case 'set-connection-timer':
      return `${effect.connection}:${effect.timer}=${effect.seconds}`;
    case 'send-notification': {
      const { code, subcode, data } = effect.notification;
      return `${effect.connection}!${[`${code}/${subcode}`, ...data].join(' ')}`;
    }
    case 'dial':
    case 'cancel-dial':
      return effect.type;
    case 'down':
    case 'failed':
      return `${effect.connection} ${effect.type} ${effect.reason.kind}`;
    default:
      return `${effect.connection} ${effect.type}`;
  }
}

function play(events: readonly PeerEvent[], start: PeerState = initialPeerState, using = config) {
  let state = start;
  let effects: readonly PeerEffect[] = [];
  for (const event of events) ({ state, effects } = stepPeer(using, state, event));
  return { state, last: effects.map(short), rfc: rfcState(state) };
}

const start: PeerEvent = { type: 'start' };
const ours: PeerEvent = { type: 'connected', connection: 1, initiator: 'us' };
const theirs: PeerEvent = { type: 'connected', connection: 2, initiator: 'peer' };
const opened = (connection: number, message = lower): PeerEvent => ({ type: 'open', connection, open: message });
const keepalive = (connection: number): PeerEvent => ({ type: 'keepalive', connection });
const closed = (connection: number): PeerEvent => ({ type: 'closed', connection });
const timer = (connection: number, name: 'hold' | 'keepalive' | 'send-hold'): PeerEvent => {
  return { type: 'connection-timer', connection, timer: name };
};
const up = [start, ours, opened(1), keepalive(1)];

describe('a session by our connection', () => {
  test('goes through the states of RFC 4271', () => {
    expect(play([]).rfc).toBe('Idle');
    expect(play(up.slice(0, 1))).toMatchObject({ rfc: 'Connect', last: ['dial', 'connect-retry=120'] });
    expect(play(up.slice(0, 2))).toMatchObject({
      rfc: 'OpenSent',
      last: ['1 send-open', '1:hold=240'],
    });
    expect(play(up.slice(0, 3))).toMatchObject({
      rfc: 'OpenConfirm',
      last: ['1 send-keepalive', '1:hold=90', '1:keepalive=30'],
    });
    expect(play(up)).toMatchObject({
      rfc: 'Established',
      last: ['no connect-retry', '1:hold=90', '1:send-hold=480', '1 up'],
    });
  });

  test('the smaller hold time counts, 0 stops the timers', () => {
    expect(play([start, ours, opened(1, open(65002, '1.1.1.1', {}, 3))]).last).toContain('1:hold=3');
    const none = [start, ours, opened(1, open(65002, '1.1.1.1', {}, 0))];
    // But for the wait for the peer's first KEEPALIVE.
    expect(play(none).last).toEqual(['1 send-keepalive', '1:hold=240', '1:keepalive=0']);
    expect(play([...none, keepalive(1)]).last).toEqual(['no connect-retry', '1:hold=0', '1:send-hold=0', '1 up']);
    expect(play([...none, keepalive(1), keepalive(1)]).last).toEqual([]);
  });

  test('a failed attempt is repeated when the timer says so, a slow one replaced', () => {
    expect(play([start, { type: 'connect-failed' }])).toMatchObject({ rfc: 'Active', last: [] });
    const retry: PeerEvent = { type: 'timer', timer: 'connect-retry' };
    expect(play([start, { type: 'connect-failed' }, retry]).last).toEqual(['dial', 'connect-retry=120']);
    expect(play([start, retry]).last).toEqual(['cancel-dial', 'dial', 'connect-retry=120']);
  });

  test('a passive peer is waited for', () => {
    const passive = { ...config, passive: true };
    expect(play([start], initialPeerState, passive)).toMatchObject({ rfc: 'Active', last: [] });
    expect(play([start, theirs], initialPeerState, passive).rfc).toBe('OpenSent');
    expect(play([start, theirs, closed(2)], initialPeerState, passive)).toMatchObject({ rfc: 'Active' });
  });
});

/** Every state against every event: the state after it, then the effects. */
const states: Record<string, { path: readonly PeerEvent[]; connection: number }> = {
  Idle: { path: [], connection: 1 },
  'Idle (damped)': { path: [start, ours, opened(1), closed(1)], connection: 1 },
  Connect: { path: [start], connection: 1 },
  Active: { path: [start, { type: 'connect-failed' }], connection: 1 },
  OpenSent: { path: up.slice(0, 2), connection: 1 },
  OpenConfirm: { path: up.slice(0, 3), connection: 1 },
  Established: { path: up, connection: 1 },
};
const ended = (what: 'failed' | 'down', message: string | undefined, why: string, ...more: string[]) => {
  return [...(message === undefined ? [] : [`1!${message}`]), '1 close', `1 ${what} ${why}`, ...more];
};
const damped = ['no connect-retry', 'idle-hold=1'];
const dampedUp = ['no stable', 'no connect-retry', 'idle-hold=1'];
const same = (name: string) => [name] as const;
const none: readonly string[] = [];
const idle = ['Idle', 'Idle (damped)', 'Connect', 'Active'] as const;
const unchanged = Object.fromEntries(idle.map((name) => [name, same(name.split(' ')[0] ?? '')]));

const table: [string, PeerEvent, Record<string, readonly string[]>][] = [
  [
    'start',
    start,
    {
      Idle: ['Connect', 'dial', 'connect-retry=120'],
      'Idle (damped)': ['Idle'],
      Connect: ['Connect'],
      Active: ['Active'],
      OpenSent: ['OpenSent'],
      OpenConfirm: ['OpenConfirm'],
      Established: ['Established'],
    },
  ],
  [
    'stop',
    { type: 'stop', notification: bye },
    {
      Idle: ['Idle'],
      'Idle (damped)': ['Idle', 'no idle-hold'],
      Connect: ['Idle', 'cancel-dial', 'no connect-retry', 'no stable'],
      Active: ['Idle', 'no connect-retry', 'no stable'],
      OpenSent: ['Idle', 'no connect-retry', 'no stable', ...ended('failed', '6/2', 'stopped')],
      OpenConfirm: ['Idle', 'no connect-retry', 'no stable', ...ended('failed', '6/2', 'stopped')],
      Established: ['Idle', 'no connect-retry', 'no stable', ...ended('down', '6/2', 'stopped')],
    },
  ],
  [
    'stop without a word',
    { type: 'stop', notification: undefined },
    {
      Idle: ['Idle'],
      'Idle (damped)': ['Idle', 'no idle-hold'],
      Connect: ['Idle', 'cancel-dial', 'no connect-retry', 'no stable'],
      Active: ['Idle', 'no connect-retry', 'no stable'],
      OpenSent: ['Idle', 'no connect-retry', 'no stable', ...ended('failed', undefined, 'stopped')],
      OpenConfirm: ['Idle', 'no connect-retry', 'no stable', ...ended('failed', undefined, 'stopped')],
      Established: ['Idle', 'no connect-retry', 'no stable', ...ended('down', undefined, 'stopped')],
    },
  ],
  [
    'reset',
    { type: 'reset', notification: bye },
    {
      Idle: ['Idle'],
      'Idle (damped)': ['Idle'],
      Connect: ['Connect', 'cancel-dial', 'no connect-retry', 'no stable', 'dial', 'connect-retry=120'],
      Active: ['Connect', 'no connect-retry', 'no stable', 'dial', 'connect-retry=120'],
      OpenSent: [
        'Connect',
        'no connect-retry',
        'no stable',
        ...ended('failed', '6/2', 'notification-sent'),
        'dial',
        'connect-retry=120',
      ],
      OpenConfirm: [
        'Connect',
        'no connect-retry',
        'no stable',
        ...ended('failed', '6/2', 'notification-sent'),
        'dial',
        'connect-retry=120',
      ],
      Established: [
        'Connect',
        'no connect-retry',
        'no stable',
        ...ended('down', '6/2', 'notification-sent'),
        'dial',
        'connect-retry=120',
      ],
    },
  ],
  [
    'connect retry timer',
    { type: 'timer', timer: 'connect-retry' },
    {
      Idle: ['Idle'],
      'Idle (damped)': ['Idle'],
      Connect: ['Connect', 'cancel-dial', 'dial', 'connect-retry=120'],
      Active: ['Connect', 'dial', 'connect-retry=120'],
      OpenSent: ['OpenSent'],
      OpenConfirm: ['OpenConfirm'],
      Established: ['Established'],
    },
  ],
  [
    'idle hold timer',
    { type: 'timer', timer: 'idle-hold' },
    {
      Idle: ['Idle'],
      'Idle (damped)': ['Connect', 'dial', 'connect-retry=120'],
      Connect: ['Connect'],
      Active: ['Active'],
      OpenSent: ['OpenSent'],
      OpenConfirm: ['OpenConfirm'],
      Established: ['Established'],
    },
  ],
  [
    'stable timer',
    { type: 'timer', timer: 'stable' },
    {
      ...unchanged,
      OpenSent: ['OpenSent'],
      OpenConfirm: ['OpenConfirm'],
      Established: ['Established'],
    },
  ],
  [
    'connect failed',
    { type: 'connect-failed' },
    {
      ...unchanged,
      Connect: ['Active'],
      OpenSent: ['OpenSent'],
      OpenConfirm: ['OpenConfirm'],
      Established: ['Established'],
    },
  ],
  [
    'our connection',
    { type: 'connected', connection: 9, initiator: 'us' },
    {
      Idle: ['Idle', '9!6/5', '9 close'],
      'Idle (damped)': ['Idle', '9 close'],
      Connect: ['OpenSent', '9 send-open', '9:hold=240'],
      Active: ['Active', '9 close'],
      OpenSent: ['OpenSent', '9 close'],
      OpenConfirm: ['OpenConfirm', '9 close'],
      Established: ['Established', '9 close'],
    },
  ],
  [
    'their connection',
    { type: 'connected', connection: 9, initiator: 'peer' },
    {
      Idle: ['Idle', '9!6/5', '9 close'],
      'Idle (damped)': ['Idle', '9 close'],
      ...Object.fromEntries(
        [
          ['Connect', 'OpenSent'],
          ['Active', 'OpenSent'],
          ['OpenSent', 'OpenSent'],
          ['OpenConfirm', 'OpenConfirm'],
          ['Established', 'Established'],
        ].map(([before = '', after = '']) => [before, [after, '9 send-open', '9:hold=240']]),
      ),
    },
  ],
  [
    'closed',
    closed(1),
    {
      ...unchanged,
      OpenSent: ['Active', ...ended('failed', undefined, 'closed', 'connect-retry=120')],
      OpenConfirm: ['Idle', ...ended('failed', undefined, 'closed', ...damped)],
      Established: ['Idle', ...ended('down', undefined, 'closed', ...dampedUp)],
    },
  ],
  [
    'bytes taken',
    { type: 'sent', connection: 1 },
    {
      ...unchanged,
      OpenSent: ['OpenSent'],
      OpenConfirm: ['OpenConfirm'],
      Established: ['Established', '1:send-hold=480'],
    },
  ],
  [
    'hold timer',
    timer(1, 'hold'),
    {
      ...unchanged,
      OpenSent: ['Idle', ...ended('failed', '4/0', 'notification-sent', ...damped)],
      OpenConfirm: ['Idle', ...ended('failed', '4/0', 'notification-sent', ...damped)],
      Established: ['Idle', ...ended('down', '4/0', 'notification-sent', ...dampedUp)],
    },
  ],
  [
    'send hold timer',
    timer(1, 'send-hold'),
    {
      ...unchanged,
      OpenSent: ['Idle', ...ended('failed', '8/0', 'notification-sent', ...damped)],
      OpenConfirm: ['Idle', ...ended('failed', '8/0', 'notification-sent', ...damped)],
      Established: ['Idle', ...ended('down', '8/0', 'notification-sent', ...dampedUp)],
    },
  ],
  [
    'keepalive timer',
    timer(1, 'keepalive'),
    {
      ...unchanged,
      OpenSent: ['OpenSent'],
      OpenConfirm: ['OpenConfirm', '1 send-keepalive', '1:keepalive=30'],
      Established: ['Established', '1 send-keepalive', '1:keepalive=30'],
    },
  ],
  [
    'OPEN',
    opened(1),
    {
      ...unchanged,
      OpenSent: ['OpenConfirm', '1 send-keepalive', '1:hold=90', '1:keepalive=30'],
      OpenConfirm: ['Idle', ...ended('failed', '5/2 1', 'notification-sent', ...damped)],
      Established: ['Idle', ...ended('down', '5/3 1', 'notification-sent', ...dampedUp)],
    },
  ],
  [
    'KEEPALIVE',
    keepalive(1),
    {
      ...unchanged,
      OpenSent: ['Idle', ...ended('failed', '5/1 4', 'notification-sent', ...damped)],
      OpenConfirm: ['Established', 'no connect-retry', '1:hold=90', '1:send-hold=480', '1 up'],
      Established: ['Established', '1:hold=90'],
    },
  ],
  [
    'UPDATE',
    { type: 'update', connection: 1 },
    {
      ...unchanged,
      OpenSent: ['Idle', ...ended('failed', '5/1 2', 'notification-sent', ...damped)],
      OpenConfirm: ['Idle', ...ended('failed', '5/2 2', 'notification-sent', ...damped)],
      Established: ['Established', '1:hold=90'],
    },
  ],
  [
    'ROUTE-REFRESH',
    { type: 'route-refresh', connection: 1 },
    {
      ...unchanged,
      OpenSent: ['Idle', ...ended('failed', '5/1 5', 'notification-sent', ...damped)],
      OpenConfirm: ['Idle', ...ended('failed', '5/2 5', 'notification-sent', ...damped)],
      Established: ['Established'],
    },
  ],
  [
    'NOTIFICATION',
    { type: 'notification', connection: 1, notification: bye },
    {
      ...unchanged,
      OpenSent: ['Idle', ...ended('failed', undefined, 'notification-received', ...damped)],
      OpenConfirm: ['Idle', ...ended('failed', undefined, 'notification-received', ...damped)],
      Established: ['Idle', ...ended('down', undefined, 'notification-received', ...dampedUp)],
    },
  ],
  [
    'a bad message',
    { type: 'bad-message', connection: 1, notification: { code: 1, subcode: 2, data: Uint8Array.of(0, 5) } },
    {
      ...unchanged,
      OpenSent: ['Idle', ...ended('failed', '1/2 0 5', 'notification-sent', ...damped)],
      OpenConfirm: ['Idle', ...ended('failed', '1/2 0 5', 'notification-sent', ...damped)],
      Established: ['Idle', ...ended('down', '1/2 0 5', 'notification-sent', ...dampedUp)],
    },
  ],
];

describe('every event in every state', () => {
  const cells = table.flatMap(([name, event, row]) =>
    Object.keys(states).map((state) => [name, state, event, row[state]] as const),
  );
  test.each(cells)('%s in %s', (_, state, event, expected) => {
    const { rfc, last } = play([...(states[state]?.path ?? none), event] as PeerEvent[]);
    expect([rfc, ...last]).toEqual(expected);
  });

  test('an event about a connection that is gone does nothing', () => {
    for (const [, event] of table) {
      if (!('connection' in event) || event.type === 'connected') continue;
      expect(play([...up, { ...event, connection: 77 }])).toMatchObject({ rfc: 'Established', last: [] });
    }
  });
});

describe('an OPEN that does not fit', () => {
  test.each<[string, OpenMessage, string]>([
    ['another AS', open(65003, '10.0.0.4'), '2/2'],
    ['no family in common', open(65002, '10.0.0.4', { families: ['ipv6-unicast'] }), '2/7 1 4 0 1 0 1'],
    [
      'only families that we do not speak',
      open(65002, '10.0.0.4', { families: [], otherFamilies: true }),
      '2/7 1 4 0 1 0 1',
    ],
  ])('%s', (_, message, expected) => {
    expect(play([start, ours, opened(1, message)]).last).toContain(`1!${expected}`);
  });

  test('our identifier is refused inside our AS and fine outside (RFC 6286)', () => {
    const inside = { ...config, expectedAs: 'internal' as const };
    expect(play([start, ours, opened(1, open(65001, '10.0.0.5'))], initialPeerState, inside).last).toContain('1!2/3');
    expect(play([start, ours, opened(1, open(65002, '10.0.0.5'))]).rfc).toBe('OpenConfirm');
  });

  test.each([
    ['external', 65002, true],
    ['external', 65001, false],
    ['internal', 65001, true],
    ['internal', 65002, false],
    ['any', 65001, true],
    ['any', 65002, true],
    [[65007, 65002], 65002, true],
    [[65007, 65001], 65001, true],
    [[65007, 65001], 65002, false],
  ] as const)('%s and AS %i: %s', (expectedAs, asNumber, fits) => {
    const { rfc } = play([start, ours, opened(1, open(asNumber, '9.9.9.9'))], initialPeerState, {
      ...config,
      expectedAs,
    });
    expect(rfc).toBe(fits ? 'OpenConfirm' : 'Idle');
  });
});

describe('collisions (RFC 4271 section 6.8)', () => {
  const both = [start, theirs, ours];
  test('the higher identifier keeps the connection that it opened, whichever OPEN comes first', () => {
    expect(play([...both, opened(1), opened(2)]).last).toEqual(['2!6/7', '2 close', '2 failed notification-sent']);
    expect(play([...both, opened(2), opened(1)]).last.slice(0, 3)).toEqual([
      '2!6/7',
      '2 close',
      '2 failed notification-sent',
    ]);
    expect(play([...both, opened(1, higher), opened(2, higher)]).last.slice(0, 3)).toEqual([
      '1!6/7',
      '1 close',
      '1 failed notification-sent',
    ]);
    expect(play([...both, opened(2, higher), opened(1, higher)]).last).toEqual([
      '1!6/7',
      '1 close',
      '1 failed notification-sent',
    ]);
  });

  test('between equal identifiers the higher AS number decides (RFC 6286)', () => {
    const equal = open(65002, '10.0.0.5');
    expect(play([...both, opened(1, equal), opened(2, equal)]).last).toContain('1!6/7');
  });

  test('the one left goes on', () => {
    expect(play([...both, opened(1), opened(2), keepalive(1)]).rfc).toBe('Established');
    expect(play([...both, opened(1, higher), opened(2, higher), keepalive(2)]).rfc).toBe('Established');
    const lost: PeerEvent = { type: 'notification', connection: 1, notification: { ...bye, subcode: 7 } };
    expect(play([...both, opened(1), lost, opened(2), keepalive(2)]).rfc).toBe('Established');
  });

  test('a session that is established ends a connection beside it whose OPEN is awaited', () => {
    const beside = play([start, theirs, opened(2), ours, keepalive(2)]);
    expect(beside.last).toEqual(expect.arrayContaining(['1!6/7', '1 close', '2 up']));
    expect(play([closed(1), { type: 'connected', connection: 3, initiator: 'peer' }], beside.state).last[0]).toBe(
      '3 send-open',
    );
  });

  test('an established session wins', () => {
    expect(play([...up, theirs, opened(2, higher)]).last).toEqual([
      // The peer may have forgotten it: then its kernel says so.
      '1 send-keepalive',
      '2!6/7',
      '2 close',
      '2 failed notification-sent',
    ]);
  });

  test('their connection while ours is on the way ends the attempt once it is established', () => {
    expect(play([start, theirs, opened(2), keepalive(2)]).last).toEqual([
      'cancel-dial',
      'no connect-retry',
      '2:hold=90',
      '2:send-hold=480',
      '2 up',
    ]);
  });

  test('a peer that connects again has lost its connection before', () => {
    expect(play([start, theirs, { type: 'connected', connection: 3, initiator: 'peer' }]).last).toEqual([
      '2 close',
      '2 failed peer-restarted',
      '3 send-open',
      '3:hold=240',
    ]);
  });
});

describe('a restarted peer (RFC 4724 section 4.2)', () => {
  const established = [start, ours, opened(1, restarting), keepalive(1)];

  test('its OPEN on a new connection replaces the session without a NOTIFICATION', () => {
    const again = play([...established, theirs, opened(2, restarting)]);
    expect(again.last).toEqual([
      '1 close',
      '1 down peer-restarted',
      'no stable',
      '2 send-keepalive',
      '2:hold=90',
      '2:keepalive=30',
    ]);
    expect(play([keepalive(2)], again.state).rfc).toBe('Established');
  });

  test('a connection without an OPEN, or with a wrong one, ends nothing', () => {
    const beside = play([...established, theirs]);
    expect([beside.rfc, beside.last]).toEqual(['Established', ['2 send-open', '2:hold=240']]);
    expect(play([closed(2)], beside.state).rfc).toBe('Established');
    const wrong = play([opened(2, open(65009, '10.0.0.4'))], beside.state);
    expect([wrong.rfc, wrong.last[0]]).toEqual(['Established', '2!2/2']);
    expect(play([timer(2, 'hold')], beside.state).rfc).toBe('Established');
  });

  test.each([
    ['without the capability', lower],
    ['with the capability for no family', open(65002, '10.0.0.4', { gracefulRestart: restart })],
  ])('%s the session stays, and the new connection has lost', (_, message) => {
    const beside = play([start, ours, opened(1, message), keepalive(1), theirs, opened(2, message)]);
    expect(beside.rfc).toBe('Established');
    expect(beside.last).toEqual(['1 send-keepalive', '2!6/7', '2 close', '2 failed notification-sent']);
  });
});

describe('damping', () => {
  const fail = (id: number): PeerEvent[] => [
    { type: 'timer', timer: 'idle-hold' },
    { type: 'connected', connection: id, initiator: 'us' },
    { type: 'bad-message', connection: id, notification: bye },
  ];

  test('each failure doubles the wait, up to the limit', () => {
    const waits: (string | undefined)[] = [];
    let { state } = play([start, ours, closed(1)]);
    ({ state } = play([{ type: 'timer', timer: 'connect-retry' }], state));
    for (let id = 10; id < 19; id++) {
      const after = play(fail(id), state);
      waits.push(after.last.find((effect) => effect.startsWith('idle-hold')));
      state = after.state;
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 64, 64].map((seconds) => `idle-hold=${seconds}`));
  });

  test('a session that lasts clears them, one that does not adds to them', () => {
    const once = play([...up, closed(1), { type: 'timer', timer: 'idle-hold' }]);
    const again: PeerEvent[] = [{ type: 'connected', connection: 4, initiator: 'us' }, opened(4), keepalive(4)];
    expect(play(again, once.state).last).toContain('stable=60');
    expect(play([...again, closed(4)], once.state).last).toContain('idle-hold=2');
    expect(play([...again, { type: 'timer', timer: 'stable' }, closed(4)], once.state).last).toContain('idle-hold=1');
  });

  test('a send hold time of its own, longer with a long hold time, none without a hold time', () => {
    const up = (seconds: number, sendHoldSeconds?: number) => {
      const local = open(65001, '10.0.0.5', {}, seconds);
      const events = [start, ours, opened(1, open(65002, '1.1.1.1', {}, seconds)), keepalive(1)];
      return play(events, initialPeerState, { ...config, local, ...(sendHoldSeconds && { sendHoldSeconds }) }).last;
    };
    expect(up(6, 7)).toContain('1:send-hold=7');
    expect(up(600)).toContain('1:send-hold=1200');
    // Nothing may be sent for days.
    expect(up(0, 7)).toContain('1:send-hold=0');
  });
});

test('whatever happens: connections are closed once, one session at most, and a running peer is never forgotten', () => {
  const id = fc.integer({ min: 0, max: 3 });
  const kind = fc.constantFrom(
    'start',
    'stop',
    'reset',
    'connect-failed',
    'idle-hold',
    'connect-retry',
    'stable',
    'connected',
    'connected',
    'closed',
    'sent',
    'hold',
    'keepalive-timer',
    'open',
    'open',
    'open',
    'open-higher',
    'open-restarting',
    'keepalive',
    'keepalive',
    'update',
    'route-refresh',
    'notification',
    'bad-message',
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(kind, id, fc.boolean()), { maxLength: 60 }), (script) => {
      let state: PeerState = initialPeerState;
      const timers = new Set<string>();
      const alive: number[] = [];
      let nextId = 1;
      let isUp: number | undefined;
      for (const [name, pick, byUs] of [['start', 0, true] as const, ...script]) {
        const connection = alive[pick % Math.max(alive.length, 1)] ?? 999;
        let event: PeerEvent;
        if (name === 'connected') {
          // A connection of ours comes only while it is waited for.
          if (byUs && !(state.phase === 'running' && state.dialling)) continue;
          event = { type: name, connection: nextId, initiator: byUs ? 'us' : 'peer' };
          alive.push(nextId++);
        } else if (name === 'idle-hold' || name === 'connect-retry' || name === 'stable') {
          if (!timers.delete(name)) continue;
          event = { type: 'timer', timer: name };
        } else if (name === 'hold' || name === 'keepalive-timer') {
          event = timer(connection, name === 'hold' ? 'hold' : 'keepalive');
        } else if (name === 'open' || name === 'open-higher' || name === 'open-restarting') {
          event = opened(connection, { open: lower, 'open-higher': higher, 'open-restarting': restarting }[name]);
        } else if (name === 'start' || name === 'connect-failed') event = { type: name };
        else if (name === 'stop') event = { type: name, notification: bye };
        else if (name === 'reset') event = { type: name, notification: bye };
        else if (name === 'notification' || name === 'bad-message')
          event = { type: name, connection, notification: bye };
        else event = { type: name, connection };
        const result = stepPeer(config, state, event);
        state = result.state;
        for (const effect of result.effects) {
          if (effect.type === 'set-timer') timers.add(effect.timer);
          else if (effect.type === 'cancel-timer') timers.delete(effect.timer);
          else if (effect.type === 'close') {
            expect(alive).toContain(effect.connection);
            alive.splice(alive.indexOf(effect.connection), 1);
          } else if (effect.type === 'up') {
            expect(isUp).toBeUndefined();
            isUp = effect.connection;
          } else if (effect.type === 'down') {
            expect(isUp).toBe(effect.connection);
            isUp = undefined;
          }
        }
        const connections = state.phase === 'running' ? state.connections : [];
        expect(connections.map((one) => one.id).sort()).toEqual([...alive].sort());
        expect(connections.length).toBeLessThanOrEqual(2);
        expect(connections.find((one) => one.state === 'established')?.id).toBe(isUp);
        if (state.phase === 'running' && connections.length === 0) expect([...timers]).toContain('connect-retry');
        if (state.phase === 'idle-hold') expect([...timers]).toContain('idle-hold');
        if (state.phase === 'stopped') expect(timers.size).toBe(0);
        if (isUp !== undefined) expect(state.phase === 'running' && state.dialling).toBe(false);
      }
    }),
    { numRuns: 1000 },
  );
});
