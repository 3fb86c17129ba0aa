/** Every kind of message that the library encodes, with what a decoder must read in it. */

import {
  ceaseWithText,
  encodeKeepalive,
  encodeNotification,
  encodeOpen,
  encodeRouteRefresh,
  hardReset,
  type OpenMessage,
} from '../../../src/bgp-speaker/index.ts';
import { addressFamilies } from '../../../src/bgp-speaker/message/assigned-numbers.ts';
import { Address } from '../../../src/net/index.ts';
import { type OwnMessage, oldUpdates, one, ownUpdates } from './own-updates.ts';

function opens(): OwnMessage[] {
  const families = addressFamilies;
  const least = {
    families,
    routeRefresh: false,
    enhancedRouteRefresh: false,
    extendedMessages: false,
    ipv4NextHopOverIpv6: false,
  };
  const base = { asNumber: 65_001, holdTimeSeconds: 90, identifier: Address.parse('192.0.2.1') };
  const open = (capabilities: Partial<OpenMessage['capabilities']>, rest: Partial<OpenMessage> = {}) =>
    encodeOpen({ ...base, ...rest, capabilities: { ...least, ...capabilities } });
  const gracefulRestart = {
    restarted: true,
    notification: true,
    restartTimeSeconds: 4095,
    families: [
      { family: 'ipv4-unicast' as const, forwarding: true },
      { family: 'ipv6-unicast' as const, forwarding: false },
    ],
  };
  const longLived = (count: number) =>
    Array.from({ length: count }, () => ({
      family: 'ipv6-unicast' as const,
      forwarding: true,
      staleTimeSeconds: 0xff_ffff,
    }));
  const all = {
    routeRefresh: true,
    enhancedRouteRefresh: true,
    extendedMessages: true,
    ipv4NextHopOverIpv6: true,
    fourOctetAs: 4_200_000_001,
    gracefulRestart,
    longLivedGracefulRestart: longLived(1),
  };
  const mp = { 'cap.mp.afi': '1,2', 'cap.mp.safi': '1,1' };
  return [
    one('OPEN without capabilities', open({ families: [] }, { holdTimeSeconds: 0 }), {
      'open.version': '4',
      'open.myas': '65001',
      'open.holdtime': '0',
      'open.identifier': '192.0.2.1',
      'open.opt.len': '0',
      'cap.type': '',
    }),
    one('OPEN with both families', open({}), { ...mp, 'cap.type': '1,1', 'open.holdtime': '90' }),
    one('OPEN with everything', open(all, { asNumber: 4_200_000_001 }), {
      ...mp,
      'open.myas': '23456',
      'cap.type': '1,1,2,5,6,64,65,70,71',
      'cap.enh.afi': '1',
      'cap.enh.nhafi': '2',
      'cap.gr.timers.restart_flag': '1',
      'cap.gr.timers.notification_flag': '1',
      'cap.gr.timers.restart_time': '4095',
      'cap.gr.afi': '1,2',
      'cap.gr.flag.pfs': '1,0',
      'cap.4as': '4200000001',
    }),
    {
      ...one(
        'OPEN of more than 255 bytes of capabilities (RFC 9072)',
        open({ ...all, longLivedGracefulRestart: longLived(36) }),
        { 'open.opt.len': '255', 'cap.type': '1,1,2,5,6,64,65,70,71' },
      ),
      unknownAs: /Capability length 255 wrong/,
    },
  ];
}

function notifications(): OwnMessage[] {
  const codes: readonly (readonly [number, readonly number[]])[] = [
    [1, [1, 2, 3]],
    [2, [0, 1, 2, 3, 4, 6, 7]],
    [3, [1, 2, 3, 4, 5, 6, 8, 9, 10, 11]],
    [4, [0]],
    [5, [0, 1, 2, 3]],
    [6, [2, 3, 4, 5, 7, 8, 10]],
    [7, [1]],
    [8, [0]],
  ];
  const plain = codes.flatMap(([code, subcodes]) =>
    subcodes.map((subcode) => ({
      ...one(`NOTIFICATION ${code}/${subcode}`, encodeNotification({ code, subcode, data: new Uint8Array(0) }), {
        'notify.major_error': String(code),
      }),
      ...(code === 8 ? { unknownAs: /Unknown notification error \(8\)/ } : {}),
    })),
  );
  const text = `${'ä'.repeat(127)}.`;
  return [
    ...plain,
    one('a shutdown with the longest text', encodeNotification(ceaseWithText(2, text)), {
      'notify.minor_error_cease': '2',
      'notify.communication_length': '255',
      'notify.communication': text,
    }),
    one('a reset with a text', encodeNotification(ceaseWithText(4, 'bis morgen früh')), {
      'notify.minor_error_cease': '4',
      'notify.communication': 'bis morgen früh',
    }),
    one('a hard reset', encodeNotification(hardReset(ceaseWithText(2, 'bye'))), {
      'notify.minor_error_cease': '9',
      'notify.minor_data': '060203627965',
    }),
    one(
      'a NOTIFICATION with data',
      encodeNotification({ code: 2, subcode: 7, data: Uint8Array.of(1, 4, 0, 1, 0, 1) }),
      {
        'notify.minor_error_open': '7',
      },
    ),
  ];
}

function refreshes(): OwnMessage[] {
  return addressFamilies.flatMap((family, index) =>
    (['request', 'begin', 'end'] as const).map((kind, subtype) =>
      one(`ROUTE-REFRESH ${family} ${kind}`, encodeRouteRefresh(family, kind), {
        'route_refresh.afi': String(index + 1),
        'route_refresh.safi': '1',
        'route_refresh.subtype': String(subtype),
      }),
    ),
  );
}

export function ownMessages(): OwnMessage[] {
  return [
    ...opens(),
    ...notifications(),
    ...refreshes(),
    ...ownUpdates(),
    ...oldUpdates(),
    one('KEEPALIVE', encodeKeepalive(), {}),
  ];
}
