import { join } from 'node:path';
import { afterAll, beforeAll } from '@jest/globals';
import { takeDown } from '../../lab/down.ts';
import { describeLab, type Lab, type OvnMode, type RouterKind } from '../../lab/lab.ts';
import { silentProgress } from '../../lab/progress.ts';
import { readState } from '../../lab/state.ts';
import { bringUp } from '../../lab/up.ts';

export interface LabNeeds {
  /** With Ovenbird installed. */
  readonly install: boolean;
  /** Default 2, so that there is a node without and one with. */
  readonly nodes?: number;
  readonly ovn?: OvnMode;
  readonly router?: RouterKind;
}

/**
 * The lab for all tests of a file. One that is up already (with at least these nodes) is used and stays up; otherwise
 * it is brought up before the first test and taken down after the last.
 * @returns what gives the lab; to be called inside tests.
 */
export function useLab(needs: LabNeeds): () => Lab {
  const checkout = join(import.meta.dirname, '../..');
  const before = readState(describeLab({ checkout, nodes: 1, ovn: 'full', router: 'bird' }).root);
  let lab: Lab | undefined;

  beforeAll(async () => {
    lab = await bringUp(
      {
        checkout,
        install: needs.install,
        nodes: Math.max(needs.nodes ?? 2, before?.options.nodes ?? 0),
        ...(needs.ovn === undefined ? {} : { ovn: needs.ovn }),
        ...(needs.router === undefined ? {} : { router: needs.router }),
      },
      silentProgress,
    );
  }, 900_000);

  afterAll(async () => {
    if (lab && !before) await takeDown(lab, silentProgress);
  }, 120_000);

  return () => {
    if (!lab) throw new Error('the lab is not up: its beforeAll failed');
    return lab;
  };
}
