import { identifierNumber, type OpenMessage } from '../message/open.ts';
import type { OpenedConnection } from './peer-state.ts';

/** What becomes of a connection when an OPEN comes on another. */
export type CollisionVerdict =
  /** It stays, and the other goes. */
  | 'rival-stays'
  /** It goes, and the other stays. */
  | 'rival-loses'
  /** The peer has begun anew and knows nothing of it. */
  | 'rival-is-dead';

/**
 * Judges two connections between the same speakers (RFC 4271 section 6.8): `rival`, and one on which `open` comes now.
 * An established one stays, unless its peer has restarted (RFC 4724 section 4.2).
 */
export function judgeCollision(local: OpenMessage, rival: OpenedConnection, open: OpenMessage): CollisionVerdict {
  if (rival.state === 'established') return hasRestarted(rival) ? 'rival-is-dead' : 'rival-stays';
  return rival.initiator === winner(local, open) ? 'rival-stays' : 'rival-loses';
}

/** Whose connection stays (RFC 6286 section 2.3): that of the higher identifier, or between equal ones AS number. */
function winner(local: OpenMessage, peer: OpenMessage): 'us' | 'peer' {
  const difference = identifierNumber(local.identifier) - identifierNumber(peer.identifier);
  return (difference === 0 ? local.asNumber - peer.asNumber : difference) > 0 ? 'us' : 'peer';
}

/**
 * What the OPEN on a second connection says of the established one: of a peer with graceful restart for at least one
 * family, that it is gone. The RFC takes the TCP connection for that, which costs a stranger nothing.
 */
function hasRestarted({ negotiated }: OpenedConnection): boolean {
  const { gracefulRestart, peer } = negotiated;
  return gracefulRestart !== undefined && (peer.capabilities.gracefulRestart?.families.length ?? 0) > 0;
}
