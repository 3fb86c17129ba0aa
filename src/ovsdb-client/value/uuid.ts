import { OvsdbError } from '../errors.ts';

declare const uuidBrand: unique symbol;

/** A row's identity: 36 lower-case characters, e.g. `2f77b348-9768-4866-b761-89d5177ecda0`. Made by {@link uuid}. */
export type Uuid = string & { readonly [uuidBrand]: true };

/** Sixteen zero bytes: "no transaction" and "no row". */
export const zeroUuid = '00000000-0000-0000-0000-000000000000' as Uuid;

/** Whether this is a uuid as the wire has it: lower case, with dashes. Called for every row, so no regular expression. */
export function isUuid(text: unknown): text is Uuid {
  if (typeof text !== 'string' || text.length !== 36) return false;
  for (let at = 0; at < 36; at++) {
    const code = text.charCodeAt(at);
    if (at === 8 || at === 13 || at === 18 || at === 23) {
      if (code !== 0x2d) return false;
    } else if (!((code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66))) return false;
  }
  return true;
}

/** Checks and lower-cases a uuid. Throws OvsdbError `InvalidRequest`. */
export function uuid(text: string): Uuid {
  const lower = text.toLowerCase();
  if (!isUuid(lower)) throw new OvsdbError('InvalidRequest', `${JSON.stringify(text)} is not a uuid`);
  return lower;
}

/** A new random uuid, to name a row before it is inserted: the insert can then be repeated without a second row. */
export function newUuid(): Uuid {
  return crypto.randomUUID() as string as Uuid;
}
