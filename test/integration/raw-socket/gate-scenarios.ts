/** One process answers behind a gate, another asks every millisecond and notes when answers come. */
import { setTimeout as sleep } from 'node:timers/promises';
import { boottimeMs, createGate, openPacketSocket } from '../../../src/raw-socket/index.ts';
import { broadcast, ethernet } from './frames.ts';

const requestType = 0x88b5;
const replyType = 0x88b6;
/** In the byte after the Ethernet header of a request: answer it, or stall first. */
const ask = 1;
const stall = 2;
const failOnError = (error: Error) => {
  throw error;
};

/**
 * Answers on `vb`. The right to answer lasts DEADLINE_MS and is kept up every fifth of that; with UNGATED it answers
 * always. Prints "ready", and for each stall it is told to make "stalled FROM TO"; after SIGUSR2 gives its
 * counters.
 */
export async function responder() {
  const deadlineMs = Number(process.env.DEADLINE_MS);
  const gate = process.env.UNGATED === undefined ? createGate() : undefined;
  const reply = Uint8Array.from(ethernet(replyType, [1], { to: broadcast }));
  const socket = openPacketSocket({
    interface: 'vb',
    etherType: requestType,
    onFrame: (frame) => {
      if (frame[14] === stall) {
        arm();
        const from = boottimeMs();
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5 * deadlineMs);
        console.log(`stalled ${from} ${boottimeMs()}`);
      }
      if (gate === undefined) socket.send(reply);
      else socket.sendGated(reply, gate);
    },
    onError: failOnError,
  });
  // Until armed, a lapse on a busy machine is mended; afterwards nothing gives the right back.
  let armed = false;
  let lapses = 0;
  const arm = () => {
    gate?.open(deadlineMs);
    armed = true;
  };
  gate?.open(deadlineMs);
  const keeping = setInterval(() => {
    if (gate === undefined || gate.extend(deadlineMs)) return;
    if (armed) lapses += 1;
    else gate.open(deadlineMs);
  }, deadlineMs / 5);
  process.once('SIGUSR1', () => {
    arm();
    console.log('armed');
  });
  console.log('ready');
  await new Promise((resolve) => process.once('SIGUSR2', resolve));
  clearInterval(keeping);
  const { received, sent, gated } = socket.statistics();
  socket.close();
  return { received, sent, gated, lapses };
}

/** Asks on `va` until SIGUSR2; gives the CLOCK_BOOTTIME ms of every answer. */
export async function asker() {
  const answers: number[] = [];
  const socket = openPacketSocket({
    interface: 'va',
    etherType: replyType,
    onFrame: () => {
      answers.push(boottimeMs());
      if (answers.length === 20) console.log('answered');
    },
    onError: failOnError,
  });
  const request = Uint8Array.from(ethernet(requestType, [ask], { to: broadcast }));
  const stopper = Uint8Array.from(ethernet(requestType, [stall], { to: broadcast }));
  let going = true;
  let requests = 0;
  process.once('SIGUSR2', () => {
    going = false;
  });
  process.on('SIGUSR1', () => socket.send(stopper));
  while (going) {
    socket.send(request);
    requests += 1;
    await sleep(1);
  }
  socket.close();
  return { requests, answers };
}
