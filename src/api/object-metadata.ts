/** The standard envelope of a custom resource as far as it is read here; the API server defines and fills it. */
export interface ObjectMetadata {
  name: string;
  uid?: string;
  resourceVersion?: string;
  /** Raised by the API server at each change of the spec. */
  generation?: number;
  /** RFC 3339, whole seconds. */
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}
