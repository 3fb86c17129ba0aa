import type { HttpRequest } from './http-exchange.ts';
import { KubeError } from './kube-error.ts';
import { apiVersionOf, type Resource, resourceName, resourcePath } from './resources.ts';

/** One request as the client counts, names and sends it. */
export interface Call {
  verb: string;
  /** `services`, or `services/status` for a subresource. */
  resource: string;
  /** For messages: `get services default/web`. */
  what: string;
  method: HttpRequest['method'];
  path: string;
  contentType?: string;
  body?: unknown;
  /** False leaves 429 and 503 to the caller. */
  retry?: boolean;
}

/** Makes the call for a collection or an object. KubeError `BadRequest` when it lacks its name or namespace. */
export function apiCall(
  verb: string,
  method: HttpRequest['method'],
  resource: Resource,
  at: { namespace?: string | undefined; name?: string },
  parts: { query?: URLSearchParams; body?: unknown; subresource?: string | undefined } = {},
): Call {
  const { query, body, subresource } = parts;
  const needsNamespace = resource.namespaced && (at.name !== undefined || verb === 'create');
  if (at.name === '' || (needsNamespace && !at.namespace)) {
    const missing = at.name === '' ? 'name' : 'namespace';
    throw new KubeError('BadRequest', `${verb} ${resourceName(resource)} ${shown(at)}: the object has no ${missing}`);
  }
  const search = query && query.size > 0 ? `?${query}` : '';
  const path = resourcePath(resource, {
    namespace: at.namespace,
    ...(at.name === undefined ? {} : { name: at.name }),
    ...(subresource === undefined ? {} : { subresource }),
  });
  return {
    verb,
    resource: subresource === undefined ? resource.plural : `${resource.plural}/${subresource}`,
    what: [verb, resourceName(resource), shown(at)].filter((word) => word !== '').join(' '),
    method,
    path: `${path}${search}`,
    ...(body === undefined ? {} : { body }),
  };
}

/** "namespace/name", as far as they are given. */
export function shown(at: { namespace?: string | undefined; name?: string }): string {
  return [at.namespace, at.name].filter((part) => part !== undefined).join('/');
}

/** The query parameters that select objects. */
export function selectors(options: { labelSelector?: string; fieldSelector?: string }): URLSearchParams {
  const query = new URLSearchParams();
  if (options.labelSelector !== undefined) query.set('labelSelector', options.labelSelector);
  if (options.fieldSelector !== undefined) query.set('fieldSelector', options.fieldSelector);
  return query;
}

/** Bodies need kind and version, which items of lists lack. */
export function complete(resource: Resource, object: object): object {
  return { ...object, apiVersion: apiVersionOf(resource), kind: resource.kind };
}
