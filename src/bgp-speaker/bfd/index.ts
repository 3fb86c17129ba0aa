/** BFD (RFC 5880, 5881, 5883): sessions in a worker thread, the engine to put on a thread of one's own, its pure parts. */
export { type Bfd, type BfdOptions, type BfdSessionHandle, startBfd } from './bfd.ts';
export {
  type BfdControlPacket,
  type BfdDiscardReason,
  type BfdSessionState,
  type DecodedBfdPacket,
  decodeBfdPacket,
  diagnostic,
  encodeBfdPacket,
  encodeBfdPacketInto,
  isTtlAcceptable,
} from './control-packet.ts';
export { BfdEngine, type BfdEngineOptions, type BfdEngineSession } from './engine.ts';
export { BfdError, type BfdErrorCode } from './errors.ts';
export { type Lateness, latenessBoundsMs } from './lateness.ts';
export { serveEngine } from './serve-engine.ts';
export {
  type BfdDropCounts,
  type BfdDropReason,
  type BfdEngineStatus,
  type BfdSessionEvent,
  type BfdSessionStatus,
  type BfdStateReason,
  bfdDropReasons,
} from './session-events.ts';
export {
  type BfdEffect,
  type BfdEvent,
  type BfdSession,
  type BfdSessionConfig,
  type BfdStep,
  detectionMicroseconds,
  newBfdSession,
  stepBfd,
} from './session-machine.ts';
export {
  type BfdSessionOptions,
  type BfdTiming,
  type ResolvedBfdSession,
  resolveBfdSession,
} from './session-options.ts';
export type { BfdDatagram, BfdReceiver, BfdReceiverOptions, BfdSender, BfdTransport } from './transport.ts';
export { UdpTransport } from './udp-transport.ts';
export type { FromBfdWorker, ToBfdWorker } from './worker-messages.ts';
