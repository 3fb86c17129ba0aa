import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { addressing, type Lab, type NodeSpec } from '../lab.ts';
import { podMtu } from '../ovn/node-network.ts';
import { names, portGroupOf } from '../ovn/northbound-topology.ts';
import type { PluginSettings } from './request.ts';

const pluginName = 'ovenbird-lab';

/**
 * Writes the CNI plugin and its configuration for one node, in directories of its own. The plugin is bundled into one
 * file: it starts for every pod, and reading it as many TypeScript files takes three times as long.
 * @returns what containerd is told as `conf_dir` and `bin_dir`.
 */
export async function installCni(_lab: Lab, node: NodeSpec): Promise<{ confDir: string; binDir: string }> {
  const confDir = join(node.dir, 'cni', 'conf');
  const binDir = join(node.dir, 'cni', 'bin');
  const bundle = join(node.dir, 'cni', 'plugin.mjs');
  mkdirSync(confDir, { recursive: true });
  mkdirSync(binDir, { recursive: true });
  const bundled = await build({
    entryPoints: [join(import.meta.dirname, 'main.ts')],
    write: false,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    logLevel: 'error',
  });
  replaceFile(bundle, bundled.outputFiles[0]?.text ?? '', 0o644);
  replaceFile(join(binDir, pluginName), `#!/bin/sh\nexec '${process.execPath}' '${bundle}'\n`, 0o755);
  const list = { cniVersion: '1.0.0', name: pluginName, plugins: [settingsOf(node)] };
  replaceFile(join(confDir, '10-ovenbird-lab.conflist'), `${JSON.stringify(list, undefined, 2)}\n`, 0o644);
  return { confDir, binDir };
}

/** Leaves a file of the same content alone and changes another by rename: the plugin may be running. */
function replaceFile(path: string, content: string, mode: number): void {
  if (existsSync(path) && readFileSync(path, 'utf8') === content) return;
  writeFileSync(`${path}.new`, content);
  chmodSync(`${path}.new`, mode);
  renameSync(`${path}.new`, path);
}

function settingsOf(node: NodeSpec): PluginSettings {
  return {
    type: pluginName,
    northbound: addressing.ovnNorthbound,
    switchDatabase: 'unix:/run/openvswitch/db.sock',
    logicalSwitch: names.podSwitch,
    portGroup: portGroupOf(node.name),
    cidr: addressing.pods.cidr,
    gateway: addressing.pods.gateway,
    mtu: podMtu,
  };
}
