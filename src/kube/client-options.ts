/** Options of every call. */
export interface CallOptions {
  /** Ends the call; it then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Longest time of the whole call with its repetitions, ms. Default 30 000; a watch has none. */
  timeoutMs?: number;
}

export interface WriteOptions extends CallOptions {
  /** Who writes, for managedFields. Default: the client's. */
  fieldManager?: string;
  dryRun?: boolean;
}

export interface ListOptions extends CallOptions {
  /** All namespaces when absent. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  resourceVersion?: string;
  resourceVersionMatch?: 'NotOlderThan' | 'Exact';
  /** Objects a page. Default 500; 0 asks for everything in one answer. */
  pageSize?: number;
  /** False leaves 429 and 503 to the caller. Default true. */
  retry?: boolean;
}

export interface WatchOptions extends CallOptions {
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  resourceVersion?: string;
  /** Ask for BOOKMARK events. */
  bookmarks?: boolean;
  /** Begin with the objects that exist and mark their end (KEP-3157). */
  sendInitialEvents?: boolean;
  /** The server ends the watch after this long, seconds. */
  timeoutSeconds?: number;
  /** Called when the server has accepted the watch. */
  onOpen?: () => void;
  /** Called for each chunk that arrives, with its size in bytes, before its events. */
  onData?: (bytes: number) => void;
}

export type PatchType = 'merge' | 'json' | 'apply';

export interface PatchOptions extends WriteOptions {
  /** merge: RFC 7386. json: RFC 6902. apply: server-side apply, needs a field manager. */
  type: PatchType;
  body: unknown;
  subresource?: string;
  /** With `apply`: take over fields that others own. */
  force?: boolean;
}

export interface DeleteOptions extends CallOptions {
  preconditions?: { uid?: string; resourceVersion?: string };
  propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
  gracePeriodSeconds?: number;
}

export interface ObjectList<T> {
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  items: T[];
}
