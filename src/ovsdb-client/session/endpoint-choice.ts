/**
 * Which endpoint to try next. Pure: `next` and `failed` are called in turn by the session.
 *
 * One round tries every endpoint once, the last one that worked first, and takes only a server that is fully wanted.
 * If the round found none but some were usable, they are tried again, contented this time. After a fruitless round there
 * is a pause.
 */
export interface EndpointChoice {
  readonly count: number;
  /** Order of this round. */
  readonly order: readonly number[];
  /** Position in `order`. */
  readonly position: number;
  /** Endpoints of this round whose server was second best. */
  readonly usable: readonly number[];
  /** Trying `usable` ones now. */
  readonly contented: boolean;
}

export type NextEndpoint =
  | { readonly kind: 'try'; readonly endpoint: number; readonly acceptSecondBest: boolean }
  /** Every endpoint failed: wait before the next round. */
  | { readonly kind: 'pause' };

export function firstRound(count: number, start = 0): EndpointChoice {
  const order = Array.from({ length: count }, (_, i) => (start + i) % count);
  return { count, order, position: 0, usable: [], contented: false };
}

export function nextEndpoint(choice: EndpointChoice): NextEndpoint {
  const endpoint = choice.order[choice.position];
  if (endpoint === undefined) return { kind: 'pause' };
  return { kind: 'try', endpoint, acceptSecondBest: choice.contented || choice.count === 1 };
}

/** The endpoint just tried did not do. */
export function afterFailure(choice: EndpointChoice, secondBest: boolean): EndpointChoice {
  const endpoint = choice.order[choice.position];
  const usable = secondBest && endpoint !== undefined ? [...choice.usable, endpoint] : choice.usable;
  const position = choice.position + 1;
  if (position < choice.order.length || choice.contented || usable.length === 0) return { ...choice, position, usable };
  return { ...choice, order: usable, position: 0, contented: true };
}
