import { spawn } from 'node:child_process';
import { CniError } from './request.ts';

/** Runs a program to its end. @throws CniError `commandFailed` with what it said. */
export async function execute(command: string, args: readonly string[], input = ''): Promise<string> {
  const ended = await tryExecute(command, args, input);
  if (ended.code === 0) return ended.stdout;
  const said = (ended.stderr || ended.stdout).trim().slice(-500);
  throw new CniError(
    'commandFailed',
    `${command} ${args.join(' ').slice(0, 300)}: ${said || `exit code ${ended.code}`}`,
  );
}

/** Like `execute`, for programs whose failure is an answer. `code` is -1 when it could not run. */
export async function tryExecute(
  command: string,
  args: readonly string[],
  input = '',
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const output = { stdout: '', stderr: '' };
    const child = spawn(command, args, { stdio: 'pipe' });
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
    child.stdin.on('error', () => {}); // it may end without reading
    child.stdin.end(input);
    child.on('error', (error) => resolve({ ...output, stderr: error.message, code: -1 }));
    child.on('close', (code) => resolve({ ...output, code: code ?? -1 }));
  });
}
