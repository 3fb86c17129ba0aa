import { OvenbirdError } from '../src/base/index.ts';

/** What can go wrong while the lab is built, used or taken down. */
export type LabErrorCode =
  | 'BadUsage'
  | 'Busy'
  | 'CommandFailed'
  | 'MissingProgram'
  | 'NotReady'
  | 'NotUp'
  | 'OtherLab'
  | 'ProcessDied';

/** The message is shown to the person at the terminal as it is; it may have several lines. */
export class LabError extends OvenbirdError<LabErrorCode> {}
