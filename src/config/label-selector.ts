import type { LabelSelector } from '../api/index.ts';

/**
 * Whether labels meet a selector (metav1.LabelSelector): every matchLabels pair and every expression. An empty selector
 * meets everything. NotIn and DoesNotExist are met by a missing label.
 */
export function matchesLabels(selector: LabelSelector, labels: Readonly<Record<string, string>> = {}): boolean {
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (own(labels, key) !== value) return false;
  return (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = own(labels, key);
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
      default:
        return false;
    }
  });
}

/** What makes a selector meaningless, with the path inside it; undefined when nothing does. */
export function selectorFault(selector: LabelSelector): { field: string; message: string } | undefined {
  for (const [index, { operator, values = [] }] of (selector.matchExpressions ?? []).entries()) {
    const field = `.matchExpressions[${index}]`;
    switch (operator) {
      case 'In':
      case 'NotIn':
        if (values.length === 0) return { field, message: `${operator} needs at least one value in "values"` };
        break;
      case 'Exists':
      case 'DoesNotExist':
        if (values.length > 0) return { field, message: `${operator} takes no values; remove "values"` };
        break;
      default:
        return { field, message: `"${operator}" is not one of In, NotIn, Exists, DoesNotExist` };
    }
  }
  return undefined;
}

function own(labels: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}
