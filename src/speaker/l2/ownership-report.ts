import { macText } from './arp-frame.ts';
import { bestClaim } from './segment-placement.ts';
import type { ClaimCause, Entry, SegmentState } from './segment-state.ts';

/** Every reason an address can have for its role on an interface, with the sentence that explains it. */
export const ownershipReasons = {
  FirstPlacement: 'Nobody owned the address, and this node is first in line.',
  OwnerReleased: 'The last owner let go of the address, and this node was next in line.',
  OwnerDied: 'The last owner fell silent and nobody answered for the address.',
  OwnerResigned: 'The last owner stopped and handed the address over.',
  OwnerNotEligible: 'The last owner may not announce the address any more.',
  HandingOver: 'This node must let go of the address and answers until its successor is heard.',
  Conflict: 'Another host uses the address too without having been elected.',
  OwnedByPeer: 'Another node owns the address.',
  WaitingForTurn: 'Nobody owns the address, and other nodes are before this one in line.',
  ProbingOwner: 'The owner is silent; the network is asked whether somebody still answers.',
  AddressInUse: 'A host that is no speaker answers for the address.',
  OwnerAnswers: 'The owner is not heard, yet it answers for the address.',
  Isolated: 'Neither other speakers nor anything else is heard, so this node is rather cut off itself.',
  MovesDamped: 'The address has moved too often lately; it stays where it is for a while.',
  Listening: 'This node listens before it claims anything.',
  NotEligible: 'This node may not announce the address.',
  LinkDown: 'The interface is down or has no carrier.',
  Resigning: 'The speaker of this node is stopping.',
  InterfaceUnusable: 'The interface cannot be opened; the speaker keeps trying.',
  NoInterface: 'No interface of this node fits the address.',
  UnsupportedFamily: 'Addresses of this family are not announced on layer 2.',
} as const;

export type OwnershipReason = keyof typeof ownershipReasons;
export type OwnershipRole = 'owner' | 'standby' | 'listening' | 'probing' | 'none';

/** How one address stands on one interface of this node. */
export interface Ownership {
  role: OwnershipRole;
  /** Node name of the owner as far as it is known here. */
  owner?: string;
  /** Raised with each change of owner; 0 when nobody has owned it. */
  epoch: number;
  reason: { code: OwnershipReason; message: string };
}

const claimReasons: Record<ClaimCause, OwnershipReason> = {
  first: 'FirstPlacement',
  released: 'OwnerReleased',
  died: 'OwnerDied',
  resigned: 'OwnerResigned',
  'not-eligible': 'OwnerNotEligible',
};

/** Puts one entry into words. */
export function describeOwnership(state: SegmentState, entry: Entry, nowMs: number): Ownership {
  const { address, phase, epoch } = entry;
  const owner = phase.kind === 'owner' ? state.options.node : bestClaim(state, address)?.peer.node;
  const tell = (role: OwnershipRole, code: OwnershipReason, message: string): Ownership => ({
    role,
    ...(owner === undefined ? {} : { owner }),
    epoch,
    reason: { code, message },
  });
  switch (phase.kind) {
    case 'owner': {
      if (phase.yieldUntilMs !== undefined) {
        return tell('owner', 'HandingOver', `${address} is answered here until a successor is heard`);
      }
      if (!entry.eligible.has(state.options.node)) return tell('owner', 'MovesDamped', damped(address));
      if (entry.conflict) {
        const mac = macText(entry.conflict.mac);
        const message =
          entry.conflict.node === undefined
            ? `the host with MAC ${mac} uses ${address} too; take the address from it`
            : `${entry.conflict.node} answers for ${address} too though it does not own it; set ` +
              'net.ipv4.conf.all.arp_ignore=1 there (strictARP of kube-proxy), or stop what else announces the address';
        return tell('owner', 'Conflict', message);
      }
      const code = claimReasons[phase.cause];
      return tell('owner', code, `${address}: ${ownershipReasons[code]}`);
    }
    case 'standby':
      return tell('standby', 'OwnedByPeer', `${owner ?? 'another node'} owns ${address}`);
    case 'waiting':
      return tell('standby', 'WaitingForTurn', `${address} waits for the nodes that are before this one in line`);
    case 'probing': {
      const whom = phase.target ? `${phase.target.node} is silent` : 'nobody is known to own it';
      return tell('probing', 'ProbingOwner', `${whom}; asking the network whether somebody answers for ${address}`);
    }
    case 'isolated':
      return tell(
        'standby',
        'Isolated',
        `nothing is heard on the network; ${address} is not claimed until something is`,
      );
    case 'blocked':
      return tellBlocked(phase.why, phase.untilMs - nowMs);
    case 'none':
      return tellNone();
  }

  function tellBlocked(why: Extract<Entry['phase'], { kind: 'blocked' }>['why'], leftMs: number): Ownership {
    const left = `${Math.max(1, Math.ceil(leftMs / 1000))} s`;
    switch (why.kind) {
      case 'address-in-use': {
        const mac = macText(why.mac);
        const advice = 'take the address from that host or exclude it from the pool';
        return tell(
          'none',
          'AddressInUse',
          `the host with MAC ${mac} answers for ${address}; ${advice} (retry in ${left})`,
        );
      }
      case 'owner-answers':
        return tell('standby', 'OwnerAnswers', `${why.node} is not heard but answers for ${address}`);
      case 'moves-damped':
        return tell('standby', 'MovesDamped', `${damped(address)} for ${left}`);
    }
  }

  function tellNone(): Ownership {
    switch (state.mode.kind) {
      case 'down':
        return tell('none', 'LinkDown', 'the interface is down or has no carrier; check the link');
      case 'listening': {
        if (!entry.eligible.has(state.options.node)) break;
        const why = {
          started: 'the speaker started',
          'link-up': 'the link came up',
          stalled: 'the process had stalled',
        };
        return tell('listening', 'Listening', `${why[state.mode.why]}; listening before claiming ${address}`);
      }
      case 'resigning':
      case 'stopped':
        return tell('none', 'Resigning', 'the speaker of this node is stopping');
      default:
        break;
    }
    return tell('none', 'NotEligible', `this node may not announce ${address}${owner ? `; ${owner} owns it` : ''}`);
  }
}

function damped(address: string): string {
  return `${address} has moved on purpose as often as is good for the network; it stays where it is`;
}
