import { z } from 'zod';
import type { KindSchema } from './kind-schema.ts';
import { apiGroup, l2AdvertisementResource } from './names.ts';
import type { ObjectMetadata } from './object-metadata.ts';
import { conditionsSchema, labelSelectorSchema } from './shared-schemas.ts';

const specSchema = z
  .object({
    ipAddressPools: z
      .array(z.string().min(1).max(253))
      .max(1000)
      .meta({ 'x-kubernetes-list-type': 'set' })
      .optional()
      .describe('Names of the IPAddressPools whose addresses are announced. Empty or absent: all pools.'),
    interfaces: z
      .array(
        z
          .string()
          .min(1)
          .max(15)
          .meta({
            'x-kubernetes-validations': [
              {
                rule: "self.matches('^[^/ \\\\t\\\\n]+$') && self != '.' && self != '..'",
                message: 'must be the name of a network interface, as `ip link` shows it',
              },
            ],
          }),
      )
      .max(100)
      .meta({ 'x-kubernetes-list-type': 'set' })
      .optional()
      .describe(
        'Network interfaces of the nodes on which ARP and NDP are answered, by exact name. Empty or absent: every suitable interface.',
      ),
    nodeSelectors: z
      .array(labelSelectorSchema)
      .max(100)
      .meta({ 'x-kubernetes-list-type': 'atomic' })
      .optional()
      .describe('Nodes that may announce: those that match at least one selector. Empty or absent: all nodes.'),
  })
  .describe('What the operator wants.');

const statusSchema = z.object({ conditions: conditionsSchema.optional() }).describe('What the controller says.');

export const l2AdvertisementSchema: KindSchema = {
  resource: l2AdvertisementResource,
  description:
    'Announces the addresses of pools on the local network: one node at a time answers ARP and NDP for an address.',
  spec: specSchema,
  status: statusSchema,
  printerColumns: [
    {
      name: 'Pools',
      type: 'string',
      jsonPath: '.spec.ipAddressPools',
      description: 'Pools announced; all when empty.',
    },
    {
      name: 'Interfaces',
      type: 'string',
      jsonPath: '.spec.interfaces',
      description: 'Interfaces used; all when empty.',
    },
    {
      name: 'Ready',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Ready")].status',
      description: 'All in use?',
    },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since creation.' },
  ],
  example: {
    apiVersion: `${apiGroup}/v1alpha1`,
    kind: 'L2Advertisement',
    metadata: { name: 'public' },
    spec: {
      ipAddressPools: ['public'],
      interfaces: ['eth0'],
      nodeSelectors: [{ matchLabels: { 'topology.kubernetes.io/zone': 'a' } }],
    },
  },
};

export type LabelSelector = z.input<typeof labelSelectorSchema>;

export interface L2Advertisement {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMetadata;
  spec: z.input<typeof specSchema>;
  status?: z.infer<typeof statusSchema>;
}
