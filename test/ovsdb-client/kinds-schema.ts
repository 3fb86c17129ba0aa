/** A schema with a column of every kind, for tests against real servers. */
export const kindsSchema = {
  name: 'Kinds',
  version: '1.0.0',
  tables: {
    Thing: {
      isRoot: true,
      indexes: [['name']],
      columns: {
        name: { type: 'string' },
        integer: { type: 'integer' },
        real: { type: 'real' },
        boolean: { type: 'boolean' },
        uuid: { type: 'uuid' },
        choice: { type: { key: { type: 'string', enum: ['set', ['red', 'green', 'blue']] }, min: 0, max: 1 } },
        maybe: { type: { key: 'integer', min: 0, max: 1 } },
        integers: { type: { key: 'integer', min: 0, max: 'unlimited' } },
        reals: { type: { key: 'real', min: 0, max: 'unlimited' } },
        booleans: { type: { key: 'boolean', min: 0, max: 2 } },
        strings: { type: { key: 'string', min: 0, max: 'unlimited' } },
        few: { type: { key: { type: 'integer', minInteger: 0, maxInteger: 99 }, min: 1, max: 3 } },
        texts: { type: { key: 'string', value: 'string', min: 0, max: 'unlimited' } },
        counts: { type: { key: 'string', value: 'integer', min: 0, max: 'unlimited' } },
        byNumber: { type: { key: 'integer', value: 'string', min: 0, max: 'unlimited' } },
        friends: { type: { key: { type: 'uuid', refTable: 'Thing', refType: 'weak' }, min: 0, max: 'unlimited' } },
        parts: { type: { key: { type: 'uuid', refTable: 'Part' }, min: 0, max: 'unlimited' } },
      },
    },
    Part: {
      columns: { label: { type: 'string' }, fixed: { type: 'string', mutable: false } },
    },
    Log: { isRoot: true, columns: { key: { type: 'string' }, value: { type: 'integer' } } },
  },
};
