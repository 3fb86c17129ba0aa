import { z } from 'zod';
import type { KindSchema } from '../../src/api/kind-schema.ts';
import { apiGroup, apiVersion } from '../../src/api/names.ts';

/** An OpenAPI v3 schema as Kubernetes takes it ("structural": a type at every level, no $ref). */
export interface OpenApiSchema {
  type: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  description?: string;
  properties?: Record<string, OpenApiSchema>;
  required?: string[];
  items?: OpenApiSchema;
  additionalProperties?: OpenApiSchema;
  default?: unknown;
  enum?: string[];
  [keyword: string]: unknown;
}

/** The schema of a spec or a status, with descriptions. */
export function openApiSchema(schema: z.ZodObject): OpenApiSchema {
  const { $schema: _, ...structural } = z.toJSONSchema(schema, {
    io: 'input',
    target: 'openapi-3.0',
    reused: 'inline',
    unrepresentable: 'throw',
    override: ({ jsonSchema }) => {
      // zod bounds every integer; the API server's int64 says the same with fewer words.
      if (jsonSchema.type === 'integer' && jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
    },
  });
  return structural as OpenApiSchema;
}

/** The CustomResourceDefinition of a kind. */
export function customResourceDefinition(kind: KindSchema): object {
  const { resource } = kind;
  const spec = openApiSchema(kind.spec);
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${resource.plural}.${apiGroup}`,
      // Removing the chart must not remove the users' objects with the definition.
      annotations: { 'helm.sh/resource-policy': 'keep' },
      labels: { 'app.kubernetes.io/name': 'ovenbird' },
    },
    spec: {
      group: apiGroup,
      scope: 'Cluster',
      names: {
        kind: resource.kind,
        listKind: `${resource.kind}List`,
        plural: resource.plural,
        singular: resource.singular,
        shortNames: [...resource.shortNames],
        categories: ['ovenbird'],
      },
      versions: [
        {
          name: apiVersion,
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description: kind.description,
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: { type: 'object' },
                spec,
                status: openApiSchema(kind.status),
              },
              required: ['spec'],
            },
          },
          subresources: { status: {} },
          additionalPrinterColumns: kind.printerColumns.map((column) => ({ ...column })),
        },
      ],
    },
  };
}
