import { stringify } from 'yaml';
import type { KindSchema } from '../../src/api/kind-schema.ts';
import {
  allocatedFromPoolAnnotations,
  apiGroup,
  apiVersion,
  claimedForClassAnnotation,
  cleanupFinalizer,
  conditionTypes,
  defaultLoadBalancerClass,
  requestAnnotations,
} from '../../src/api/names.ts';
import {
  advertisementReasons,
  allocationReasons,
  announcementReasons,
  poolReasons,
  programmingReasons,
} from '../../src/api/reasons.ts';
import type { OptionSpec } from '../../src/base/index.ts';
import { exitCode } from '../../src/cli/exit-code.ts';
import { statusOptions } from '../../src/cli/status.ts';
import { controllerOptionSpecs } from '../../src/controller/options.ts';
import { ownershipReasons } from '../../src/speaker/l2/ownership-report.ts';
import { speakerOptionSpecs } from '../../src/speaker/options.ts';
import { type OpenApiSchema, openApiSchema } from './custom-resource-definition.ts';

/** The reference page of one kind: an example, then every field. */
export function resourcePage(kind: KindSchema): string {
  const { resource } = kind;
  const spec = openApiSchema(kind.spec);
  const status = openApiSchema(kind.status);
  return [
    `# ${resource.kind}`,
    kind.description,
    `\`${apiGroup}/${apiVersion}\`, cluster-scoped; \`kubectl get ${resource.plural}\`, short ${resource.shortNames
      .map((name) => `\`${name}\``)
      .join(', ')}.`,
    `\`\`\`yaml\n${stringify(kind.example, { lineWidth: 0 })}\`\`\``,
    '## spec',
    fieldTable(spec, 'spec'),
    '## status',
    'Written by the controller.',
    fieldTable(status, 'status'),
    '',
  ].join('\n\n');
}

/** What Ovenbird reads from and writes to a Service. */
export function servicePage(): string {
  const aliases = (keys: readonly string[]) => keys.map((key) => `\`${key}\``).join(', ');
  return [
    '# Service',
    'What Ovenbird reads from a Service of type LoadBalancer beside the standard fields, and what it writes to it.',
    `A Service is Ovenbird's when its \`spec.loadBalancerClass\` is \`${defaultLoadBalancerClass}\` (\`--load-balancer-class\`) or, unless \`--default-load-balancer-class=false\`, when it names no class. Any other Service is left alone entirely.`,
    '## Requests',
    [
      '| what | where, the first present counts |',
      '|---|---|',
      `| addresses, one per family, comma separated | ${aliases(requestAnnotations.loadBalancerIPs)}; else \`spec.loadBalancerIP\`. When both are set they must agree. |`,
      `| name of the IPAddressPool | ${aliases(requestAnnotations.addressPool)} |`,
    ].join('\n'),
    'A request that cannot be met leaves a Service that has an address with that address.',
    '## Written',
    [
      '| what | meaning |',
      '|---|---|',
      '| `status.loadBalancer.ingress` | the addresses, in the order of `spec.ipFamilies` |',
      `| condition \`${conditionTypes.ipAllocated}\` | whether the Service has the addresses it asks for; [reasons](reasons.md) |`,
      `| condition \`${conditionTypes.programmed}\` | whether OVN carries its traffic; [reasons](reasons.md) |`,
      `| finalizer \`${cleanupFinalizer}\` | added with the address, removed after it was taken back |`,
      `| annotation \`${allocatedFromPoolAnnotations[0]}\` | the pool the address was taken from |`,
      `| annotation \`${claimedForClassAnnotation}\` | the class the controller acted for |`,
    ].join('\n'),
    '',
  ].join('\n\n');
}

/** Every reason of every condition, with its sentence. */
export function reasonsPage(): string {
  const table = (reasons: Readonly<Record<string, string>>) =>
    [
      '| reason | meaning |',
      '|---|---|',
      ...Object.entries(reasons).map(([reason, sentence]) => `| \`${reason}\` | ${sentence} |`),
    ].join('\n');
  return [
    '# Reasons',
    'The reason of a condition and of the Event beside it. The message with it names the objects at hand.',
    `## Service: \`${conditionTypes.ipAllocated}\``,
    table(allocationReasons),
    `## Service: \`${conditionTypes.programmed}\``,
    table(programmingReasons),
    `## IPAddressPool: \`${conditionTypes.ready}\``,
    table(poolReasons),
    `## L2Advertisement: \`${conditionTypes.ready}\``,
    table(advertisementReasons),
    '## Status of a speaker: whether an address may be announced',
    table(announcementReasons),
    '## Status of a speaker: who owns an address on an interface',
    table(ownershipReasons),
    '',
  ].join('\n\n');
}

function fieldTable(schema: OpenApiSchema, path: string): string {
  const rows = [...fields(schema, path)].map(
    ({ name, type, required, fallback, text }) =>
      `| \`${name}\` | ${type} | ${required ? 'required' : fallback === undefined ? '' : `\`${JSON.stringify(fallback)}\``} | ${text} |`,
  );
  return ['| field | type | default | meaning |', '|---|---|---|---|', ...rows].join('\n');
}

interface Field {
  name: string;
  type: string;
  required: boolean;
  fallback: unknown;
  text: string;
}

function* fields(schema: OpenApiSchema, path: string): Iterable<Field> {
  for (const [key, field] of Object.entries(schema.properties ?? {})) {
    const name = `${path}.${key}`;
    const choices = field.enum?.map((choice) => `\`${choice}\``).join(', ');
    const details = [
      field.description ?? '',
      field.items?.type === 'string' ? (field.items.description ?? '') : '',
      choices === undefined ? '' : `One of ${choices}.`,
    ];
    yield {
      name,
      type: typeName(field),
      required: schema.required?.includes(key) ?? false,
      fallback: field.default,
      text: details.filter(Boolean).join(' ').replaceAll('|', '\\|'),
    };
    if (field.type === 'object') yield* fields(field, name);
    if (field.items?.type === 'object') yield* fields(field.items, `${name}[]`);
  }
}

function typeName(schema: OpenApiSchema): string {
  if (schema.type === 'array') return `list of ${schema.items === undefined ? 'values' : typeName(schema.items)}`;
  if (schema.additionalProperties !== undefined) return `map of ${typeName(schema.additionalProperties)}`;
  return schema.type;
}

/** Every command of the program with its options. */
export function commandsPage(): string {
  const options = (specs: Record<string, OptionSpec>) =>
    [
      '| option | meaning | default | environment |',
      '|---|---|---|---|',
      ...Object.entries(specs)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, { value, help, default: byDefault = '', env = '' }]) => {
          const shown = name === 'node-name' || name === 'pod-name' ? 'host name' : byDefault;
          return `| \`--${name}${value === undefined ? '' : `=${value}`}\` | ${help} | ${shown} | ${env} |`;
        }),
    ].join('\n');
  return [
    '# Command line',
    'One program; in the image it is `ovenbird`. `ovenbird COMMAND --help` shows the options of a command.',
    '## Exit codes',
    [
      '| code | meaning |',
      '|---|---|',
      `| ${exitCode.ok} | done |`,
      `| ${exitCode.failed} | it could not do what it was asked; the message says why |`,
      `| ${exitCode.usage} | wrong command line; the message names the option |`,
    ].join('\n'),
    '## `ovenbird status`',
    "What this node's speaker announces, what it does not, and why. Run it on a node or in a speaker's pod.",
    options(statusOptions),
    '## `ovenbird speaker`',
    'Announces addresses from this node. The chart runs it as a DaemonSet.',
    options(speakerOptionSpecs),
    '## `ovenbird controller`',
    'Assigns addresses and programs OVN. The chart runs it as a Deployment of two replicas.',
    options(controllerOptionSpecs),
    '',
  ].join('\n\n');
}
