/**
 * Child process, run inside a host's namespace: sends one datagram from each of several sockets.
 *
 *   node udp-asker.ts ADDRESS PORT TIMES TEXT
 *
 * stdout: the answers as a JSON list, null for a datagram that nobody answered within two seconds.
 */
import { createSocket } from 'node:dgram';

const [address = '', port = '', times = '1', text = ''] = process.argv.slice(2);

function ask(): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const settle = (answer: string | null) => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => settle(null), 2_000);
    socket.on('message', (message) => settle(message.toString()));
    socket.on('error', () => settle(null));
    socket.connect(Number(port), address, () => socket.send(text));
  });
}

const answers: (string | null)[] = [];
for (let at = 0; at < Number(times); at++) answers.push(await ask());
process.stdout.write(JSON.stringify(answers));
