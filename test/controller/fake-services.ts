import { type KubeClient, KubeError, type Service } from '../../src/kube/index.ts';

/**
 * Services as the API server keeps them, as far as the reconciler can tell: merge patches of metadata and of the status
 * subresource, optimistic concurrency, finalizers, the status wiped when the type changes. No clock, no network.
 */
export class FakeServices {
  readonly #objects = new Map<string, Service>();
  #version = 100;
  #uids = 0;
  /** Called after each change with all Services. */
  onChange: (services: ReadonlyMap<string, Service>) => void = () => {};
  /** Called before and after each request has its effect; may throw, and thereby lose the request or its answer. */
  onCall: (point: 'before' | 'after', what: string) => void = () => {};
  /** How long a request takes. */
  pause: () => Promise<void> = () => Promise.resolve();
  writes: string[] = [];
  /** Whether a patch of the status takes its metadata along, as kube-apiserver does. */
  metadataWithStatus = true;

  all(): Service[] {
    return [...this.#objects.values()].map((service) => structuredClone(service));
  }

  /** The reading side of a cache that is always current. */
  readonly store = { get: (key: string) => structuredClone(this.#objects.get(key)) };

  readonly client: Pick<KubeClient, 'get' | 'patch'> = {
    get: async (_resource, { namespace, name }) => {
      const found = this.store.get(`${namespace}/${name}`);
      if (!found) throw new KubeError('NotFound', `no service ${name}`);
      return found as never;
    },
    patch: async (_resource, { namespace, name }, { body, subresource, type }) => {
      if (type !== 'merge') throw new Error(`a ${type} patch`);
      const what = `${subresource ?? 'metadata'} ${name}`;
      this.onCall('before', what);
      await this.pause();
      const patched = this.#patch(`${namespace}/${name}`, body as Partial<Service>, subresource);
      this.writes.push(what);
      this.onCall('after', what);
      return structuredClone(patched) as never;
    },
  };

  create(name: string, spec: Partial<Service['spec']> = {}, annotations: Record<string, string> = {}): void {
    this.#put({
      metadata: {
        namespace: 'default',
        name,
        uid: `uid-${++this.#uids}`,
        creationTimestamp: `2026-01-01T00:00:${String(this.#uids % 60).padStart(2, '0')}Z`,
        annotations,
      },
      spec: { type: 'LoadBalancer', clusterIP: '10.96.0.1', ipFamilies: ['IPv4'], ...spec },
      status: { loadBalancer: {} },
    });
  }

  /** What a user does with kubectl; ignored when there is no such Service. */
  edit(name: string, change: (service: Service) => void): void {
    const service = this.store.get(`default/${name}`);
    if (!service) return;
    change(service);
    if (service.spec.type !== 'LoadBalancer') service.status = { ...service.status, loadBalancer: {} };
    this.#put(service);
  }

  delete(name: string): void {
    this.edit(name, (service) => {
      service.metadata.deletionTimestamp ??= '2026-01-02T00:00:00Z';
    });
  }

  #put(service: Service): Service {
    const { namespace, name, deletionTimestamp, finalizers = [] } = service.metadata;
    const key = `${namespace}/${name}`;
    service.metadata.resourceVersion = String(++this.#version);
    if (deletionTimestamp !== undefined && finalizers.length === 0) this.#objects.delete(key);
    else this.#objects.set(key, service);
    this.onChange(this.#objects);
    return service;
  }

  #patch(key: string, body: Partial<Service>, subresource: string | undefined): Service {
    const service = this.store.get(key);
    if (!service) throw new KubeError('NotFound', `no service ${key}`);
    const { resourceVersion } = body.metadata ?? {};
    if (resourceVersion === undefined) throw new Error('a write without a resource version');
    if (resourceVersion !== service.metadata.resourceVersion) throw new KubeError('Conflict', `${key} has changed`);
    if (subresource !== 'status' || this.metadataWithStatus) {
      service.metadata = mergePatch(service.metadata, body.metadata) as Service['metadata'];
    }
    if (subresource === 'status') {
      service.status = mergePatch(service.status ?? {}, body.status) as NonNullable<Service['status']>;
      for (const entry of service.status.loadBalancer?.ingress ?? []) if (entry.ip) entry.ipMode ??= 'VIP';
    }
    return this.#put(service);
  }
}

/** RFC 7386. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const base = typeof target === 'object' && target !== null && !Array.isArray(target) ? target : {};
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else if (value !== undefined) merged[key] = mergePatch(merged[key], value);
  }
  return merged;
}
