/** Why something about a Service could not be programmed as asked. */
export type OvnProblemCode =
  | 'InvalidAddress'
  | 'InvalidPort'
  | 'InvalidEndpoint'
  | 'DuplicateVip'
  | 'ForeignVip'
  | 'AffinityUnsupported'
  | 'InternalLocalServedAsCluster'
  | 'SourceRangesNotEnforceable'
  | 'RefusedByDatabase'
  | 'StrangerInGroup'
  | 'TooManyNodePortVips'
  | 'NodeAddressShared';

/** A problem of one Service, or of the whole configuration when `service` is absent. The rest goes on. */
export interface OvnProblem {
  code: OvnProblemCode;
  /** "namespace/name". */
  service?: string;
  /** The field of the Service the problem is in, e.g. "spec.ports[http].port". */
  field?: string;
  /** A sentence for operators that names the objects and says what to do. */
  message: string;
  /** True when the address or port is not served (or not as asked); false for a note. */
  blocking: boolean;
}

/** Order for sorted output. */
export function compareProblems(a: OvnProblem, b: OvnProblem): number {
  const left = `${a.service ?? ''} ${a.code} ${a.message}`;
  const right = `${b.service ?? ''} ${b.code} ${b.message}`;
  return left < right ? -1 : left > right ? 1 : 0;
}
