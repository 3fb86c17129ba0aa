/**
 * Asks by ARP for addresses, one after another every 5 ms, and notes who answers: run in a client's network namespace
 * with interface and addresses as arguments. Takes `{"take": true}` on stdin, prints what was seen since the last time:
 * `{"from": ms, "to": ms, "asked": [ms], "answers": [[ms, address, mac]]}`; times are CLOCK_BOOTTIME.
 */
import { createInterface } from 'node:readline';
import { arpFilter, boottimeMs, openPacketSocket } from '../../../src/raw-socket/index.ts';
import {
  addressText,
  arpOperation,
  arpReply,
  arpRequest,
  arpSender,
  arpSenderMac,
  arpTarget,
  broadcastMac,
  macText,
  signedAddress,
  writeArpFrame,
} from '../../../src/speaker/l2/arp-frame.ts';

const [, , interfaceName = '', clientAddress = '', ...addresses] = process.argv;
const client = signedAddress(clientAddress);

let fromMs = boottimeMs();
let asked: number[] = [];
let answers: [number, string, string][] = [];

const socket = openPacketSocket({
  interface: interfaceName,
  etherType: 0x0806,
  filter: arpFilter(),
  onFrame(frame) {
    if (arpOperation(frame) !== arpReply || arpTarget(frame) !== client) return;
    answers.push([boottimeMs(), addressText(arpSender(frame)), macText(arpSenderMac(frame))]);
  },
  onError() {},
});
const sourceMac = Buffer.from(socket.hardwareAddress).readUIntBE(0, 6);
const frame = Buffer.alloc(42);

let next = 0;
setInterval(() => {
  const address = addresses[next++ % addresses.length];
  if (address === undefined) return;
  writeArpFrame(frame, {
    destinationMac: broadcastMac,
    sourceMac,
    operation: arpRequest,
    senderMac: sourceMac,
    senderAddress: client >>> 0,
    targetMac: 0,
    targetAddress: signedAddress(address) >>> 0,
  });
  if (socket.send(frame)) asked.push(boottimeMs());
}, 5);

createInterface({ input: process.stdin }).on('line', () => {
  const toMs = boottimeMs();
  process.stdout.write(`${JSON.stringify({ from: fromMs, to: toMs, asked, answers })}\n`);
  fromMs = toMs;
  asked = [];
  answers = [];
});
