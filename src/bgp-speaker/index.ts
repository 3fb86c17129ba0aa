/**
 * A BGP-4 speaker that announces routes, and the pure parts that it is made of: codec, RFC 7606 classification, the
 * state machine of a peer, the routes, and the BFD session.
 */
export { Address, Cidr } from '../net/index.ts';
export * from './bfd/index.ts';
export {
  BgpArgumentError,
  BgpError,
  type BgpErrorCode,
  BgpMessageError,
  BgpOptionsError,
  BgpTransportError,
  type Notification,
} from './errors.ts';
export { type AddressFamily, addressFamilies, cease, errorCode, messageType } from './message/assigned-numbers.ts';
export type { Capabilities, GracefulRestart, LongLivedFamily } from './message/capabilities.ts';
export {
  type Community,
  type CommunityLists,
  formatCommunity,
  type LargeCommunity,
  parseCommunities,
  parseCommunity,
  wellKnownCommunity,
} from './message/communities.ts';
export { encodeKeepalive, type FramedMessage, MessageFramer } from './message/framing.ts';
export {
  ceaseWithText,
  decodeNotification,
  describeNotification,
  encodeNotification,
  hardReset,
  hardResetReason,
  shutdownText,
} from './message/notification.ts';
export { decodeOpen, encodeOpen, type OpenMessage } from './message/open.ts';
export type { PathAttributes, RouteAttributes, UpdateContext } from './message/path-attributes.ts';
export {
  decodeRouteRefresh,
  encodeRouteRefresh,
  type RouteRefresh,
  type RouteRefreshKind,
} from './message/route-refresh.ts';
export type { AttributeProblem, ErrorAction } from './message/update-attributes.ts';
export {
  classifyUpdate,
  type PrefixCounts,
  type UpdateSender,
  type UpdateVerdict,
} from './message/update-classifier.ts';
export { encodeEndOfRib, UpdatePacker } from './message/update-packer.ts';
export type { RoutePolicy } from './rib/route-groups.ts';
export { RouteReader, type UnsendableRoutes } from './rib/route-reader.ts';
export { Routes } from './rib/routes.ts';
export { type ExpectedAs, type Negotiated, negotiate } from './session/negotiation.ts';
export { type PeerStep, stepPeer } from './session/peer-machine.ts';
export {
  type Connection,
  type DownReason,
  initialPeerState,
  type PeerEffect,
  type PeerEvent,
  type PeerMachineConfig,
  type PeerState,
  type RfcState,
  rfcState,
} from './session/peer-state.ts';
export { resolveSessionOptions, type SessionOptions } from './session/session-options.ts';
export type { MessageCounts, SessionCounters } from './speaker/counters.ts';
export type { DrainOptions, StopOptions } from './speaker/drain.ts';
export type { EventsOptions, SpeakerEvent } from './speaker/events.ts';
export type {
  DynamicPeerOptions,
  ListenAddress,
  PeerOptions,
  ResolvedPeer,
  SpeakerOptions,
} from './speaker/options.ts';
export type { ExportPolicy, PeerView } from './speaker/outbound-policy.ts';
export type { ResetOptions, Session } from './speaker/session.ts';
export { type BgpSpeaker, type CloseOptions, createSpeaker } from './speaker/speaker.ts';
export {
  type DiscoveryCounters,
  discoverNeighbours,
  type NeighbourDiscovery,
  type NeighbourDiscoveryOptions,
  type NeighbourEvent,
} from './transport/neighbour-discovery.ts';
export { tcpTransport } from './transport/tcp-transport.ts';
export type {
  AuthenticationKey,
  ConnectionOptions,
  ListenOptions,
  PeerEndpoint,
  PeerListener,
  RefusalReason,
  Transport,
} from './transport/transport.ts';
