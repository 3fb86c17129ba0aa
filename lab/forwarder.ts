/**
 * The lab's door: `node lab/forwarder.ts HOST PORT`, started inside the namespace of `control` with a socket on
 * descriptor 3 that already listens in the machine's own namespace. Connections go in there and come out here.
 */
import { connect, createServer } from 'node:net';

const [host, port] = process.argv.slice(2);
const server = createServer({ allowHalfOpen: true }, (incoming) => {
  const outgoing = connect({ host: host ?? '', port: Number(port), allowHalfOpen: true });
  for (const [from, to] of [
    [incoming, outgoing],
    [outgoing, incoming],
  ] as const) {
    from.setNoDelay(true);
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroySoon());
  }
});
server.listen({ fd: 3 });
