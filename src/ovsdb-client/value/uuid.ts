import { randomUUID } from 'node:crypto';
import { OvsdbError } from '../errors.ts';

declare const uuidBrand: unique symbol;

/** A row's identity: 36 lower-case characters, e.g. `2f77b348-9768-4866-b761-89d5177ecda0`. Made by {@link uuid}. */
export type Uuid = string & { readonly [uuidBrand]: true };

/** Sixteen zero bytes: "no transaction" and "no row". */
export const zeroUuid = '00000000-0000-0000-0000-000000000000' as Uuid;

export function isUuid(text: unknown): text is Uuid {
  return typeof text === 'string' && /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(text);
}

/** Checks and lower-cases a uuid. Throws OvsdbError `InvalidRequest`. */
export function uuid(text: string): Uuid {
  const lower = text.toLowerCase();
  if (!isUuid(lower)) throw new OvsdbError('InvalidRequest', `${JSON.stringify(text)} is not a uuid`);
  return lower;
}

/** A new random uuid, to name a row before it is inserted: the insert can then be repeated without a second row. */
export function newUuid(): Uuid {
  return randomUUID() as string as Uuid;
}
