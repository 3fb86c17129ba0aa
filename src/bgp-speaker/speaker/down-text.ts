import { describeNotification } from '../message/notification.ts';
import type { DownReason } from '../session/peer-state.ts';

/** What the kernel says of a connection that ended without a NOTIFICATION. */
const socketErrors: Readonly<Record<string, string>> = {
  ECONNRESET: 'the peer reset the connection',
  EPIPE: 'the peer closed the connection',
  ETIMEDOUT: 'the peer acknowledged nothing for too long',
  EHOSTUNREACH: 'the peer cannot be reached any more',
  ENETUNREACH: 'there is no route to the peer any more',
};

/**
 * One line for people: why a connection ended. `detail` is what was seen, e.g. "UPDATE: attribute 3 is missing", or the
 * error code of the socket.
 */
export function describeDown(reason: DownReason, detail: string): string {
  const base = baseText(reason);
  if (detail === '') return base;
  if (reason.kind !== 'closed') return `${base}; ${detail}`;
  const meaning = Object.hasOwn(socketErrors, detail) ? socketErrors[detail] : undefined;
  return meaning === undefined ? detail : `${meaning} (${detail})`;
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
