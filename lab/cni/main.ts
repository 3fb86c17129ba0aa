/**
 * The lab's CNI plugin: connects pods to the node's br-int and to OVN's pod switch (CNI specification 1.1). containerd
 * runs it in the node's namespaces, once per request.
 */
import { describeError } from '../../src/base/errors.ts';
import { CniError, cniErrors, parseAttachment, parseConfiguration, supportedVersions } from './request.ts';
import { add, check, collectGarbage, remove, reportStatus } from './verbs.ts';

async function readInput(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += String(chunk);
  return text;
}

async function answer(): Promise<object | undefined> {
  const command = process.env.CNI_COMMAND;
  const input = await readInput();
  if (command === 'VERSION') return { cniVersion: supportedVersions.at(-1), supportedVersions };
  const configuration = parseConfiguration(input);
  switch (command) {
    case 'ADD':
      return add(configuration, parseAttachment(process.env));
    case 'DEL':
      return void (await remove(configuration, parseAttachment(process.env).containerId));
    case 'CHECK':
      return void (await check(configuration, parseAttachment(process.env)));
    case 'GC':
      return void (await collectGarbage(configuration));
    case 'STATUS':
      return void (await reportStatus(configuration));
    default:
      throw new CniError('invalidEnvironment', `CNI_COMMAND ${command ?? 'is not set'}: not a command of CNI`);
  }
}

answer().then(
  (result) => {
    if (result !== undefined) process.stdout.write(JSON.stringify(result));
  },
  (thrown: unknown) => {
    const code = cniErrors[thrown instanceof CniError ? thrown.code : 'commandFailed'];
    const failure = { cniVersion: supportedVersions[0], code, msg: describeError(thrown) };
    process.stdout.write(JSON.stringify(failure));
    process.exitCode = 1;
  },
);
