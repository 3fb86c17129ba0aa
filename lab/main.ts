/**
 * The command line of the lab: `npm run lab -- COMMAND`. Exit codes: 0 done, 1 failed, 2 wrong usage; `exec`,
 * `kubectl` and `helm` exit as the command they run.
 */
import { existsSync, globSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describeError, OvenbirdError } from '../src/base/index.ts';
import { binary, ensureBinaries } from './binaries.ts';
import { takeDown } from './down.ts';
import { LabError } from './errors.ts';
import { ensureBuilt, ensureProjectImage } from './images.ts';
import { kubeconfigPath } from './kubectl.ts';
import { addressing, describeLab, hostsOf, maximumNodes, ovnModes, routerKinds } from './lab.ts';
import { withLock } from './ownership.ts';
import { ensurePackages, requireRoot } from './packages.ts';
import { logPath, runInTerminal } from './processes.ts';
import { terminalProgress } from './progress.ts';
import { describeStatus } from './status.ts';
import { bringUp, existingLab, type UpOptions } from './up.ts';

const usage = `The lab: a bare-metal Kubernetes cluster with OVN, in network namespaces of this machine.

  npm run lab -- COMMAND

  up [--nodes N] [--ovn full|external|off] [--router bird|frr] [--no-install]
                          bring it up, or repair it, and install Ovenbird (not with --no-install)
  down                    take it down; nothing is left behind
  status                  show hosts, NICs, nodes and processes
  exec HOST -- CMD...     run a command inside a host
  kubectl ARGS...         run kubectl as the cluster's administrator
  helm ARGS...            run helm likewise
  logs [NAME [-f]]        print (and follow) the log of a process; without a name, list them
  fault KIND ...          break something; without a kind, list what can be broken
  image                   build Ovenbird's image only
  tools                   install the Debian packages and build the programs that lab and tests need; start nothing
`;

const checkout = join(import.meta.dirname, '..');
const progress = terminalProgress();

async function main(words: readonly string[]): Promise<number> {
  const [command, ...rest] = words;
  switch (command) {
    case 'up':
      await bringUp(parseUp(rest), progress);
      return 0;
    case 'down':
      await takeDown(describeLab({ checkout, nodes: 1, ovn: 'full', router: 'bird' }), progress);
      return 0;
    case 'status':
      process.stdout.write(await describeStatus(existingLab(checkout)));
      return 0;
    case 'exec':
      return execute(rest);
    case 'kubectl':
    case 'helm': {
      const lab = existingLab(checkout);
      return runInTerminal(lab, {
        command: binary(lab, command),
        // As with exec, `--` may stand before the words that are not the lab's.
        args: rest[0] === '--' ? rest.slice(1) : rest,
        env: { KUBECONFIG: kubeconfigPath(lab) },
      });
    }
    case 'logs':
      return printLogs(rest);
    case 'fault': {
      const lab = existingLab(checkout);
      const { faultUsage, runFault } = await import('./faults.ts');
      if (rest.length === 0) process.stdout.write(`${faultUsage.trimEnd()}\n`);
      else process.stdout.write(`${(await withLock(progress, () => runFault(lab, [...rest]))).trimEnd()}\n`);
      return 0;
    }
    case 'image':
      return buildImage();
    case 'tools':
      return prepareTools();
    case undefined:
    case 'help':
    case '--help':
    case '-h':
      process.stdout.write(usage);
      return command === undefined ? 2 : 0;
    default:
      throw new LabError('BadUsage', `${command}: no such command; see: npm run lab -- help`);
  }
}

/** What a fresh machine lacks for the lab and for the tests that run real programs. */
async function prepareTools(): Promise<number> {
  const lab = describeLab({ checkout, nodes: 1, ovn: 'full', router: 'bird' });
  await requireRoot(lab);
  await ensurePackages(lab, progress, { forTests: true });
  await ensureBinaries(lab, progress);
  progress.say('tools', 'all there');
  return 0;
}

function parseUp(words: readonly string[]): UpOptions {
  const options: { -readonly [Key in keyof UpOptions]: UpOptions[Key] } = { checkout, install: true };
  const rest = words.flatMap((word) => (/^--\w+=/.test(word) ? word.split(/=(.*)/s).slice(0, 2) : [word]));
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    switch (word) {
      case '--nodes': {
        const nodes = Number(rest.shift());
        if (!Number.isInteger(nodes) || nodes < 1 || nodes > maximumNodes) {
          throw new LabError('BadUsage', `--nodes: must be a number from 1 to ${maximumNodes}`);
        }
        options.nodes = nodes;
        break;
      }
      case '--ovn':
        options.ovn = oneOf('--ovn', rest.shift(), ovnModes);
        break;
      case '--router':
        options.router = oneOf('--router', rest.shift(), routerKinds);
        break;
      case '--no-install':
        options.install = false;
        break;
      default:
        throw new LabError('BadUsage', `up: ${word}: no such option; see: npm run lab -- help`);
    }
  }
  return options;
}

function oneOf<Value extends string>(option: string, given: string | undefined, values: readonly Value[]): Value {
  const value = values.find((candidate) => candidate === given);
  if (value === undefined) throw new LabError('BadUsage', `${option}: must be ${values.join(', ')}`);
  return value;
}

async function execute(words: readonly string[]): Promise<number> {
  const lab = existingLab(checkout);
  const [name, ...rest] = words;
  const [command, ...args] = rest[0] === '--' ? rest.slice(1) : rest;
  const host = hostsOf(lab).find((candidate) => candidate.name === name);
  if (!host || command === undefined) {
    const names = hostsOf(lab).map((candidate) => candidate.name);
    throw new LabError('BadUsage', `exec: say a host (${names.join(', ')}) and a command: exec client -- ip address`);
  }
  // So that ovn-nbctl and ovn-sbctl find the databases from any host that reaches them.
  const env = { OVN_NB_DB: addressing.ovnNorthbound, OVN_SB_DB: addressing.ovnSouthbound };
  return runInTerminal(lab, { host: host.name, command, args, env });
}

async function printLogs(words: readonly string[]): Promise<number> {
  const lab = existingLab(checkout);
  const names = globSync(join(lab.root, 'logs/*.log')).map((path) => basename(path, '.log'));
  const [name, ...options] = words;
  if (name === undefined) {
    process.stdout.write(`${names.sort().join('\n')}\n`);
    return 0;
  }
  const path = logPath(lab, name);
  if (!existsSync(path))
    throw new LabError('BadUsage', `logs: ${name}: no such log; one of: ${names.sort().join(', ')}`);
  const follow = options.includes('-f') || options.includes('--follow');
  return runInTerminal(lab, { command: 'tail', args: ['-n', '+1', ...(follow ? ['-f'] : []), path] });
}

async function buildImage(): Promise<number> {
  const lab = describeLab({ checkout, nodes: 1, ovn: 'full', router: 'bird' });
  await requireRoot(lab);
  await ensurePackages(lab, progress);
  await ensureBuilt(lab, progress);
  const image = await ensureProjectImage(lab, progress);
  process.stdout.write(`${image.name} ${image.archive}\n`);
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (thrown) {
  const isOurs = thrown instanceof OvenbirdError;
  process.stderr.write(`lab: ${isOurs ? thrown.message : describeError(thrown)}\n`);
  process.exitCode = thrown instanceof LabError && thrown.code === 'BadUsage' ? 2 : 1;
}
// Commands that were still running for a step that failed must not keep the terminal.
process.exit();
