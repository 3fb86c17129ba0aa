/** Stands in for fast-check in `make test-properties`: every property gets PROPERTY_TIMES times its cases. */
import fastCheck from '../node_modules/fast-check/lib/fast-check.js';

const times = Number(process.env.PROPERTY_TIMES);
const usualRuns = 100;

export default {
  ...fastCheck,
  assert: ((property, parameters) =>
    fastCheck.assert(property as never, {
      ...parameters,
      numRuns: times * (parameters?.numRuns ?? usualRuns),
    })) as typeof fastCheck.assert,
};
