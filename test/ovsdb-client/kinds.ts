// Written by `ovsdb-client generate` from the schema of Kinds 1.0.0. Do not edit: generate it again.
import type { DatabaseDefinition, Uuid } from '../../src/ovsdb-client/index.ts';

/** A row of Log. */
export interface Log {
  readonly _uuid: Uuid;
  readonly key: string;
  readonly value: number | bigint;
}

/** A row of Part. Vanishes when no row refers to it strongly. */
export interface Part {
  readonly _uuid: Uuid;
  /** Set only when the row is inserted. */
  readonly fixed: string;
  readonly label: string;
}

/** A row of Thing. */
export interface Thing {
  readonly _uuid: Uuid;
  readonly boolean: boolean;
  /** At most 2 elements. */
  readonly booleans: readonly boolean[];
  readonly byNumber: ReadonlyMap<number | bigint, string>;
  readonly choice: 'red' | 'green' | 'blue' | undefined;
  readonly counts: ReadonlyMap<string, number | bigint>;
  /** 0 to 99; at least one element; at most 3 elements. */
  readonly few: readonly number[];
  /** Weak reference to Thing. */
  readonly friends: readonly Uuid[];
  readonly integer: number | bigint;
  readonly integers: readonly (number | bigint)[];
  readonly maybe: number | bigint | undefined;
  readonly name: string;
  /** Strong reference to Part. */
  readonly parts: readonly Uuid[];
  readonly real: number;
  readonly reals: readonly number[];
  readonly strings: readonly string[];
  readonly texts: ReadonlyMap<string, string>;
  readonly uuid: Uuid;
}

/** The tables of Kinds. */
export interface KindsTables {
  readonly Log: Log;
  readonly Part: Part;
  readonly Thing: Thing;
}

/** Kinds 1.0.0, for `connect({ database: kinds })`. */
export const kinds: DatabaseDefinition<KindsTables> = {
  name: 'Kinds',
  schema: {
    name: 'Kinds',
    tables: {
      Log: { columns: { key: { type: 'string' }, value: { type: 'integer' } }, isRoot: true },
      Part: { columns: { fixed: { mutable: false, type: 'string' }, label: { type: 'string' } } },
      Thing: {
        columns: {
          boolean: { type: 'boolean' },
          booleans: { type: { key: 'boolean', max: 2, min: 0 } },
          byNumber: { type: { key: 'integer', max: 'unlimited', min: 0, value: 'string' } },
          choice: { type: { key: { enum: ['set', ['red', 'green', 'blue']], type: 'string' }, max: 1, min: 0 } },
          counts: { type: { key: 'string', max: 'unlimited', min: 0, value: 'integer' } },
          few: { type: { key: { maxInteger: 99, minInteger: 0, type: 'integer' }, max: 3, min: 1 } },
          friends: { type: { key: { refTable: 'Thing', refType: 'weak', type: 'uuid' }, max: 'unlimited', min: 0 } },
          integer: { type: 'integer' },
          integers: { type: { key: 'integer', max: 'unlimited', min: 0 } },
          maybe: { type: { key: 'integer', max: 1, min: 0 } },
          name: { type: 'string' },
          parts: { type: { key: { refTable: 'Part', type: 'uuid' }, max: 'unlimited', min: 0 } },
          real: { type: 'real' },
          reals: { type: { key: 'real', max: 'unlimited', min: 0 } },
          strings: { type: { key: 'string', max: 'unlimited', min: 0 } },
          texts: { type: { key: 'string', max: 'unlimited', min: 0, value: 'string' } },
          uuid: { type: 'uuid' },
        },
        indexes: [['name']],
        isRoot: true,
      },
    },
    version: '1.0.0',
  },
};
