import { OvenbirdError } from '../../base/index.ts';

/**
 * `BadOptions`: options that make no session. `DuplicateSession`: there is one between these addresses already.
 * `Closed`: the session or the engine was closed. `WorkerFailed`: the worker thread ended by itself.
 */
export type BfdErrorCode = 'BadOptions' | 'DuplicateSession' | 'Closed' | 'WorkerFailed';

/** Every error of BFD that is not one of a socket. */
export class BfdError extends OvenbirdError<BfdErrorCode> {}
