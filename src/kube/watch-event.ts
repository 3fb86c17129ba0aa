import { asStatus, errorFromStatus, KubeError } from './kube-error.ts';

/** One line of a watch. An ERROR event is not yielded: it is thrown as the KubeError of its Status. */
export type WatchEvent<T> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T }
  | { type: 'BOOKMARK'; object: { metadata: { resourceVersion: string; annotations?: Record<string, string> } } };

/** Checks one value of a watch stream. Throws the KubeError of an ERROR event, or `BadResponse`; `what` names the watch. */
export function watchEvent<T>(what: string, value: unknown): WatchEvent<T> {
  const event = value as { type?: unknown; object?: { metadata?: { resourceVersion?: unknown } } } | null;
  switch (event?.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
    case 'BOOKMARK':
      if (typeof event.object?.metadata?.resourceVersion === 'string') return event as WatchEvent<T>;
      throw new KubeError('BadResponse', `${what}: a ${event.type} event has no resourceVersion`);
    case 'ERROR': {
      const status = asStatus(event.object);
      throw errorFromStatus(what, status?.code ?? 500, status);
    }
    default:
      throw new KubeError('BadResponse', `${what}: unknown event type ${JSON.stringify(event?.type)}`);
  }
}
