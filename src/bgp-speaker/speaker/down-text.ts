import { describeNotification } from '../message/notification.ts';
import type { DownReason } from '../session/peer-machine.ts';

/** One line for people: why a connection ended. `detail` is what was seen, e.g. "UPDATE: attribute 3 is missing". */
export function describeDown(reason: DownReason, detail: string): string {
  const base = baseText(reason);
  return detail === '' ? base : reason.kind === 'closed' ? detail : `${base}; ${detail}`;
}

function baseText(reason: DownReason): string {
  switch (reason.kind) {
    case 'stopped':
      return 'ended here';
    case 'closed':
      return 'the connection was closed';
    case 'peer-restarted':
      return 'the peer has restarted';
    case 'notification-received':
      return `the peer says: ${describeNotification(reason.notification)}`;
    case 'notification-sent':
      return `ended here: ${describeNotification(reason.notification)}`;
  }
}
