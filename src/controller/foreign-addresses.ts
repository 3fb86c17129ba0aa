import type { Allocator } from '../ipam/index.ts';
import type { Service } from '../kube/index.ts';
import { Address, compareAddresses } from '../net/index.ts';
import { ingressOf, isOurs, type ServiceClass } from '../service/index.ts';

/**
 * The addresses that other implementations gave to their Services. Nobody else gets one of them, even from a pool that
 * holds it: while Services move from one implementation to another, both have pools of the same addresses.
 */
export class ForeignAddresses {
  readonly #allocator: Allocator;
  readonly #shown = new Map<string, readonly Address[]>();

  constructor(allocator: Allocator) {
    this.#allocator = allocator;
  }

  /** Takes over what a foreign Service shows. @returns the addresses that became free, sorted */
  set(key: string, service: Service): Address[] {
    const addresses = ingressOf(service);
    if (addresses.join() === (this.#shown.get(key) ?? []).join()) return [];
    const before = this.delete(key);
    this.#shown.set(key, addresses);
    this.#reserve(key, addresses);
    return before.filter((address) => this.#allocator.holderOf(address) === undefined);
  }

  /** The Service is gone, or not foreign any more. @returns the addresses that became free, sorted */
  delete(key: string): Address[] {
    if (!this.#shown.delete(key)) return [];
    return this.reclaim(this.#allocator.release(key));
  }

  /** Some implementations let Services share an address. @returns those of `freed` that no foreign Service shows, sorted */
  reclaim(freed: readonly Address[]): Address[] {
    if (freed.length === 0) return [];
    for (const [key, addresses] of this.#shown) {
      const again = addresses.filter((address) => freed.some((one) => one.equals(address)));
      if (again.length > 0) this.#reserve(key, again);
    }
    return freed.filter((address) => this.#allocator.holderOf(address) === undefined).sort(compareAddresses);
  }

  /** The allocator has other pools now: to be called before it allocates from them. */
  poolsChanged(): void {
    for (const [key, addresses] of this.#shown) this.#reserve(key, addresses);
  }

  /** What is in no pool can be given to nobody anyway. */
  #reserve(key: string, addresses: readonly Address[]): void {
    const inPools = addresses.filter((address) => this.#allocator.poolOf(address) !== undefined);
    if (inPools.length > 0) this.#allocator.adopt(key, inPools);
  }
}

/** True for a Service of type LoadBalancer that another implementation serves. */
export function isForeignTo(service: Service, serviceClass: ServiceClass): boolean {
  return service.spec.type === 'LoadBalancer' && !isOurs(service, serviceClass);
}

/**
 * Whether a foreign Service without a class, which was ours, still shows an address that we gave it. One that names another
 * class shows nothing of ours: a class is set together with the type, and the API server clears the status for it.
 */
export function isLeftBehind(allocator: Allocator, { spec }: Service, ip: string): boolean {
  if (spec.loadBalancerClass !== undefined) return false;
  const address = Address.tryParse(ip);
  return address !== undefined && allocator.poolOf(address) !== undefined;
}
