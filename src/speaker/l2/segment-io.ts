import {
  arpFilter,
  boottimeMs,
  createGate,
  ipv4UdpFilter,
  openPacketSocket,
  RawSocketError,
} from '../../raw-socket/index.ts';
import { groupAddress } from './heartbeat-frame.ts';
import type { SegmentIo, SegmentReceiver } from './segment-runtime.ts';

const groupMacBytes = Uint8Array.of(0x01, 0x00, 0x5e, 0x00, 0x00, 0xfe);
/** A gate that ends this much after what was asked was opened by a process that stood still in between. */
const standstillMs = 2;

/**
 * Two packet sockets, one for ARP and one for heartbeats, and the gate.
 *
 * @param onError the interface went down or away, or refused a frame; netlink tells the rest
 * @throws RawSocketError
 */
export function openSegmentIo(
  interfaceIndex: number,
  port: number,
  receiver: SegmentReceiver,
  onError: (error: RawSocketError) => void,
): SegmentIo {
  const gate = createGate();
  const arp = openPacketSocket({
    interface: interfaceIndex,
    etherType: 0x0806,
    filter: arpFilter(),
    onFrame: (frame) => receiver.onArp(frame),
    onError,
  });
  let heartbeats: ReturnType<typeof openPacketSocket>;
  try {
    heartbeats = openPacketSocket({
      interface: interfaceIndex,
      etherType: 0x0800,
      filter: ipv4UdpFilter(Uint8Array.from(groupAddress.split('.'), Number), port),
      multicast: [groupMacBytes],
      onFrame: (frame) => receiver.onHeartbeat(frame),
      onError,
    });
  } catch (thrown) {
    arp.close();
    throw thrown;
  }
  const tried = (send: () => boolean): boolean => {
    try {
      return send();
    } catch (thrown) {
      if (!(thrown instanceof RawSocketError)) throw thrown;
      onError(thrown);
      return false;
    }
  };
  return {
    nowMs: boottimeMs,
    sendHeartbeat: (frame) => tried(() => heartbeats.send(frame)),
    sendArp: (frame) => tried(() => arp.send(frame)),
    sendArpGated: (frame) => tried(() => arp.sendGated(frame, gate)),
    openGate(untilMs) {
      const leftMs = untilMs - boottimeMs();
      if (leftMs <= 0) {
        gate.close();
        return;
      }
      gate.open(leftMs);
      // Stopped between the two lines above, we would have given ourselves time that is not ours.
      if (boottimeMs() + gate.remainingMs > untilMs + standstillMs) gate.close();
    },
    closeGate: () => gate.close(),
    drain() {
      heartbeats.drain();
      arp.drain();
    },
    close() {
      arp.close();
      heartbeats.close();
    },
  };
}
