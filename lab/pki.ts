import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addressing, type Lab } from './lab.ts';
import { run } from './processes.ts';

/** Who is certified: names and addresses are fixed, so a certificate never has to change while the lab lives. */
interface Subject {
  readonly name: string;
  readonly commonName: string;
  readonly organization?: string;
  readonly alternativeNames?: readonly string[];
}

/** Paths of one certificate and its key. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/** Who talks to the API server with a kubeconfig of the lab. */
export type Client = 'admin' | 'controller-manager' | 'scheduler' | 'kube-proxy' | `node-${number}`;

/** Makes the authority, every certificate and the key of service-account tokens; those that exist stay. */
export async function makeKeys(lab: Lab): Promise<void> {
  mkdirSync(directory(lab), { recursive: true, mode: 0o700 });
  await makeAuthority(lab);
  await Promise.all([makeServiceAccountKey(lab), ...subjects(lab).map((subject) => certify(lab, subject))]);
}

/** The certificate (and key) of one of the lab's parts: `ca`, `kube-apiserver`, `apiserver-kubelet-client`, a client. */
export function keyPair(lab: Pick<Lab, 'root'>, name: string): KeyPair {
  return { certificate: join(directory(lab), `${name}.crt`), key: join(directory(lab), `${name}.key`) };
}

/** Key with which service-account tokens are signed and checked. */
export function serviceAccountKey(lab: Pick<Lab, 'root'>): string {
  return join(directory(lab), 'service-accounts.key');
}

/** Writes a kubeconfig of one client; the file holds everything it needs. */
export function writeKubeconfig(lab: Lab, client: Client, server: string, path: string): void {
  const encode = (file: string) => readFileSync(file).toString('base64');
  const { certificate, key } = keyPair(lab, client);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'lab',
        cluster: { server, 'certificate-authority-data': encode(keyPair(lab, 'ca').certificate) },
      },
    ],
    users: [
      {
        name: client,
        user: { 'client-certificate-data': encode(certificate), 'client-key-data': encode(key) },
      },
    ],
    contexts: [{ name: 'lab', context: { cluster: 'lab', user: client } }],
    'current-context': 'lab',
  };
  const text = `${JSON.stringify(config, undefined, 2)}\n`;
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return;
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

function directory(lab: Pick<Lab, 'root'>): string {
  return join(lab.root, 'pki');
}

function subjects(lab: Lab): Subject[] {
  return [
    {
      name: 'kube-apiserver',
      commonName: 'kube-apiserver',
      alternativeNames: [
        'DNS:kubernetes',
        'DNS:kubernetes.default',
        'DNS:kubernetes.default.svc',
        'DNS:kubernetes.default.svc.cluster.local',
        'DNS:localhost',
        `IP:${addressing.services.kubernetes}`,
        `IP:${addressing.mgmt.control}`,
        'IP:127.0.0.1',
      ],
    },
    { name: 'apiserver-kubelet-client', commonName: 'kube-apiserver-kubelet-client', organization: 'system:masters' },
    { name: 'front-proxy-client', commonName: 'front-proxy-client' },
    { name: 'admin', commonName: 'kubernetes-admin', organization: 'system:masters' },
    { name: 'controller-manager', commonName: 'system:kube-controller-manager' },
    { name: 'scheduler', commonName: 'system:kube-scheduler' },
    { name: 'kube-proxy', commonName: 'system:kube-proxy' },
    ...lab.nodes.map((node) => ({
      name: node.name,
      commonName: `system:node:${node.name}`,
      organization: 'system:nodes',
      alternativeNames: [`DNS:${node.name}`, `IP:${node.mgmtAddress}`],
    })),
  ];
}

async function makeAuthority(lab: Lab): Promise<void> {
  await makePair(lab, 'ca', ['-subj', '/CN=ovenbird-lab', '-addext', 'keyUsage=critical,keyCertSign,cRLSign']);
}

async function certify(lab: Lab, subject: Subject): Promise<void> {
  const authority = keyPair(lab, 'ca');
  const organization = subject.organization ? `/O=${subject.organization}` : '';
  const names = subject.alternativeNames?.length
    ? ['-addext', `subjectAltName=${subject.alternativeNames.join(',')}`]
    : [];
  await makePair(lab, subject.name, [
    ...['-CA', authority.certificate, '-CAkey', authority.key, '-subj', `${organization}/CN=${subject.commonName}`],
    ...['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', 'keyUsage=critical,digitalSignature'],
    ...['-addext', 'extendedKeyUsage=serverAuth,clientAuth', ...names],
  ]);
}

/** The certificate is renamed into place last: where it exists, its key does too. */
async function makePair(lab: Lab, name: string, args: readonly string[]): Promise<void> {
  const pair = keyPair(lab, name);
  if (existsSync(pair.certificate)) return;
  const draft = `${pair.certificate}.new`;
  await run(lab, {
    command: 'openssl',
    args: [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-days', '3650'],
      ...['-keyout', pair.key, '-out', draft, ...args],
    ],
  });
  renameSync(draft, pair.certificate);
}

async function makeServiceAccountKey(lab: Lab): Promise<void> {
  const path = serviceAccountKey(lab);
  if (existsSync(path)) return;
  const draft = `${path}.new`;
  await run(lab, {
    command: 'openssl',
    args: ['genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', draft],
  });
  renameSync(draft, path);
}
