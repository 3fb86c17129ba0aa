import { pauseImage } from './image-names.ts';
import { addressing, type Lab, type NodeSpec } from './lab.ts';
import { keyPair } from './pki.ts';

/** containerd's configuration (version 3): its own directories, the shim by path, no plugin that a node has no use for. */
export function containerdConfig(options: {
  root: string;
  shim: string;
  socket: string;
  confDir: string;
  binDir: string;
}): string {
  const text = JSON.stringify; // TOML basic strings are written like JSON's
  return `version = 3
root = ${text(options.root)}
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.native"]

[grpc]
  address = ${text(options.socket)}

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = ${text(pauseImage)}

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = [${text(options.binDir)}]
  conf_dir = ${text(options.confDir)}
  use_internal_loopback = true
[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = ${text(options.shim)}
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = false
`;
}

/**
 * The kubelet's configuration. Several kubelets share one machine and its cgroups, so nothing is reserved, evicted or
 * collected for want of space: a full disk of the developer must not drain the lab.
 */
export function kubeletConfig(lab: Lab, node: NodeSpec, containerdSocket: string): object {
  const serving = keyPair(lab, node.name);
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: keyPair(lab, 'ca').certificate },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: serving.certificate,
    tlsPrivateKeyFile: serving.key,
    containerRuntimeEndpoint: `unix://${containerdSocket}`,
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    failSwapOn: false,
    localStorageCapacityIsolation: false,
    evictionHard: { 'memory.available': '0%', 'nodefs.available': '0%', 'imagefs.available': '0%' },
    imageGCHighThresholdPercent: 100,
    volumePluginDir: '/var/lib/kubelet/volume-plugins',
    resolvConf: '/etc/resolv.conf',
    registerNode: true,
    // Starts and stops are what the lab's tests wait for.
    syncFrequency: '20s',
    serializeImagePulls: false,
  };
}

/** kube-proxy's configuration: nftables, and no setting that only the machine's first namespace may change. */
export function kubeProxyConfig(node: NodeSpec, kubeconfig: string): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    clientConnection: { kubeconfig },
    hostnameOverride: node.name,
    mode: 'nftables',
    // A pod's packet to a ClusterIP reaches its node's host stack through OVN; the answer must come back there too, or
    // it would go straight from pod to pod with the backend's own address.
    nftables: { masqueradeAll: true },
    // By default nftables serves node ports on the InternalIP alone; clients of the lab are on the fabric.
    nodePortAddresses: ['0.0.0.0/0'],
    clusterCIDR: addressing.pods.cidr,
    detectLocalMode: 'ClusterCIDR',
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  };
}
