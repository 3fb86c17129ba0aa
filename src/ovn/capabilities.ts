/** What the connected northbound schema can hold, asked from the schema and never from a version number. */
export interface Capabilities {
  /** Load_Balancer_Group exists and switches can hold it (OVN 21.12 and later). Without it nothing is written. */
  groups: boolean;
  /** Allowed elements of Load_Balancer.selection_fields. `ipv6_src` only from OVN 25.03 on; before, an insert with it fails. */
  selectionFields: ReadonlySet<string>;
}

/** The part of a schema that is asked: for each table, each column with the texts its keys are limited to, if any. */
export type SchemaShape = ReadonlyMap<string, ReadonlyMap<string, { keyEnum?: readonly string[] }>>;

/** Reads the capabilities from a schema. */
export function capabilitiesOf(schema: SchemaShape): Capabilities {
  return {
    groups:
      schema.get('Load_Balancer_Group')?.has('load_balancer') === true &&
      schema.get('Logical_Switch')?.has('load_balancer_group') === true,
    selectionFields: new Set(schema.get('Load_Balancer')?.get('selection_fields')?.keyEnum ?? []),
  };
}
