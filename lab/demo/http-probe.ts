/**
 * Child process, run inside the client's namespace: one HTTP request after another on a fixed beat, each on a connection
 * of its own, never waiting for the one before.
 *
 *   node http-probe.ts ADDRESS PORT EVERY-MS TIMEOUT-MS
 *
 * stdout, a JSON object a line as requests end: {"startMs", "endMs", "ok", "answer"}; CLOCK_MONOTONIC in ms. Ends when
 * stdin closes.
 */
import { request } from 'node:http';

const [host = '', port = '80', everyMs = '10', timeoutMs = '300'] = process.argv.slice(2);
const now = () => Number(process.hrtime.bigint()) / 1e6;

function probe(): void {
  const startMs = now();
  const report = (ok: boolean, answer: string) =>
    void process.stdout.write(`${JSON.stringify({ startMs, endMs: now(), ok, answer })}\n`);
  const outgoing = request({ host, port: Number(port), path: '/hostname', agent: false }, (response) => {
    let body = '';
    response.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    response.on('end', () => report(response.statusCode === 200, body.trim()));
    response.on('error', () => report(false, 'answer cut short'));
  });
  const timer = setTimeout(() => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)), Number(timeoutMs));
  outgoing.on('close', () => clearTimeout(timer));
  outgoing.on('error', (error) => report(false, error.message));
  outgoing.end();
}

setInterval(probe, Number(everyMs));
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
