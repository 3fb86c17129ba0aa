import type { RouteRefresh } from '../message/route-refresh.ts';
import type { UpdateVerdict } from '../message/update-classifier.ts';
import type { Negotiated } from '../session/negotiation.ts';
import type { DownReason, RfcState } from '../session/peer-state.ts';
import type { PeerConnection } from './peer-connection.ts';

/** What the driver of a peer tells its session. */
export interface DriverObserver {
  onState(from: RfcState, to: RfcState): void;
  onUp(connection: PeerConnection, negotiated: Negotiated): void;
  /** `detail`: more than the reason says, or empty. */
  onDown(reason: DownReason, detail: string): void;
  onFailed(reason: DownReason, detail: string): void;
  onConnectFailed(error: Error): void;
  /** An UPDATE of an established session; `message` is good until this returns. */
  onUpdate(verdict: UpdateVerdict, message: Uint8Array): void;
  onRouteRefresh(refresh: RouteRefresh): void;
  /** The peer takes more. */
  onRoom(): void;
  /** After every event: for what depends on the state as a whole. */
  onSettled(): void;
}
