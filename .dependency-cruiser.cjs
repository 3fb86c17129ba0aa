// Who may import whom: the table in docs/design/0001-architecture.md, as rules.
const mayImport = {
  net: [],
  base: [],
  kube: ['base'],
  api: ['net'],
  ipam: ['net', 'api'],
  config: ['net', 'api'],
  service: ['net', 'api', 'kube', 'base'],
  'ovsdb-client': ['base'],
  'raw-socket': ['base'],
  'bgp-speaker': ['net', 'base', 'raw-socket'],
  ovn: ['ovsdb-client', 'net', 'api', 'base'],
  controller: ['kube', 'api', 'service', 'ipam', 'config', 'ovn', 'base', 'net'],
  speaker: ['kube', 'api', 'service', 'config', 'bgp-speaker', 'raw-socket', 'base', 'net'],
  cli: ['kube', 'api', 'service', 'config', 'ipam', 'net', 'base'],
};

const rooms = Object.entries(mayImport).map(([room, allowed]) => ({
  name: `room-${room}`,
  comment: `src/${room} may import only: ${allowed.join(', ') || 'nothing of ours'}`,
  severity: 'error',
  from: { path: `^src/${room}/` },
  to: { path: '^src/', pathNot: `^src/(${[room, ...allowed].join('|')})/` },
}));

module.exports = {
  forbidden: [
    ...rooms,
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'libraries-need-no-package',
      comment: 'who installs the package for a library gets no other package with it; only base/json-logger.ts may',
      severity: 'error',
      from: { path: '^src/(bgp-speaker|ovsdb-client|raw-socket|net|base)/', pathNot: '^src/base/json-logger[.]ts$' },
      to: { dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'npm-peer', 'npm-no-pkg'] },
    },
    {
      name: 'libraries-bring-no-logger',
      comment: 'a library is handed its logger',
      severity: 'error',
      from: { path: '^src/(bgp-speaker|ovsdb-client|raw-socket|net|base)/' },
      to: { path: '^src/base/json-logger[.]ts$' },
    },
    {
      name: 'pure-rooms-do-no-io',
      comment: 'net, api, ipam and config decide; they open nothing',
      severity: 'error',
      from: { path: '^src/(net|api|ipam|config|service)/' },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?(net|crypto)$' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
  },
};
