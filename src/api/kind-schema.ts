import type { z } from 'zod';
import type { CustomResource } from './names.ts';

/** A column of `kubectl get`. `priority` above 0: shown with `-o wide` only. */
interface PrinterColumn {
  name: string;
  type: 'string' | 'integer' | 'boolean' | 'date';
  jsonPath: string;
  description: string;
  priority?: number;
}

/**
 * Everything there is to know about one kind: the TypeScript type, the CustomResourceDefinition and the reference page
 * are made from it. Only the generator and tests load these; running processes use the types alone.
 */
export interface KindSchema {
  resource: CustomResource;
  /** One sentence: what the kind is for. */
  description: string;
  spec: z.ZodObject;
  status: z.ZodObject;
  printerColumns: readonly PrinterColumn[];
  /** A complete object to start from. */
  example: object;
}
