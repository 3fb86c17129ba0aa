import { z } from 'zod';

/** metav1.Condition as the API server checks it in a custom resource's status. */
const conditionSchema = z
  .object({
    type: z.string().min(1).max(316).describe('What is judged.'),
    status: z.enum(['True', 'False', 'Unknown']).describe('The judgement.'),
    observedGeneration: z
      .int()
      .min(0)
      .meta({ format: 'int64' })
      .optional()
      .describe('The generation of the spec judged.'),
    lastTransitionTime: z.string().meta({ format: 'date-time' }).describe('When `status` last changed.'),
    reason: z
      .string()
      .min(1)
      .max(1024)
      .regex(/^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/)
      .describe('Why, in one word that does not change.'),
    message: z.string().max(32768).describe('Why, for people.'),
  })
  .describe('One judgement about the object.');

export const conditionsSchema = z
  .array(conditionSchema)
  .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] })
  .describe('What the controller thinks of the object; see the list of reasons.');

/** metav1.LabelSelector. */
export const labelSelectorSchema = z
  .object({
    matchLabels: z
      .record(z.string(), z.string())
      .optional()
      .describe('Labels the node must have, with exactly these values.'),
    matchExpressions: z
      .array(
        z
          .object({
            key: z.string().min(1).max(317).describe('The label.'),
            operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']).describe('How the label is compared.'),
            values: z
              .array(z.string().max(63))
              .max(100)
              .optional()
              .describe('Values to compare with; not empty for In and NotIn, empty for Exists and DoesNotExist.'),
          })
          .meta({
            'x-kubernetes-validations': [
              {
                rule: "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",
                message: 'In and NotIn need values; Exists and DoesNotExist take none',
              },
            ],
          })
          .describe('A comparison the node must pass.'),
      )
      .max(20)
      .optional()
      .describe('Comparisons of which the node must pass every one.'),
  })
  .describe('A label selector; one without any requirement matches every node.');
