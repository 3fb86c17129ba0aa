import { z } from 'zod';
import type { KindSchema } from './kind-schema.ts';
import { apiGroup, ipAddressPoolResource } from './names.ts';
import type { ObjectMetadata } from './object-metadata.ts';
import { conditionsSchema } from './shared-schemas.ts';

/** A dash between two addresses of one family, a prefix without host bits, or one address. */
const addressEntrySchema = z
  .string()
  .min(2)
  .max(90)
  .meta({
    'x-kubernetes-validations': [
      {
        rule: "isIP(self.trim()) || (isCIDR(self.trim()) && cidr(self.trim()) == cidr(self.trim()).masked()) || (self.contains('-') && self.split('-', 3).size() == 2 && self.split('-', 3).all(part, isIP(part.trim())) && ip(self.split('-', 3)[0].trim()).family() == ip(self.split('-', 3)[1].trim()).family())",
        message:
          'must be a prefix without host bits ("192.0.2.0/24"), a range of one family ("192.0.2.10-192.0.2.20") or an address ("192.0.2.7")',
      },
    ],
  })
  .describe(
    'A prefix (`192.0.2.0/24`, no host bits), a range (`192.0.2.10-192.0.2.20`, both ends included, blanks around the dash allowed) or a single address. IPv4 or IPv6.',
  );

/** The largest count that JSON and JavaScript carry exactly; an IPv6 pool may hold more addresses than that. */
const maximumCount = Number.MAX_SAFE_INTEGER;
const count = (what: string) =>
  z
    .int()
    .min(0)
    .max(maximumCount)
    .meta({ format: 'int64' })
    .optional()
    .describe(`${what} A number above ${maximumCount} is shown as ${maximumCount}.`);

const specSchema = z
  .object({
    addresses: z
      .array(addressEntrySchema)
      .min(1)
      .max(1000)
      .meta({ 'x-kubernetes-list-type': 'atomic' })
      .describe(
        'The addresses of the pool. Every address of a prefix is used, the first and the last included. No address may be in two pools: of two pools that overlap, the ranges of the newer one that overlap are left out.',
      ),
    autoAssign: z
      .boolean()
      .default(true)
      .describe('Whether Services that do not name the pool or one of its addresses may get an address of it.'),
    avoidBuggyIPs: z
      .boolean()
      .default(false)
      .describe('Leave out IPv4 addresses ending in .0 and .255, which some old equipment takes for broadcasts.'),
  })
  .describe('What the operator wants.');

const statusSchema = z
  .object({
    conditions: conditionsSchema.optional(),
    assignedIPv4: count('IPv4 addresses of the pool that Services have.'),
    assignedIPv6: count('IPv6 addresses of the pool that Services have.'),
    availableIPv4: count('IPv4 addresses of the pool that are free.'),
    availableIPv6: count('IPv6 addresses of the pool that are free.'),
  })
  .describe('What the controller says.');

export const ipAddressPoolSchema: KindSchema = {
  resource: ipAddressPoolResource,
  description: 'Addresses that Services of type LoadBalancer get.',
  spec: specSchema,
  status: statusSchema,
  printerColumns: [
    { name: 'Addresses', type: 'string', jsonPath: '.spec.addresses', description: 'The addresses of the pool.' },
    {
      name: 'Auto Assign',
      type: 'boolean',
      jsonPath: '.spec.autoAssign',
      description: 'Given out without being named.',
    },
    {
      name: 'Ready',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Ready")].status',
      description: 'All in use?',
    },
    { name: 'Used IPv4', type: 'integer', jsonPath: '.status.assignedIPv4', description: 'IPv4 addresses given out.' },
    { name: 'Free IPv4', type: 'integer', jsonPath: '.status.availableIPv4', description: 'Free IPv4 addresses.' },
    {
      name: 'Used IPv6',
      type: 'integer',
      jsonPath: '.status.assignedIPv6',
      description: 'IPv6 addresses given out.',
      priority: 1,
    },
    {
      name: 'Free IPv6',
      type: 'integer',
      jsonPath: '.status.availableIPv6',
      description: 'Free IPv6 addresses.',
      priority: 1,
    },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since creation.' },
  ],
  example: {
    apiVersion: `${apiGroup}/v1alpha1`,
    kind: 'IPAddressPool',
    metadata: { name: 'public' },
    spec: { addresses: ['192.0.2.0/26', '192.0.2.100-192.0.2.120', '2001:db8:0:1::/64'] },
  },
};

export interface IPAddressPool {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMetadata;
  /** As the user wrote it: defaults may be missing in files that never went through an API server. */
  spec: z.input<typeof specSchema>;
  status?: z.infer<typeof statusSchema>;
}
