import type { Client, DatabaseSchema, Monitor, UntypedRow } from '../ovsdb-client/index.ts';
import type { SchemaShape } from './capabilities.ts';
import type {
  GroupRow,
  NorthboundView,
  RealisedRow,
  RouterPortRow,
  RouterRow,
  SwitchPortRow,
  SwitchRow,
} from './northbound-view.ts';

/** Counters of NB_Global, for measuring how far chassis lag behind. */
export interface GlobalCounters {
  uuid: string;
  nbCfg: number;
  sbCfg: number;
  hvCfg: number;
}

/** A live copy of the part of the northbound database that the writer looks at. */
export class NorthboundReader {
  readonly #monitor: Monitor<Record<string, UntypedRow>>;
  readonly #converted = new WeakMap<UntypedRow, unknown>();

  private constructor(monitor: Monitor<Record<string, UntypedRow>>) {
    this.#monitor = monitor;
  }

  /**
   * Begins to follow; resolves when everything has been read.
   *
   * @param counters whether `global` is needed: its counters change often
   */
  static async open(client: Client, counters: boolean, signal: AbortSignal): Promise<NorthboundReader> {
    const selection = {
      Load_Balancer: {
        columns: ['name', 'vips', 'protocol', 'selection_fields', 'options', 'external_ids'],
      },
      Load_Balancer_Group: { columns: ['name', 'load_balancer'] },
      Logical_Switch: { columns: ['name', 'external_ids', 'ports', 'load_balancer', 'load_balancer_group'] },
      Logical_Router: {
        columns: ['name', 'external_ids', 'options', 'ports', 'load_balancer', 'load_balancer_group'],
      },
      Logical_Router_Port: { columns: ['name', 'gateway_chassis', 'ha_chassis_group'] },
      Logical_Switch_Port: {
        columns: ['name', 'type', 'options'],
        anyOf: [
          ['type', '==', 'router'],
          ['type', '==', 'localnet'],
        ],
      },
      ...(counters ? { NB_Global: { columns: ['nb_cfg', 'sb_cfg', 'hv_cfg'] } } : {}),
    } as const;
    const monitor = await client.monitor(selection, { signal });
    return new NorthboundReader(monitor as unknown as Monitor<Record<string, UntypedRow>>);
  }

  /** Why the copy is not what the server last said, or undefined when it is. */
  get staleness(): string | undefined {
    const { state } = this.#monitor;
    if (state.kind === 'live') return undefined;
    if (state.kind === 'stale') return state.reason;
    return state.kind === 'syncing' ? 'the database is being read' : 'the connection was closed';
  }

  /** Calls back after each change of content or of `staleness`. Returns what ends it. */
  onChange(listener: () => void): () => void {
    return this.#monitor.onChange(listener);
  }

  view(): NorthboundView {
    return {
      switches: this.#rows('Logical_Switch', toSwitch),
      routers: this.#rows('Logical_Router', toRouter),
      routerPorts: this.#rows('Logical_Router_Port', toRouterPort),
      switchPorts: this.#rows('Logical_Switch_Port', toSwitchPort),
      groups: this.#rows('Load_Balancer_Group', toGroup),
      loadBalancers: this.#rows('Load_Balancer', toRealised),
    };
  }

  global(): GlobalCounters | undefined {
    for (const row of this.#monitor.tables.NB_Global ?? []) {
      return { uuid: row._uuid, nbCfg: count(row.nb_cfg), sbCfg: count(row.sb_cfg), hvCfg: count(row.hv_cfg) };
    }
    return undefined;
  }

  close(): void {
    this.#monitor.close();
  }

  #rows<Row>(table: string, convert: (row: UntypedRow) => Row): Map<string, Row> {
    const rows = new Map<string, Row>();
    for (const row of this.#monitor.tables[table] ?? []) {
      let converted = this.#converted.get(row) as Row | undefined;
      if (!converted) {
        converted = convert(row);
        this.#converted.set(row, converted);
      }
      rows.set(row._uuid, converted);
    }
    return rows;
  }
}

/** The part of a schema that capabilities are read from. */
export function shapeOf(schema: DatabaseSchema): SchemaShape {
  const shape = new Map<string, Map<string, { keyEnum?: readonly string[] }>>();
  for (const [table, { columns }] of schema.tables) {
    const described = new Map<string, { keyEnum?: readonly string[] }>();
    for (const [column, { key }] of columns) described.set(column, key.enum ? { keyEnum: key.enum.map(String) } : {});
    shape.set(table, described);
  }
  return shape;
}

function toSwitch(row: UntypedRow): SwitchRow {
  return {
    uuid: row._uuid,
    name: text(row.name),
    externalIds: map(row.external_ids),
    ports: list(row.ports),
    loadBalancers: list(row.load_balancer),
    groups: list(row.load_balancer_group),
  };
}

function toRouter(row: UntypedRow): RouterRow {
  return { ...toSwitch(row), options: map(row.options) };
}

function toRouterPort(row: UntypedRow): RouterPortRow {
  const gateway = list(row.gateway_chassis).length > 0 || text(row.ha_chassis_group) !== '';
  return { uuid: row._uuid, name: text(row.name), gateway };
}

function toSwitchPort(row: UntypedRow): SwitchPortRow {
  return { uuid: row._uuid, name: text(row.name), type: text(row.type), options: map(row.options) };
}

function toGroup(row: UntypedRow): GroupRow {
  return { uuid: row._uuid, name: text(row.name), loadBalancers: list(row.load_balancer) };
}

function toRealised(row: UntypedRow): RealisedRow {
  const protocol = text(row.protocol);
  return {
    uuid: row._uuid,
    name: text(row.name),
    protocol: protocol === '' ? undefined : protocol,
    vips: map(row.vips),
    selectionFields: list(row.selection_fields),
    options: map(row.options),
    externalIds: map(row.external_ids),
  };
}

// A column that the served schema lacks reads as undefined; all that is read here is text, in one shape or another.
const noText: readonly string[] = [];
const noPairs: ReadonlyMap<string, string> = new Map();

function text(value: UntypedRow[string]): string {
  return typeof value === 'string' ? value : '';
}

function list(value: UntypedRow[string]): readonly string[] {
  if (Array.isArray(value)) return value as readonly string[];
  return typeof value === 'string' ? [value] : noText;
}

function map(value: UntypedRow[string]): ReadonlyMap<string, string> {
  return value instanceof Map ? (value as ReadonlyMap<string, string>) : noPairs;
}

function count(value: UntypedRow[string]): number {
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : 0;
}
