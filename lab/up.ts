import { existsSync, mkdirSync } from 'node:fs';
import { ensureBinaries, kubernetesVersion } from './binaries.ts';
import { installChart } from './chart.ts';
import { startControlPlane } from './control-plane.ts';
import { sweep } from './down.ts';
import { LabError } from './errors.ts';
import { startClient, startRouter } from './hosts.ts';
import { ensureBuilt, ensureProjectImage, ensureWorkloadImages, type Image } from './images.ts';
import { apiRead, kubeconfigPath } from './kubectl.ts';
import { describeLab, type Lab, type NodeSpec, type OvnMode, type RouterKind } from './lab.ts';
import { rememberSettings } from './machine-settings.ts';
import { setUpNetwork } from './namespaces.ts';
import { importImages, prepareNode, startContainerd, startKubelet, startKubeProxy } from './node.ts';
import { annotateNode, installCni, startOvnCentral, startOvnNode } from './ovn/index.ts';
import { claimMachine, withLock } from './ownership.ts';
import { ensurePackages, requireRoot } from './packages.ts';
import { makeKeys } from './pki.ts';
import { isAlive } from './process-table.ts';
import { logEnd, waitFor } from './processes.ts';
import type { Progress } from './progress.ts';
import { processRecords, readState, writeState } from './state.ts';

/** What `up` may be told; what it is not told is as in the lab that is there, or the default. */
export interface UpOptions {
  readonly checkout: string;
  readonly nodes?: number;
  readonly ovn?: OvnMode;
  readonly router?: RouterKind;
  /** Install Ovenbird itself too. */
  readonly install: boolean;
}

const defaults = { nodes: 3, ovn: 'full', router: 'bird' } as const;

/**
 * Brings the lab up, or repairs what is missing of it, and waits until everything is ready.
 * @throws LabError naming the step, with the end of the log of what failed.
 */
export async function bringUp(options: UpOptions, progress: Progress): Promise<Lab> {
  return withLock(progress, async () => {
    const lab = await claim(options, progress);
    await ensurePackages(lab, progress);
    await ensureBinaries(lab, progress);
    rememberSettings(lab);
    await progress.step('network', `${lab.nodes.length} nodes, router, client: wired`, async () => {
      await Promise.all([setUpNetwork(lab), makeKeys(lab)]);
    });
    const [, project] = await Promise.all([
      startCluster(lab, progress),
      options.install ? buildProject(lab, progress) : undefined,
    ]);
    if (project) {
      await progress.step('images', `${project.name} on all nodes`, () =>
        Promise.all(lab.nodes.map((node) => importImages(lab, node, [project.archive]))),
      );
      await progress.step('ovenbird', 'controller and speakers ready', () => installChart(lab, project));
    }
    progress.say('lab', `ready; KUBECONFIG=${kubeconfigPath(lab)}`);
    return lab;
  });
}

/** Starts (or repairs) everything of one node. The control plane and the network must be there. */
export async function bringUpNode(
  lab: Lab,
  node: NodeSpec,
  images: readonly Image[],
  progress: Progress,
): Promise<void> {
  await prepareNode(lab, node);
  const cni = await installCni(lab, node);
  const overlay = startOvnNode(lab, node);
  const runtime = startContainerd(lab, node, cni).then(() =>
    importImages(
      lab,
      node,
      images.map((image) => image.archive),
    ),
  );
  const kubelet = runtime.then(() => startKubelet(lab, node));
  await progress.step('nodes', `${node.name} started`, () => Promise.all([overlay, kubelet]));
  await waitFor(`${node.name}: registered with the API server`, 60_000, async () =>
    Boolean(await apiRead(lab, `/api/v1/nodes/${node.name}`)),
  );
  await annotateNode(lab, node);
  if (lab.ovn !== 'full') await startKubeProxy(lab, node);
}

/** The lab of the state file, as it was brought up. @throws LabError `NotUp`. */
export function existingLab(checkout: string): Lab {
  const state = readState(describeLab({ checkout, ...defaults }).root);
  if (!state) throw new LabError('NotUp', 'the lab is not up; bring it up with: npm run lab -- up');
  return describeLab({ checkout, ...state.options });
}

async function claim(options: UpOptions, progress: Progress): Promise<Lab> {
  const { root } = describeLab({ checkout: options.checkout, ...defaults });
  await requireRoot({ root });
  const state = readState(root);
  const before = state?.options;
  const wanted = {
    nodes: options.nodes ?? before?.nodes ?? defaults.nodes,
    ovn: options.ovn ?? before?.ovn ?? defaults.ovn,
    router: options.router ?? before?.router ?? defaults.router,
  };
  if (before && (before.ovn !== wanted.ovn || before.nodes > wanted.nodes)) {
    const is = `${before.nodes} nodes, --ovn ${before.ovn}`;
    throw new LabError('BadUsage', `the lab that is up has ${is}; take it down before bringing up another one`);
  }
  const lab = describeLab({ checkout: options.checkout, ...wanted });
  if (claimMachine(lab).orphaned) {
    progress.say('down', 'the lab of another checkout is dead; removing what it left');
    await sweep(lab, progress);
    claimMachine(lab);
  }
  mkdirSync(root, { recursive: true });
  writeState(root, {
    processes: {},
    sysctls: {},
    madeNetnsDirectory: !existsSync('/run/netns'),
    ...state,
    options: wanted,
  });
  progress.say('lab', `Kubernetes ${kubernetesVersion(lab)}, OVN mode ${lab.ovn}, router ${lab.router}`);
  return lab;
}

async function startNetworks(lab: Lab, progress: Progress): Promise<void> {
  await progress.step('network', 'OVN databases, router and client ready', () =>
    Promise.all([startOvnCentral(lab), startRouter(lab), startClient(lab)]),
  );
}

async function startCluster(lab: Lab, progress: Progress): Promise<void> {
  const [images] = await Promise.all([
    ensureWorkloadImages(lab, progress),
    startControlPlane(lab, progress),
    startNetworks(lab, progress),
    ...lab.nodes.map((node) => prepareNode(lab, node)),
  ]);
  await Promise.all(lab.nodes.map((node) => bringUpNode(lab, node, images, progress)));
  await waitForNodes(lab, progress);
}

async function buildProject(lab: Lab, progress: Progress): Promise<Image> {
  await ensureBuilt(lab, progress);
  return ensureProjectImage(lab, progress);
}

interface NodeObject {
  metadata: { name: string };
  spec: { taints?: { key: string; effect: string }[] };
  status: { conditions?: { type: string; status: string; message?: string }[] };
}

async function waitForNodes(lab: Lab, progress: Progress): Promise<void> {
  let waiting = '';
  const work = waitFor('nodes: all Ready', 90_000, async () => {
    assertAllAlive(lab);
    const { items } = await apiRead<{ items: NodeObject[] }>(lab, '/api/v1/nodes');
    const reasons = items.flatMap((node) => whyNotReady(node) ?? []);
    waiting = reasons.join('; ') || `${items.length} of ${lab.nodes.length} registered`;
    return items.length >= lab.nodes.length && reasons.length === 0;
  });
  try {
    await progress.step('nodes', `${lab.nodes.length} nodes Ready`, () => work);
  } catch (cause) {
    assertAllAlive(lab);
    throw new LabError('NotReady', `nodes: not all Ready in 90 s; ${waiting}`, { cause });
  }
}

/** A node that has just turned Ready keeps its taint for a moment, in which nothing is scheduled there. */
function whyNotReady({ metadata, spec, status }: NodeObject): string | undefined {
  const ready = status.conditions?.find((condition) => condition.type === 'Ready');
  if (ready?.status !== 'True') return `${metadata.name}: ${ready?.message ?? 'says nothing yet'}`;
  const taint = spec.taints?.find(({ key }) => key === 'node.kubernetes.io/not-ready');
  return taint && `${metadata.name}: Ready, but still has the taint ${taint.key}:${taint.effect}`;
}

function assertAllAlive(lab: Lab): void {
  for (const [name, record] of Object.entries(processRecords(lab))) {
    if (!isAlive(record)) throw new LabError('ProcessDied', `${name} ended by itself${logEnd(record.log)}`);
  }
}
